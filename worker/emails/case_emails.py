"""E-mails about cases: those that are due are claimed, written, delivered, and recorded as sent."""

from collections.abc import Mapping, Sequence
from uuid import UUID

import structlog

from records.case_emails import DueEmail
from records.case_views import CaseView
from worker.context import WorkerContext
from worker.emails.delivery import Delivered, deliver_batch
from worker.emails.rendering import is_current, render

log = structlog.get_logger()


def send_case_emails(context: WorkerContext, ids: Sequence[UUID]) -> None:
    """Sends the e-mails of these cases that are due."""
    views: dict[UUID, CaseView] = {}

    def claim(cases: Sequence[UUID], seconds: float) -> list[DueEmail]:
        with context.records.work() as work:
            due = work.case_emails.claim(cases, seconds=seconds)
            views.update(
                work.case_views.get_many([case for letter in due for case in (letter.case_id, letter.joined) if case])
            )
        return due

    deliver_batch(
        context,
        ids,
        claim=claim,
        send=lambda letter: _send(context, letter, views),
        record=lambda delivered: _record(context, delivered),
    )


def _send(context: WorkerContext, letter: DueEmail, views: Mapping[UUID, CaseView]) -> None:
    """Sends an e-mail. An e-mail whose case has moved on has nothing to say any more: it counts as sent."""
    view = views[letter.case_id]
    if is_current(letter.kind, view.state):
        first = views.get(letter.joined) if letter.joined else None
        context.mail_transport.deliver(render(letter, view, context.links, context.settings.mail_from, first=first))


def _record(context: WorkerContext, delivered: Delivered[DueEmail]) -> None:
    for letter, why in delivered.not_sent:
        log.warning("email_deferred", case_id=str(letter.case_id), stage=letter.kind, why=why)
    for letter, why in delivered.failed:
        log.warning("email_failed", case_id=str(letter.case_id), stage=letter.kind, why=why)
    with context.records.work() as work:
        work.case_emails.mark_sent(delivered.sent)
        work.case_emails.release(
            [letter for letter, _ in delivered.not_sent], seconds=context.settings.timers.lease_seconds
        )
        work.case_emails.release(delivered.no_time, seconds=0)
        for letter, why in delivered.refused:
            work.case_emails.mark_bounced(letter.case_id, letter.kind, why)
