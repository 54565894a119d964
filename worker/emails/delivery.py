"""Delivers e-mails in batches: claims them, sends them, and records the result of each."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar
from uuid import UUID

from domain.errors import MoneybackError
from worker.context import WorkerContext
from worker.mail_transport import EmailNotSentError, EmailRejectedError
from worker.refunds.execution import sending_ends

PERMANENT_CLAIM = 100 * 365 * 86_400.0  # seconds

Email = TypeVar("Email")


@dataclass(slots=True)
class DeliveryResults(Generic[Email]):
    """The results of a batch of e-mails. An e-mail that was not sent comes with the error's sentence."""

    sent: list[Email] = field(default_factory=list)
    not_sent: list[tuple[Email, str]] = field(default_factory=list)
    """Certainly not sent: they may be sent later."""
    no_time: list[Email] = field(default_factory=list)
    """Not tried, because the time of the task was over."""
    rejected: list[tuple[Email, str]] = field(default_factory=list)
    """Permanently refused by the mail server."""
    failed: list[tuple[Email, str]] = field(default_factory=list)
    """Perhaps sent, or impossible to send: they are not repeated."""


def deliver_batch(
    context: WorkerContext,
    ids: Sequence[UUID],
    *,
    claim: Callable[[Sequence[UUID], float], Sequence[Email]],
    send: Callable[[Email], None],
    record: Callable[[DeliveryResults[Email]], None],
) -> None:
    """Claim, send and record e-mails.

    ``claim`` gets the ids and the seconds of the claim, and commits the claim before anything is sent.

    If a repeated e-mail replaces the first (``repeatable``), the whole batch is claimed under a lease. Otherwise the claim
    is permanent: an e-mail that may have been sent is not sent twice, because the status page has the same information.
    The claim is released only if the e-mail certainly was not sent. Each e-mail is then claimed alone, so that a crash of
    the worker loses at most one e-mail. If no time is left for an e-mail, it stays unclaimed, and the sweep publishes it
    again.
    """
    ends = sending_ends(context)
    is_repeatable = context.mail_transport.repeatable
    seconds = context.settings.timers.lease_seconds if is_repeatable else PERMANENT_CLAIM
    for batch in [ids] if is_repeatable else [[email_id] for email_id in ids]:
        if context.monotonic() <= ends:
            record(_send_all(context, claim(batch, seconds), send, ends))


def _send_all(
    context: WorkerContext, emails: Sequence[Email], send: Callable[[Email], None], ends: float
) -> DeliveryResults[Email]:
    results = DeliveryResults[Email]()
    for email in emails:
        if context.monotonic() > ends:
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
