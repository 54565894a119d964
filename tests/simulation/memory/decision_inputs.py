"""Simulates PostgreSQL for Moneyback's SQL statements about the inputs of a decision."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from domain.states import OPEN_STATES
from records import decision_inputs
from tests.simulation.memory.journal import OPEN
from tests.simulation.memory.purchases import payments_of, purchase_columns
from tests.simulation.memory.sellers import SELLER_COLUMNS
from tests.simulation.memory.tables import PolicyRow, PurchaseRow
from tests.simulation.memory.work import MemoryWork, answers


class CaseAndPurchase(tuple[Any, ...]):
    """A row: the id of a case, then the columns of a purchase."""

    __slots__ = ()

    @property
    def case_id(self) -> UUID:
        """The id of the case. It is the first column."""
        case_id: UUID = self[0]
        return case_id

    @property
    def case_reference(self) -> str:
        """The reference of the case. It is the second column, if the statement returns the reference."""
        reference: str = self[1]
        return reference


class InputRow(tuple[Any, ...]):
    """A row that the SQL statement decision_inputs._SELECT_INPUTS returns."""

    __slots__ = ()

    @property
    def open_case(self) -> list[str] | None:
        """The id, the state and the reason of the open case about the purchase. It is the fourth column from the end."""
        open_case: list[str] | None = self[-4]
        return open_case

    @property
    def further_cases(self) -> list[list[str]]:
        """The ids, the states and the reasons of the further cases. They are the third column from the end."""
        further_cases: list[list[str]] = self[-3]
        return further_cases

    @property
    def refunds(self) -> list[datetime]:
        """The times of the customer's earlier refunds. They are the column before the last column."""
        refunds: list[datetime] = self[-2]
        return refunds

    @property
    def first_policy_at(self) -> datetime | None:
        """The time from which the seller's first policy is in force. It is the last column."""
        first_policy_at: datetime | None = self[-1]
        return first_policy_at


@answers(decision_inputs._SELECT_MATCHES)
def matches(work: MemoryWork, case_ids: Sequence[UUID]) -> Iterable[CaseAndPurchase]:
    rows = [
        (purchase.id, CaseAndPurchase((case.id, case.reference, *purchase_columns(work, purchase))))
        for case_id in case_ids
        if (case := work.tables.cases.get(case_id))
        for purchase in work.tables.purchases.values()
        if (
            purchase.id == case.purchase_id
            if case.purchase_id
            else (purchase.reference_key, purchase.email_key) == (case.reference_key, case.email_key)
            and case.seller_id in {None, purchase.seller_id}
        )
    ]
    return [row for _, row in sorted(rows, key=lambda entry: entry[0])]


@answers(decision_inputs._SELECT_PURCHASES)
def purchases_of_cases(work: MemoryWork, case_ids: Sequence[UUID]) -> Iterable[CaseAndPurchase]:
    cases = [work.tables.cases[id_] for id_ in dict.fromkeys(case_ids) if id_ in work.tables.cases]
    return [
        CaseAndPurchase((case.id, *purchase_columns(work, work.tables.purchases[case.purchase_id])))
        for case in cases
        if case.purchase_id
    ]


@answers(decision_inputs._SELECT_INPUTS)
def inputs(work: MemoryWork, purchase_ids: Sequence[UUID]) -> Iterable[InputRow]:
    rows = []
    for id_ in purchase_ids:
        if purchase := work.tables.purchases.get(id_):
            seller = work.tables.sellers[purchase.seller_id]
            open_cases = (
                [str(case.id), case.state, case.reason]
                for case in work.tables.cases.values()
                if case.purchase_id == id_ and case.state in OPEN_STATES
            )
            policy = _policy(work, purchase) or (None,) * len(PolicyRow._fields)
            refunds = [] if seller.serial_count is None else _refunds(work, purchase, seller.serial_days or 0)
            values = (getattr(seller, name) for name in SELLER_COLUMNS)
            further_cases = _further_cases(work, purchase)
            policies = (row for (id_, _), row in work.tables.policies.items() if id_ == seller.id)
            first_policy_at = min((row.in_force_from for row in policies), default=None)
            rows.append(
                InputRow((id_, *values, *policy, next(open_cases, None), further_cases, refunds, first_policy_at))
            )
    return rows


def _further_cases(work: MemoryWork, purchase: PurchaseRow) -> list[list[str]]:
    key = (purchase.seller_id, purchase.email_key, purchase.reference_key)
    cases = [
        case
        for case in work.tables.cases.values()
        if (case.state, case.purchase_id) == ("with_support", None)
        and (case.seller_id, case.email_key, case.reference_key) == key
        and work.tables.transitions[case.id, case.seq].event == "found_not_eligible"
    ]
    return [[str(case.id), case.state, case.reason] for case in sorted(cases, key=lambda case: case.received_at)]


def _policy(work: MemoryWork, purchase: PurchaseRow) -> PolicyRow | None:
    first_charge = min(payment.charged_at for payment in payments_of(work, purchase.id))
    at = first_charge if purchase.renewal else purchase.purchased_at
    in_force = [
        policy
        for (seller, _), policy in work.tables.policies.items()
        if seller == purchase.seller_id and policy.in_force_from <= at
    ]
    return max(in_force, key=lambda policy: (policy.in_force_from, policy.version), default=None)


_REFUND_STATES = {"refunding", "refund_pending", "refunded"}


def _refunds(work: MemoryWork, purchase: PurchaseRow, days: int) -> list[datetime]:
    since = work.now - timedelta(days=days + 1)
    refunds = []
    for operation in work.tables.refund_operations.values():
        case = work.tables.cases[operation.case_id]
        other = work.tables.purchases.get(case.purchase_id) if case.purchase_id else None
        if other is None or other.seller_id != purchase.seller_id or case.state not in _REFUND_STATES:
            continue
        same_instrument = bool(_instruments(work, purchase) & _instruments(work, other))
        at = operation.paid_at or work.now
        if (other.email_key == purchase.email_key or same_instrument) and operation.status in OPEN and at > since:
            refunds.append(at)
    return refunds


def _instruments(work: MemoryWork, purchase: PurchaseRow) -> set[str | None]:
    return {payment.instrument for payment in payments_of(work, purchase.id)} - {None}
