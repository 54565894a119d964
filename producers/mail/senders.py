"""Finds out who may have written a mail: the sender, or the customer whose mail a program or a colleague passed on.

A contact form, a ticket system or a group address writes the customer's address into another header field or into the text.
"""

import re
from dataclasses import dataclass
from email.utils import getaddresses

from pydantic import TypeAdapter, ValidationError

from domain.purchases import email_key
from domain.requests import Email
from producers.mail.automated_mail import SentMailMatcher
from producers.mail.mail_text import Part, header

MAX_ADDRESSES = 8  # addresses of one mail that are looked up; a ticket system names two or three people

_FIELDS = ("reply-to", "x-original-from", "x-original-sender", "x-forwarded-sender", "resent-from")
"""Header fields with the address of the customer. Google Groups writes X-Original-From and X-Original-Sender."""

_ADDRESS = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,4}")

_NAMED_ADDRESS = re.compile(
    rf"^(?:[^\n:：@]{{1,40}}[:：][^\n:：@]{{0,60}}?|\W{{0,5}})({_ADDRESS.pattern})", re.MULTILINE
)
"""An address behind a label, "E-mail: ada@example.com", or at the beginning of a line."""

_EMAIL: TypeAdapter[str] = TypeAdapter(Email)


@dataclass(frozen=True, slots=True)
class Senders:
    """The addresses that a mail's author may have."""

    sender: str
    in_headers: tuple[str, ...]
    """The addresses in the header fields, without Moneyback's own addresses."""
    is_own_list: bool
    """False if the mail went to a mailing list of others."""
    _matcher: SentMailMatcher

    @property
    def has_other(self) -> bool:
        """True if a header field names another author than the field From."""
        return any(email_key(address) != email_key(self.sender) for address in self.in_headers)

    def names_other(self, text: str) -> bool:
        """Return True if a line of ``text`` begins with another address, or with a label and another address."""
        named = _usable(_NAMED_ADDRESS.findall(text), self._matcher)
        return any(email_key(address) != email_key(self.sender) for address in named)

    def all(self, text: str) -> tuple[str, ...]:
        """Return the sender, the addresses in the header fields, and the addresses in ``text``, each once."""
        return _usable((self.sender, *self.in_headers, *_ADDRESS.findall(text)), self._matcher)


def find_senders(message: Part, sender: str, sent_mail_matcher: SentMailMatcher) -> Senders:
    """Return the addresses that the author of a mail may have."""
    named = getaddresses([header(message, field) for field in _FIELDS if header(message, field)])
    in_headers = _usable([address for _, address in named], sent_mail_matcher)
    return Senders(sender, in_headers, sent_mail_matcher.is_own_list(message), sent_mail_matcher)


def _usable(addresses: "tuple[str, ...] | list[str]", sent_mail_matcher: SentMailMatcher) -> tuple[str, ...]:
    """Return the valid addresses that are not Moneyback's own, each once."""
    usable: dict[str, str] = {}
    for address in addresses:
        if len(usable) < MAX_ADDRESSES and not sent_mail_matcher.is_own_address(address) and _is_valid(address):
            usable.setdefault(email_key(address), address)
    return tuple(usable.values())


def _is_valid(address: str) -> bool:
    try:
        _EMAIL.validate_python(address)
    except ValidationError:
        return False
    return True
