"""The one door for requests, whichever way they come: accept, and what a customer may say about a case afterwards."""

from collections.abc import Sequence
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

DECLARATIONS_A_DAY = 10
"""More than any customer has contracts to withdraw from; a stranger's mailbox is not filled by ten letters."""
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
    """A request at the door. Without a key of its sender's it is a request of its own, however often it comes."""
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


def accept(records: Records, arrivals: Sequence[Submission]) -> list[Accepted]:
    """Makes a case of each arrival, or finds the one it has; committed when this returns.

    Nothing is looked up about the purchase here: known or unknown, the answer and its timing are the same.
    """
    with records.work() as work:
        return work.intake.accept(arrivals)


def accept_one(records: Records, arrival: Submission) -> Accepted:
    """As accept(); a key that named another request before is refused with a KeyReusedError."""
    (accepted,) = accept(records, [arrival])
    if not accepted.identical:
        raise KeyReusedError
    return accepted


def accept_once(records: Records, arrival: Submission) -> Accepted:
    """As accept_one(), for whoever can come again: the same key's request in flight is a KeyInFlightError."""
    with records.work() as work:
        if not work.idempotency.claim(arrival.source, arrival.key):
            raise KeyInFlightError
        (accepted,) = work.intake.accept([arrival])
    if not accepted.identical:
        raise KeyReusedError
    return accepted


def declare(records: Records, arrival: Submission, *, name: str, statement: str) -> tuple[UUID, StatutoryWithdrawal]:
    """A consumer withdraws from a contract by law: the case, the declaration and the letter that acknowledges it, in one commit.

    It counts from this instant, whoever works the case and whenever; nothing is looked up about the contract. None is
    ever refused: of an address with more than DECLARATIONS_A_DAY only the letters wait, each an hour longer.
    """
    with records.work() as work:
        (accepted,) = work.intake.accept([arrival])
        if accepted.created:
            work.statutory_withdrawals.insert(accepted.id, name, statement)
            work.case_emails.enqueue([(accepted.id, EmailKind.WITHDRAWAL_RECEIVED)])
            too_many = work.statutory_withdrawals.count_recent(arrival.request.email, seconds=_DAY) - DECLARATIONS_A_DAY
            if too_many > 0:
                work.case_emails.release(
                    [DueEmail(accepted.id, EmailKind.WITHDRAWAL_RECEIVED)], seconds=too_many * _HOUR
                )
            work.outbox.enqueue([(CaseEmailsDue, accepted.id)])
        declared = work.statutory_withdrawals.get(accepted.id)
    if not accepted.identical or declared is None:
        raise KeyReusedError
    return accepted.id, declared


def confirm(records: Records, case: UUID) -> State:
    """The customer says yes to the refund: once, and only while it is asked. Again is not an error: it stays a yes."""
    return _say(records, case, Event.CUSTOMER_CONFIRMED)


def withdraw(records: Records, case: UUID) -> State:
    """The customer does not want the refund after all; possible until it was confirmed."""
    return _say(records, case, Event.CUSTOMER_CANCELLED)


def _say(records: Records, case: UUID, event: Event) -> State:
    with records.work() as work:
        found = work.cases.lock_one(case)
        if found is None:
            raise NotPossibleError("There is no such request.")
        if found.state is State.AWAITING_CONFIRMATION:
            step = found.after(event, actor="customer")
            work.history.record([step])
            return step.to_state
    if event is Event.CUSTOMER_CONFIRMED and found.state in _CONFIRMED:
        return found.state
    raise NotPossibleError(_SENTENCES.get(found.state, _OTHERWISE))


_CONFIRMED = frozenset({State.APPROVED, State.REFUNDING, State.REFUND_PENDING, State.REFUNDED})
_OTHERWISE = "This request can no longer be changed."
_SENTENCES = {
    **dict.fromkeys(_CONFIRMED, "This refund is already confirmed and can’t be cancelled."),
    State.EXPIRED: "This link has expired. Please send the form again to get a new one.",
    State.CANCELLED: "This request was cancelled. If you still want the refund, please send the form again.",
    State.RECEIVED: "We’re still checking this request. Please wait for our email.",
    State.WITH_SUPPORT: "Our support team is reviewing this request and will email you.",
}
