"""The sweep: whatever stayed in a state longer than that state's patience is sent again, or ended. No state without an owner."""

from typing import NamedTuple

import structlog

from domain.aftermath import AFTERMATH
from domain.messages import LettersDue, SupportNeeded
from domain.states import Event, State
from records import Records

log = structlog.get_logger()

STEP = 1_000  # cases in one transaction: a backlog is swept in bounded steps


class Swept(NamedTuple):
    """What one sweep found without an owner."""

    resent: int
    expired: int
    letters: int
    tasks: int


class Sweep:
    """Any number may run side by side: each takes rows that no other holds."""

    def __init__(self, records: Records) -> None:
        self._records = records

    def run_once(self) -> Swept:
        """One bounded step."""
        swept = Swept(*self._cases(), *self._owed())
        if any(swept):
            log.info("swept", **swept._asdict())
        return swept

    def _cases(self) -> tuple[int, int]:
        with self._records.work() as work:
            overdue = work.cases.overdue(STEP)
            lapsed = [row.id for row in overdue if row.state == State.AWAITING_CONFIRMATION]
            steps = [
                case.after(Event.TIME_RAN_OUT, actor="sweep")
                for case in work.cases.lock(lapsed, here=State.AWAITING_CONFIRMATION)
            ]
            work.history.record(steps)
            again = [
                (lane, row.bulk, row.seller, row.id) for row in overdue if (lane := AFTERMATH[State(row.state)].resend)
            ]
            work.outbox.owe(again)
            work.cases.put_off([case for _, _, _, case in again], work.timers.lane_seconds)
        return len(again), len(steps)

    def _owed(self) -> tuple[int, int]:
        with self._records.work() as work:
            seconds = work.timers.lane_seconds
            letters = work.letters.overdue(seconds=seconds, limit=STEP)
            tasks = work.tasks.overdue(seconds=seconds, limit=STEP)
            work.outbox.owe([(LettersDue, *row) for row in letters] + [(SupportNeeded, *row) for row in tasks])
        return len(letters), len(tasks)
