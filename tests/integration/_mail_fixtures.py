"""Sample e-mails of customers, and a mail server that receives them."""

from collections.abc import Iterator
from itertools import count

import pytest

from records import Records
from tests.debian_packages import NotInstalledError
from tests.dovecot import Dovecot, running_dovecot

OWN_ADDRESSES = ["refunds@moneyback.example"]

_numbers = count(1)


def a_mail(
    text: str = "Please refund MB-2026-0417.", *, sender: str = "", header: str = "", subject: str = "Refund"
) -> bytes:
    """Return an e-mail. If `sender` is empty, a new customer is the sender. `header` is one more header line."""
    number = next(_numbers)
    lines = [
        f"From: Ada <{sender or f'ada{number}@example.com'}>",
        f"Message-ID: <mail{number}@example.com>",
        f"Subject: {subject}",
        *filter(None, [header]),
        "",
        text,
        "",
    ]
    return "\r\n".join(lines).encode()


def count_cases(records: Records) -> int:
    with records.work() as work:
        return sum(work.case_views.counts().values())


@pytest.fixture(scope="module")
def dovecot() -> Iterator[Dovecot]:
    """Yield Debian's Dovecot. If it cannot be installed, skip the tests, and name the packages to install."""
    try:
        with running_dovecot() as dovecot:
            yield dovecot
    except NotInstalledError as error:
        pytest.skip(str(error))
