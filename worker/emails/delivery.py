"""Delivers e-mails in batches: claims the e-mails, sends them, and records each result."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar
from uuid import UUID

from domain.errors import MoneybackError
from worker.context import WorkerContext
from worker.mail_transport import EmailNotSentError, EmailRejectedError
from worker.refunds.execution import sending_ends

PERMANENT_CLAIM = 100 * 365 * 86_400.0  # seconds: 100 years

Email = TypeVar("Email")


@dataclass(slots=True)
class DeliveryResults(Generic[Email]):
    """The results of a batch of e-mails. A pair contains an e-mail and the text of its error."""

    sent: list[Email] = field(default_factory=list)
    not_sent: list[tuple[Email, str]] = field(default_factory=list)
    """Certainly not sent. These e-mails may be sent later."""
    no_time: list[Email] = field(default_factory=list)
    """Not tried, because the Celery task had no time left."""
    rejected: list[tuple[Email, str]] = field(default_factory=list)
    """Permanently refused by the mail server."""
    failed: list[tuple[Email, str]] = field(default_factory=list)
    """Perhaps sent, or impossible to send. These e-mails are not sent again."""


def deliver_batch(
    context: WorkerContext,
    ids: Sequence[UUID],
    *,
    claim: Callable[[Sequence[UUID], float], Sequence[Email]],
    send: Callable[[Email], None],
    record: Callable[[DeliveryResults[Email]], None],
) -> None:
    """Claim, send and record e-mails.

    ``claim`` gets the ids and the duration of the claim in seconds, and commits the claim before any e-mail is sent.

    With a ``repeatable`` transport, an e-mail that is sent again replaces the first e-mail. So the whole batch is claimed for
    the duration of a lease.

    With another transport, each e-mail is claimed alone and permanently, so that a crash of the worker loses at most one
    e-mail. An e-mail that may have been sent is not sent again. A lost e-mail does no harm, because the customer's status page
    shows the same information. A claim is released only if the e-mail certainly was not sent.

    If the Celery task has no time left for an e-mail, the e-mail is not claimed, or its claim is released. The sweep then
    publishes a new message for the e-mail.
    """
    until = sending_ends(context)
    is_repeatable = context.mail_transport.repeatable
    seconds = context.settings.timers.lease_seconds if is_repeatable else PERMANENT_CLAIM
    for batch in [ids] if is_repeatable else [[email_id] for email_id in ids]:
        if context.monotonic() <= until:
            record(_send_all(context, claim(batch, seconds), send, until))


def _send_all(
    context: WorkerContext, emails: Sequence[Email], send: Callable[[Email], None], until: float
) -> DeliveryResults[Email]:
    results = DeliveryResults[Email]()
    for email in emails:
        if context.monotonic() > until:
            results.no_time.append(email)
            continue
        try:
            send(email)
        except EmailNotSentError as error:
            results.not_sent.append((email, str(error)))
        except EmailRejectedError as error:
            results.rejected.append((email, str(error)))
        except MoneybackError as error:  # it may have been sent, or its address cannot be used
            results.failed.append((email, str(error)))
        else:
            results.sent.append(email)
    return results
