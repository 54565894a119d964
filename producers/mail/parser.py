"""Parses the bytes of a mail into its kind, its sender and its refund requests.

The parser has no side effects and raises no exception.
"""

import hashlib
import re
import unicodedata
from base64 import b64decode, b64encode
from collections.abc import Collection
from dataclasses import replace
from email import message_from_bytes
from email.headerregistry import AddressHeader
from email.parser import BytesHeaderParser
from email.policy import EmailPolicy
from typing import NamedTuple

from pydantic import TypeAdapter, ValidationError

from domain.redaction import without_cards
from domain.requests import Email
from producers.mail import case_numbers, references
from producers.mail.automated_mail import SentMailMatcher, automated_kind, is_auto_reply
from producers.mail.intent import (
    SUPPORTED_LANGUAGES,
    advertises,
    asks,
    complains,
    concerns_support,
    detect_language,
    mentions,
    reason_of,
    refund_scope_of,
    revokes,
    text_before_request,
    thanks,
    wants_something_else,
)
from producers.mail.kept_purchases import set_aside_kept
from producers.mail.mail_text import MailText, MailTexts, Part, decode_iso_2022_jp, header, texts
from producers.mail.parsed_mail import MAX_REFERENCES, MailKind, ParsedMail, RefundIntent
from producers.mail.senders import Senders, find_senders
from producers.mail.withdrawals import find_withdrawal

MAX_SIZE = 10_000_000  # the maximum size of a mail, in bytes. It is enough for a request with attached pictures
MAX_READ_BYTES = 1_000_000  # only the first bytes of a mail are parsed: the text comes first, and attachments follow
MAX_HEADER_BYTES = 200_000  # only the first bytes of a mail are searched for headers
MAX_BOUNDARY_LINES, MAX_BOUNDARIES = 500, 40
"""The maximum number of lines that start with ``--``, and of occurrences of the word "boundary".

If a mail exceeds one of the two limits, its text is not parsed. The standard library is slow for a mail with many parts.
"""
MAX_COMMENT = 4_000  # characters of a comment; the refund form has the same maximum
MAX_FILE_NAMES = 500  # characters of the names of the attached files
MAX_MESSAGE_ID = 250  # characters; a hash replaces a longer Message-ID
MAX_HEADER = 2_000
"""The maximum number of characters of a header; the rest is ignored.

The standard library takes a minute to parse a very long header. Only the header References is long in real mails.
"""


class _LenientHeaderPolicy(EmailPolicy):
    """A parser policy that accepts headers of any length and headers with bytes outside ASCII (RFC 6532 allows UTF-8)."""

    def header_source_parse(self, sourcelines: list[str]) -> tuple[str, str]:
        """Return the name and the value of a header; the value is cut to MAX_HEADER characters."""
        name, value = super().header_source_parse(sourcelines)
        value = _SHIFT_JIS.sub("=?cp932?", _FOLDED_REFERENCE.sub("", value[:MAX_HEADER]))
        value = _ISO_2022_JP.sub(_with_nec_characters, value)
        return name, value if value.isascii() else _decode_header(value.encode("ascii", "surrogateescape"))


_SHIFT_JIS = re.compile(r"=\?(?:shift[_-]jis|x-sjis|sjis|windows-31j)\?", re.IGNORECASE)
"""The charset of an encoded word. Mail clients declare Shift_JIS but use Microsoft's larger charset."""

_ISO_2022_JP = re.compile(r"=\?iso-2022-jp\?b\?([A-Za-z0-9+/=]{4,500})\?=", re.IGNORECASE)
"""An encoded word in ISO-2022-JP."""


def _with_nec_characters(word: re.Match[str]) -> str:
    """Return an encoded word in UTF-8, because the standard library does not know NEC's characters in ISO-2022-JP."""
    try:
        text = decode_iso_2022_jp(b64decode(word[1]))
    except ValueError:
        return word[0]
    return f"=?utf-8?B?{b64encode(text.encode()).decode()}?="


_FOLDED_REFERENCE = re.compile(r"(?<=[A-Za-z0-9]-)\r?\n[ \t]+(?=\d)")
"""The fold of a header inside a reference. A program that folds behind a dash adds a space that the author did not write."""


def _decode_header(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


_POLICY = _LenientHeaderPolicy()


def read(raw: bytes, *, moneyback_addresses: Collection[str] = (), size: int | None = None) -> ParsedMail:
    """Return the parsed mail; its kind is UNREADABLE if the bytes cannot be parsed.

    Mail from Moneyback's own addresses, ``moneyback_addresses``, gets the kind OWN_EMAIL. ``size`` is the number of bytes of
    the whole mail if ``raw`` is only its beginning.
    """
    content_id = f"sha256:{hashlib.sha256(raw).hexdigest()}"
    try:
        return _parse(raw, SentMailMatcher(moneyback_addresses), len(raw) if size is None else size)
    except Exception:  # noqa: BLE001 - anyone can write these bytes, and the standard library raises undocumented errors
        return ParsedMail(kind=MailKind.UNREADABLE, message_id=content_id)


def _parse(raw: bytes, sent_mail_matcher: SentMailMatcher, size: int) -> ParsedMail:
    headers = BytesHeaderParser(policy=_POLICY).parsebytes(raw[:MAX_HEADER_BYTES])
    sender = _parse_sender(headers)
    mail = _parse_headers(raw, headers, sender, sent_mail_matcher)
    is_automated = mail.kind is not MailKind.UNREADABLE
    if sent_mail_matcher.is_sent_mail(headers) or mail.bounced_email or sender is None:
        return mail
    if size > MAX_SIZE:
        return mail if is_automated else replace(mail, kind=MailKind.TOO_LARGE)
    body = raw[:MAX_READ_BYTES]
    if body.count(b"\n--") > MAX_BOUNDARY_LINES or body.lower().count(b"boundary") > MAX_BOUNDARIES:
        return mail
    message = message_from_bytes(body, policy=_POLICY)
    mail = replace(mail, text=_comment(_first_text(texts(message))))
    senders = find_senders(message, sender, sent_mail_matcher)
    return _parse_automated(mail, message, senders) if is_automated else _parse_request(mail, message, senders)


def _parse_headers(raw: bytes, headers: Part, sender: str | None, sent_mail_matcher: SentMailMatcher) -> ParsedMail:
    """Return the mail with the values from its headers, without requests.

    The kind is UNREADABLE if the mail is not automated. The caller then replaces the kind after it has parsed the text.
    """
    answered_message_ids = tuple(
        dict.fromkeys(_MESSAGE_ID.findall(f"{header(headers, 'references')} {header(headers, 'in-reply-to')}"))
    )
    beginning = raw[:MAX_READ_BYTES]
    kind = automated_kind(headers, sender or header(headers, "from"), _subject(headers), beginning, sent_mail_matcher)
    return ParsedMail(
        kind=kind or MailKind.UNREADABLE,
        message_id=_message_id(headers, raw),
        sender=sender or "",
        author=sender or "",
        subject=_comment(_subject(headers)),
        answered_message_ids=answered_message_ids,
        answered_cases=sent_mail_matcher.find_cases(answered_message_ids),
        bounced_email=sent_mail_matcher.find_bounced_email(beginning) if kind is MailKind.BOUNCE else None,
    )


def _parse_automated(mail: ParsedMail, message: Part, senders: Senders) -> ParsedMail:
    """Return an automated mail, with the wish of the customer whose words it passes on.

    An automated mail can contain a customer's words. For example, the customer wrote to a group address, or used a shop's
    contact form.
    """
    subject, mail_texts = _subject(message), texts(message)
    is_report = header(message, "content-type").casefold().startswith("multipart/report")
    is_reply = is_auto_reply(message, subject)
    is_passed_on = mail.kind is MailKind.OWN_EMAIL and not is_reply
    if mail_texts.is_encrypted or is_report:
        return replace(mail, is_passed_on=is_passed_on)
    new_subject = "" if _REPLY_SUBJECT.match(subject) or is_reply else subject
    texts_with_subjects = [
        (text, new_subject if references.find(f"{new_subject}\n{text.new}") else "") for text in mail_texts.versions
    ]
    text, new_subject = next(
        (
            (text, new_subject)
            for text, new_subject in texts_with_subjects
            if mentions(text.new, new_subject) and not advertises(text.new)
        ),
        (None, ""),
    )
    if text is None:
        return replace(mail, is_passed_on=is_passed_on)
    can_be_customers = senders.is_own_list and not is_reply and asks(text.new, new_subject)
    refund_intent = (
        _refund_intent(message, text, mail_texts, senders.all(f"{text.new}\n{text.quoted}"))
        if can_be_customers
        else None
    )
    is_refund = mail.kind is not MailKind.OWN_EMAIL
    return replace(mail, requests_refund=is_refund, is_passed_on=is_passed_on, refund_intent=refund_intent)


def _first_text(mail_texts: MailTexts) -> str:
    """Return the first text of a mail that is not empty: the plain text, the HTML text, or an attached mail."""
    return next((text for text in (mail_texts.plain, mail_texts.html, mail_texts.attached_mails) if text.strip()), "")


def _refund_intent(message: Part, text: MailText, mail_texts: MailTexts, addresses: tuple[str, ...]) -> RefundIntent:
    """Return the wish in a text of the mail. Without new text, the quoted text is the customer's text."""
    subject = _subject(message)
    own_text = text.new if text.new.strip() else text.quoted
    places = (f"{subject}\n{text.new}", text.quoted, f"{mail_texts.links}\n{mail_texts.file_names}")
    return RefundIntent(
        addresses=addresses,
        places=tuple(map(references.candidates, places)),
        reason=reason_of(text.new, subject),
        refund_scope=refund_scope_of(text.new, subject),
        comment=_comment(text.new),
        locale=_locale(message, own_text, subject),
        withdrawal=find_withdrawal(message, text.new, subject),
    )


class _FoundReferences(NamedTuple):
    """A text of a mail, with the references that were found. ``quoted`` is True if all references are in quoted text."""

    text: MailText
    references: list[str]
    quoted: bool


def _parse_request(mail: ParsedMail, message: Part, senders: Senders) -> ParsedMail:
    """Return the mail of a customer with its kind, its locale and its refund requests."""
    subject, mail_texts = _subject(message), texts(message)
    if mail_texts.is_encrypted:
        return mail
    whole_texts = {text._replace(new=set_aside_kept(text.new).text): text for text in mail_texts.versions}
    versions = list(whole_texts)
    found = next(
        (found for text in versions if (found := _find_references(subject, text)).references),
        _FoundReferences(versions[0], [], quoted=False),
    )
    whole_text = whole_texts[found.text].new
    kind = _classify(subject, found, is_reply=bool(mail.answered_message_ids))
    forwarded = _forwarded_text(subject, found.text) if kind is MailKind.NOT_A_REQUEST else None
    text = forwarded or found.text
    is_passed_on = bool(forwarded) or (kind in _WITH_INTENT and _is_passed_on(subject, found.text, senders))
    addresses = senders.all(f"{text.new}\n{text.quoted}")
    refund_intent = _refund_intent(message, text, mail_texts, addresses)
    if not forwarded:
        refund_intent = replace(refund_intent, comment=_comment(whole_text))
    has_intent = forwarded is not None or kind in _WITH_INTENT
    return replace(
        mail,
        kind=MailKind.PASSED_ON if forwarded else kind,
        new_text=_new_text(whole_text, mail_texts),
        locale=refund_intent.locale,
        case_serials=case_numbers.find(f"{subject}\n{whole_text}\n{found.text.quoted}"),
        requests=tuple(
            refund_intent.request(mail.sender, reference)
            for reference in (found.references if kind is MailKind.REQUEST else ())
        ),
        refund_intent=refund_intent if has_intent else None,
        is_passed_on=is_passed_on,
        is_flagged=concerns_support(text.new, subject)
        or whole_text != found.text.new
        or (kind is MailKind.NOT_A_REQUEST and revokes(text.new)),
    )


def _new_text(text: str, mail_texts: MailTexts) -> str:
    """Return the new text of a mail, followed by the names of the attached files. The files are not stored."""
    names = ", ".join(filter(None, mail_texts.attachments.split("\n")))
    if not names:
        return _comment(text)
    ending = _comment(f"Attachments: {names}")[:MAX_FILE_NAMES]
    return "\n\n".join(filter(None, [_comment(text)[: MAX_COMMENT - MAX_FILE_NAMES - 2], ending]))


_WITH_INTENT = frozenset({MailKind.REQUEST, MailKind.NO_REFERENCE})
"""The kinds of mails whose author wants a refund."""


def _is_passed_on(subject: str, text: MailText, senders: Senders) -> bool:
    """Return True if the sender of a mail is not the customer: another author is named in a header, a form or a forward."""
    is_forward = _FORWARD_SUBJECT.match(subject) is not None and asks(text.quoted)
    return (
        senders.has_other
        or senders.names_other(text_before_request(text.new))
        or (is_forward and senders.names_other(text.quoted))
    )


def _forwarded_text(subject: str, text: MailText) -> MailText | None:
    """Return the text that a forwarded mail passes on if only this text asks for a refund, or None."""
    is_form = not text.new.strip() and not _REPLY_SUBJECT.match(subject)  # a form that writes its fields like a header
    is_forward = is_form or _FORWARD_SUBJECT.match(subject) is not None
    if not is_forward or revokes(text.new) or not asks(text.quoted) or advertises(text.quoted):
        return None
    return MailText(text.quoted, text.new)


def _classify(subject: str, found: _FoundReferences, *, is_reply: bool) -> MailKind:
    """Return the kind of a customer's mail.

    A mail is a request if it asks for a refund or complains, and names a purchase. A mail that only names a purchase is a
    request if it answers or forwards another mail. If it asks for a refund and names no purchase, it gets the kind
    NO_REFERENCE. Words in the subject of a reply do not count as the customer's words, because another author may have
    written the subject.
    """
    new_text = found.text.new
    new_subject = "" if _REPLY_SUBJECT.match(subject) else subject
    is_asking = asks(new_text, new_subject) or (complains(new_text, new_subject) and not revokes(new_text, new_subject))
    if found.references and (is_asking or _only_names(subject, found, is_reply=is_reply)):
        return MailKind.REQUEST if len(found.references) <= MAX_REFERENCES else MailKind.TOO_MANY
    is_unanswered = is_asking and not found.references and not advertises(new_text)
    return MailKind.NO_REFERENCE if is_unanswered else MailKind.NOT_A_REQUEST


def _only_names(subject: str, found: _FoundReferences, *, is_reply: bool) -> bool:
    """Return True for a reply or forward that says nothing but a reference: the answer to the question which purchase.

    A forwarded receipt without any new text counts, too. An empty reply asks for nothing. Thanks beside a reference are part
    of the answer.
    """
    new_text = found.text.new
    if not new_text.strip():
        return _FORWARD_SUBJECT.match(subject) is not None
    is_answer = (is_reply or _REPLY_SUBJECT.match(subject) is not None) and not found.quoted
    is_short = len(_WORD.findall(new_text)) <= _MAX_WORDS_OF_ANSWER
    return (
        is_answer
        and is_short
        and not (wants_something_else(new_text) or (not references.find(new_text) and thanks(new_text)))
    )


def _find_references(subject: str, text: MailText) -> _FoundReferences:
    """Return the references in the subject and the new text; if there are none, the references in the quoted text.

    In a reply, the subject is searched only if the new text has no reference.
    """
    is_reply = _REPLY_SUBJECT.match(subject)
    places = (text.new, subject, text.quoted) if is_reply else (f"{subject}\n{text.new}", text.quoted)
    return next(
        (
            _FoundReferences(text, found, quoted=place is text.quoted)
            for place in places
            if (found := references.find(place))
        ),
        _FoundReferences(text, [], quoted=False),
    )


_REPLY_SUBJECT = re.compile(
    r"\s*(?:re|aw|antw|antwort|sv|vs|rif|fwd?|wg|tr|rv|enc|res|r|i|doorst|返信|転送)\s*(?:\[\d+\])?\s*[:：]",
    re.IGNORECASE,
)
"""The prefix of a reply or forward in many languages: "Re:", "Re[2]:", "AW:" and "WG:" (German Outlook), "TR:" (French)."""

_FORWARD_SUBJECT = re.compile(r"\s*(?:fwd?|wg|tr|rv|enc|i|doorst|転送)\s*[:：]", re.IGNORECASE)
"""The prefix of a forwarded mail."""

_WORD = re.compile(r"[^\W\d_]{2,}")
_MAX_WORDS_OF_ANSWER = 8  # "No, I mean order MB-2026-0418, please."

_MESSAGE_ID = re.compile(r"<[!-;=?-~]{1,250}>")
"""A Message-ID: printable ASCII in angle brackets."""


def _parse_sender(message: Part) -> str | None:
    """Return the address in the header From, or None if the mail does not name exactly one valid address."""
    from_headers = [name for name, _ in message.raw_items() if name.casefold() == "from"]
    if len(from_headers) != 1:
        return None  # if a mail has two From headers, some mail clients show the first and other clients the second
    parsed = message["from"]
    addresses = parsed.addresses if isinstance(parsed, AddressHeader) else ()
    if len(addresses) != 1:
        return None
    try:
        return _EMAIL.validate_python(addresses[0].addr_spec)
    except ValidationError:
        return None


_EMAIL: TypeAdapter[str] = TypeAdapter(Email)


def _subject(message: Part) -> str:
    try:
        return " ".join(str(message.get("subject", "")).split())[:1_000]
    except Exception:  # noqa: BLE001 - the header parser raises undocumented errors; then the unparsed header is used
        return header(message, "subject")[:1_000]


def _comment(text: str) -> str:
    """Return a text without card numbers and control characters, cut to MAX_COMMENT characters."""
    printable = ""
    for char in without_cards(text[: 4 * MAX_COMMENT]):  # 4 times, because the removal of card numbers shortens a text
        if char.isprintable() or char in "\n\t":
            printable += char
        elif unicodedata.category(char).startswith("Z"):
            printable += " "
    return printable.strip()[:MAX_COMMENT].strip()


def _locale(message: Part, text: str, subject: str) -> str:
    """Return the language of the customer's text. If it is unclear, return that of the subject, or Content-Language, or English.

    The language of the text has priority, because another author may have written the subject, and Content-Language is often
    only a setting of the mail client.
    """
    declared = header(message, "content-language").strip()[:2].casefold()
    new_subject = "" if _REPLY_SUBJECT.match(subject) else subject
    return (
        detect_language(f"{text}\n{new_subject}")
        or detect_language(f"{text}\n{subject}")
        or (declared if declared in SUPPORTED_LANGUAGES else "en")
    )


def _message_id(message: Part, raw: bytes) -> str:
    """Return the Message-ID, or a hash of sender, date, subject and body if there is no usable Message-ID."""
    message_id = header(message, "message-id")
    is_usable = message_id.isascii() and message_id.isprintable() and len(message_id.strip("<> ")) > 0
    if is_usable and len(message_id) <= MAX_MESSAGE_ID:
        return message_id
    headers = [header(message, name).encode(errors="replace") for name in ("from", "date", "subject")]
    body = re.split(rb"\r?\n\r?\n", raw, maxsplit=1)[-1].replace(b"\r\n", b"\n")
    return f"sha256:{hashlib.sha256(b'/'.join((*headers, body))).hexdigest()}"
