"""Paying: intent, call, record. The intent is committed before the call, and no transaction is open during it."""

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from uuid import UUID, uuid4

import structlog

from domain.cases import Case, Step
from domain.eligibility import Escalate, decide
from domain.findings import Code
from domain.money import Money
from domain.providers import Answer, Declined, Paid, Pending, Refusal, Unknown
from domain.purchases import Purchase, email_key
from domain.states import Event, State
from records import Work
from records.operations import Operation
from worker.judging import because, question, reasons
from worker.tools import Tools

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Call:
    """One refund to ask a provider for: a case we hold, and its operation."""

    case: Case
    operation: Operation


CHANGED = "What held when the case was judged no longer holds, or cannot be carried out."


class Unsent:
    """There was no time left to make this call within the lease: nothing was sent."""


def pay(tools: Tools, ids: Sequence[UUID]) -> None:
    """Pays those of these cases that may be paid."""
    send_until = time.monotonic() + tools.settings.timers.soft_seconds - tools.settings.timers.http_seconds
    with tools.records.work() as work:
        calls = prepare(work, tools, ids)

    def send(call: Call) -> Answer | Unsent:
        return Unsent() if time.monotonic() > send_until else refund(tools, call.operation)

    for wave in tools.side_by_side(send, calls):
        with tools.records.work() as work:
            unsent = [(call.case, 0.0) for call, answer in wave if isinstance(answer, Unsent)]
            work.cases.release(unsent)
            record(work, tools, [(call, answer) for call, answer in wave if not isinstance(answer, Unsent)])


def prepare(work: Work, tools: Tools, ids: Sequence[UUID]) -> list[Call]:
    """Claims the payments, writes the operations down and takes the lease. What no longer holds goes to people."""
    cases = work.cases.lock(ids, here=State.APPROVED)
    if not cases:
        return []
    purchases = work.cases.purchases([case.id for case in cases])
    work.sellers.take_turns([bought.seller for bought in purchases.values()])
    facts = work.cases.facts(list(purchases.values()))
    paid: list[Purchase] = []
    steps: list[Step] = []
    operations: dict[UUID, Operation] = {}
    for case in cases:
        bought = purchases[case.id]
        before = facts[bought.id]
        in_this_batch = (work.now,) * sum(_same_customer(bought, other) for other in paid if before.seller.serial_limit)
        known = replace(before, live_case=None, refunds=before.refunds + in_this_batch)
        decision = decide(question(case, known, tools))
        if isinstance(decision, Escalate):
            steps.append(_not_any_more(case, {"reasons": reasons(decision.findings)}))
        elif tools.provider(bought.provider) is None:
            steps.append(_not_any_more(case, because(Code.PROVIDER_NOT_CONNECTED, bought.provider)))
        else:
            operations[case.id] = _operation(case, bought)
            paid.append(bought)
    held = work.operations.claim(list(operations.values())) if operations else set()
    work.operations.prepare([operations[case] for case in held])
    for case in cases:
        if case.id in held:
            intent = case.after(Event.PREPARED, actor="worker", evidence=_intent(operations[case.id]))
            steps.append(replace(intent, lease=tools.settings.timers.lease_seconds))
        elif case.id in operations:
            steps.append(_not_any_more(case, because(Code.PAYMENT_CLAIMED, operations[case.id].charge)))
    moved = work.history.record(steps)
    return [
        Call(step.case_after(work.now), operations[step.case.id])
        for step in steps
        if step.event is Event.PREPARED and step.case.id in moved
    ]


def refund(tools: Tools, operation: Operation) -> Answer:
    """Asks the provider. Whatever goes wrong in here, it may have been carried out: that is Unknown, never a failure."""
    adapter = tools.provider(operation.provider)
    if adapter is None:
        return Unknown(f"The provider {operation.provider} is not connected here any more.")
    try:
        answer = adapter.refund(operation.charge, operation.amount, key=operation.key)
    except Exception as error:
        log.exception("provider_adapter_broke", case_id=str(operation.case), provider=operation.provider)
        return Unknown(f"The adapter broke: {type(error).__name__}.")
    if isinstance(answer, Declined) and answer.refusal is Refusal.ALREADY_REFUNDED:
        return Unknown(
            "The provider says that this payment is refunded already; whose refund that is must be looked up."
        )
    return answer


def record(work: Work, tools: Tools, answers: Iterable[tuple[Call, Answer]]) -> None:
    """Writes answers down, for the cases that are still ours: a step each, and what the provider said."""
    answers = list(answers)
    steps = [step_of(call.case, answer, tools) for call, answer in answers]
    moved = work.history.record(steps)
    work.operations.answered([_told(call, answer) for call, answer in answers if call.case.id in moved])
    log.info("cases_moved", **Counter(step.event.value for step in steps if step.case.id in moved))
    for step in steps:
        if step.case.id not in moved:
            log.warning("case_was_taken_over", case_id=str(step.case.id), answer=step.event)


def step_of(case: Case, answer: Answer, tools: Tools) -> Step:
    """The step an answer makes of a case that is being refunded."""
    late = case.state is not State.REFUNDING
    match answer:
        case Paid(refund_id):
            return case.after(Event.PROVIDER_PAID, actor="provider", evidence={"refund": refund_id})
        case Pending(refund_id):
            return case.after(Event.PROVIDER_ACCEPTED, actor="provider", evidence={"refund": refund_id})
        case Declined(refusal, code):
            event = Event.PROVIDER_FAILED_LATE if late else Event.PROVIDER_DECLINED
            reason = Code.RETURNED_BY_BANK if late else _REFUSED[refusal]
            return case.after(event, actor="provider", why=reason.support, evidence=because(reason, code))
        case Unknown(why):
            step = case.after(Event.PROVIDER_UNCLEAR, actor="worker", why=why)
            return replace(step, due_in=tools.settings.timers.settle_seconds)


_REFUSED = {
    Refusal.ALREADY_REFUNDED: Code.REFUNDED_ELSEWHERE,
    Refusal.DISPUTED: Code.DISPUTE_OPEN,
    Refusal.PERMANENT: Code.PROVIDER_DECLINED,
}


def _told(call: Call, answer: Answer) -> tuple[UUID, str, str | None, str | None]:
    match answer:
        case Paid(refund_id):
            return call.case.id, "paid", refund_id, None
        case Pending(refund_id):
            return call.case.id, "pending", refund_id, None
        case Declined(_, code):
            return call.case.id, "declined", None, code
        case Unknown(why):
            return call.case.id, "unknown", None, why[:200]


def _same_customer(one: Purchase, other: Purchase) -> bool:
    """As rule 14 counts: the seller's customer by address, or by payment instrument where it is known."""
    same_instrument = one.instrument is not None and one.instrument == other.instrument
    return one.seller == other.seller and (email_key(one.email) == email_key(other.email) or same_instrument)


def _operation(case: Case, bought: Purchase) -> Operation:
    assert bought.amount is not None, "amount_is_sound was kept"
    assert bought.currency is not None, "amount_is_sound was kept"
    amount = Money(bought.amount, bought.currency)
    return Operation(case=case.id, provider=bought.provider, charge=bought.charge, amount=amount, key=f"mb_{uuid4()}")


def _intent(operation: Operation) -> dict[str, object]:
    return {
        "provider": operation.provider,
        "charge": operation.charge,
        "amount": operation.amount.minor,
        "currency": operation.amount.currency,
        "key": operation.key,
    }


def _not_any_more(case: Case, evidence: dict[str, object]) -> Step:
    return case.after(Event.NO_LONGER_ELIGIBLE, actor="rules", why=CHANGED, evidence=evidence)
