"""Disputes: a payment that the customer disputes is not refunded as well, and one that was refunded is not lost twice."""

from domain.cases import Case, Step
from domain.findings import Code, Trouble
from domain.providers import DisputeSeen, LooksUp, Unknown
from domain.purchases import Dispute
from domain.states import Event
from records import Work
from records.notices import Heard
from records.operations import Operation
from records.tasks import Report
from worker import asking
from worker.paying import sending_ends
from worker.settling import OPEN
from worker.tools import Tools


def hear_dispute(tools: Tools, heard: Heard) -> tuple[str, bool]:
    """Looks how the dispute stands and draws the consequences; what came of it, and whether that explains the notice."""
    charge = heard.notice.charge
    if charge is None:
        return "The notice names no payment.", True
    seen = _ask(tools, heard, charge)
    if isinstance(seen, Unknown):
        return seen.why, False
    if seen.dispute is Dispute.NONE:
        return "The provider did not show a dispute.", False
    with tools.records.work() as work:
        if not work.purchases.paid_by(heard.provider, [charge]):
            return "The payment is not of a purchase that we know.", True
        draw_consequences(work, heard.provider, charge, seen)
    return f"The dispute is {seen.dispute}.", True


def draw_consequences(work: Work, provider: str, charge: str, seen: DisputeSeen) -> None:
    """Open or lost after our refund: the money may leave twice, a person answers it. Won: what waited for it goes on."""
    work.purchases.disputed(provider, charge, seen.dispute)
    if seen.dispute is Dispute.WON:
        waiting = work.cases.with_support_for(provider, charge, Code.DISPUTE_OPEN)
        work.history.record([_resumed(case, seen) for case in waiting])
        return
    operation = work.operations.about([(provider, charge)]).get((provider, charge))
    if operation and operation.status in OPEN:
        seller = work.facts.purchases([operation.case])[operation.case].seller
        work.tasks.report([_paid_twice(operation, seen, seller)])


def _resumed(case: Case, seen: DisputeSeen) -> Step:
    why = "The dispute was decided for the seller: the payment can be refunded again."
    return case.after(Event.DISPUTE_WON, actor="provider", why=why, evidence={"dispute": seen.dispute_id})


def _paid_twice(operation: Operation, seen: DisputeSeen, seller: str) -> Report:
    return Report(
        trouble=Trouble.PAID_TWICE,
        subject=f"{operation.provider} {operation.charge} {seen.dispute_id}",
        case=operation.case,
        seller=seller,
        evidence={
            "provider": operation.provider,
            "charge": operation.charge,
            "dispute": seen.dispute_id,
            "dispute_is": seen.dispute,
            "refund": operation.refund_id,
            "refund_is": operation.status,
            "amount": operation.amount.minor,
            "currency": operation.amount.currency,
            "key": operation.key,
            "first_sent_at": operation.first_sent_at.isoformat() if operation.first_sent_at else None,
        },
    )


def _ask(tools: Tools, heard: Heard, charge: str) -> DisputeSeen | Unknown:
    adapter, said = tools.provider(heard.provider), heard.notice.said
    if adapter is not None and adapter.capabilities.looks_up is LooksUp.NEVER:
        return said if isinstance(said, DisputeSeen) else Unknown("The notice does not say how the dispute stands.")
    return asking.dispute(tools, heard.provider, charge, until=sending_ends(tools))
