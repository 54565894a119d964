"""Sends the e-mails about cases: claims the due e-mails, renders and delivers them, and records the results."""

from collections.abc import Mapping, Sequence
from uuid import UUID

import structlog

from records.case_emails import DueEmail
from records.case_views import CaseView
from worker.context import WorkerContext
from worker.emails.delivery import DeliveryResults, deliver_batch
from worker.emails.rendering import is_current, render

log = structlog.get_logger()


def send_case_emails(context: WorkerContext, ids: Sequence[UUID]) -> None:
    """Send the due e-mails of the cases with these ids."""
    views: dict[UUID, CaseView] = {}

    def claim(case_ids: Sequence[UUID], seconds: float) -> list[DueEmail]:
        with context.records.work() as work:
            emails = work.case_emails.claim(case_ids, seconds=seconds)
            view_ids = [case_id for email in emails for case_id in (email.case_id, email.joined) if case_id]
            views.update(work.case_views.get_many(view_ids))
        return emails

    deliver_batch(
        context,
        ids,
        claim=claim,
        send=lambda email: _send(context, email, views),
        record=lambda results: _record(context, results, views),
    )


def _is_omitted(email: DueEmail, views: Mapping[UUID, CaseView]) -> bool:
    """Return whether an e-mail is not sent: its text is no longer true, or the customer's address was removed."""
    view = views[email.case_id]
    return not is_current(email.kind, view.state) or view.forgotten_at is not None


def _send(context: WorkerContext, email: DueEmail, views: Mapping[UUID, CaseView]) -> None:
    """Send an e-mail, unless it is omitted."""
    if not _is_omitted(email, views):
        first_case = views.get(email.joined) if email.joined else None
        message = render(email, views[email.case_id], context.links, context.settings.mail_from, first=first_case)
        context.mail_transport.deliver(message)


def _record(context: WorkerContext, results: DeliveryResults[DueEmail], views: Mapping[UUID, CaseView]) -> None:
    for email, error in results.not_sent:
        log.warning("email_deferred", case_id=str(email.case_id), stage=email.kind, why=error)
    for email, error in results.failed:
        log.warning("email_failed", case_id=str(email.case_id), stage=email.kind, why=error)
    with context.records.work() as work:
        work.case_emails.mark_sent([email for email in results.sent if not _is_omitted(email, views)])
        work.case_emails.mark_omitted([email for email in results.sent if _is_omitted(email, views)])
        not_sent = [email for email, _ in results.not_sent]
        work.case_emails.release(not_sent, seconds=context.settings.timers.lease_seconds)
        work.case_emails.release(results.no_time, seconds=0)
        for email, error in results.rejected:
            work.case_emails.mark_bounced(email.case_id, email.name, error)
