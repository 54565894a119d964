"""The sweep: whatever stayed in a state longer than that state's patience is sent again, or ended. No state without an owner."""

import structlog

from domain.messages import CaseEmailsDue, InquiryEmailsDue, SupportNeeded, WebhookEventsReceived
from domain.state_effects import EFFECTS
from domain.states import Event, State
from domain.support_tasks import SupportTaskKind
from records import Records, UnitOfWork
from worker.support_tasks.withdrawals import withdrawal_tasks

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
                log.info("sweep_finished", **found)
            if max(found.values()) < STEP:
                break
        return swept

    def _step(self) -> dict[str, int]:
        with self._records.work() as work:
            return _cases(work) | _owed(work)


def _cases(work: UnitOfWork) -> dict[str, int]:
    """Cases whose patience ran out: sent again, or expired where a customer never confirmed."""
    overdue = work.cases.overdue(STEP)
    lapsed = [row.id for row in overdue if row.state == State.AWAITING_CONFIRMATION]
    steps = [
        case.after(Event.CONFIRMATION_EXPIRED, actor="sweep")
        for case in work.cases.lock(lapsed, state=State.AWAITING_CONFIRMATION)
    ]
    expired = work.history.record(steps)
    lapsed_cases = [step.case for step in steps if step.case.id in expired]
    declared = work.statutory_withdrawals.for_purchases_of([case.id for case in lapsed_cases])
    work.support_tasks.create(withdrawal_tasks(SupportTaskKind.STATUTORY_WITHDRAWAL_UNPAID, lapsed_cases, declared))
    again = [(lane, row.bulk, row.seller, row.id) for row in overdue if (lane := EFFECTS[State(row.state)].resend)]
    work.outbox.enqueue_again(again)
    work.cases.postpone([case for _, _, _, case in again], work.timers.resend_after_seconds)
    return {"resent": len(again), "expired": len(steps)}


def _owed(work: UnitOfWork) -> dict[str, int]:
    """Letters, tasks, notices and notes that nobody carried on."""
    seconds = work.timers.resend_after_seconds
    letters = work.case_emails.overdue(seconds=seconds, limit=STEP)
    tasks = work.support_tasks.overdue(seconds=seconds, limit=STEP)
    notices = work.webhook_events.overdue(STEP)
    notes = work.inquiry_emails.overdue(seconds=seconds, limit=STEP)
    work.outbox.enqueue_again(
        [
            *((CaseEmailsDue, *row) for row in letters),
            *((SupportNeeded, *row) for row in tasks),
            *((WebhookEventsReceived, False, "", notice) for notice in notices),
            *((InquiryEmailsDue, False, "", note) for note in notes),
        ]
    )
    work.webhook_events.postpone(notices, seconds)
    return {"letters": len(letters), "tasks": len(tasks), "notices": len(notices), "notes": len(notes)}
