"""The people of support. They refund payments by hand for cases that wait with support, or decline the cases."""

from typing import TYPE_CHECKING
from uuid import UUID

from domain import recorded_outcomes
from domain.errors import NotPossibleError
from domain.money import Money
from domain.purchases import Payment
from domain.reason_codes import ReasonCode
from domain.refund_approvals import ApprovedRefund, RefundApproval
from domain.refund_operations import OperationStatus, RefundOperation
from domain.states import Event, State
from domain.support_decisions import DecisionAction, RecordOutcome
from producers.decisions import possible_actions
from records.settlements import close_settled_cases
from tests.simulation.clock import Killed
from tests.simulation.faults import DAY, HOUR
from tests.simulation.memory.tables import CaseRow, PurchasePaymentRow

if TYPE_CHECKING:
    from tests.simulation.scenario import World

WORKING_TIMES = (0.3 * HOUR, 6 * HOUR, 1.6 * DAY, 5 * DAY)
"""The instants, in seconds, at which support looks at the cases."""


DECIDED_STATES = {State.WITH_SUPPORT, State.REFUNDED, State.DECLINED}
"""The states in which support may approve a refund."""

OVERRULED = frozenset(
    {
        ReasonCode.FULL_REFUND_ONLY,
        ReasonCode.METHOD_NOT_AUTOMATIC,
        ReasonCode.OUTSIDE_WINDOW,
        ReasonCode.ALREADY_REFUNDED,
        ReasonCode.SERIAL_REFUNDS,
    }
)
"""The rules that support overrules. A dispute is never overruled."""


class Support:
    """Decides some of the cases that wait with support."""

    def __init__(self, world: "World") -> None:
        self._world = world

    def start(self) -> None:
        """Schedule the work of support."""
        for at in WORKING_TIMES:
            self._world.clock.at(at, self._work)

    def _work(self) -> None:
        rng = self._world.random
        for case in list(self._world.records.tables.cases.values()):
            if case.state not in DECIDED_STATES or case.purchase_id is None:
                continue
            if rng.random() < self._world.forced.get("approvals_of_support", 0.2):
                self._approve_at_once(case, case.purchase_id)
            if case.state != State.WITH_SUPPORT:
                continue
            if rng.random() < self._world.forced.get("outcomes_by_hand", 0.5):
                self._world.web(self._record_outcome, case.id)
            choice = rng.random()
            if choice < self._world.forced.get("refunds_by_hand", 0.3):
                self._refund(case.purchase_id)
            elif choice > 1 - self._world.forced.get("declines_by_hand", 0.1):
                self._world.web(self._decline, case.id)

    def _approve_at_once(self, case: CaseRow, purchase_id: UUID) -> None:
        """Let several people approve refunds, also of other purchases that were paid with the same payments.

        Some approve in the same moment, and perhaps somebody else refunds the payments by hand in the same hour.
        """
        rng, world = self._world.random, self._world
        cases = [case.id]
        if rng.random() < world.forced.get("races_of_support", 0.5):
            cases += self._cases_beside(case)
        for case_id in cases:
            for _ in range(rng.choice([1, 1, 2, 3])):
                delay = rng.choice([0.0, 0.0, 1.0, HOUR, 6 * HOUR])
                world.clock.later(delay, world.web, self._approve, case_id)
        if rng.random() < world.forced.get("refunds_beside_approvals", 0.1):
            self._refund(purchase_id)

    def _cases_beside(self, case: CaseRow) -> list[UUID]:
        """Return the other cases about purchases that share a payment with the purchase of this case."""
        tables = self._world.records.tables
        rows = tables.purchase_payments.values()
        payments = {(row.provider, row.charge) for row in rows if row.purchase_id == case.purchase_id}
        purchases = {row.purchase_id for row in rows if (row.provider, row.charge) in payments}
        return [other.id for other in tables.cases.values() if other.purchase_id in purchases and other.id != case.id]

    def _refund(self, purchase_id: UUID) -> None:
        """Refund each payment of the purchase at its provider: at once, or in two parts, or only in part."""
        rng, clock = self._world.random, self._world.clock
        for payment in self._payments(purchase_id):
            provider = self._world.providers[payment.provider]
            left = provider.charges[payment.charge].captured.minor - provider.refunded(payment.charge)
            if left < 2:
                continue
            for minor in rng.choice([(left,), (left,), (left // 2, left - left // 2), (left // 2,)]):
                clock.later(rng.random() * HOUR, provider.refund_externally, payment.charge, minor)

    def _payments(self, purchase_id: UUID) -> list[PurchasePaymentRow]:
        """Return the payments of the purchase that a provider holds."""
        return [
            row
            for row in self._world.records.tables.purchase_payments.values()
            if row.purchase_id == purchase_id
            and row.provider in self._world.providers
            and row.charge in self._world.providers[row.provider].charges
        ]

    def _approve(self, case_id: UUID) -> None:
        """Approve the refund of some payments of the purchase, in full or in part, perhaps of too much."""
        world, rng = self._world, self._world.random
        try:
            with world.records.work() as work:
                case = work.cases.lock_one(case_id)
                if case is None or case.state not in DECIDED_STATES or case.purchase_id is None:
                    return
                purchase = work.purchases.get(case.purchase_id)
                assert purchase, "a case with support keeps its purchase"
                operations = work.refund_operations.for_cases([case_id]).get(case_id, [])
                if DecisionAction.APPROVE not in possible_actions(case.state, operations, purchase):
                    return
                payments = [p for p in purchase.payments if p.amount and p.currency in {"EUR", "USD"}]
                if not payments:
                    return
                chosen = rng.sample(payments, rng.randint(1, len(payments)))
                decision = UUID(int=rng.getrandbits(128), version=4)
                approval = RefundApproval(
                    decision, tuple(map(self._part, chosen)), OVERRULED, refunded_before=purchase.refunded
                )
                evidence = {"purchase": purchase.snapshot, "approval": approval.as_evidence()}
                work.history.record([case.after(Event.SUPPORT_APPROVED, actor="support", evidence=evidence)])
        except (*world.interleaving.database_errors, Killed):
            world.clock.later(60.0, world.web, self._approve, case_id)
            raise
        world.faults.count("support_approved")

    def _part(self, payment: Payment) -> ApprovedRefund:
        assert payment.amount, "the caller chooses payments with an amount"
        left = max(1, payment.amount - payment.refunded)
        minor = self._world.random.choice([left, left, max(1, left // 2), max(1, left // 3), 1, left + 1])
        money = Money(minor, payment.currency or "")
        return ApprovedRefund(payment.provider, payment.charge, money, payment.refunded)

    def _record_outcome(self, case_id: UUID) -> None:
        """Record what became of a refund whose outcome is unknown, as its provider shows it, if the outcome is certain there."""
        world = self._world
        try:
            with world.records.work() as work:
                case = work.cases.lock_one(case_id)
                operations = work.refund_operations.for_cases([case_id]).get(case_id, [])
                evaluation = work.history.evaluations([case_id]).get(case_id)
                seen = self._seen(operations[-1]) if operations else None
                if case is None or seen is None:
                    return
                decision = evaluation.decision if evaluation else None
                outcome = recorded_outcomes.record_outcome(case.state, operations, decision, seen, work.now)
                code = ReasonCode.PARTLY_REFUNDED if outcome.paid else ReasonCode.NOT_REFUNDED
                reasons = [{"code": code, "sentence": code.support, "detail": ""}]
                evidence = {"refund": seen.refund_id} if outcome.event is Event.PROVIDER_PAID else {"reasons": reasons}
                transition = case.after(outcome.event, actor="support", evidence=evidence)
                if not work.history.record([transition]):
                    return
                if outcome.paid:
                    work.refund_operations.record_results([(outcome.operation, outcome.paid)])
                else:
                    work.refund_operations.close([outcome.operation], OperationStatus.ABSENT)
                    close_settled_cases(work, [outcome.operation.payment])
        except NotPossibleError:
            return
        except (*world.interleaving.database_errors, Killed):
            world.clock.later(60.0, world.web, self._record_outcome, case_id)
            raise
        world.faults.count("outcome_recorded")

    def _seen(self, operation: RefundOperation) -> RecordOutcome | None:
        """Return what the provider shows of a refund, or None if it is not certain there."""
        provider = self._world.providers.get(operation.provider)
        approval = provider.approvals.get(operation.key) if provider else None
        if provider is None or (approval and approval.is_open):
            return None
        refund = next((refund for refund in provider.refunds.values() if refund.key == operation.key), None)
        if refund is not None and (refund.status == "pending" or refund.amount != operation.amount):
            return None
        refund_id = refund.id if refund and refund.status == "paid" else None
        return RecordOutcome(
            action=DecisionAction.RECORD_OUTCOME, was_made=refund_id is not None, refund_id=refund_id, reason="seen"
        )

    def _decline(self, case_id: UUID) -> None:
        world = self._world
        try:
            with world.records.work() as work:
                case = work.cases.lock_one(case_id)
                if case and case.state is State.WITH_SUPPORT:
                    work.history.record([case.after(Event.SUPPORT_DECLINED, actor="support")])
        except (*world.interleaving.database_errors, Killed):
            world.clock.later(60.0, world.web, self._decline, case_id)
            raise
