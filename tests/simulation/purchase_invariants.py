"""Checks the invariants about purchases, their payments and their external refunds.

- P1: a refund call has a payment and an amount of the snapshot that was evaluated and confirmed. If the customer confirmed on
  the page, the page showed the sum of the snapshot
- P2: while a purchase has an open case, no report changes the e-mail address, a payment or an amount of the purchase
- P3: a payment belongs to the first seller that reported it, and is not refunded for another seller. The seller loses the
  payment only if no purchase names it any more, and nothing happened to it
- P4: no refund is sent if the provider shows another amount, another currency, another seller, or an external refund
- P5: the first report of a purchase is stored, except if it names a payment of another seller
- P6: an unmatched request is evaluated again when its purchase is reported
- P7: what was refunded elsewhere is the sum of the external refunds that did not fail, as the provider shows them
- P8: a case that waits for support is refunded if support refunded its payments at the provider, and only if these refunds and
  ours paid all of its part of each payment. A pending refund, or a refund in another currency, pays nothing.
- P9: support gets no case because of its payment method if the remaining payments can be refunded automatically
- P10: the payments have the dispute status that the provider's list shows
- P11: a request for the whole purchase does not join a case that is only about the second charge
- P12: a request that named no seller is a case of each seller with a matching purchase, whenever the purchases are reported
- P13: support gets no case as refunded elsewhere because of a refund that was known before our refund was sent
"""

import json
import re
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from domain.money import Money
from domain.purchase_reports import OtherSeller, PurchaseReport
from domain.purchases import AUTOMATIC, Dispute
from domain.reason_codes import ReasonCode
from domain.refund_approvals import RefundApproval
from domain.refund_reasons import RefundReason
from domain.states import OPEN_STATES, State
from domain.support_tasks import SupportTaskKind
from records.purchase_reports import UNMATCHED_DAYS
from records.purchases import Reported, ReportResult
from tests.simulation.faults import DAY
from tests.simulation.memory.journal import OPEN, Journal
from tests.simulation.memory.tables import (
    CaseRow,
    Database,
    ExternalRefundRow,
    PaymentRow,
    PurchasePaymentRow,
    PurchaseRow,
    RefundOperationRow,
    SupportTaskRow,
    TransitionRow,
)
from tests.simulation.provider import Provider, Refund

if TYPE_CHECKING:
    from tests.simulation.scenario import World

LAST_RECONCILIATION = 22 * DAY
SETTLED_BEFORE = LAST_RECONCILIATION - 6 * DAY
"""What happened before this instant is shown by each list at the last reconciliation."""

PaymentId = tuple[str, str]


@dataclass(slots=True)
class Known:
    """What the database contained about a purchase after the last commit."""

    email_key: str = ""
    amounts: dict[PaymentId, tuple[int | None, str | None]] = field(default_factory=dict)


class PurchaseChecker:
    """Checks the invariants about purchases. It reads the tables and the providers of one simulated world."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._known: dict[UUID, Known] = {}
        self._owners: dict[PaymentId, str] = {}
        self._sums: dict[PaymentId, list[tuple[float, int]]] = {}
        """For each payment: what its purchases cost together, with the time of each report that changed a purchase."""
        self._owned: set[tuple[PaymentId, str]] = set()
        """Each payment with the sellers that it belonged to at any time."""
        self._reported_at: dict[PaymentId, float] = {}
        """For each payment: the time from which a purchase names the payment."""

    @property
    def _tables(self) -> Database:
        return self._world.records.tables

    def _report_violation(self, invariant: str, sentence: str) -> None:
        self._world.checker.report_violation(invariant, sentence)

    # Checks before a call

    def check_call(self, provider: Provider, operation: RefundOperationRow, looked_at: float) -> None:
        """Check the payment and the amount of a refund call."""
        money = Money(operation.amount, operation.currency)
        started = _start_of(self._tables, operation)
        confirmed = confirmed_payments(self._tables, operation.case_id, before=started)
        if confirmed.get((operation.provider, operation.charge)) != money:
            self._report_violation("P1", f"{operation.key} refunds {money} of {operation.charge}, not {confirmed}.")
        if operation.decision_id is None:
            self._check_page(operation.case_id, confirmed, started)
        seller = self._tables.cases[operation.case_id].seller_id
        owner = self._owners.get((operation.provider, operation.charge))
        if seller != owner:
            self._report_violation("P3", f"{operation.key} refunds a payment of {owner} for {seller}.")
        if provider.capabilities.shows_payments:
            self._check_shown(provider, operation, seller, looked_at)

    def _check_page(self, case: UUID, confirmed: dict[PaymentId, Money], started: int) -> None:
        rows = transitions_of(self._tables, case)[: started - 1]
        answers = [row for row in rows if (row.event, row.actor) == ("customer_confirmed", "customer")]
        if not answers:
            return
        total = sum(money.minor for money in confirmed.values())
        page = self._world.customers.pages.get((case, answers[-1].seq - 1))
        if page is None or page.minor != total:
            self._report_violation("P1", f"{case} refunds {total}, but the page showed {page}.")

    def _check_shown(
        self, provider: Provider, operation: RefundOperationRow, seller: str | None, looked_at: float
    ) -> None:
        charge = provider.charges.get(operation.charge)
        if charge is None:
            self._report_violation("P4", f"{operation.key} is sent, but the provider does not know the payment.")
            return
        expected = [Money(minor, operation.currency) for minor in self._sums_since_sending(operation)]
        if charge.is_voided or charge.captured not in expected:
            self._report_violation(
                "P4", f"{operation.key} is sent, but the provider shows {charge}, and {expected} was reported."
            )
        for refund in provider.refunds.values():
            is_visible = refund.charge == operation.charge and refund.made_at + provider.refund_lag <= looked_at
            row = self._tables.external_refunds.get((provider.name, refund.id))
            is_known = (
                operation.decision_id is not None and row is not None and row.recorded_at < operation.first_sent_at
            )
            is_live = refund.key is None and "failed" not in {refund.status, refund.previous_status}
            if is_visible and is_live and not is_known:
                self._report_violation("P4", f"{operation.key} is sent, but the payment shows the refund {refund}.")
        if charge.seller not in {None, seller}:
            self._report_violation("P4", f"{operation.key} is sent, but the payment belongs to {charge.seller}.")

    def _sums_since_sending(self, operation: RefundOperationRow) -> list[int]:
        """Return what was reported of the payment since the operation was committed. A process may pause before the call.

        A later correction of another purchase of the cart may change the sum in the meantime.
        """
        sent_at = self._world.since_beginning(operation.last_sent_at)
        sums = self._sums.get((operation.provider, operation.charge), [])
        before = [minor for at, minor in sums if at < sent_at][-1:]
        return [*before, *(minor for at, minor in sums if at >= sent_at)]

    def _items(self, provider: str, charge: str) -> list[PurchasePaymentRow]:
        rows = self._tables.purchase_payments.values()
        return [row for row in rows if (row.provider, row.charge) == (provider, charge)]

    # Checks after a report or a commit

    def check_first_report(self, report: PurchaseReport, result: ReportResult) -> None:
        """Check the result of the first report of a purchase.

        The report is repeated after an error. Meanwhile, a later report may have stored the purchase with other facts. A report
        that names a payment of another seller is refused, also if that seller corrects its purchase in the same moment.
        """
        if isinstance(result, OtherSeller) and any(
            payment in report.payment_ids and seller != report.seller_id for payment, seller in self._owned
        ):
            return
        is_stored = report.purchase_id in self._tables.purchases
        if not is_stored or (isinstance(result, Reported) and result.purchase.id != report.purchase_id):
            self._report_violation("P5", f"The first report of {report.reference} was not stored: {result}")

    def committed(self, journal: Journal) -> None:
        """Check the changes of a committed transaction."""
        changed: dict[UUID, None] = {}
        self._check_releases([row for row in journal.deleted if isinstance(row, PaymentRow)])
        for row, _ in journal.changed:
            match row:
                case PurchaseRow():
                    changed[row.id] = None
                case PurchasePaymentRow():
                    changed[row.purchase_id] = None
                case PaymentRow():
                    self._check_owner(row)
                case TransitionRow():
                    self._check_transition(row)
        for purchase_id in changed:
            self._check_change(purchase_id)

    def _check_transition(self, row: TransitionRow) -> None:
        if row.to_state == State.WITH_SUPPORT:
            self._check_reason(row)
        elif row.event == "found_open_case":
            self._check_join(row)
        elif row.event == "externally_refunded":
            self._check_settlement(row)

    def _check_releases(self, released: list[PaymentRow]) -> None:
        """Check that payments that their sellers lost were not in use. Each belongs to the next seller that reports it."""
        for row in released:
            payment = (row.provider, row.charge)
            refunds: list[ExternalRefundRow | RefundOperationRow] = [
                *self._tables.external_refunds.values(),
                *self._tables.refund_operations.values(),
            ]
            is_refunded = payment in {(refund.provider, refund.charge) for refund in refunds}
            if self._items(*payment) or is_refunded or row.dispute != Dispute.NONE:
                self._report_violation("P3", f"{row.seller_id} lost the payment {row.charge}, which is in use.")
            self._owners.pop(payment, None)

    def _check_owner(self, row: PaymentRow) -> None:
        payment = (row.provider, row.charge)
        if payment not in self._tables.payments:  # the transaction also took the payment from its seller
            return
        self._owned.add((payment, row.seller_id))
        owner = self._owners.setdefault(payment, row.seller_id)
        if row.seller_id != owner:
            self._report_violation("P3", f"The payment {row.charge} of {owner} was given to {row.seller_id}.")

    def _check_change(self, purchase_id: UUID) -> None:
        purchase = self._tables.purchases[purchase_id]
        items = [row for row in self._tables.purchase_payments.values() if row.purchase_id == purchase_id]
        new = Known(purchase.email_key, {(row.provider, row.charge): (row.amount, row.currency) for row in items})
        for payment in new.amounts:
            self._reported_at.setdefault(payment, self._world.clock.now)
        old = self._known.get(purchase_id)
        self._known[purchase_id] = new
        for payment in {**new.amounts, **(old.amounts if old else {})}:
            total = sum(row.amount or 0 for row in self._items(*payment))
            self._sums.setdefault(payment, []).append((self._world.clock.now, total))
        if old is None or old == new:
            return
        is_held = any(
            case.purchase_id == purchase_id and case.state in OPEN_STATES for case in self._tables.cases.values()
        )
        is_corrected = new.email_key != old.email_key or any(
            new.amounts.get(payment) != amount for payment, amount in old.amounts.items()
        )
        if is_held and is_corrected:
            self._report_violation("P2", f"{purchase.reference} has an open case, but was changed from {old} to {new}.")

    def _check_reason(self, row: TransitionRow) -> None:
        reasons = json.loads(row.evidence).get("reasons", ())
        for reason in reasons:
            if reason["code"] == ReasonCode.REFUNDED_ELSEWHERE:
                self._check_elsewhere(row.case_id, re.split(r"[,. ]", reason["detail"])[0])
        if all(reason["code"] != ReasonCode.PAYMENT_NOT_AUTOMATIC for reason in reasons):
            return
        ended = {(o.provider, o.charge) for o in self._operations_of(row.case_id) if o.status in {"paid", "declined"}}
        purchase_id = self._tables.cases[row.case_id].purchase_id
        confirmed = confirmed_payments(self._tables, row.case_id)
        for item in self._tables.purchase_payments.values():
            payment = (item.provider, item.charge)
            is_unpaid = item.purchase_id == purchase_id and payment in confirmed and payment not in ended
            if is_unpaid and item.method in AUTOMATIC and item.provider in self._world.providers:
                self._report_violation("P9", f"{row.case_id} went to support, but {item.charge} can be refunded.")

    def _check_elsewhere(self, case: UUID, refund_id: str) -> None:
        """Check that this refund, because of which support gets the case, was not known before our newest refund was sent."""
        newest = max(self._operations_of(case), key=lambda operation: operation.attempt)
        external = self._tables.external_refunds.get((newest.provider, refund_id))
        earlier = [o.key for o in self._tables.refund_operations.values() if o.refund_id == refund_id]
        if earlier or (external and external.recorded_at < newest.first_sent_at):
            self._report_violation("P13", f"{case} went to support because of {refund_id}, which was known before.")

    def _check_join(self, row: TransitionRow) -> None:
        case = self._tables.cases[row.case_id]
        joined = self._tables.cases[UUID(json.loads(row.evidence)["joins"])]
        items = [item for item in self._tables.purchase_payments.values() if item.purchase_id == joined.purchase_id]
        is_about_less = joined.reason == RefundReason.DUPLICATE_ORDER != case.reason
        if is_about_less and any(item.duplicate for item in items):
            self._report_violation("P11", f"{case.id} joins {joined.id}, which is only about the second charge.")

    def _check_settlement(self, row: TransitionRow) -> None:
        for operation in self._operations_of(row.case_id):
            if operation.status in OPEN and operation.status != "paid":
                self._report_violation("P8", f"{row.case_id} was settled, although {operation.key} may still be made.")
        case = self._tables.cases[row.case_id]
        for item in self._refundable_items(case):
            if item.amount is not None and self._refunded_of(item) < item.amount:
                self._report_violation(
                    "P8", f"{case.id} was settled, but {self._refunded_of(item)} of {item} was refunded."
                )

    def _refundable_items(self, case: CaseRow) -> list[PurchasePaymentRow]:
        rows = [row for row in self._tables.purchase_payments.values() if row.purchase_id == case.purchase_id]
        duplicates = [row for row in rows if row.duplicate and case.reason == RefundReason.DUPLICATE_ORDER]
        return duplicates or rows

    def _refunded_of(self, item: PurchasePaymentRow) -> int:
        """Return what our refunds and the external refunds of a payment paid in the currency of this purchase."""
        external = sum(
            row.amount
            for row in self._tables.external_refunds.values()
            if (row.provider, row.charge, row.currency, row.status)
            == (item.provider, item.charge, item.currency, "paid")
        )
        own = [
            self._world.providers[row.provider].refunds[row.refund_id or ""].amount
            for row in self._tables.refund_operations.values()
            if (row.provider, row.charge, row.status) == (item.provider, item.charge, "paid")
        ]
        return external + sum(money.minor for money in own if money.currency == item.currency)

    def _operations_of(self, case: UUID) -> list[RefundOperationRow]:
        return [row for row in self._tables.refund_operations.values() if row.case_id == case]

    # Checks at the end of the run

    def check_all(self) -> None:
        """Check the cases, the external refunds and the disputes at the end of the run."""
        for case in self._tables.cases.values():
            self._check_case(case)
        for (provider_name, charge), payment in self._tables.payments.items():
            if provider := self._world.providers.get(provider_name):
                self._check_sum(payment)
                for refund in provider.refunds.values():
                    if refund.charge == charge and refund.key is None:
                        self._check_external_refund(provider, refund)
                self._check_listed_disputes(provider, payment)

    def _check_case(self, case: CaseRow) -> None:
        if case.state == State.UNMATCHED:
            self._check_unmatched(case)
        elif case.for_any_seller and case.purchase_id:
            self._check_copies(case)
        if case.state == State.WITH_SUPPORT:
            self._check_unsettled(case)

    def _check_unmatched(self, case: CaseRow) -> None:
        for purchase in self._tables.purchases.values():
            is_match = (purchase.reference_key, purchase.email_key) == (case.reference_key, case.email_key)
            age = self._world.database_clock() - case.received_at
            is_recent = age < timedelta(days=UNMATCHED_DAYS) or case.received_at > purchase.purchased_at
            if is_match and is_recent and case.seller_id in {None, purchase.seller_id}:
                self._report_violation("P6", f"{case.id} is unmatched, but matches the purchase {purchase.reference}.")

    def _check_copies(self, case: CaseRow) -> None:
        sellers = {
            purchase.seller_id
            for purchase in self._tables.purchases.values()
            if (purchase.reference_key, purchase.email_key) == (case.reference_key, case.email_key)
            and purchase.purchased_at <= case.received_at
        }
        copies = {row.seller_id for row in self._tables.cases.values() if row.intake_key == str(case.id)}
        if missing := sellers - copies - {case.seller_id}:
            self._report_violation("P12", f"{case.id} named no seller, but is no case of {missing}.")

    def _check_sum(self, payment: PaymentRow) -> None:
        rows = self._tables.external_refunds.values()
        total = sum(
            row.amount
            for row in rows
            if (row.provider, row.charge, row.status != "failed") == (payment.provider, payment.charge, True)
        )
        if payment.refunded_elsewhere != total:
            self._report_violation(
                "P7",
                f"{payment.refunded_elsewhere} of {payment.charge} was refunded elsewhere, but the rows show {total}.",
            )

    def _check_external_refund(self, provider: Provider, refund: Refund) -> None:
        """Check that an external refund is recorded with its status, if a list shows it or a webhook reported it."""
        reported_at = self._reported_at.get((provider.name, refund.charge), self._world.clock.now)
        if not self._items(provider.name, refund.charge):
            return
        is_listed = provider.capabilities.lists_refunds and max(refund.status_changed_at, reported_at) < SETTLED_BEFORE
        row = self._tables.external_refunds.get((provider.name, refund.id))
        is_recorded = row is not None and (row.status, row.amount) == (refund.status, refund.amount.minor)
        is_recorded |= row is None and refund.status == "failed" and not is_listed  # a webhook came after the failure
        if is_listed and not is_recorded:
            self._report_violation("P7", f"The list shows {refund}, but the row is {row}.")
        is_told = refund.failure_reported if refund.status == "failed" else refund.payment_reported
        if is_told and reported_at <= refund.made_at and not is_recorded and not self._has_task(refund):
            self._report_violation("P7", f"A webhook reported {refund}, but the row is {row}.")

    def _has_task(self, refund: Refund) -> bool:
        """Return whether a support task names the refund.

        An event that names no refund may be about any refund of its payment. If no worker could resolve such an event, its task
        sends support to the payment. The task must have been created after the last change of the refund.
        """
        tasks = self._tables.support_tasks.values()
        return any(refund.id in (task.evidence or "") or self._is_about_payment(task, refund) for task in tasks)

    def _is_about_payment(self, task: SupportTaskRow, refund: Refund) -> bool:
        if task.kind != SupportTaskKind.WEBHOOK_EVENT_UNRESOLVED:
            return False
        evidence = json.loads(task.evidence)
        is_later = refund.status_changed_at <= self._world.since_beginning(task.created_at)
        return is_later and (evidence["refund"], evidence["charge"]) == (None, refund.charge)

    def _check_unsettled(self, case: CaseRow) -> None:
        """Check that no external refund settles this case."""
        entered_at = self._tables.transitions[case.id, case.seq].created_at
        operations, items = self._operations_of(case.id), self._refundable_items(case)
        has_open = any(o.status in OPEN and o.status != "paid" for o in operations)
        has_too_much = any(o.paid_amount > o.amount for o in operations)
        payments = {(item.provider, item.charge) for item in items}
        currencies = {(item.provider, item.charge, item.currency) for item in items}
        is_corrected = not set(confirmed_payments(self._tables, case.id)) <= payments
        if has_open or has_too_much or is_corrected or not items or not all(map(self._is_refunded, items)):
            return
        newest = max(
            (
                row
                for row in self._tables.external_refunds.values()
                if (row.provider, row.charge, row.currency) in currencies and row.status == "paid"
            ),
            key=lambda row: row.recorded_at,
            default=None,
        )
        if newest is None:
            return
        if newest.recorded_at <= entered_at:
            self._check_closed_operation(case)
            return
        has_task = self._is_told(newest.refund_id)
        is_listed = (
            self._world.providers[newest.provider].capabilities.lists_refunds
            and self._world.since_beginning(newest.recorded_at) < SETTLED_BEFORE
        )
        if is_listed or not has_task:
            self._report_violation(
                "P8", f"Support refunded the payments of {case.id}, but the case still waits: {newest}"
            )

    def _is_told(self, refund_id: str) -> bool:
        """Return whether a support task reports the external refund, or its webhook event, which no worker could resolve."""
        kinds = {SupportTaskKind.UNEXPECTED_REFUND, SupportTaskKind.WEBHOOK_EVENT_UNRESOLVED}
        tasks = self._tables.support_tasks.values()
        return any(task.kind in kinds and refund_id in (task.subject or "").split() for task in tasks)

    def _check_closed_operation(self, case: CaseRow) -> None:
        """Check that the case does not wait for support because its refund failed after an external refund paid the customer."""
        if self._tables.transitions[case.id, case.seq].event in {"provider_declined", "provider_failed_late"}:
            self._report_violation("P8", f"Support refunded the payments of {case.id} before our refund failed.")

    def _is_refunded(self, item: PurchasePaymentRow) -> bool:
        captured = sum(row.amount or 0 for row in self._items(item.provider, item.charge))
        return self._refunded_of(item) >= captured

    def _check_listed_disputes(self, provider: Provider, payment: PaymentRow) -> None:
        charge = provider.charges.get(payment.charge)
        if charge is None or not provider.capabilities.lists_disputes or not self._items(provider.name, payment.charge):
            return
        shown = charge.deciding_dispute.dispute
        if shown is not Dispute.NONE and payment.dispute != shown:
            self._report_violation(
                "P10", f"The dispute of {payment.charge} is {payment.dispute}, but the list shows {charge.disputes}."
            )


def transitions_of(tables: Database, case: UUID) -> list[TransitionRow]:
    """Return the history of a case."""
    return [tables.transitions[case, seq] for seq in range(1, tables.cases[case].seq + 1)]


def _start_of(tables: Database, operation: RefundOperationRow) -> int:
    """Return the number of the transition that started this operation.

    A process may pause before its call. In the meantime, support may approve another refund of the case.
    """
    rows = transitions_of(tables, operation.case_id)
    starts = [row for row in rows if row.event == "refund_started"]
    return next(row.seq for row in starts if json.loads(row.evidence)["key"] == operation.key)


def _evaluation_of(tables: Database, case: UUID, before: int | None) -> dict[str, Any] | None:
    """Return the evidence of the newest evaluation of a case, or of the newest before the transition with this number."""
    rows = transitions_of(tables, case)[: before and before - 1]
    evidence: list[dict[str, Any]] = [json.loads(row.evidence) for row in rows]
    return next((values for values in reversed(evidence) if "purchase" in values), None)


def approval_of(tables: Database, case: UUID, *, before: int | None = None) -> RefundApproval | None:
    """Return the approval of support, if support evaluated the case last."""
    evaluation = _evaluation_of(tables, case, before)
    approval = evaluation and evaluation.get("approval")
    return RefundApproval.from_evidence(approval) if approval else None


def confirmed_payments(tables: Database, case: UUID, *, before: int | None = None) -> dict[PaymentId, Money]:
    """Return the payments and amounts that support approved, or those of the last snapshot of a case, which the page showed."""
    if approval := approval_of(tables, case, before=before):
        return {refund.payment: refund.amount for refund in approval.refunds}
    evaluation = _evaluation_of(tables, case, before)
    payments = evaluation["purchase"]["payments"] if evaluation else []
    return {
        (provider, charge): Money(amount, currency)
        for provider, charge, amount, currency in payments
        if amount is not None
    }
