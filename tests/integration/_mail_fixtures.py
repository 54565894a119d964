"""Mails of people, and the mail server they go through."""

from collections.abc import Iterator
from itertools import count

import pytest

from records import Records
from tests.debian_packages import NotInstalledError
from tests.dovecot import Dovecot, running_dovecot

OURS = ["refunds@moneyback.example"]

_numbers = count(1)


def a_mail(
    text: str = "Please refund MB-2026-0417.", *, who: str = "", head: str = "", subject: str = "Refund"
) -> bytes:
    """A mail of somebody who did not write before, or of ``who``."""
    number = next(_numbers)
    lines = [
        f"From: Ada <{who or f'ada{number}@example.com'}>",
        f"Message-ID: <mail{number}@example.com>",
        f"Subject: {subject}",
        *filter(None, [head]),
        "",
        text,
        "",
    ]
    return "\r\n".join(lines).encode()


def cases(records: Records) -> int:
    with records.work() as work:
        return sum(work.case_views.counts().values())


@pytest.fixture(scope="module")
def dovecot() -> Iterator[Dovecot]:
    """Debian's Dovecot. Where it is not, and cannot be installed, it is said what to install."""
    try:
        with running_dovecot() as dovecot:
            yield dovecot
    except NotInstalledError as error:
        pytest.skip(str(error))
