"""Checks the invariants of the refund protocol in a simulated world. A world is one run of the simulation.

Some invariants are checked before each refund call, some after each commit, and some at the end of the run.

- I1: the rules refund a payment at most once, and each key makes at most one refund. Our refunds and the external refunds that
  were known when our refund was sent are never more than what was captured. A purchase has at most one open case.
- I2: a refund call has the charge and the amount of its operation
- I3: an operation is committed before its call, and no call is made inside a transaction
- I4: every accepted request becomes a case that ends or waits for support, and no work remains
- I5: the history of a case is complete, and only the task with the lease records the result of a refund
- I6: a case does not leave a final state. Exceptions: its refund fails later, its purchase is reported later, or the provider
  shows our refund after support declined the case.
- I7: each payment of a refunded case has exactly one paid operation, and the provider has a refund with the same key, charge
  and amount. Exception: support refunded the payments at the provider.
- I8: if the provider made a refund with our key, its operation is paid. Exceptions: support knows that the outcome is unknown,
  or a person approved the refund, and nobody reported the approval.
- I9: a refund call is repeated if lookups do not find its refund, but not shortly before its idempotency key expires. After a
  permanent decline, no other refund of the payment is sent.
- I11: no refund starts, and no refund is sent again, for a payment with a known dispute or refund. External refunds and disputes
  are reported to support.
- I12: each e-mail is sent once. A support task is published repeatedly until a helpdesk has read it.
- I13: no operation is closed, and no second approval is asked for, while a person may still approve a refund
- I14: while a case waits for the outcome of a refund, the result of another refund does not change the case
- I15: after each transaction, what is reserved of a payment is the sum of its open operations, and at most what was captured
- BUG: no task ends with an unexpected error
"""

import json
from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy.exc import OperationalError

from domain.money import Money
from domain.providers import DisputeStatus, Failed, Lookup, Paid
from domain.reason_codes import ReasonCode
from domain.refund_operations import OperationStatus
from domain.states import FINAL_STATES, OPEN_STATES, State
from domain.support_tasks import SupportTaskKind
from domain.webhook_events import WebhookEvent
from records.audit import faults as faults_of
from tests.simulation.broker import BrokerUnavailableError
from tests.simulation.clock import Task
from tests.simulation.faults import HOUR
from tests.simulation.interleaving import SoftTimeLimit
from tests.simulation.memory.journal import OPEN, Journal
from tests.simulation.memory.tables import CaseRow, PaymentRow, RefundOperationRow, TransitionRow
from tests.simulation.provider import Approval, Provider, Refund
from tests.simulation.purchase_invariants import approval_of, confirmed_payments, transitions_of
from worker.providers.disputes import select_deciding_dispute
from worker.refunds.give_up import POLLED_STATES

if TYPE_CHECKING:
    from tests.simulation.scenario import World

PERMANENT_DECLINE_CODES = {"declined", "card_closed"}
REOPENING_EVENTS = {
    "purchase_reported",
    "provider_failed_late",
    "provider_paid",
    "provider_paid_differently",
    "provider_accepted",
    "customer_action_required",
    "payment_refunded",
    "support_approved",
}
"""The events by which a case may leave a final state: late news of the seller or the provider, or a decision of support."""
MAX_EMPTY_LOOKUPS = 4  # a crash may prevent the repetition after a lookup, but hardly after each of several lookups
LEASED_STATES = {State.REFUNDING, State.REFUND_PENDING}
"""The states in which only the task with the lease may change a case."""
RESULTS = {"provider_paid", "payment_refunded", "provider_failed_late", "refund_deferred"}
"""The events that record the result of a refund."""
BAD_DISPUTES = {"open", "lost"}
KNOWN_TO_SUPPORT = (ReasonCode.OUTCOME_UNKNOWN, ReasonCode.REFUND_DIFFERS)
"""With these reasons, support knows that the refund may have been made, or was made with another amount."""

MAX_LOOKUP_LAG = 6 * HOUR
"""Seconds after which each lookup shows a refund, and the event about it was tried again."""
EXPECTED_ERRORS = (OperationalError, BrokerUnavailableError, SoftTimeLimit)
"""A task may end with one of these errors, because the sweep repeats the task's work."""


class ViolatedError(BaseException):
    """An invariant is violated. The class is a BaseException, so that no handler of the product catches it."""


class InvariantChecker:
    """Checks the invariants. It reads the tables and the providers of one simulated world."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self.violations: list[str] = []
        self._empty_lookups: dict[str, set[int]] = {}
        """For each key: the numbers of the polls that found nothing while the refund could be sent again.

        A poll whose process was killed before it recorded the result has the same number as the next poll.
        """
        self._lease_holders: dict[tuple[UUID, int], Task | None] = {}
        """For each case id and fence: the task that has the lease. The fence is a number that rises with each lease."""
        self._signed_disputes: dict[tuple[str, str], dict[str, DisputeStatus]] = {}
        """For each provider and charge: the status of each dispute, by the id of the dispute.

        The mapping contains only disputes that a signed webhook reported, and only for providers without lookups.
        """

    def report_violation(self, invariant: str, sentence: str) -> None:
        """Record a violation, and raise ViolatedError, which ends the run."""
        self.violations.append(f"{invariant}: {sentence}")
        self._world.log(f"VIOLATED {invariant}: {sentence}")
        raise ViolatedError(f"{invariant}: {sentence}")

    def check_error(self, task: Task, error: Exception) -> None:
        """Check the error that ended a task. An unexpected error is a violation."""
        if not isinstance(error, EXPECTED_ERRORS):
            self.report_violation("BUG", f"{task.title} in {task.process.name} ended with {error!r}.")

    # Checks at the provider

    def check_call(self, provider: Provider, charge: str, amount: Money, key: str, looked_at: float) -> None:
        """Check a refund call before it is sent. The process looked at the payment at ``looked_at``."""
        world = self._world
        operation = world.records.tables.refund_operations.get(key)
        if operation is None:
            self.report_violation(
                "I3", f"A refund is sent with the key {key}, but no operation with this key was committed."
            )
            return
        if provider.calls[key] >= operation.sends:
            self.report_violation(
                "I3",
                f"Operation {key} is sent {provider.calls[key] + 1} times, but only {operation.sends} sends were recorded.",
            )
        if (operation.charge, Money(operation.amount, operation.currency)) != (charge, amount):
            self.report_violation(
                "I2",
                f"The call of {key} has the charge {charge} and {amount}. Its operation has another charge or amount.",
            )
        others = [o for o in world.records.tables.refund_operations.values() if o.charge == charge and o.key != key]
        if operation.decision_id is None and any(other.code in PERMANENT_DECLINE_CODES for other in others):
            self.report_violation(
                "I9",
                f"Operation {key} is sent, although the provider permanently declined another refund of this payment.",
            )
        world.purchase_checker.check_call(provider, operation, looked_at)
        age = (operation.last_sent_at - operation.first_sent_at).total_seconds()
        if operation.sends > 1 and age > _last_repeat_age(provider):
            self.report_violation(
                "I9", f"{key} is sent again {age / HOUR:.1f} h after its first call. This is too late."
            )

    def check_empty_lookup(self, provider: Provider, key: str) -> None:
        """Check that a refund that lookups do not find is sent again while its key is valid."""
        operation = self._world.records.tables.refund_operations.get(key)
        if operation is None or operation.sends > 1 or operation.code is not None or operation.replayed:
            return
        age = (self._world.database_clock() - operation.first_sent_at).total_seconds()
        is_executing = self._world.records.tables.cases[operation.case_id].state == State.REFUNDING
        if is_executing and age < _last_repeat_age(provider):
            self._empty_lookups.setdefault(key, set()).add(operation.polls)
        if len(self._empty_lookups.get(key, ())) > MAX_EMPTY_LOOKUPS:
            self.report_violation(
                "I9", f"{key} was not sent again, although its key is valid and lookups find nothing."
            )

    def refund_made(self, provider: Provider, refund: Refund) -> None:
        """Check a new refund at the provider."""
        self._world.log(
            f"{provider.name} makes the refund {refund.id} of {refund.charge} with the key {refund.key}: {refund.status}"
        )
        refunds = provider.own_refunds(refund.charge)
        operations = self._world.records.tables.refund_operations
        by_rules = [own for own in refunds if own.key in operations and operations[own.key].decision_id is None]
        keys = [own.key for own in refunds]
        if len(by_rules) > 1 or len(set(keys)) < len(keys):
            self.report_violation("I1", f"{refund.charge} is refunded twice: {keys}.")
        if operation := operations.get(refund.key or ""):
            self._check_sum(provider, operation, refunds)

    def _check_sum(self, provider: Provider, operation: RefundOperationRow, own: list[Refund]) -> None:
        """Check that our refunds and the known external refunds of a payment are not more than what was captured.

        An external refund is known if it was recorded before the operation was sent.
        """
        tables = self._world.records.tables
        known = [
            refund
            for refund in provider.refunds.values()
            if (refund.charge, refund.key) == (operation.charge, None)
            and refund.status != "failed"
            and (row := tables.external_refunds.get((provider.name, refund.id)))
            and row.recorded_at < operation.first_sent_at
        ]
        captured = tables.payments[provider.name, operation.charge].captured or 0
        if sum(refund.amount.minor for refund in (*own, *known)) > captured:
            self.report_violation(
                "I1", f"{captured} of {operation.charge} was captured, but {[*own, *known]} are refunds of more."
            )

    def approval_asked(self, provider: Provider, approval: Approval) -> None:
        """Check a new approval request at the provider."""
        self._world.log(f"{provider.name} asks for an approval of {approval}")
        others = [other for other in provider.approvals.values() if other.charge == approval.charge and other.is_open]
        if len(others) > 1:
            self.report_violation("I13", f"{len(others)} approvals are asked for {approval.charge}.")

    def webhook_stored(self, provider: Provider, webhook_event: WebhookEvent) -> None:
        """Record what a stored webhook reported about a dispute or a refund."""
        if (
            isinstance(webhook_event.reported, DisputeStatus)
            and webhook_event.charge
            and provider.capabilities.lookup is Lookup.NEVER
        ):
            disputes = self._signed_disputes.setdefault((provider.name, webhook_event.charge), {})
            known = disputes.setdefault(webhook_event.reported.dispute_id, webhook_event.reported)
            if webhook_event.reported.stage > known.stage:
                disputes[webhook_event.reported.dispute_id] = webhook_event.reported
        for refund in provider.refunds.values():
            reports_failure = webhook_event.refund_id == refund.id and isinstance(webhook_event.reported, Failed)
            causes_lookup = webhook_event.reuses_event_id and webhook_event.charge == refund.charge
            refund.failure_reported |= refund.status == "failed" and (reports_failure or causes_lookup)
            is_named = webhook_event.refund_id == refund.id
            refund.id_reported |= is_named
            refund.payment_reported |= is_named and isinstance(webhook_event.reported, Paid)

    # Checks in the database

    def committed(self, journal: Journal) -> None:
        """Check the changes of a committed transaction."""
        task = self._current_task()
        payments: dict[tuple[str, str], None] = {}
        for row, old in journal.changed:
            if isinstance(row, PaymentRow | RefundOperationRow):
                payments[row.provider, row.charge] = None
            if isinstance(row, TransitionRow):
                self._check_transition(row)
            elif isinstance(row, CaseRow):
                self._lease_holders.setdefault((row.id, row.fence), task)
                self._check_history(row)
                self._check_single_case(row)
            elif isinstance(row, RefundOperationRow):
                self._check_operation(row)
                if "sends" in old:
                    self._check_refundable(row, "is sent again")

        for payment in payments:
            self._check_reserved(payment)

    def _check_reserved(self, payment: tuple[str, str]) -> None:
        """Check that what is reserved of a payment is the sum of its open operations, and at most what was captured."""
        row = self._world.records.tables.payments.get(payment)
        if row is None:  # the transaction also took the payment from its seller
            return
        operations = self._world.records.tables.refund_operations.values()
        of_payment = [o for o in operations if (o.provider, o.charge) == payment and o.status in OPEN]
        total = sum(operation.amount for operation in of_payment)
        if not row.reserved == total <= (row.captured or 0):
            self.report_violation(
                "I15",
                f"{row.reserved} of {row.captured} of {row.charge} is reserved, but its open operations are {total}: "
                f"{[(operation.key, operation.amount, operation.status) for operation in of_payment]}",
            )

    def _check_operation(self, row: RefundOperationRow) -> None:
        """Check that an operation is open while a person may still approve its refund, if our records contain that."""
        approval = self._world.providers[row.provider].approvals.get(row.key)
        if approval is None:
            return
        approval.is_known |= row.status == OperationStatus.WAITING_FOR_APPROVAL
        if approval.is_known and approval.is_open and row.status not in OPEN:
            self.report_violation("I13", f"The operation {row.key} is {row.status}, but may still be approved.")

    def _check_transition(self, row: TransitionRow) -> None:
        tables = self._world.records.tables
        self._world.log(
            f"{row.case_id.hex[:6]} {row.from_state or '-'} -> {row.to_state} by {row.event} {row.why[:60]}"
        )
        previous = tables.transitions.get((row.case_id, row.seq - 1))
        if (previous.to_state if previous else "") != row.from_state:
            self.report_violation(
                "I5",
                f"A transition of {row.case_id} starts in '{row.from_state}', "
                f"but the transition before it ended in '{previous and previous.to_state}'.",
            )
        if row.from_state in FINAL_STATES and row.event not in REOPENING_EVENTS:
            self.report_violation("I6", f"{row.case_id} goes from the final state {row.from_state} to {row.to_state}.")
        if row.from_state in LEASED_STATES and self._lease_holder(row.case_id) is not self._current_task():
            self.report_violation("I5", f"{row.case_id} was changed by a task that did not have the lease of the case.")
        if row.from_state in POLLED_STATES and row.event in RESULTS:
            self._check_result(row)
        if row.event == "refund_started":
            newest = max(self._operations_of(row.case_id), key=lambda operation: operation.attempt)
            self._check_refundable(newest, "starts")
        if row.to_state == State.WITH_SUPPORT:
            self._check_case_task(row)
        if row.to_state == State.REFUNDED:
            self._check_refunded(row.case_id)

    def _check_result(self, row: TransitionRow) -> None:
        """Check that the result of a refund is about the refund for whose outcome the case waited."""
        newest = max(self._operations_of(row.case_id), key=lambda operation: operation.attempt)
        if newest.status in OPEN and newest.status != "paid":
            self.report_violation("I14", f"{row.case_id} goes to {row.to_state}, but {newest.key} is {newest.status}.")

    def _check_refundable(self, operation: RefundOperationRow, what: str) -> None:
        """Check that our records show no dispute and no refund of the payment, as its provider or its seller reports them."""
        tables, case = self._world.records.tables, operation.case_id
        payment = tables.payments[operation.provider, operation.charge]
        purchase = tables.purchases[tables.cases[case].purchase_id or case]
        rows = [row for row in tables.purchase_payments.values() if row.purchase_id == purchase.id]
        is_shown = any(tables.payments[row.provider, row.charge].dispute != "none" for row in rows)
        dispute = payment.dispute if is_shown else purchase.reported_dispute
        if dispute in BAD_DISPUTES or (dispute == "inquiry" and not operation.refunds_inquiry):
            self.report_violation("I11", f"The refund of {case} {what}, although its payment has a known dispute.")
        if approval := approval_of(tables, case):
            before = {refund.payment: refund.refunded_before for refund in approval.refunds}
            if payment.refunded + payment.refunded_elsewhere > before[operation.provider, operation.charge]:
                self.report_violation(
                    "I11", f"The refund of {case} {what}, but support did not know a refund of its payment."
                )
            return
        refunded = sum(row.amount for row in self._operations_of(case) if row.status == "paid")
        if payment.refunded + payment.refunded_elsewhere or purchase.reported_refunded > refunded:
            self.report_violation("I11", f"The refund of {case} {what}, although its payment has a known refund.")

    def _operations_of(self, case: UUID) -> list[RefundOperationRow]:
        return [row for row in self._world.records.tables.refund_operations.values() if row.case_id == case]

    def _check_case_task(self, row: TransitionRow) -> None:
        tables = self._world.records.tables
        tasks = [t for t in tables.support_tasks.values() if (t.case_id, t.seq) == (row.case_id, row.seq)]
        if len(tasks) != 1 or tasks[0].reasons == "[]":
            self.report_violation(
                "I12",
                f"{row.case_id} went to support, but does not have exactly one support task with a reason: {tasks}",
            )

    def _current_task(self) -> Task | None:
        """Return the current task. If the current task is a thread of the call pool, return the task that started the call."""
        current = self._world.clock.current
        return current and current.caller

    def _lease_holder(self, case: UUID) -> Task | None:
        return self._lease_holders[case, self._world.records.tables.cases[case].fence]

    def _check_history(self, row: CaseRow) -> None:
        last = self._world.records.tables.transitions.get((row.id, row.seq))
        if last is None or (last.to_state, last.hash) != (row.state, row.head_hash):
            self.report_violation(
                "I5", f"{row.id} is in state '{row.state}', but its history ends in '{last and last.to_state}'."
            )

    def _check_single_case(self, row: CaseRow) -> None:
        cases = self._world.records.tables.cases.values()
        open_cases = sum(case.purchase_id == row.purchase_id and case.state in OPEN_STATES for case in cases)
        if row.purchase_id and row.state in OPEN_STATES and open_cases > 1:
            self.report_violation("I1", f"{row.id} is open ({row.state}), but its purchase has another open case.")

    def _check_refunded(self, case: UUID) -> None:
        """Check that each payment that the case is about was refunded: by one paid operation, or by support."""
        confirmed = confirmed_payments(self._world.records.tables, case)
        approval = approval_of(self._world.records.tables, case)
        decision = approval.decision if approval else None
        paid = [
            operation
            for operation in self._operations_of(case)
            if operation.status == "paid" and operation.decision_id == decision
        ]
        settled = self._settled_payments(case)
        if approval and settled:
            return  # support refunded the payments by hand after its approval, which may name other payments: P8 checks this
        for payment, money in confirmed.items():
            operations = [operation for operation in paid if (operation.provider, operation.charge) == payment]
            if len(operations) != 1 and payment not in settled:
                self.report_violation(
                    "I7", f"{case} is refunded, but {payment} has {len(operations)} paid operations instead of 1."
                )
            if payment not in settled:
                for operation in operations:
                    self._check_paid_operation(operation, money)

    def _check_paid_operation(self, operation: RefundOperationRow, confirmed: Money) -> None:
        refund = self._world.providers[operation.provider].refunds.get(operation.refund_id or "")
        recorded = (operation.key, operation.charge, Money(operation.amount, operation.currency))
        is_same = refund is not None and (refund.key, refund.charge, refund.amount) == recorded
        if not is_same or recorded[-1] != confirmed:
            self.report_violation(
                "I7",
                f"{operation.case_id} is refunded, but the refund at the provider is missing or different: {refund}.",
            )

    def _settled_payments(self, case: UUID) -> set[tuple[str, str]]:
        """Return the payments that count as refunded, if support settled the case by refunds at the provider."""
        tables = self._world.records.tables
        if not any(row.event == "externally_refunded" for row in transitions_of(tables, case)):
            return set()
        return {key for key, payment in tables.payments.items() if payment.refunded + payment.refunded_elsewhere}

    # Checks at the end of the run

    def check_all(self) -> None:
        """Check the final state: the history, cases, purchases, e-mails, support tasks and webhook events."""
        world = self._world
        with world.records.work() as work:
            for history in work.history.stream_all():
                for sentence in faults_of(history):
                    self.report_violation("I5", f"{history.id} {sentence}")
        tables = world.records.tables
        if not world.clock.idle:
            self.report_violation(
                "I4", f"Work remains after {world.clock.now / HOUR:.0f} h: {world.interleaving.find_work()}"
            )
        for case, name in world.customers.accepted.items():
            if case not in tables.cases:
                self.report_violation("I4", f"The request {name} was accepted, but its case {case} is not stored.")
        for row in tables.cases.values():
            self._check_final_case(row)
        for payment in tables.payments.values():
            self._check_payment(payment)
        self._check_notifications()

    def _check_final_case(self, row: CaseRow) -> None:
        if row.state not in FINAL_STATES and row.state != State.WITH_SUPPORT:
            self.report_violation(
                "I4", f"At the end of the run, the case {row.id} is still in the state '{row.state}'."
            )
        for operation in self._operations_of(row.id):
            for refund in self._world.providers[operation.provider].refunds.values():
                if refund.key == operation.key:
                    self._check_own_refund(row, operation, refund)
        if row.state == State.REFUNDED:
            self._check_refunded(row.id)

    def _check_own_refund(self, row: CaseRow, operation: RefundOperationRow, refund: Refund) -> None:
        """Check that our records contain the status of a refund with our key, or that support knows the refund."""
        is_waiting = operation.status == OperationStatus.WAITING_FOR_APPROVAL
        is_known = self._is_known(row, refund, is_waiting=is_waiting) or self._is_unknown_approval(operation, refund)
        if refund.status != "failed" and operation.status != "paid" and not is_known:
            self.report_violation(
                "I8", f"{row.id} is {row.state}, and {operation.key} is {operation.status}, but {refund.id} was made."
            )
        is_failure_unknown = refund.failure_reported and not self._failure_is_reported(refund)
        if refund.status == "failed" and operation.status == "paid" and is_failure_unknown:
            self.report_violation("I7", f"{operation.key} is paid, but a webhook reported that its refund failed.")

    def _is_known(self, row: CaseRow, refund: Refund, *, is_waiting: bool) -> bool:
        """Return whether support knows that our refund was made, or that its outcome is unknown.

        ``is_waiting`` is True if our refund waits for an approval. Support knows this, if the payment has another refund.
        """
        tables = self._world.records.tables
        reasons = [row.evidence for row in transitions_of(tables, row.id) if row.to_state == State.WITH_SUPPORT]
        codes = (*KNOWN_TO_SUPPORT, ReasonCode.REFUNDED_ELSEWHERE) if is_waiting else KNOWN_TO_SUPPORT
        is_unknown = bool(reasons) and any(code in reasons[-1] for code in codes)
        is_visible = self._world.clock.now - refund.made_at > MAX_LOOKUP_LAG
        is_told = is_visible and refund.payment_reported and not self._is_task(refund)
        return is_unknown and (row.state == State.WITH_SUPPORT or not is_told)

    def _is_unknown_approval(self, operation: RefundOperationRow, refund: Refund) -> bool:
        """Return whether a person approved the refund without anybody telling Moneyback, before or afterwards."""
        approval = self._world.providers[operation.provider].approvals.get(operation.key)
        return approval is not None and not approval.is_known and not refund.payment_reported

    def _is_task(self, refund: Refund) -> bool:
        tasks = self._world.records.tables.support_tasks.values()
        return any(refund.id in (task.evidence or "") for task in tasks)

    def _check_payment(self, payment: PaymentRow) -> None:
        """Check the refunded amounts and the disputes of a payment, and the support tasks about external refunds."""
        tables, provider = self._world.records.tables, self._world.providers.get(payment.provider)
        if provider is None:
            return
        operations = [o for o in tables.refund_operations.values() if o.charge == payment.charge]
        paid = sum(self._paid_amount(operation) for operation in operations if operation.status == "paid")
        if payment.refunded != paid:
            self.report_violation(
                "I11", f"The operations of {payment.charge} paid {paid}, but its refunded amount is {payment.refunded}."
            )
        if any(operation.status in OPEN for operation in operations):
            self._check_dispute_tasks(payment)
        self._check_signed_disputes(payment)
        for refund in provider.refunds.values():
            is_external = (refund.charge, refund.key) == (payment.charge, None) and refund.status != "failed"
            is_told = refund.id_reported and (refund.payment_reported or refund.status == "pending")
            if paid and is_external and is_told and not self._is_reported(refund):
                self.report_violation("I11", f"No support task reports the external refund {refund.id}.")

    def _paid_amount(self, operation: RefundOperationRow) -> int:
        """Return what the provider paid for a paid operation. It may differ from the amount of the operation."""
        return self._world.providers[operation.provider].refunds[operation.refund_id or ""].amount.minor

    def _check_dispute_tasks(self, payment: PaymentRow) -> None:
        """Check the number of support tasks that report the disputes of a refunded payment.

        At least one task must exist, and at most one task for each dispute.
        """
        if payment.dispute not in BAD_DISPUTES:
            return
        reports = [
            task
            for task in self._world.records.tables.support_tasks.values()
            if task.kind == SupportTaskKind.REFUND_AND_DISPUTE and payment.charge in (task.subject or "").split()
        ]
        charge = self._world.providers[payment.provider].charges[payment.charge]
        disputes = len(charge.disputes)
        if not 1 <= len(reports) <= disputes:
            sentence = (
                f"{payment.charge} is refunded and has {disputes} disputes, but {len(reports)} tasks report this."
            )
            self.report_violation("I11", sentence)

    def _check_signed_disputes(self, payment: PaymentRow) -> None:
        """Check that the payment has the dispute status that the signed webhooks reported.

        Exception: after a correction, no purchase names the payment. Then its webhooks are about an unknown payment.
        """
        rows = self._world.records.tables.purchase_payments.values()
        if (payment.provider, payment.charge) not in {(row.provider, row.charge) for row in rows}:
            return
        disputes = self._signed_disputes.get((payment.provider, payment.charge))
        is_known = not disputes or payment.dispute == select_deciding_dispute(list(disputes.values())).dispute
        if not is_known and not self._is_unresolved((payment.provider, payment.charge)):
            self.report_violation(
                "I11",
                f"The dispute status of {payment.charge} is {payment.dispute}, but the signed webhooks report {disputes}.",
            )

    def _is_unresolved(self, payment: tuple[str, str]) -> bool:
        """Return whether a support task reports an unresolved webhook event about the charge."""
        tasks = self._world.records.tables.support_tasks.values()
        return any(
            task.kind == SupportTaskKind.WEBHOOK_EVENT_UNRESOLVED and payment[1] in (task.evidence or "")
            for task in tasks
        )

    def _is_reported(self, refund: Refund) -> bool:
        """Return whether a support task reports an external refund, or the refund settled a case."""
        self._world.faults.count("external_refund_reported")
        kinds = {SupportTaskKind.UNEXPECTED_REFUND, SupportTaskKind.WEBHOOK_EVENT_UNRESOLVED}
        tasks = self._world.records.tables.support_tasks.values()
        settlements = [
            json.loads(row.evidence)["refunds"]
            for row in self._world.records.tables.transitions.values()
            if row.event == "externally_refunded"
        ]
        return any(refund.id in ids for ids in settlements) or any(
            task.kind in kinds and json.loads(task.evidence)["refund"] == refund.id for task in tasks
        )

    def _failure_is_reported(self, refund: Refund) -> bool:
        """Return whether a support task reports that a refund failed. Such a task is created if no lookup showed the failure."""
        for task in self._world.records.tables.support_tasks.values():
            if task.kind != SupportTaskKind.WEBHOOK_EVENT_UNRESOLVED:
                continue
            evidence = json.loads(task.evidence)
            without_status = not evidence["reported"] and f"{refund.id}:" in evidence["our_refunds"].split()
            failed_before = refund.status_changed_at <= self._world.since_beginning(task.created_at)
            if (evidence["reported"], evidence["refund"]) == ("failed", refund.id) or (
                without_status and failed_before
            ):
                self._world.faults.count("webhook_event_unresolved")
                return True
        return False

    def _check_notifications(self) -> None:
        self._check_emails()
        if not self._world.dead_broker:
            self._check_support_tasks()
        for webhook_event in self._world.records.tables.webhook_events.values():
            if webhook_event.next_action_at is not None:
                self.report_violation("I4", f"The webhook event {webhook_event.event_id} still waits to be processed.")

    def _check_emails(self) -> None:
        world = self._world
        for (case, kind), times in world.mail_transport.sent.items():
            if times > 1:
                self.report_violation("I12", f"The e-mail {kind} of {case} was sent {times} times.")
        for row in world.records.tables.case_emails.values():
            if world.mail_transport.repeatable and row.sent_at is None and row.claimed_until < world.database_clock():
                self.report_violation("I12", f"The e-mail {row.kind} of {row.case_id} was never sent.")

    def _check_support_tasks(self) -> None:
        world, tables = self._world, self._world.records.tables
        received = world.helpdesk.read_tasks | world.broker.unread_tasks
        for task in tables.support_tasks.values():
            if not world.broker.task_publications[task.id]:
                self.report_violation(
                    "I12", f"The support task {task.id} of {task.case_id} was never published: {task.reasons}"
                )
            case = tables.cases.get(task.case_id) if task.case_id else None
            waits = case is not None and (case.state, case.seq) == ("with_support", task.seq)
            if task.kind == "case" and waits != (task.closed_at is None):
                self.report_violation(
                    "I12", f"The support task {task.id} is open: {task.closed_at is None}; its case waits: {waits}."
                )
            if task.closed_at is None and task.id not in received:
                self.report_violation(
                    "I12",
                    f"The support task {task.id} of {task.case_id} is open, but not in the queue and not read by a helpdesk.",
                )


def _last_repeat_age(provider: Provider) -> float:
    """Return the seconds after the first call in which a call may be repeated. It ends shortly before the key expires."""
    ttl = provider.capabilities.idempotency_key_ttl.total_seconds()
    return ttl - min(4 * HOUR, ttl / 6)
