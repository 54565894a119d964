"""Executes approved refunds: commits the operation, calls the provider, and records the result.

The operation is committed before the call, and no transaction is open during the call.
"""

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

NO_LONGER_ALLOWED = "The refund was approved, but it is not allowed any more or cannot be carried out."
ON_HOLD = "The customer's bank may still return this payment, so the refund waits until that is no longer possible."


def execute(context: WorkerContext, ids: Sequence[UUID]) -> list[UUID]:
    """For each of these cases, send the refund if it is still allowed. Return the ids of the cases that could be locked."""
    until = sending_ends(context)
    with context.records.work() as work:
        cases = work.cases.lock(ids, state=State.APPROVED)
        calls = prepare(work, context, cases)
    context.call_pool.map_as_completed(
        lambda call: provider_client.send_refund(context, call.operation, until=until),
        calls,
        partial(_record_results, context),
    )
    return [case.id for case in cases]


def _record_results(context: WorkerContext, results: Sequence[tuple[Call, RefundResult | NotSent]]) -> None:
    with context.records.work() as work:
        recording.record(work, context, [(call, Sent(result)) for call, result in results])


def sending_ends(context: WorkerContext) -> float:
    """Return the last instant, on the monotonic clock, at which a provider call may start.

    A call that starts later could still be running when the time limit ends the Celery task.
    """
    return (
        context.monotonic()
        + context.settings.timers.task_soft_time_limit_seconds
        - context.settings.timers.provider_timeout_seconds
    )


def prepare(work: UnitOfWork, context: WorkerContext, cases: Sequence[Case]) -> list[Call]:
    """Create the operations of these approved and locked cases, and lease the cases. Return the calls to make.

    Each operation claims its payment, so that no other case refunds the payment. If a refund is not allowed any more, its
    case goes to support.
    """
    if not cases:
        return []
    purchases = work.decision_inputs.purchases([case.id for case in cases])
    work.sellers.lock([purchase.seller_id for purchase in purchases.values()])
    inputs = work.decision_inputs.load(list(purchases.values()))
    last_operations = work.refund_operations.for_cases([case.id for case in cases])
    batch: list[Purchase] = []  # the purchases that this batch refunds
    transitions: list[Transition] = []
    operations: dict[UUID, RefundOperation] = {}
    for case in cases:
        purchase, last_operation = purchases[case.id], last_operations.get(case.id)
        decision_input = _add_batch_refunds(work, inputs[purchase.id], purchase, batch)
        if objection := _find_objection(work, context, case, purchase, decision_input, last_operation):
            transitions.append(objection)
        else:
            operations[case.id] = _build_operation(case, purchase, last_operation.attempt + 1 if last_operation else 1)
            batch.append(purchase)
    claimed = work.refund_operations.claim(list(operations.values())) if operations else set()
    work.refund_operations.create([operations[case_id] for case_id in claimed])
    for case in cases:
        if case.id in claimed:
            started = case.after(Event.REFUND_STARTED, actor="worker", evidence=_describe(operations[case.id]))
            transitions.append(replace(started, lease=context.settings.timers.lease_seconds))
        elif case.id in operations:
            evidence = support_reason(ReasonCode.PAYMENT_CLAIMED, operations[case.id].charge)
            transitions.append(_escalate(case, evidence))
    recorded = work.history.record(transitions)
    return [
        Call(transition.case_after(work.now), operations[transition.case.id])
        for transition in transitions
        if transition.event is Event.REFUND_STARTED and transition.case.id in recorded
    ]


def _add_batch_refunds(
    work: UnitOfWork, decision_input: DecisionInput, purchase: Purchase, batch: Sequence[Purchase]
) -> DecisionInput:
    """Add the customer's refunds in this batch to the customer's past refunds. The limit of refunds per customer counts both."""
    count = sum(_is_same_customer(purchase, other) for other in batch if decision_input.seller.serial_limit)
    return replace(decision_input, open_case=None, refunds=decision_input.refunds + (work.now,) * count)


def _find_objection(
    work: UnitOfWork,
    context: WorkerContext,
    case: Case,
    purchase: Purchase,
    decision_input: DecisionInput,
    last_operation: RefundOperation | None,
) -> Transition | None:
    """Return the transition of a case that cannot be refunded now, or None if the case can be refunded."""
    decision = decide(eligibility_input(case, decision_input, context, at=work.now))
    if isinstance(decision, Escalate):
        return _escalate(case, {"reasons": reasons(decision.findings)})
    if last_operation and last_operation.is_open:
        return _escalate(case, support_reason(ReasonCode.OUTCOME_UNKNOWN, last_operation.key))
    if context.provider(purchase.provider) is None:
        return _escalate(case, support_reason(ReasonCode.PROVIDER_NOT_CONNECTED, purchase.provider))
    hold = _remaining_hold(work, context, purchase)
    if hold > timedelta(0):
        return replace(case.after(Event.PUT_ON_HOLD, actor="rules", why=ON_HOLD), due_in=hold.total_seconds())
    return None


def _remaining_hold(work: UnitOfWork, context: WorkerContext, purchase: Purchase) -> timedelta:
    """Return how long the refund of this payment must still wait.

    The provider may require a minimum delay, and direct debits have a hold. The longer of the two applies.
    """
    adapter = context.provider(purchase.provider)
    delay = adapter.capabilities.route(purchase.method).minimum_delay if adapter else timedelta(0)
    hold = timedelta(days=context.settings.sepa_hold_days if purchase.method == Method.DIRECT_DEBIT else 0)
    return purchase.charged_at + max(delay, hold) - work.now


def _is_same_customer(first: Purchase, second: Purchase) -> bool:
    """Return whether both purchases have the same seller and the same customer.

    A customer is identified by the e-mail address, or by the payment instrument if the instrument is known.
    """
    same_instrument = first.instrument is not None and first.instrument == second.instrument
    return first.seller_id == second.seller_id and (
        email_key(first.email) == email_key(second.email) or same_instrument
    )


def _build_operation(case: Case, purchase: Purchase, attempt: int) -> RefundOperation:
    assert purchase.amount is not None, "every purchase that the rule amount_is_sound approves has an amount"
    assert purchase.currency is not None, "every purchase that the rule amount_is_sound approves has a currency"
    return RefundOperation(
        case_id=case.id,
        attempt=attempt,
        provider=purchase.provider,
        charge=purchase.charge,
        amount=Money(purchase.amount, purchase.currency),
        key=key_of(case.id, attempt),
    )


def _describe(operation: RefundOperation) -> dict[str, object]:
    """Return the operation as evidence for the history."""
    return {
        "provider": operation.provider,
        "charge": operation.charge,
        "amount": operation.amount.minor,
        "currency": operation.amount.currency,
        "key": operation.key,
    }


def _escalate(case: Case, evidence: dict[str, object]) -> Transition:
    return case.after(Event.NO_LONGER_ELIGIBLE, actor="rules", why=NO_LONGER_ALLOWED, evidence=evidence)
