"""Hearing: what a webhook told makes us look. What the provider then shows counts; an empty answer explains nothing."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from typing import NamedTuple
from uuid import UUID

import structlog

from domain.notices import About
from domain.providers import Absent, DisputeSeen, Elsewhere, Failed, Found, LooksUp, Paid, Pending, Unknown
from domain.purchases import Dispute, Purchase
from domain.states import State
from records import Work
from records.notices import Heard
from worker import asking
from worker.answers import pause
from worker.disputes import as_told, draw_consequences
from worker.foreign import extra, report_beside_ours
from worker.paying import sending_ends
from worker.settling import inquire, lease
from worker.tools import Tools
from worker.unexplained import report_unexplained

log = structlog.get_logger()

ANY_OF_OURS = (State.REFUNDING, State.REFUND_PENDING, State.REFUNDED, State.WITH_SUPPORT)
"""States in which the provider may have news of a refund of ours."""

STRANGE_FOR = 10  # hearings, which are two hours, in which a payment may become one of a purchase that we know
MOST_FALLS = 3  # workers that did not come back from one look each: as many as a case may end
MOST_HEARINGS = 100  # with pauses of up to half an hour, two days; then a person is told


class Verdict(NamedTuple):
    """What came of looking into a notice; one that was not ``explained`` is looked into again."""

    outcome: str
    explained: bool


NO_PAYMENT = Verdict("The notice names no payment.", explained=True)
STRANGE = Verdict("The payment is not of a purchase that we know.", explained=True)
NOT_YET_KNOWN = Verdict("The payment is not of a purchase that we know yet.", explained=False)
UNSEEN = Verdict("The provider did not show it.", explained=False)
HELD = Verdict("The case is held, or has nothing under way at the provider.", explained=False)
ENDS_WORKERS = Verdict("Whoever looked into it last did not come back.", explained=False)
CONTRADICTED = Verdict("The notice tells of something that the provider does not show.", explained=False)
BEHIND = Verdict("The provider made our refund, and shows only somebody else's.", explained=False)


def hear(tools: Tools, ids: Sequence[UUID]) -> None:
    """Looks into those of these notices that are owed a look: one that its last worker did not come back from, alone."""
    lease_seconds = tools.settings.timers.lease_seconds
    with tools.records.work() as work:
        claimed = work.notices.claim(ids, seconds=lease_seconds)
        known = {one.id for one in claimed}
        suspects = work.notices.suspects([one for one in ids if one not in known])
    if claimed:
        _look(tools, claimed)
    for suspect in suspects:
        with tools.records.work() as work:
            alone = work.notices.claim([suspect], seconds=lease_seconds, suspects=True)
        if alone:
            _look(tools, alone)


def _look(tools: Tools, claimed: Sequence[Heard]) -> None:
    ends = sending_ends(tools)
    with tools.records.work() as work:
        heard = _named(work, [one for one in claimed if one.hearings <= MOST_HEARINGS and one.falls < MOST_FALLS])
        about = [(one.provider, charge) for one in heard if (charge := one.notice.charge)]
        operations = work.operations.about(about) if about else {}
        purchases: dict[tuple[str, str], list[Purchase]] = {}
        for purchase in work.purchases.paid_by(about):
            purchases.setdefault((purchase.provider, purchase.charge), []).append(purchase)
        ours = {
            one.id: operations[payment].case
            for one in heard
            if one.notice.about is not About.DISPUTE and (payment := one.payment) in operations
        }
        cases = list(set(ours.values()))
        calls = lease(work, tools, cases, here=ANY_OF_OURS, early=True) if cases else []
    found = inquire(tools, calls)
    made = {call.case.id for call in calls if call.operation.status == "paid"}
    verdicts = {
        one.id: _explained(one, found.get(ours[one.id]), made=ours[one.id] in made) for one in heard if one.id in ours
    }
    shown = {seen.refund_id for seen in found.values() if isinstance(seen, Paid | Pending | Failed | Elsewhere)}
    beside = [one for one in heard if one.id in ours and one.notice.refund_id not in shown | {None}]
    if explained := [one for one in beside if verdicts[one.id].explained]:
        report_beside_ours(tools, explained, purchases)
    others = [one for one in heard if one.id not in ours]
    verdicts |= {one.id: _unknown(one) for one in others}
    known = [one for one in heard if one.payment in purchases]
    elsewhere = {case: seen for case, seen in found.items() if isinstance(seen, Elsewhere)}  # ours may still follow it
    by_hand: list[tuple[Heard, Found | DisputeSeen]]
    by_hand = [(one, elsewhere[ours[one.id]]) for one in known if ours.get(one.id) in elsewhere]
    strange = [one for one in known if one.id not in ours]
    for wave in chain(filter(None, [by_hand]), tools.hands.side_by_side(lambda one: _ask(tools, one, ends), strange)):
        with tools.records.work() as work:
            told = _told_of_disputes(work, tools, [one for one, _ in wave])
            concluded = {
                one.id: _conclude(work, one, purchases[one.payment], told.get(one.id, seen)) for one, seen in wave
            }
        # that somebody else refunded the payment does not explain what is told of our refund, or may be
        verdicts |= {one: it for one, it in concluded.items() if one not in ours or verdicts[one].explained}
    with tools.records.work() as work:
        _note(work, tools, [(one, verdicts.get(one.id, ENDS_WORKERS)) for one in claimed])


def _named(work: Work, heard: Sequence[Heard]) -> list[Heard]:
    """Some notices name a refund and not its payment: one that is ours we know by its name."""
    nameless = [
        (one.provider, refund) for one in heard if one.notice.charge is None and (refund := one.notice.refund_id)
    ]
    made = work.operations.made(nameless)
    return [
        replace(one, notice=replace(one.notice, charge=operation.charge))
        if one.notice.charge is None and (operation := made.get((one.provider, one.notice.refund_id or "")))
        else one
        for one in heard
    ]


def _told_of_disputes(work: Work, tools: Tools, heard: Sequence[Heard]) -> dict[UUID, DisputeSeen]:
    about = {one.id: one.payment for one in heard if one.notice.about is About.DISPUTE and _is_silent(tools, one)}
    told = as_told(work, list(set(about.values())))
    return {one: told[payment] for one, payment in about.items() if payment in told}


def _is_silent(tools: Tools, heard: Heard) -> bool:
    adapter = tools.provider(heard.provider)
    return adapter is not None and adapter.capabilities.looks_up is LooksUp.NEVER


def _unknown(heard: Heard) -> Verdict:
    """Sellers may tell us of a purchase later than its provider of a dispute; but an account may serve others as well."""
    if heard.notice.charge is None and heard.notice.refund_id is None:
        return NO_PAYMENT
    return STRANGE if heard.hearings >= STRANGE_FOR else NOT_YET_KNOWN


def _explained(heard: Heard, found: Found | None, *, made: bool) -> Verdict:
    """Whether what the provider shows of our refund, which it may have ``made``, explains the notice."""
    said = heard.notice.said
    if found is None:
        return HELD
    if isinstance(found, Unknown | Absent):
        return UNSEEN
    if (isinstance(said, Failed) and not isinstance(found, Failed)) or (
        isinstance(said, Paid) and isinstance(found, Pending)
    ):
        return CONTRADICTED
    if made and isinstance(found, Elsewhere) and heard.notice.refund_id is None:
        return BEHIND  # it names no refund: what it tells may have happened to ours
    return Verdict(f"The provider shows our refund as {type(found).__name__.lower()}.", explained=True)


def _ask(tools: Tools, heard: Heard, ends: float) -> Found | DisputeSeen:
    """A refund that we never asked for, or a dispute, as the provider shows it; what it said where it cannot be asked."""
    provider, charge = heard.payment
    if _is_silent(tools, heard):
        return heard.notice.said or Absent()
    if heard.notice.about is About.DISPUTE:
        return asking.dispute(tools, provider, charge, until=ends)
    return asking.foreign(tools, provider, charge, until=ends)


def _conclude(work: Work, heard: Heard, purchases: Sequence[Purchase], seen: Found | DisputeSeen) -> Verdict:
    """Writes down what the provider shows of the payment of these purchases: two may have been paid by one."""
    match seen:
        case DisputeSeen(Dispute.NONE) | Absent() | Failed():
            return UNSEEN
        case Unknown(why):
            return Verdict(why, explained=False)
        case DisputeSeen(dispute):
            if not draw_consequences(work, purchases[0], seen):
                return HELD
            ended = heard.notice.said in {DisputeSeen(end, seen.dispute_id) for end in (Dispute.WON, Dispute.LOST)}
            if dispute is Dispute.OPEN and ended:
                return CONTRADICTED
            return Verdict(f"The dispute is {dispute}.", explained=True)
    for purchase in purchases:
        work.purchases.touched(purchase.id, seen.amount.minor)
    work.tasks.report([extra(heard.provider, purchases[0], seen)])
    return Verdict("The provider shows a refund that we did not make.", explained=True)


def _note(work: Work, tools: Tools, verdicts: Sequence[tuple[Heard, Verdict]]) -> None:
    done: list[tuple[Heard, str]] = []
    given_up: list[tuple[Heard, str]] = []
    later: list[tuple[Heard, float, str]] = []
    for heard, verdict in verdicts:
        if verdict.explained:
            done.append((heard, verdict.outcome))
        elif heard.hearings >= MOST_HEARINGS or heard.falls >= MOST_FALLS:
            log.warning("notice_never_explained", notice=str(heard.id), provider=heard.provider, why=verdict.outcome)
            given_up.append((heard, verdict.outcome))
        else:
            later.append((heard, pause(tools.settings.timers, heard.hearings), verdict.outcome))
    report_unexplained(work, given_up)
    work.notices.done([*done, *((heard, f"Never explained: {why}") for heard, why in given_up)])
    work.notices.later(later)
