"""Executes approved refunds: commits the operation, calls the provider, and records the result.

The operation is committed before the call, and no transaction is open during the call.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any
from uuid import UUID

from domain.cases import Case, Transition
from domain.providers import RefundResult
from domain.purchases import Purchase, email_key
from domain.reason_codes import ReasonCode
from domain.refund_operations import RefundOperation
from domain.states import Event, State
from records import UnitOfWork
from records.decision_inputs import DecisionInput
from records.settlements import close_settled_cases
from worker import provider_client
from worker.context import WorkerContext
from worker.provider_client import ExpectedPayment, NotSent
from worker.refunds import recording
from worker.refunds.evaluation import support_reason
from worker.refunds.orders import Order, expected_payment, find_objection, no_longer_eligible
from worker.refunds.outcomes import Sent
from worker.refunds.recording import Call

REASON_CODES = {code.value: code for code in ReasonCode}
"""The codes by their values. The type checker takes a call of the class for a new member, which needs sentences."""


def execute(context: WorkerContext, ids: Sequence[UUID]) -> list[UUID]:
    """For each of these cases, send the refund if it is still allowed. Return the ids of the cases that could be locked."""
    until = sending_ends(context)
    with context.records.work() as work:
        cases = work.cases.lock(ids, state=State.APPROVED)
        calls = prepare(work, context, cases)
    context.call_pool.map_as_completed(
        lambda call: _send(context, call, until),
        calls,
        partial(_record_results, context),
    )
    return [case.id for case in cases]


def _send(context: WorkerContext, call: Call, until: float) -> RefundResult | NotSent:
    assert call.expected, "prepare() gives each call the payment that the seller reports"
    return provider_client.send_refund(context, call.operation, call.expected, until=until)


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
    batch: list[Purchase] = []  # the purchases that this batch refunds
    transitions: list[Transition] = []
    operations: dict[UUID, RefundOperation] = {}
    expected: dict[UUID, ExpectedPayment] = {}
    orders = _load_orders(work, cases)
    for loaded in orders:
        case = loaded.case
        order = replace(loaded, decision_input=_add_batch_refunds(work, loaded.decision_input, batch))
        if objection := find_objection(context, order, work.now):
            transitions.append(objection)
        else:
            operations[case.id] = order.next_operation(context)
            expected[case.id] = expected_payment(order.purchase, operations[case.id])
            batch.append(order.decision_input.purchase)
    claimed = work.refund_operations.reserve(list(operations.values()))
    work.refund_operations.create([operations[case_id] for case_id in claimed])
    expected = _add_known_refunds(work, {case_id: operations[case_id] for case_id in claimed}, expected)
    for case in cases:
        if case.id in claimed:
            started = case.after(Event.REFUND_STARTED, actor="worker", evidence=_describe(operations[case.id]))
            transitions.append(replace(started, lease=context.settings.timers.lease_seconds))
        elif case.id in operations:
            transitions.append(no_longer_eligible(case, _describe_refusal(operations[case.id])))
    recorded = work.history.record(transitions)
    stopped = [order for order in orders if order.case.id not in claimed]
    close_settled_cases(work, [operation.payment for order in stopped for operation in order.operations])
    return [
        Call(transition.case_after(work.now), operations[transition.case.id], expected[transition.case.id])
        for transition in transitions
        if transition.event is Event.REFUND_STARTED and transition.case.id in recorded
    ]


def _add_known_refunds(
    work: UnitOfWork, operations: Mapping[UUID, RefundOperation], expected: Mapping[UUID, ExpectedPayment]
) -> dict[UUID, ExpectedPayment]:
    """Add the known refunds of the payments of which support approved a part. Before other refunds, no refund is known."""
    keys = {case_id: operation.key for case_id, operation in operations.items() if operation.decision_id}
    known = work.refund_operations.known_refunds(list(keys.values()))
    return {
        case_id: replace(payment, known_refunds=known[keys[case_id]]) if case_id in keys else payment
        for case_id, payment in expected.items()
    }


def _load_orders(work: UnitOfWork, cases: Sequence[Case]) -> list[Order]:
    """Lock the purchases and the sellers of these cases. Return the cases with their purchases and earlier operations."""
    case_ids = [case.id for case in cases]
    purchases = work.decision_inputs.purchases(case_ids)
    work.sellers.lock([purchase.seller_id for purchase in purchases.values()])
    inputs = work.decision_inputs.load(list(purchases.values()))
    operations = work.refund_operations.for_cases(case_ids)
    evaluations = work.history.evaluations(case_ids)
    declined = work.history.all_evidence(list(operations), "declined_payment")
    return [
        Order(
            case,
            inputs[purchases[case.id].id],
            operations.get(case.id, []),
            evaluations[case.id].snapshot,
            evaluations[case.id].approval,
            _declined_payments(declined.get(case.id, ()), evaluations[case.id].decision),
        )
        for case in cases
    ]


def _declined_payments(declines: Iterable[Sequence[Any]], decision: UUID | None) -> dict[tuple[str, str], ReasonCode]:
    """Return the payments whose refund the provider declined for good, each with the reason.

    The rules never send a declined refund again. A person who approves it again knows the declines of earlier decisions.
    """
    return {
        (provider, charge): REASON_CODES[code]
        for provider, charge, code, *of_decision in declines
        if decision is None or of_decision == [str(decision)]
    }


def _add_batch_refunds(work: UnitOfWork, decision_input: DecisionInput, batch: Sequence[Purchase]) -> DecisionInput:
    """Add the customer's refunds in this batch to the customer's past refunds. The limit of refunds per customer counts both."""
    purchase = decision_input.purchase
    count = sum(_is_same_customer(purchase, other) for other in batch if decision_input.seller.serial_limit)
    return replace(decision_input, refunds=decision_input.refunds + (work.now,) * count)


def _is_same_customer(first: Purchase, second: Purchase) -> bool:
    """Return whether both purchases have the same seller and the same customer.

    A customer is identified by the e-mail address, or by a payment instrument if the instrument is known.
    """
    instruments = [{payment.instrument for payment in purchase.payments} - {None} for purchase in (first, second)]
    has_same_address = bool(first.email) and email_key(first.email) == email_key(second.email)
    return first.seller_id == second.seller_id and (has_same_address or bool(instruments[0] & instruments[1]))


def _describe_refusal(operation: RefundOperation) -> dict[str, object]:
    """Return the evidence for an operation whose amount could not be reserved. A refund that support decided needs no claim."""
    code = ReasonCode.PAYMENT_CLAIMED if operation.decision_id is None else ReasonCode.NOT_ENOUGH_LEFT
    return support_reason(code, f"{operation.provider} {operation.charge}, {operation.amount}")


def _describe(operation: RefundOperation) -> dict[str, object]:
    """Return the operation as evidence for the history."""
    return {
        "provider": operation.provider,
        "charge": operation.charge,
        "amount": operation.amount.minor,
        "currency": operation.amount.currency,
        "key": operation.key,
    }
