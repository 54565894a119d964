"""E-mails about cases: those that are due are claimed, written, delivered, and recorded as sent."""

from collections.abc import Mapping, Sequence
from uuid import UUID

import structlog

from records.letters import Due
from records.views import View
from worker.letters.delivery import Delivered, deliver_batch
from worker.letters.write import timely, write
from worker.tools import Tools

log = structlog.get_logger()


def send(tools: Tools, ids: Sequence[UUID]) -> None:
    """Sends the e-mails of these cases that are due."""
    views: dict[UUID, View] = {}

    def claim(cases: Sequence[UUID], seconds: float) -> list[Due]:
        with tools.records.work() as work:
            due = work.letters.claim(cases, seconds=seconds)
            views.update(work.views.these([case for letter in due for case in (letter.case, letter.joined) if case]))
        return due

    deliver_batch(
        tools,
        ids,
        claim=claim,
        send=lambda letter: _send(tools, letter, views),
        record=lambda delivered: _record(tools, delivered),
    )


def _send(tools: Tools, letter: Due, views: Mapping[UUID, View]) -> None:
    """Sends an e-mail. An e-mail whose case has moved on has nothing to say any more: it counts as sent."""
    view = views[letter.case]
    if timely(letter.stage, view.state):
        first = views.get(letter.joined) if letter.joined else None
        tools.post.deliver(write(letter, view, tools.links, tools.settings.mail_from, first=first))


def _record(tools: Tools, delivered: Delivered[Due]) -> None:
    for letter, why in delivered.not_sent:
        log.warning("letter_not_sent", case_id=str(letter.case), stage=letter.stage, why=why)
    for letter, why in delivered.failed:
        log.warning("letter_for_a_person", case_id=str(letter.case), stage=letter.stage, why=why)
    with tools.records.work() as work:
        work.letters.sent(delivered.sent)
        work.letters.give_back(
            [letter for letter, _ in delivered.not_sent], seconds=tools.settings.timers.lease_seconds
        )
        work.letters.give_back(delivered.no_time, seconds=0)
        for letter, why in delivered.refused:
            work.letters.bounced(letter.case, letter.stage, why)
