"""Execution: intent, call, record. The intent is committed before the call, and no transaction is open during the call."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from uuid import UUID

from domain.cases import Case, Transition
from domain.eligibility import Escalate, decide
from domain.money import Money
from domain.providers import RefundResult
from domain.purchases import Method, Purchase, email_key
from domain.reason_codes import ReasonCode
from domain.refund_operations import RefundOperation, key_of
from domain.states import Event, State
from records import UnitOfWork
from records.decision_inputs import DecisionInput
from worker import provider_client
from worker.context import WorkerContext
from worker.provider_client import NotSent
from worker.refunds import recording
from worker.refunds.evaluation import eligibility_input, reasons, support_reason
from worker.refunds.outcomes import Sent
from worker.refunds.recording import Call

CHANGED = "What held when the case was judged no longer holds, or cannot be carried out."
HELD = "Payments of this kind are refunded only some time after the charge: until then a bank may return them unasked."


def execute(context: WorkerContext, ids: Sequence[UUID]) -> list[UUID]:
    """Pays those of these cases that may be paid, and returns the cases that it could lock."""
    send_until = sending_ends(context)
    with context.records.work() as work:
        cases = work.cases.lock(ids, state=State.APPROVED)
        calls = prepare(work, context, cases)
    context.call_pool.map_as_completed(
        lambda call: provider_client.send_refund(context, call.operation, until=send_until),
        calls,
        partial(_keep, context),
    )
    return [case.id for case in cases]


def _keep(context: WorkerContext, answers: Sequence[tuple[Call, RefundResult | NotSent]]) -> None:
    with context.records.work() as work:
        recording.record(work, context, [(call, Sent(answer)) for call, answer in answers])


def sending_ends(context: WorkerContext) -> float:
    """Returns the monotonic instant after which a call could outlive its task: less than one HTTP timeout is left."""
    return (
        context.monotonic()
        + context.settings.timers.task_soft_time_limit_seconds
        - context.settings.timers.provider_timeout_seconds
    )


def prepare(work: UnitOfWork, context: WorkerContext, cases: Sequence[Case]) -> list[Call]:
    """Claims the payments of these approved and locked cases, writes their operations down, and takes the lease.

    A case that may not be refunded any more goes to support.
    """
    if not cases:
        return []
    purchases = work.decision_inputs.purchases([case.id for case in cases])
    work.sellers.lock([bought.seller_id for bought in purchases.values()])
    facts = work.decision_inputs.load(list(purchases.values()))
    earlier = work.refund_operations.for_cases([case.id for case in cases])
    paid: list[Purchase] = []
    steps: list[Transition] = []
    operations: dict[UUID, RefundOperation] = {}
    for case in cases:
        bought, last = purchases[case.id], earlier.get(case.id)
        known = _with_this_batch(work, facts[bought.id], bought, paid)
        if step := _objection(work, context, case, bought, known, last):
            steps.append(step)
        else:
            operations[case.id] = _operation(case, bought, last.attempt + 1 if last else 1)
            paid.append(bought)
    ours = work.refund_operations.claim(list(operations.values())) if operations else set()
    work.refund_operations.create([operations[case] for case in ours])
    for case in cases:
        if case.id in ours:
            intent = case.after(Event.REFUND_STARTED, actor="worker", evidence=_intent(operations[case.id]))
            steps.append(replace(intent, lease=context.settings.timers.lease_seconds))
        elif case.id in operations:
            steps.append(_not_any_more(case, support_reason(ReasonCode.PAYMENT_CLAIMED, operations[case.id].charge)))
    moved = work.history.record(steps)
    return [
        Call(step.case_after(work.now), operations[step.case.id])
        for step in steps
        if step.event is Event.REFUND_STARTED and step.case.id in moved
    ]


def _with_this_batch(
    work: UnitOfWork, facts: DecisionInput, bought: Purchase, paid: Sequence[Purchase]
) -> DecisionInput:
    """Adds the refunds of this batch to what is known, because the limit of refunds per customer counts them too."""
    in_this_batch = (work.now,) * sum(_same_customer(bought, other) for other in paid if facts.seller.serial_limit)
    return replace(facts, open_case=None, refunds=facts.refunds + in_this_batch)


def _objection(
    work: UnitOfWork,
    context: WorkerContext,
    case: Case,
    bought: Purchase,
    known: DecisionInput,
    last: RefundOperation | None,
) -> Transition | None:
    """Returns the transition of a case that cannot be paid now; None if it can be paid."""
    decision = decide(eligibility_input(case, known, context, at=work.now))
    if isinstance(decision, Escalate):
        return _not_any_more(case, {"reasons": reasons(decision.findings)})
    if last and last.is_open:
        return _not_any_more(case, support_reason(ReasonCode.OUTCOME_UNKNOWN, last.key))
    if context.provider(bought.provider) is None:
        return _not_any_more(case, support_reason(ReasonCode.PROVIDER_NOT_CONNECTED, bought.provider))
    held = _held_for(work, context, bought)
    if held > timedelta(0):
        return replace(case.after(Event.PUT_ON_HOLD, actor="rules", why=HELD), due_in=held.total_seconds())
    return None


def _held_for(work: UnitOfWork, context: WorkerContext, bought: Purchase) -> timedelta:
    """Returns for how long this payment may not be refunded yet: the provider's minimum delay, or the hold of direct debits."""
    adapter = context.provider(bought.provider)
    delay = adapter.capabilities.route(bought.method).minimum_delay if adapter else timedelta(0)
    hold = timedelta(days=context.settings.sepa_hold_days if bought.method == Method.DIRECT_DEBIT else 0)
    return bought.charged_at + max(delay, hold) - work.now


def _same_customer(one: Purchase, other: Purchase) -> bool:
    """Whether these two purchases are of one customer of a seller: by address, or by payment instrument if it is known."""
    same_instrument = one.instrument is not None and one.instrument == other.instrument
    return one.seller_id == other.seller_id and (email_key(one.email) == email_key(other.email) or same_instrument)


def _operation(case: Case, bought: Purchase, attempt: int) -> RefundOperation:
    assert bought.amount is not None, "amount_is_sound was kept"
    assert bought.currency is not None, "amount_is_sound was kept"
    return RefundOperation(
        case_id=case.id,
        attempt=attempt,
        provider=bought.provider,
        charge=bought.charge,
        amount=Money(bought.amount, bought.currency),
        key=key_of(case.id, attempt),
    )


def _intent(operation: RefundOperation) -> dict[str, object]:
    return {
        "provider": operation.provider,
        "charge": operation.charge,
        "amount": operation.amount.minor,
        "currency": operation.amount.currency,
        "key": operation.key,
    }


def _not_any_more(case: Case, evidence: dict[str, object]) -> Transition:
    return case.after(Event.NO_LONGER_ELIGIBLE, actor="rules", why=CHANGED, evidence=evidence)
