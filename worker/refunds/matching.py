"""Finds the purchase that a request is about, and joins requests that are about the same purchase."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from domain.cases import Case
from domain.eligibility import OpenCase
from domain.purchases import Purchase
from domain.reason_codes import ReasonCode
from domain.states import Event, State
from records import UnitOfWork
from records.case_views import CaseView
from records.cases import Fork
from records.decision_inputs import DecisionInput


@dataclass(frozen=True, slots=True)
class Match:
    """The purchase that a request is about, or the purchases that it may be about."""

    purchase: Purchase | None = None
    ambiguous: tuple[Purchase, ...] = ()

    @property
    def seller_id(self) -> str | None:
        """The seller of the purchases."""
        purchases = [self.purchase] if self.purchase else self.ambiguous
        return purchases[0].seller_id if purchases else None


NO_MATCH = Match()


def find_purchases(work: UnitOfWork, cases: Sequence[Case]) -> dict[UUID, Match]:
    """Return the match of each case that has one. The purchases are locked.

    A request that names no seller may match purchases of several sellers. Then the case is about the purchase of one seller,
    and each other seller gets a case of its own with the same request. Each confirmation e-mail names its seller.
    """
    matches = {}
    channels = {case.id: case.request.channel for case in cases}
    forks: list[Fork] = []
    for case_id, purchases in work.decision_inputs.matches([case.id for case in cases]).items():
        by_seller: dict[str, list[Purchase]] = {}
        for purchase in purchases:
            by_seller.setdefault(purchase.seller_id, []).append(purchase)
        first, *others = by_seller
        forks += [Fork(case_id, seller, channels[case_id]) for seller in others]
        matches[case_id] = _match(by_seller[first])
    work.intake.fork(forks)
    return matches


def _match(purchases: Sequence[Purchase]) -> Match:
    return Match(purchases[0]) if len(purchases) == 1 else Match(ambiguous=tuple(purchases))


def join_trusted_requests(
    work: UnitOfWork, cases: Sequence[Case], matches: Mapping[UUID, Match], inputs: Mapping[UUID, DecisionInput]
) -> tuple[dict[UUID, OpenCase], set[UUID]]:
    """Return the open case of each purchase that has one, after the trusted requests have had their effect.

    A trusted request confirms an open case that waits for the customer, if both ask for the same. Otherwise, it supersedes this
    case, and also an open case that waits for support only because an anonymous form asked for a part: anyone can send such
    a form, so it must not hold up the customer. Also return the trusted cases to evaluate later, because another transaction
    has locked the open case at this moment.
    """
    open_cases = {purchase_id: item.open_case for purchase_id, item in inputs.items() if item.open_case}
    locked_cases: set[UUID] = set()
    for case in cases:
        purchase = matches.get(case.id, NO_MATCH).purchase
        if not case.request.trusted or purchase is None or purchase.id not in open_cases:
            continue
        view = work.case_views.get(open_cases[purchase.id].id)
        if view is None or view.state not in {State.AWAITING_CONFIRMATION, State.WITH_SUPPORT}:
            continue
        # This transaction holds the lock of the purchase, and a worker that refunds locks the case first. So no wait here.
        open_case = next(iter(work.cases.lock([view.id], state=view.state)), None)
        if open_case is None:
            locked_cases.add(case.id)
        elif not open_case.request.trusted and _join(work, case, open_case, view, purchase):
            del open_cases[purchase.id]
    return open_cases, locked_cases


def _join(work: UnitOfWork, trusted: Case, open_case: Case, view: CaseView, purchase: Purchase) -> bool:
    """Apply a trusted request to the open case of the purchase. Return True if the open case holds the purchase no longer."""
    evidence = {"joined_by": str(trusted.id)}
    is_waiting = open_case.state is State.AWAITING_CONFIRMATION
    if is_waiting and _asks_for_the_same(trusted, open_case, purchase):
        why = "The customer sent the same request while signed in at the seller."
        work.history.record([open_case.after(Event.CUSTOMER_CONFIRMED, actor="rules", why=why, evidence=evidence)])
        return False
    if not is_waiting and not _waits_for_a_part_only(work, open_case, view):
        return False
    why = "The customer sent another request while signed in at the seller."
    superseded = open_case.after(Event.SUPERSEDED, actor="rules", why=why, evidence=evidence)
    return bool(work.history.record([replace(superseded, notify=False)]))


def _asks_for_the_same(case: Case, open_case: Case, purchase: Purchase) -> bool:
    """Return True if both cases ask for the refund of the same payments in full.

    Otherwise, the confirmation would refund more than the customer asks for, or less.
    """
    first, second = case.request, open_case.request
    same_payments = first.charged_twice == second.charged_twice or not purchase.duplicates
    return first.refund_scope is second.refund_scope and same_payments


def _waits_for_a_part_only(work: UnitOfWork, case: Case, view: CaseView) -> bool:
    """Return True if support only has to decide about a part, and nothing was sent to a provider."""
    codes = {reason["code"] for reason in view.reasons}
    return codes == {ReasonCode.FULL_REFUND_ONLY} and not work.refund_operations.for_cases([case.id])
