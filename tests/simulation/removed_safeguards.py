"""Deliberate mistakes in the product. The simulation must find each mistake.

Each mistake omits one safeguard: it replaces or wraps a function of the product, or removes a constraint of the database.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from datetime import timedelta
from itertools import count
from typing import Any
from unittest.mock import patch
from uuid import UUID, uuid5

from domain.eligibility import Approve
from domain.providers import (
    Declined,
    DeclineReason,
    ExternalRefund,
    Failed,
    NotFound,
    Paid,
    Pending,
    RefundStatus,
    Unknown,
    WaitingForApproval,
)
from domain.reason_codes import ReasonCode
from domain.refund_approvals import RefundApproval
from domain.refund_operations import OperationStatus, status_of
from domain.states import State
from domain.support_tasks import SupportTaskKind
from domain.webhook_events import Subject
from records.case_emails import CaseEmails, DueEmail
from records.cases import Cases
from records.history import History
from records.intake import Intake
from records.refund_operations import RefundOperations
from records.webhook_events import WebhookEvents
from tests.simulation.memory import journal
from worker import provider_client
from worker.broker_loss import MARKER_KEY
from worker.provider_client import NotSent
from worker.refunds import execution, recording
from worker.refunds.evaluation import refundable_purchase
from worker.refunds.outcomes import Sent
from worker.refunds.provider_limits import MAX_KEY_MARGIN
from worker.webhook_events.outcomes import OutcomeCode, Resolved
from worker.webhook_events.processing import MatchedEvent

CreatePatch = Callable[[], AbstractContextManager[object]]
"""A function that returns a patch: a context manager that changes the product until the manager is closed."""


def replaced(owner: Any, name: str, replacement: Any) -> CreatePatch:
    """Return a function that creates a patch. The patch replaces the attribute ``name`` of ``owner``."""
    return lambda: patch.object(owner, name, replacement)


def wrapped(owner: Any, name: str, wrap: Callable[[Any], Any]) -> CreatePatch:
    """Return a function that creates a patch. The patch wraps the attribute ``name`` of ``owner``."""
    return lambda: patch.object(owner, name, wrap(getattr(owner, name)))


@contextmanager
def _constraint_removed(constraint: str) -> Iterator[None]:
    """Remove a constraint while the context manager is open."""
    journal.enforced.discard(constraint)
    try:
        yield
    finally:
        journal.enforced.add(constraint)


def without_constraint(constraint: str) -> CreatePatch:
    """Return a function that creates a patch. The patch removes a unique index or a check of the simulated database."""
    return lambda: _constraint_removed(constraint)


def use_new_key(real: Any) -> Any:
    """Use a new idempotency key for each call to the provider."""
    return lambda context, operation, *, until: real(
        context, replace(operation, key=f"{operation.key}_{context.monotonic()}"), until=until
    )


def call_before_commit(context: Any, ids: Sequence[UUID]) -> None:
    """Call the provider before the operation is committed."""
    with context.records.work() as work:
        calls = execution.prepare(work, context, work.cases.lock(ids, state=State.APPROVED))
        results = [
            (call, provider_client.refund(context, call.operation, until=execution.sending_ends(context)))
            for call in calls
        ]
        recording.record(work, context, [(call, Sent(result)) for call, result in results])


def ignore_snapshot(real: Any) -> Any:
    """Refund the purchase as it is now, whatever the page showed."""
    return lambda context, order: real(context, replace(order, snapshot=order.purchase.snapshot))


def correct_held_purchase(real: Any) -> Any:
    return lambda known, report, *, is_held, earlier: real(  # noqa: ARG005  # the mistake: no purchase counts as held
        known, report, is_held=False, earlier=earlier
    )


def record_largest_refund(real: Any) -> Any:
    """Record only the largest external refund of a payment."""
    return lambda self, provider, refunds: real(
        self, provider, sorted(refunds, key=lambda refund: refund.amount.minor)[-1:]
    )


def count_failed_refunds(real: Any) -> Any:
    return lambda self, provider, refunds: real(
        self, provider, [replace(refund, status=RefundStatus.PAID) for refund in refunds]
    )


def settle_by_pending_refunds(real: Any) -> Any:
    return lambda self, payments, **_: real(self, payments, include_pending=True)


def name_any_refund(real: Any) -> Any:
    """Name a refund in each settlement, although none may be paid."""
    return lambda self, case: real(self, case) or ["pending"]


def count_requested_amount(result: Any, operation: Any) -> int:
    amount: int = operation.amount.minor
    return amount if status_of(result) is OperationStatus.PAID else 0


def ignore_refund_of_declined_case(real: Any) -> Any:
    return lambda case, operation, found: case.state is not State.DECLINED and real(case, operation, found)


def record_approval_as(reason: DeclineReason) -> Callable[[Any], Any]:
    """Return a wrapper that records a refund that waits for an approval as declined for this reason."""

    def wrap(real: Any) -> Any:
        def refund(context: Any, operation: Any, *, until: float) -> Any:
            result = real(context, operation, until=until)
            return Declined(reason, result.code) if isinstance(result, WaitingForApproval) else result

        return refund

    return wrap


def close_refund_that_waits_for_approval(real: Any) -> Any:
    return lambda case, found: (real(case, found)[0], OperationStatus.DECLINED)


def end_list_at_unreadable_row(real: Any) -> Any:
    """Read a list only to the first page with a row that cannot be read."""

    def list_refund_pages(context: Any, provider: str, since: Any) -> Iterator[Any]:
        for page in real(context, provider, since):
            yield page if isinstance(page, Unknown) or not page.skipped else Unknown("A row cannot be read.")

    return list_refund_pages


def needs_look_without_operation(self: MatchedEvent, *, can_look_up: bool) -> bool:  # noqa: ARG001  # the id of our refund is not checked
    """Look at the payment only if Moneyback never refunded the payment, or if the event is about all refunds."""
    return bool(self.purchases) and (self.operation is None or self.event.event.subject is Subject.PAYMENT)


def skip_further_payments(real: Any) -> Any:
    return lambda self, context: [] if self.refunded else real(self, context)


def mark_as_last(real: Any) -> Any:
    return lambda self, context: replace(real(self, context), is_last=True)


def repeat_without_look(context: Any, operation: Any, expected: Any, *, until: float) -> Any:  # noqa: ARG001  # the payment is not compared
    return provider_client.refund(context, operation, until=until)


def ignore_shown_refund(real: Any) -> Any:
    return lambda context, operation, expected, refunded, *, until: real(  # noqa: ARG005
        context, operation, expected, 0, until=until
    )


def repeat_period_with_long_margin(limits: Any) -> timedelta:
    ttl: timedelta = limits.capabilities.idempotency_key_ttl
    return ttl - MAX_KEY_MARGIN


def omit_dispute_tasks(real: Any) -> Any:
    """Create no support task about a refunded payment that is also disputed."""
    return lambda self, tasks: real(
        self, [task for task in tasks if task.kind is not SupportTaskKind.REFUND_AND_DISPUTE]
    )


def record_unknown_as_not_sent(result: Any) -> Any:
    return Declined(DeclineReason.NOT_SENT, "no response") if isinstance(result, Unknown | NotSent) else result


def record_timeout_as_failure(real: Any) -> Any:
    def transition_for(case: Any, operation: Any, result: Any, limits: Any) -> Any:
        result = Declined(DeclineReason.PERMANENT, result.why) if isinstance(result, Unknown) else result
        return real(case, operation, result, limits)

    return transition_for


def record_pending_as_paid(real: Any) -> Any:
    def transition_for(case: Any, operation: Any, result: Any, limits: Any) -> Any:
        result = Paid(result.refund_id, result.amount) if isinstance(result, Pending) else result
        return real(case, operation, result, limits)

    return transition_for


def record_without_fence(real: Any) -> Any:
    """Record transitions without a check of the lease and the fence."""

    def record(self: History, transitions: Sequence[Any]) -> set[UUID]:
        updated = []
        for transition in transitions:
            case = Cases(self._work).lock_one(transition.case.id)
            is_unchanged = case is not None and case.state is transition.case.state
            updated.append(
                replace(transition, case=replace(case, request=transition.case.request))
                if case and is_unchanged
                else transition
            )
        recorded: set[UUID] = real(self, updated)
        return recorded

    return record


def mark_resent_without_fence(real: Any) -> Any:
    """Record repeated calls without a check of the lease and the fence."""

    def mark_resent(self: RefundOperations, calls: Sequence[Any]) -> set[str]:
        marked: set[str] = real(self, [(Cases(self._work).lock_one(case.id), operation) for case, operation in calls])
        return marked

    return mark_resent


def reserve_nothing(_self: RefundOperations, operations: Sequence[Any]) -> set[UUID]:
    """Allow every refund, although another case may have claimed the payment or refunded it."""
    return {operation.case_id for operation in operations}


def _payments_of(self: RefundOperations, operations: Sequence[Any]) -> list[Any]:
    rows = self._work.tables.payments.values()  # type: ignore[attr-defined]  # an attribute of the simulated unit of work
    payments = {operation.payment for operation in operations}
    return [row for row in rows if (row.provider, row.charge) in payments]


def keep_reserved(real: Any) -> Any:
    """Give nothing back to the payment after a refund that was certainly not made."""

    def record_results(self: RefundOperations, results: Sequence[Any]) -> None:
        rows = _payments_of(self, [operation for operation, _ in results])
        before = [row.reserved for row in rows]
        real(self, results)
        for row, reserved in zip(rows, before, strict=True):
            row.reserved = max(row.reserved, reserved)

    return record_results


def give_unknown_back(real: Any) -> Any:
    """Give the amount of a refund of unknown outcome back to the payment."""

    def record_results(self: RefundOperations, results: Sequence[Any]) -> None:
        real(self, results)
        for operation, result in results:
            for row in _payments_of(self, [operation] if isinstance(result, Unknown) else []):
                row.reserved = max(0, row.reserved - operation.amount.minor)

    return record_results


def adopt_earlier_refund(_context: Any, batch: Sequence[Any], _until: float) -> Any:
    """Record another refund of the payment as our newest refund."""
    return [
        (call, Paid(result.refund_id, call.operation.amount) if isinstance(result, ExternalRefund) else result)
        for call, result in batch
    ]


def report_newest_refund_only(self: RefundOperations, provider: str, charge: str) -> list[Any]:
    """Return the newest refund of a payment, if it is open. Earlier parts do not count."""
    newest = self.for_payments([(provider, charge)]).get((provider, charge))
    return [newest] if newest and newest.is_open else []


def judge_second_charge_only(real: Any) -> Any:
    """Check the rules only for the payments that were charged twice, although support approved other payments, too."""
    return lambda case, inputs, context, **options: real(
        case, replace(inputs, purchase=refundable_purchase(case, inputs.purchase)), context, **options
    )


def use_first_approval(real: Any) -> Any:
    """Refund what support approved first, although a later evaluation replaced this approval."""

    def evaluations(self: History, cases: Sequence[UUID]) -> Any:
        newest = real(self, cases)
        approvals = {case: self.all_evidence([case], "approval").get(case) for case in newest}
        return {
            case: replace(evaluation, approval=RefundApproval.from_evidence(approval[0]))
            if (approval := approvals[case]) and evaluation.approval
            else evaluation
            for case, evaluation in newest.items()
        }

    return evaluations


def count_all_declines(declines: Any, _decision: UUID | None) -> Any:
    return {(provider, charge): ReasonCode.PROVIDER_DECLINED for provider, charge, *_ in declines}


def mark_nothing_resent(_self: RefundOperations, calls: Sequence[Any]) -> set[str]:
    """Allow every repeated call, and do not record the repetition."""
    return {operation.key for _, operation in calls}


def record_external_refund_as_own(real: Any) -> Any:
    def look_up(context: Any, operation: Any, *, until: float) -> Any:
        result = real(context, operation, until=until)
        return Paid(result.refund_id, operation.amount) if isinstance(result, ExternalRefund) else result

    return look_up


def ignore_late_failure(real: Any) -> Any:
    return lambda case, operation, result: (
        real(case, operation, result) and not (isinstance(result, Failed) and case.state is State.REFUNDED)
    )


def resolve_by_empty_lookup(real: Any) -> Any:
    return lambda event, result, *, was_paid: (
        Resolved(OutcomeCode.NOT_VISIBLE) if isinstance(result, NotFound) else real(event, result, was_paid=was_paid)
    )


def lock_in_any_state(real: Any) -> Any:
    """Lock the cases of a message, whatever their states are."""

    def lock(self: Cases, ids: Sequence[UUID], *, state: State) -> Any:
        cases = [case for id_ in dict.fromkeys(ids) if (case := self.lock_one(id_))]
        return cases or real(self, ids, state=state)

    return lock


def omit_delivery_counts(_context: Any, ids: Sequence[UUID], _state: Any) -> Iterator[dict[UUID, int]]:
    """Process all cases in one batch, and count no deliveries. A case that crashes workers is then delivered forever."""
    yield dict.fromkeys(ids, 0)


def resolve_when_claimed(real: Any) -> Any:
    """Resolve a webhook event before it is processed."""

    def claim(self: WebhookEvents, ids: Sequence[UUID], *, seconds: float, include_crashed: bool = False) -> Any:
        claimed = real(self, ids, seconds=seconds, include_crashed=include_crashed)
        self.resolve([(event, "claimed") for event in claimed])
        return claimed

    return claim


def omit_second_rule_check(real: Any) -> Any:
    """Approve a refund without a second check of the rules."""

    def decide(inputs: Any) -> Any:
        decision = real(inputs)
        return Approve(decision.findings)

    return decide


def omit_email_claim(real: Any) -> Any:  # noqa: ARG001  # the claim is omitted
    def claim(self: CaseEmails, cases: Sequence[UUID], *, seconds: float) -> Any:  # noqa: ARG001
        rows = self._work.tables.case_emails.values()  # type: ignore[attr-defined]
        return [DueEmail(row.case_id, row.kind) for row in rows if row.case_id in cases and not row.sent_at]

    return claim


def omit_payment_update(real: Any) -> Any:
    """Record results in the operations, but not in the payments."""

    def record_results(self: RefundOperations, results: Sequence[Any]) -> None:
        rows = self._work.tables.payments.values()  # type: ignore[attr-defined]  # an attribute of the simulated unit of work
        before = {row.charge: row.refunded for row in rows}
        real(self, results)
        for row in rows:
            row.refunded = before[row.charge]

    return record_results


def omit_open_case(real: Any) -> Any:
    return lambda self, purchases: {
        id_: replace(inputs, open_case=None) for id_, inputs in real(self, purchases).items()
    }


def report_unknown_as_declined(real: Any) -> Any:
    def hand_over(case: Any, event: Any, reason: ReasonCode, detail: str) -> Any:
        return real(
            case, event, ReasonCode.PROVIDER_DECLINED if reason is ReasonCode.OUTCOME_UNKNOWN else reason, detail
        )

    return hand_over


def store_repeat_as_new_case(real: Any) -> Any:
    """Store every request as a new case."""
    numbers = count(1)

    def accept(self: Intake, submissions: Sequence[Any]) -> Any:
        return real(self, [replace(s, id=uuid5(s.id, str(n := next(numbers))), key=f"{n}") for s in submissions])

    return accept


def resolve_later_deliveries(real: Any) -> Any:
    return lambda self, outcomes: real(self, [(replace(event, deliveries=10**6), code) for event, code in outcomes])


def set_marker_first(self: Any, connection: Any) -> None:
    """Set the broker marker before the support tasks are made due again."""
    with connection.channel() as channel:
        if not channel.client.exists(MARKER_KEY):
            channel.client.set(MARKER_KEY, "")
            with self._records.work() as work:
                work.support_tasks.publish_again()
