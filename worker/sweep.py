"""The sweep: whatever stayed in a state longer than that state's patience is sent again, or ended. No state without an owner."""

import structlog

from domain.aftermath import AFTERMATH
from domain.findings import Trouble
from domain.messages import LettersDue, NotesDue, Noticed, SupportNeeded
from domain.states import Event, State
from records import Records, Work
from worker.declared import declarations

log = structlog.get_logger()

STEP = 1_000  # cases in one transaction: a backlog is swept in bounded steps
MOST_STEPS = 10  # of one sweep: the relay has other things to do as well


class Sweep:
    """Any number may run side by side: each takes rows that no other holds."""

    def __init__(self, records: Records) -> None:
        self._records = records

    def run_once(self) -> int:
        """Bounded steps until nothing is left or it was enough for now; returns how much was without an owner."""
        swept = 0
        for _ in range(MOST_STEPS):
            found = self._step()
            swept += sum(found.values())
            if any(found.values()):
                log.info("swept", **found)
            if max(found.values()) < STEP:
                break
        return swept

    def _step(self) -> dict[str, int]:
        with self._records.work() as work:
            return _cases(work) | _owed(work)


def _cases(work: Work) -> dict[str, int]:
    """Cases whose patience ran out: sent again, or expired where a customer never confirmed."""
    overdue = work.cases.overdue(STEP)
    lapsed = [row.id for row in overdue if row.state == State.AWAITING_CONFIRMATION]
    steps = [
        case.after(Event.TIME_RAN_OUT, actor="sweep")
        for case in work.cases.lock(lapsed, here=State.AWAITING_CONFIRMATION)
    ]
    expired = work.history.record(steps)
    lapsed_cases = [step.case for step in steps if step.case.id in expired]
    declared = work.withdrawals.about([case.id for case in lapsed_cases])
    work.tasks.report(declarations(Trouble.WITHDRAWAL_UNPAID, lapsed_cases, declared))
    again = [(lane, row.bulk, row.seller, row.id) for row in overdue if (lane := AFTERMATH[State(row.state)].resend)]
    work.outbox.owe(again)
    work.cases.put_off([case for _, _, _, case in again], work.timers.resend_after_seconds)
    return {"resent": len(again), "expired": len(steps)}


def _owed(work: Work) -> dict[str, int]:
    """Letters, tasks, notices and notes that nobody carried on."""
    seconds = work.timers.resend_after_seconds
    letters = work.letters.overdue(seconds=seconds, limit=STEP)
    tasks = work.tasks.overdue(seconds=seconds, limit=STEP)
    notices = work.notices.overdue(STEP)
    notes = work.notes.overdue(seconds=seconds, limit=STEP)
    work.outbox.owe(
        [
            *((LettersDue, *row) for row in letters),
            *((SupportNeeded, *row) for row in tasks),
            *((Noticed, False, "", notice) for notice in notices),
            *((NotesDue, False, "", note) for note in notes),
        ]
    )
    work.notices.put_off(notices, seconds)
    return {"letters": len(letters), "tasks": len(tasks), "notices": len(notices), "notes": len(notes)}
