"""Accepts refund requests from every channel, and records a customer's confirmation, cancellation or statutory withdrawal."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID, uuid4

from domain.emails import EmailKind
from domain.errors import KeyInFlightError, KeyReusedError, NotPossibleError
from domain.messages import CaseEmailsDue
from domain.requests import Channel, RefundRequest
from domain.states import Event, State
from records import Records
from records.case_emails import DueEmail
from records.intake import Accepted, Submission
from records.statutory_withdrawals import StatutoryWithdrawal
from records.unit_of_work import UnitOfWork

DECLARATIONS_A_DAY = 10
"""The maximum number of statutory withdrawals that are acknowledged to one address in 24 hours without a delay.

No customer withdraws from more contracts in a day. If a stranger enters a customer's address again and again, the limit
protects the customer's mailbox.
"""
_HOUR, _DAY = 3_600.0, 86_400.0  # seconds


def submission(
    request: RefundRequest,
    channel: Channel,
    *,
    key: str | None = None,
    source: str | None = None,
    seller: str | None = None,
    thread: str | None = None,
    trusted: bool = False,
    bulk: bool = False,
) -> Submission:
    """Return the submission of a request. If there is no idempotency ``key``, use a random key, so that a new case is created."""
    return Submission(
        id=uuid4(),
        request=request,
        channel=channel,
        source=source or f"{channel}:{seller or ''}",
        key=key or f"none:{uuid4()}",
        seller_id=seller,
        thread=thread,
        trusted=trusted,
        bulk=bulk,
    )


def accept(records: Records, submissions: Sequence[Submission]) -> list[Accepted]:
    """Create a case for each new submission, and find the case of each repeated submission. Commit before returning.

    The purchase is not looked up. The response and its timing therefore do not reveal whether the purchase exists.
    """
    with records.work() as work:
        return work.intake.accept(submissions)


def accept_one(records: Records, submission: Submission) -> Accepted:
    """Accept one submission as ``accept`` does; raise KeyReusedError if its key was used for a different request."""
    (accepted,) = accept(records, [submission])
    if not accepted.identical:
        raise KeyReusedError
    return accepted


def accept_once(records: Records, submission: Submission) -> Accepted:
    """Accept one submission as ``accept_one`` does, but do not wait for a lock on the idempotency key.

    If another request with the same key is being accepted at this moment, raise KeyInFlightError. This function is for
    clients that can send their request again.
    """
    with records.work() as work:
        if not work.idempotency.claim(submission.source, submission.key):
            raise KeyInFlightError
        (accepted,) = work.intake.accept([submission])
    if not accepted.identical:
        raise KeyReusedError
    return accepted


def declare(
    records: Records, submission: Submission, *, name: str, statement: str
) -> tuple[Accepted, StatutoryWithdrawal]:
    """Record a statutory withdrawal: the case, the declaration and the acknowledgement e-mail, in one commit.

    The withdrawal takes effect now, even if the case is processed later. The purchase is not looked up, so a withdrawal is
    recorded even if no purchase matches. If more than DECLARATIONS_A_DAY withdrawals with the same address arrive in 24
    hours, the first e-mail above this limit waits one hour, the second e-mail two hours, and so on.
    """
    with records.work() as work:
        (accepted,) = work.intake.accept([submission])
        if accepted.created:
            record_withdrawal(work, accepted.id, submission.request.email, name=name, statement=statement)
        withdrawal = work.statutory_withdrawals.get(accepted.id)
    if not accepted.identical or withdrawal is None:
        raise KeyReusedError
    return accepted, withdrawal


def record_withdrawal(
    work: UnitOfWork, case_id: UUID, email: str, *, name: str, statement: str, declared_at: datetime | None = None
) -> None:
    """Record the statutory withdrawal of a new case, and enqueue the acknowledgement e-mail to ``email``.

    ``declared_at`` is the time of the declaration if the declaration arrived before it is recorded.
    """
    work.statutory_withdrawals.insert(case_id, name, statement, declared_at)
    work.case_emails.enqueue([(case_id, EmailKind.WITHDRAWAL_RECEIVED, 0)])
    excess = work.statutory_withdrawals.count_recent(email, seconds=_DAY) - DECLARATIONS_A_DAY
    if excess > 0:
        work.case_emails.release([DueEmail(case_id, EmailKind.WITHDRAWAL_RECEIVED)], seconds=excess * _HOUR)
    work.outbox.enqueue([(CaseEmailsDue, case_id)])


class OutdatedPageError(NotPossibleError):
    """The case was evaluated again after the customer opened the page, so the page may show another amount."""


def confirm(records: Records, case_id: UUID, *, seq: int | None) -> State:
    """Record that the customer confirms the refund, and return the case's state. A repeated confirmation is not an error.

    ``seq`` is the number of the newest row of the case's history when the customer opened the page, if the page contains it.
    Raise OutdatedPageError if the case was evaluated again since then.
    """
    return _record_choice(records, case_id, Event.CUSTOMER_CONFIRMED, seq=seq)


def cancel(records: Records, case_id: UUID) -> State:
    """Record that the customer cancels the request, and return the case's state. A confirmed request cannot be cancelled."""
    return _record_choice(records, case_id, Event.CUSTOMER_CANCELLED)


def _record_choice(records: Records, case_id: UUID, event: Event, *, seq: int | None = None) -> State:
    with records.work() as work:
        case = work.cases.lock_one(case_id)
        if case is None:
            raise NotPossibleError("There is no such request.")
        if case.state is State.AWAITING_CONFIRMATION:
            if seq is not None and seq != case.seq:
                raise OutdatedPageError("The case was evaluated again.")
            transition = case.after(event, actor="customer")
            work.history.record([transition])
            return transition.to_state
    if event is Event.CUSTOMER_CONFIRMED and case.state in _CONFIRMED_STATES:
        return case.state
    raise NotPossibleError(_REFUSALS.get(case.state, _DEFAULT_REFUSAL))


_CONFIRMED_STATES = frozenset(
    {State.APPROVED, State.REFUNDING, State.WAITING_FOR_APPROVAL, State.REFUND_PENDING, State.REFUNDED}
)
_DEFAULT_REFUSAL = "This request can no longer be changed."
_REFUSALS = {
    **dict.fromkeys(_CONFIRMED_STATES, "This refund is already confirmed and can’t be cancelled."),
    State.EXPIRED: "This link has expired. Please send the form again to get a new one.",
    State.CANCELLED: "This request was cancelled. If you still want the refund, please send the form again.",
    State.RECEIVED: "We’re still checking this request. Please wait for our email.",
    State.WITH_SUPPORT: "Our support team is reviewing this request and will email you.",
}
