"""Finds cases, webhook events, support tasks, tickets and e-mails that no worker processed in time, and sends them again.

If the customer did not confirm a case in time, the sweep ends the case in the state "expired". If an unmatched case matches a
purchase, the sweep lets it be evaluated again. If a purchase of another seller matches a case that named no seller, this seller
gets a copy. The personal data of cases that ended longer ago than the retention setting is removed.
"""

import structlog

from domain.messages import CaseEmailsDue, HelpdeskTicketsDue, InquiryEmailsDue, SupportNeeded, WebhookEventsReceived
from domain.state_effects import EFFECTS
from domain.states import Event, State
from domain.support_tasks import SupportTaskKind
from records import Records, UnitOfWork
from worker.support_tasks.statutory_withdrawals import withdrawal_tasks

log = structlog.get_logger()

BATCH_SIZE = 1_000  # the maximum number of rows of each kind in one batch, so that its transaction is short
RETENTION_BATCH_SIZE = 100  # the maximum number of cases whose personal data one sweep removes
MISSED_DAYS = 1
"""Unmatched cases, and cases that named no seller, of this number of days are compared with the purchases.

No import of purchases takes as long.
"""
MAX_BATCHES = 10  # the maximum number of batches in one sweep, because a relay publishes nothing while it sweeps


class Sweep:
    """A sweep of all overdue rows. Several processes can sweep at the same time: each skips rows that are already locked."""

    def __init__(self, records: Records, *, retention_days: int | None = None) -> None:
        self._records = records
        self._retention_days = retention_days

    def run_once(self) -> int:
        """Sweep until no row is overdue, but at most ``MAX_BATCHES`` batches. Return the number of rows that were overdue."""
        total = self._forget_expired()
        for _ in range(MAX_BATCHES):
            counts = self._sweep_batch()
            total += sum(counts.values())
            if any(counts.values()):
                log.info("sweep_finished", **counts)
            if max(counts.values()) < BATCH_SIZE:
                break
        return total

    def _forget_expired(self) -> int:
        """Remove the personal data of one batch of cases that ended longer ago than the retention. Return the number of rows."""
        if self._retention_days is None:
            return 0
        with self._records.work() as work:
            count = work.personal_data.forget_expired(days=self._retention_days, limit=RETENTION_BATCH_SIZE)
        if count:
            log.info("personal_data_forgotten", rows=count)
        return count

    def _sweep_batch(self) -> dict[str, int]:
        with self._records.work() as work:
            return _sweep_cases(work) | _sweep_unmatched(work) | _resend_queued_work(work)


def _sweep_cases(work: UnitOfWork) -> dict[str, int]:
    """Sweep the cases that have been in their state for longer than the timeout of the state.

    If such a case waits for the customer's confirmation, it expires. Otherwise it is sent to a queue again.
    """
    overdue = work.cases.overdue(BATCH_SIZE)
    unconfirmed = [row.id for row in overdue if row.state == State.AWAITING_CONFIRMATION]
    transitions = [
        case.after(Event.CONFIRMATION_EXPIRED, actor="sweep")
        for case in work.cases.lock(unconfirmed, state=State.AWAITING_CONFIRMATION)
    ]
    recorded = work.history.record(transitions)
    expired_cases = [transition.case for transition in transitions if transition.case.id in recorded]
    withdrawals = work.statutory_withdrawals.for_purchases_of([case.id for case in expired_cases])
    work.support_tasks.create(withdrawal_tasks(SupportTaskKind.STATUTORY_WITHDRAWAL_UNPAID, expired_cases, withdrawals))
    resent = [
        (message, row.bulk, row.seller_id, row.id) for row in overdue if (message := EFFECTS[State(row.state)].resend)
    ]
    work.outbox.enqueue_again(resent)
    work.cases.postpone([case_id for _, _, _, case_id in resent], work.timers.resend_after_seconds)
    return {"resent": len(resent), "expired": len(transitions)}


def _sweep_unmatched(work: UnitOfWork) -> dict[str, int]:
    """Let unmatched cases be evaluated again if their purchase was reported at the same moment, or by a long import.

    If another seller reported a matching purchase at that moment, the other seller gets a copy of the case.
    """
    why = "The purchase was being stored while the request was evaluated."
    missed = work.cases.missed(days=MISSED_DAYS, limit=BATCH_SIZE)
    work.history.record([case.after(Event.PURCHASE_REPORTED, actor="sweep", why=why) for case in missed])
    forks = work.cases.missed_by_other_sellers(days=MISSED_DAYS, limit=BATCH_SIZE)
    work.intake.fork(forks)
    return {"matched": len(missed), "forked": len(forks)}


def _resend_queued_work(work: UnitOfWork) -> dict[str, int]:
    """Send overdue e-mails, support tasks, tickets and webhook events to their queues again. Close old tasks about e-mails."""
    seconds = work.timers.resend_after_seconds
    case_emails = work.case_emails.overdue(seconds=seconds, limit=BATCH_SIZE)
    work.support_tasks.close_expired()
    work.support_tasks.wake_reported()
    support_tasks = work.support_tasks.overdue(seconds=seconds, limit=BATCH_SIZE)
    support_task_events = work.support_task_events.overdue(seconds=seconds, limit=BATCH_SIZE)
    webhook_events = work.webhook_events.overdue(BATCH_SIZE)
    inquiry_emails = work.inquiry_emails.overdue(seconds=seconds, limit=BATCH_SIZE)
    helpdesk_tickets = work.helpdesk_tickets.overdue(BATCH_SIZE)
    work.outbox.enqueue_again(
        [
            *((CaseEmailsDue, *row) for row in case_emails),
            *((SupportNeeded, *row) for row in (*support_tasks, *support_task_events)),
            *((WebhookEventsReceived, False, "", event_id) for event_id in webhook_events),
            *((InquiryEmailsDue, False, "", email_id) for email_id in inquiry_emails),
            *((HelpdeskTicketsDue, False, "", ticket_id) for ticket_id in helpdesk_tickets),
        ]
    )
    work.webhook_events.postpone(webhook_events, seconds)
    return {
        "case_emails": len(case_emails),
        "support_tasks": len(support_tasks),
        "support_task_events": len(support_task_events),
        "webhook_events": len(webhook_events),
        "inquiry_emails": len(inquiry_emails),
        "helpdesk_tickets": len(helpdesk_tickets),
    }
