"""Delivery: the one loop that claims e-mails, sends them, and records what became of each."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar
from uuid import UUID

from domain.errors import MoneybackError
from worker.context import WorkerContext
from worker.mail_transport import EmailNotSentError, EmailRejectedError
from worker.refunds.execution import sending_ends

FOR_GOOD = 100 * 365 * 86_400.0  # seconds

Email = TypeVar("Email")


@dataclass(slots=True)
class Delivered(Generic[Email]):
    """What became of a batch of e-mails. A failed e-mail has the error's sentence."""

    sent: list[Email] = field(default_factory=list)
    not_sent: list[tuple[Email, str]] = field(default_factory=list)
    """Certainly not sent: they may be sent later."""
    no_time: list[Email] = field(default_factory=list)
    """Not tried, because the time of the task was over."""
    refused: list[tuple[Email, str]] = field(default_factory=list)
    """Refused by the recipient's mail server."""
    failed: list[tuple[Email, str]] = field(default_factory=list)
    """Perhaps sent, or never to be sent: they are not repeated."""


def deliver_batch(
    context: WorkerContext,
    ids: Sequence[UUID],
    *,
    claim: Callable[[Sequence[UUID], float], Sequence[Email]],
    send: Callable[[Email], None],
    record: Callable[[Delivered[Email]], None],
) -> None:
    """Claims, sends and records e-mails. ``claim`` gets the ids and the seconds of the claim, and commits it before the sending.

    A mail server that can detect a repeated e-mail gets the whole batch, under a lease. Otherwise the claim is for good, unless
    the e-mail certainly was not sent: an e-mail that may have been sent is not sent twice, and the status page says the
    same. Such e-mails are claimed singly, so that a worker that crashes loses one of them at most. An e-mail for which no time
    is left stays unclaimed, and the sweep sends it again.
    """
    ends = sending_ends(context)
    seconds = context.settings.timers.lease_seconds if context.mail_transport.repeatable else FOR_GOOD
    for batch in [ids] if context.mail_transport.repeatable else [[one] for one in ids]:
        if context.monotonic() <= ends:
            record(_send_all(context, claim(batch, seconds), send, ends))


def _send_all(
    context: WorkerContext, emails: Sequence[Email], send: Callable[[Email], None], ends: float
) -> Delivered[Email]:
    delivered = Delivered[Email]()
    for email in emails:
        if context.monotonic() > ends:
            delivered.no_time.append(email)
            continue
        try:
            send(email)
        except EmailNotSentError as error:
            delivered.not_sent.append((email, str(error)))
        except EmailRejectedError as error:
            delivered.refused.append((email, str(error)))
        except MoneybackError as error:  # nobody knows whether it was sent, or no mail server accepts it
            delivered.failed.append((email, str(error)))
        else:
            delivered.sent.append(email)
    return delivered
