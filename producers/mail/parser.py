"""One mail's bytes in, what it is and asks out. Pure, and never an exception, whatever the bytes."""

import hashlib
import re
import unicodedata
from collections.abc import Collection
from dataclasses import replace
from email import message_from_bytes
from email.headerregistry import AddressHeader
from email.parser import BytesHeaderParser
from email.policy import EmailPolicy

from pydantic import TypeAdapter, ValidationError

from domain.redaction import without_cards
from domain.refund_reasons import RefundReason
from domain.requests import Email, RefundRequest
from producers.mail import references
from producers.mail.automated_mail import OwnMail, automated_kind, is_out_of_office
from producers.mail.intent import SPOKEN, advertises, asks, detect_language, reason_of, refund_scope_of, thanks
from producers.mail.mail_text import MailText, Part, header, texts
from producers.mail.parsed_mail import MailKind, ParsedMail

LARGEST = 10_000_000  # bytes; with the pictures that people attach, and no more
LONGEST = 1_000_000  # bytes that are read: the words stand first, and what comes after them is attachments
LONGEST_HEAD = 200_000  # bytes of headers
MOST_PARTS, MOST_LEVELS = 500, 40  # lines and words that may begin a part; the library takes long over thousands
MOST_REFERENCES = 5  # requests of one mail; each may be answered, so that more would make a loudspeaker of us
LONGEST_COMMENT = 4_000  # characters, as in the form
LONGEST_ID = 250  # characters of a Message-ID that is kept as it is
LONGEST_HEADER = 2_000  # characters; the library takes a minute over a long one, and only References is ever that long


class _Headers(EmailPolicy):
    """Headers as mail has them: endless, and in bytes that are no ASCII (RFC 6532 allows UTF-8)."""

    def header_source_parse(self, sourcelines: list[str]) -> tuple[str, str]:
        name, value = super().header_source_parse(sourcelines)
        value = value[:LONGEST_HEADER]
        return name, value if value.isascii() else _told(value.encode("ascii", "surrogateescape"))


def _told(header: bytes) -> str:
    try:
        return header.decode()
    except UnicodeDecodeError:
        return header.decode("latin-1")


_POLICY = _Headers()


def read(raw: bytes, *, own: Collection[str] = (), size: int | None = None) -> ParsedMail:
    """What this mail is. ``own`` are our addresses: answering what comes from them would go round in circles.

    ``size`` is the mail's where ``raw`` is only its beginning.
    """
    content = f"sha256:{hashlib.sha256(raw).hexdigest()}"
    try:
        return _read(raw, OwnMail(own), len(raw) if size is None else size)
    except Exception:  # noqa: BLE001 - strangers write these bytes, and the standard library raises whatever it likes
        return ParsedMail(kind=MailKind.UNREADABLE, message_id=content)


def _read(raw: bytes, ours: OwnMail, size: int) -> ParsedMail:
    head = BytesHeaderParser(policy=_POLICY).parsebytes(raw[:LONGEST_HEAD])
    sender, name = _sender(head), _name(head, raw)
    answers = tuple(dict.fromkeys(_IDS.findall(f"{header(head, 'references')} {header(head, 'in-reply-to')}")))
    kind = automated_kind(head, sender or header(head, "from"), _subject(head), raw[:LONGEST], ours)
    told = ParsedMail(
        kind=kind or MailKind.UNREADABLE,
        message_id=name,
        sender=sender or "",
        answers=answers,
        cases=ours.answered(answers),
        returned=ours.returned(raw[:LONGEST]) if kind is MailKind.BOUNCE else None,
    )
    if kind is MailKind.OWN_EMAIL or told.returned or sender is None:
        return told
    if size > LARGEST:
        return told if kind else replace(told, kind=MailKind.TOO_LARGE)
    body = raw[:LONGEST]
    if body.count(b"\n--") > MOST_PARTS or body.lower().count(b"boundary") > MOST_LEVELS:
        return told
    message = message_from_bytes(body, policy=_POLICY)
    return replace(told, requests_refund=_asks_all_the_same(message)) if kind else _understood(told, message)


def _asks_all_the_same(message: Part) -> bool:
    """Whether somebody may have written this who wants their money: through a group address, or a shop's contact form."""
    subject = _subject(message)
    everything = texts(message)
    if everything.sealed or header(message, "content-type").casefold().startswith("multipart/report"):
        return False
    title = "" if _REPLY.match(subject) or is_out_of_office(subject) else subject
    return any(
        asks(words.new, title if references.find(f"{title}\n{words.new}") else "") and not advertises(words.new)
        for words in everything.versions
    )


def _understood(told: ParsedMail, message: Part) -> ParsedMail:
    """A person's mail: what it asks for."""
    subject = _subject(message)
    everything = texts(message)
    if everything.sealed:
        return told
    versions = everything.versions
    words, found, quoted = next(
        (hit for words in versions if (hit := _references(subject, words))[1]), (versions[0], [], False)
    )
    locale = _locale(message, f"{words.new}\n{subject}")
    kind = _kind(subject, words, found, quoted=quoted, answers=bool(told.answers))
    reason, refund_scope, comment = (
        reason_of(words.new, subject),
        refund_scope_of(words.new, subject),
        _comment(words.new),
    )
    requests = tuple(
        RefundRequest(
            email=told.sender, reference=one, reason=reason, refund_scope=refund_scope, comment=comment, locale=locale
        )
        for one in (found if kind is MailKind.REQUEST else ())
    )
    return replace(told, kind=kind, locale=locale, requests=requests)


def _kind(subject: str, words: MailText, found: list[str], *, quoted: bool, answers: bool) -> MailKind:
    """A purchase that is named is a request, unless it is only quoted and nothing is asked, or thanks are said.

    Of what names no purchase a request is only what asks; a subject that others wrote asks nothing.
    """
    mine = "" if _REPLY.match(subject) else subject
    asking = asks(words.new, mine) or reason_of(words.new, mine) is not RefundReason.OTHER
    if found and not asking and (thanks(words.new) or (quoted and answers and words.new.strip())):
        return MailKind.NOT_A_REQUEST
    if found:
        return MailKind.REQUEST if len(found) <= MOST_REFERENCES else MailKind.TOO_MANY
    return MailKind.NO_REFERENCE if asking and not advertises(words.new) else MailKind.NOT_A_REQUEST


def _references(subject: str, words: MailText) -> tuple[MailText, list[str], bool]:
    """Those of the new words; of the subject of a reply and of what it quotes only where the new words have none."""
    reply = _REPLY.match(subject)
    places = (words.new, subject, words.quoted) if reply else (f"{subject}\n{words.new}", words.quoted)
    hits = ((found, place is words.quoted) for place in places if (found := references.find(place)))
    found, quoted = next(hits, ([], False))
    return words, found, quoted


_REPLY = re.compile(
    r"\s*(?:re|aw|antw|antwort|sv|vs|rif|fwd?|wg|tr|rv|enc|res|r|i|doorst|返信|転送)\s*(?:\[\d+\])?\s*[:：]",
    re.IGNORECASE,
)
_IDS = re.compile(r"<[!-;=?-~]{1,250}>")


def _sender(message: Part) -> str | None:
    headers = [name for name, _ in message.raw_items() if name.casefold() == "from"]
    if len(headers) != 1:
        return None  # two of them: which one a reader shows is anybody's guess
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
    except Exception:  # noqa: BLE001 - the header parser fails in its own ways; the bare header will do
        return header(message, "subject")[:1_000]


def _comment(text: str) -> str:
    kept = ""
    for char in without_cards(text[: 4 * LONGEST_COMMENT]):  # what is taken out may leave a quarter of it
        if char.isprintable() or char in "\n\t":
            kept += char
        elif unicodedata.category(char).startswith("Z"):
            kept += " "
    return kept.strip()[:LONGEST_COMMENT].strip()


def _locale(message: Part, text: str) -> str:
    """The language of the words; a header only says which one somebody's program is set to."""
    claimed = header(message, "content-language").strip()[:2].casefold()
    return detect_language(text) or (claimed if claimed in SPOKEN else "en")


def _name(message: Part, raw: bytes) -> str:
    """The Message-ID, or what stands for it where there is none that can be kept: who wrote what, when."""
    name = header(message, "message-id")
    if name.isascii() and name.isprintable() and len(name.strip("<> ")) > 0 and len(name) <= LONGEST_ID:
        return name
    said = [header(message, part).encode(errors="replace") for part in ("from", "date", "subject")]
    body = re.split(rb"\r?\n\r?\n", raw, maxsplit=1)[-1].replace(b"\r\n", b"\n")
    return f"sha256:{hashlib.sha256(b'/'.join((*said, body))).hexdigest()}"
