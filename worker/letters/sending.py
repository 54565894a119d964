"""Sending: letters that are due, claimed, written, delivered, and noted as sent."""

from collections.abc import Sequence
from uuid import UUID

import structlog

from records.letters import Due
from worker.letters.write import write
from worker.tools import Tools

log = structlog.get_logger()

FOR_GOOD = 100 * 365 * 86_400.0  # seconds


def send(tools: Tools, ids: Sequence[UUID]) -> None:
    """Sends the letters of these cases that are due.

    The claim is committed before the letter leaves. Where the post cannot tell a repeat from a second letter the claim
    is for good: a letter that may have left is not sent twice; the status page says the same.
    """
    lease = tools.settings.timers.lease_seconds if tools.post.repeatable else FOR_GOOD
    with tools.records.work() as work:
        due = work.letters.claim(ids, seconds=lease)
        views = {letter.case: work.cases.view(letter.case) for letter in due}
    sent: list[Due] = []
    for letter in due:
        view = views[letter.case]
        assert view, "a letter has a case"
        try:
            tools.post.deliver(write(letter.stage, view, tools.links, tools.settings.mail_from))
        except OSError as error:  # smtplib's errors are OSErrors, too
            log.warning("letter_not_sent", case_id=str(letter.case), stage=letter.stage, error=type(error).__name__)
        else:
            sent.append(letter)
    with tools.records.work() as work:
        work.letters.sent(sent)
