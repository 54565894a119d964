"""Hearing: what a webhook told makes us look. What the provider then shows counts; an empty answer explains nothing."""

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

import structlog

from domain.findings import Trouble
from domain.providers import About, Absent, Elsewhere, Failed, Found, LooksUp, Paid, Pending, Unknown
from domain.states import State
from records import Work
from records.notices import Heard
from records.operations import Operation
from records.tasks import Report
from worker import asking
from worker.answers import pause
from worker.disputes import hear_dispute
from worker.paying import sending_ends
from worker.settling import inquire, lease
from worker.tools import Tools

log = structlog.get_logger()

ANY_OF_OURS = (State.REFUNDING, State.REFUND_PENDING, State.REFUNDED, State.WITH_SUPPORT)
"""States in which the provider may have news of a refund of ours."""

MOST_HEARINGS = 40  # with pauses of up to half an hour, most of a day; the daily reconciliation stands behind it


class Verdict(NamedTuple):
    """What came of looking into a notice; one that was not ``explained`` is looked into again."""

    outcome: str
    explained: bool


def hear(tools: Tools, ids: Sequence[UUID]) -> None:
    """Looks into those of these notices that are owed a look."""
    with tools.records.work() as work:
        heard = work.notices.claim(ids, seconds=tools.settings.timers.lease_seconds)
        about = {(one.provider, one.notice.charge) for one in heard if one.notice.charge}
        operations = work.operations.about([(provider, charge) for provider, charge in about if charge])
    disputes = [one for one in heard if one.notice.about is About.DISPUTE]
    others = [one for one in heard if one.notice.about is not About.DISPUTE]
    ours = [(one, found) for one in others if (found := _operation(one, operations))]
    known = {one.id for one, _ in ours}
    for one in disputes:
        _settle(tools, one, Verdict(*hear_dispute(tools, one)))
    _ours(tools, ours)
    for one in others:
        if one.id not in known:
            _settle(tools, one, _foreign(tools, one))


def _operation(heard: Heard, operations: dict[tuple[str, str], Operation]) -> Operation | None:
    return operations.get((heard.provider, heard.notice.charge)) if heard.notice.charge else None


def _ours(tools: Tools, heard: Sequence[tuple[Heard, Operation]]) -> None:
    """Asks after our own refunds. A case that somebody holds right now is asked after again later."""
    with tools.records.work() as work:
        cases = list({operation.case for _, operation in heard})
        calls = lease(work, tools, cases, here=ANY_OF_OURS, early=True) if cases else []
    found = inquire(tools, calls)
    for one, operation in heard:
        _settle(tools, one, _explained(one, found.get(operation.case)))


def _explained(heard: Heard, found: Found | None) -> Verdict:
    said = heard.notice.said
    if found is None:
        return Verdict("The case is held, or not at a provider just now.", explained=False)
    if isinstance(found, Unknown | Absent):
        return Verdict("The provider did not show the refund.", explained=False)
    if isinstance(said, Failed) and not isinstance(found, Failed):
        return Verdict("The notice tells of a failure that the provider does not show.", explained=False)
    if isinstance(said, Paid) and isinstance(found, Pending):
        return Verdict("The notice tells of a payment that the provider does not show.", explained=False)
    return Verdict(f"The provider shows the refund as {type(found).__name__.lower()}.", explained=True)


def _foreign(tools: Tools, heard: Heard) -> Verdict:
    """A refund that we never asked for: noted on the purchase, and reported to people."""
    charge = heard.notice.charge
    if charge is None:
        return Verdict("The notice names no payment.", explained=True)
    with tools.records.work() as work:
        purchases = work.purchases.paid_by(heard.provider, [charge])
    if not purchases:
        return Verdict("The payment is not of a purchase that we know.", explained=True)
    found = _look(tools, heard, charge)
    if not isinstance(found, Paid | Pending | Elsewhere):
        return Verdict("The provider did not show a refund.", explained=False)
    with tools.records.work() as work:
        for purchase in purchases:
            work.purchases.touched(purchase.id, found.amount.minor)
        work.tasks.report([extra(heard.provider, charge, purchases[0].seller, found)])
    return Verdict("The provider shows a refund that we did not make.", explained=True)


def extra(provider: str, charge: str, seller: str, found: Paid | Pending | Elsewhere) -> Report:
    """The task about a refund that somebody else made."""
    return Report(
        trouble=Trouble.REFUND_EXTRA,
        subject=f"{provider} {found.refund_id}",
        seller=seller,
        evidence={
            "provider": provider,
            "charge": charge,
            "refund": found.refund_id,
            "amount": found.amount.minor,
            "currency": found.amount.currency,
        },
    )


def _look(tools: Tools, heard: Heard, charge: str) -> Found:
    adapter, said = tools.provider(heard.provider), heard.notice.said
    if adapter is not None and adapter.capabilities.looks_up is LooksUp.NEVER:
        return said if isinstance(said, Paid | Pending | Failed) else Absent()
    return asking.foreign(tools, heard.provider, charge, until=sending_ends(tools))


def _settle(tools: Tools, heard: Heard, verdict: Verdict) -> None:
    with tools.records.work() as work:
        _note(work, tools, heard, verdict)


def _note(work: Work, tools: Tools, heard: Heard, verdict: Verdict) -> None:
    if verdict.explained:
        work.notices.done([(heard, verdict.outcome)])
    elif heard.hearings >= MOST_HEARINGS:
        log.warning("notice_never_explained", notice=str(heard.id), provider=heard.provider, why=verdict.outcome)
        work.notices.done([(heard, f"Never explained: {verdict.outcome}")])
    else:
        work.notices.later([(heard, pause(tools.settings.timers, heard.hearings), verdict.outcome)])
