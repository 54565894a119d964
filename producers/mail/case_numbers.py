"""Finds case numbers in a customer's mail, and the customer's cases that they name."""

import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from uuid import UUID

from domain.case_numbers import ALPHABET, decode
from domain.errors import UnreadableError
from domain.purchases import email_key
from producers.mail.parsed_mail import MailKind, ParsedMail
from producers.mail.references import fold

CaseKey = tuple[str, int]
"""The key of an e-mail address, and the serial number of a case."""

MAX_CASE_NUMBERS = 20  # case numbers of one mail that are looked up; a long thread quotes a few

_SYMBOL = f"[{ALPHABET}ILO]"  # decode() reads I, L and O as digits
_CASE_NUMBER = re.compile(
    rf"(?<![A-Z0-9])(?=({_SYMBOL}{{4}}[-. ]?{_SYMBOL}{{4}}[-. ]?{_SYMBOL})(?![A-Z0-9]))", re.IGNORECASE
)
"""A possible case number. It is looked ahead, because "from 4K7P 2M9X G" begins like a number at an earlier word."""


def find(text: str) -> tuple[int, ...]:
    """Return the serial numbers of the case numbers in a text, each once. The check character must be right."""
    serials: dict[int, None] = {}
    for match in _CASE_NUMBER.finditer(fold(text)):
        with suppress(UnreadableError):
            serials[decode(match[1])] = None
    return tuple(serials)[:MAX_CASE_NUMBERS]


def keys_of(mails: Iterable[ParsedMail]) -> set[CaseKey]:
    """Return the keys of all cases that these mails can name."""
    return {
        (email_key(address), serial) for mail in mails for address in _addresses(mail) for serial in mail.case_serials
    }


def with_cases(mail: ParsedMail, cases: Mapping[CaseKey, UUID]) -> ParsedMail:
    """Return the mail with the customer's cases that it names. Their case numbers are then no references of purchases."""
    named = {
        serial: case
        for address in _addresses(mail)
        for serial in mail.case_serials
        if (case := cases.get((email_key(address), serial)))
    }
    requests = tuple(request for request in mail.requests if not named.keys() & set(find(request.reference)))
    names_only_cases = mail.kind is MailKind.REQUEST and not requests
    return replace(
        mail,
        kind=MailKind.NO_REFERENCE if names_only_cases else mail.kind,
        requests=requests,
        named_cases=tuple(named.values()),
    )


def _addresses(mail: ParsedMail) -> tuple[str, ...]:
    return mail.refund_intent.addresses if mail.refund_intent else (mail.sender,)
