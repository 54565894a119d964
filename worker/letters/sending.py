"""Sending: letters that are due, claimed, written, delivered, and noted as sent."""

from collections.abc import Sequence
from uuid import UUID

import structlog

from domain.errors import MoneybackError
from records.letters import Due
from records.views import View
from worker.letters.post import NotSentError, RefusedLetterError
from worker.letters.write import timely, write
from worker.paying import sending_ends
from worker.tools import Tools

log = structlog.get_logger()

FOR_GOOD = 100 * 365 * 86_400.0  # seconds


def send(tools: Tools, ids: Sequence[UUID]) -> None:
    """Sends the letters of these cases that are due.

    The claim is committed before the letter leaves. Where the post cannot tell a repeat from a second letter the claim
    is for good, unless the letter certainly did not leave: one that may have left is not sent twice, and the status
    page says the same. Such letters are claimed one by one, so that whoever dies takes one with it at the most. What
    there is no time for stays as it is: the sweep sends it again.
    """
    ends = sending_ends(tools)
    for some in [ids] if tools.post.repeatable else [[case] for case in ids]:
        if tools.monotonic() <= ends:
            _send_some(tools, some, ends)


def _send_some(tools: Tools, ids: Sequence[UUID], ends: float) -> None:
    lease = tools.settings.timers.lease_seconds
    with tools.records.work() as work:
        due = work.letters.claim(ids, seconds=lease if tools.post.repeatable else FOR_GOOD)
        views = work.views.these([case for letter in due for case in (letter.case, letter.joined) if case])
    done: list[Due] = []
    not_left: list[Due] = []
    no_time: list[Due] = []
    refused: list[tuple[Due, str]] = []
    for letter in due:
        if tools.monotonic() > ends:
            no_time.append(letter)
            continue
        try:
            first = views.get(letter.joined) if letter.joined else None
            _send(tools, letter, views[letter.case], first)
        except NotSentError as error:
            log.warning("letter_not_sent", case_id=str(letter.case), stage=letter.stage, why=str(error))
            not_left.append(letter)
        except RefusedLetterError as error:
            refused.append((letter, str(error)))
        except MoneybackError as error:  # nobody knows whether it left, or nobody can take it: not to be repeated
            log.warning("letter_for_a_person", case_id=str(letter.case), stage=letter.stage, why=str(error))
        else:
            done.append(letter)
    with tools.records.work() as work:
        work.letters.sent(done)
        work.letters.give_back(not_left, seconds=lease)
        work.letters.give_back(no_time, seconds=0)
        for letter, why in refused:
            work.letters.bounced(letter.case, letter.stage, why)


def _send(tools: Tools, letter: Due, view: View, first: View | None) -> None:
    """A letter that was overtaken has nothing to say any more: it counts as sent."""
    if timely(letter.stage, view.state):
        tools.post.deliver(write(letter, view, tools.links, tools.settings.mail_from, first=first))
