"""The thread of a case: the words of the request, e-mails and messages of the customer, and our e-mails, in the order of time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from producers.desk import case_copy
from records.case_threads import EntryKind, ThreadEntry
from records.case_views import CaseView

_CHANNELS = {"web": "on a page", "api": "through the API", "email": "by email", "queue": "through a queue"}
_CUSTOMER = "The customer"
"""Who wrote, if the personal data of the customer was removed."""
NO_TEXT = "The text is in the mailbox, because Moneyback keeps only the texts that support must read."


@dataclass(frozen=True, slots=True)
class Message:
    """An entry of the thread, as the page shows it."""

    at: datetime
    who: str
    how: str
    """How the text came or went, as the end of a line."""
    text: str
    is_from_customer: bool
    hint: str = ""
    is_waiting: bool = False
    """True for our e-mail that is not sent yet. It is the end of the thread."""


def thread_of(view: CaseView, entries: Sequence[ThreadEntry]) -> list[Message]:
    """Return the messages about a case, the oldest first. Notes are not part of the thread, because no customer reads them."""
    messages = [*_request(view), *(_MESSAGES[entry.kind](view, entry) for entry in entries if entry.kind in _MESSAGES)]
    return sorted(messages, key=lambda message: (message.is_waiting, message.at))


def _request(view: CaseView) -> Iterator[Message]:
    how = f"requested {case_copy.SCOPES.get(view.refund_scope, view.refund_scope)} {case_copy.CHANNELS[view.channel]}"
    answers = [f"{case_copy.ANSWERS.get(name, name)}: {text}" for name, text in view.answers.items() if text]
    text = "\n".join(filter(None, [view.comment, *answers]))
    reason = f"Reason: {case_copy.REASONS.get(view.reason, view.reason)}."
    yield Message(view.received_at, view.email or _CUSTOMER, how, text, is_from_customer=True, hint=reason)
    if view.declared_at:
        yield Message(
            view.declared_at,
            view.declared_by or view.email or _CUSTOMER,
            "withdrew from the contract",
            view.statement or "",
            is_from_customer=True,
        )


def _answer(view: CaseView, entry: ThreadEntry) -> Message:
    customer = view.purchase_email or view.email or _CUSTOMER
    how = f"wrote {_CHANNELS.get(entry.label, entry.label)}"
    return Message(entry.at, customer, how, entry.text, is_from_customer=True)


def _mail(_: CaseView, entry: ThreadEntry) -> Message:
    text = "\n".join(filter(None, [entry.subject, entry.text]))
    return Message(
        entry.at, entry.who, "sent an email", text, is_from_customer=True, hint="" if entry.text else NO_TEXT
    )


def _email(_: CaseView, entry: ThreadEntry) -> Message:
    who = entry.who or "Moneyback"
    hint = "The email came back, so the customer has not read it." if entry.is_bounced else ""
    subject = case_copy.EMAILS.get(entry.label, entry.label)
    how = f"sent the email: {subject}" if entry.is_sent else f"is sending the email: {subject}"
    return Message(entry.at, who, how, entry.text, is_from_customer=False, hint=hint, is_waiting=not entry.is_sent)


_MESSAGES = {EntryKind.ANSWER: _answer, EntryKind.MAIL: _mail, EntryKind.EMAIL: _email}
