"""Dispatch: which handler works on a queue's messages, in a Celery task as well as in direct mode.

A delivery is counted before the handler runs. The count is undone if another worker held the case. First deliveries run as one
batch. A case whose worker crashed is retried in a small batch, then alone; after three crashes it goes to support
(poison-message isolation).
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

import structlog

from domain.cases import Case, Step
from domain.findings import Code, Finding
from domain.messages import (
    Cases,
    LettersDue,
    NotesDue,
    Noticed,
    RefundApproved,
    RefundRequested,
    RefundUnsettled,
    SupportNeeded,
)
from domain.states import Event, State
from worker.hearing import hear
from worker.judging import judge, reasons
from worker.letters.notes import send_notes
from worker.letters.sending import send
from worker.paying import pay, sending_ends
from worker.settling import settle
from worker.support import publish
from worker.tools import Tools

log = structlog.get_logger()

MOST_DELIVERIES = 3
FEW = 10  # a hundred cases one by one take longer than a worker may: after an outage it would never catch up

Do = Callable[[Tools, Sequence[UUID]], Collection[UUID] | None]
"""A handler. If deliveries are counted, it returns the cases that it could lock or lease."""


@dataclass(frozen=True, slots=True)
class Lane:
    """A handler, and the states of the cases that it works on."""

    do: Do
    here: tuple[State, ...] = ()
    """Empty if the ids are not ids of cases, or the handler decides nothing about them: then no deliveries are counted."""


def judge_and_pay(tools: Tools, ids: Sequence[UUID]) -> list[UUID]:
    """Evaluates cases, and pays those that may be paid. If the worker crashes between the two commits, the sweep goes on.

    Returns the cases that it could lock.
    """
    with tools.records.work() as work:
        cases = work.cases.lock(ids, here=State.RECEIVED)
        approved = judge(work, tools, cases)
    if approved:
        pay(tools, approved)
    return [case.id for case in cases]


LANES: dict[type[Cases], Lane] = {
    RefundRequested: Lane(judge_and_pay, here=(State.RECEIVED,)),
    RefundApproved: Lane(pay, here=(State.APPROVED,)),
    RefundUnsettled: Lane(settle, here=(State.REFUNDING, State.REFUND_PENDING)),
    Noticed: Lane(hear),
    SupportNeeded: Lane(publish),
    LettersDue: Lane(send),
    NotesDue: Lane(send_notes),
}


def run(tools: Tools, kind: type[Cases], ids: Sequence[UUID]) -> None:
    """Runs the handler of this kind of message."""
    lane = LANES[kind]
    if not lane.here:
        lane.do(tools, ids)
        return
    for counts in _begun(tools, ids, lane.here):
        held = set(lane.do(tools, list(counts)) or ())
        if left := {case: count for case, count in counts.items() if case not in held}:
            with tools.records.work() as work:
                work.cases.came_back(left, here=lane.here)


def _begun(tools: Tools, ids: Sequence[UUID], here: Sequence[State]) -> Iterator[dict[UUID, int]]:
    """Yields the cases to work on together, each with its deliveries, which are counted just before.

    Cases for which no time is left stay uncounted, and the sweep sends them again.
    """
    apart = tools.settings.timers.task_time_limit_seconds  # by then the worker that began has finished, or was killed
    ends = sending_ends(tools)
    with tools.records.work() as work:
        fresh = work.cases.begin(ids, here=here, apart=apart)
        rest = [case for case in ids if case not in fresh]
        suspects = work.cases.suspects(rest, here=here, apart=apart) if rest else {}
    if fresh:
        yield {case: fresh[case] for case in ids if case in fresh}
    for group in _groups(suspects):
        if tools.monotonic() > ends:
            return
        with tools.records.work() as work:
            counts = work.cases.begin(group, here=here, apart=apart, suspects=True)
        if worn := [case for case, count in counts.items() if count > MOST_DELIVERIES]:
            _to_people(tools, worn, here)
        if sound := {case: count for case, count in counts.items() if case not in worn}:
            yield sound


def _groups(suspects: Mapping[UUID, int]) -> Iterator[Sequence[UUID]]:
    once = [case for case, count in suspects.items() if count == 1]
    yield from (once[n : n + FEW] for n in range(0, len(once), FEW))
    yield from ([case] for case, count in suspects.items() if count > 1)


def _to_people(tools: Tools, ids: Sequence[UUID], here: Sequence[State]) -> None:
    """Hands cases that crash workers over to support; if money may have left, support reads that the outcome is unknown."""
    with tools.records.work() as work:
        cases = work.cases.lease(ids, here=here, seconds=tools.settings.timers.lease_seconds)
        work.history.record([_ended(case) for case in cases])
    log.error("case_ended_its_workers", case_ids=[str(case) for case in ids])


def _ended(case: Case) -> Step:
    codes = [Code.ENDED_ITS_WORKERS]
    if case.state in {State.REFUNDING, State.REFUND_PENDING}:
        codes.append(Code.OUTCOME_UNKNOWN)
    step = case.after(
        Event.ENDED_ITS_WORKERS,
        actor="worker",
        why=" ".join(code.support for code in codes),
        evidence={"reasons": reasons([Finding("payment", code) for code in codes])},
    )
    return replace(
        step, quiet=case.purchase is None
    )  # whose purchase it is, nobody has looked: there is no address to write to
