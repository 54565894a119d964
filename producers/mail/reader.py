"""One mail's bytes in, a refund request or the reason why it is none out. Pure, and never an exception, whatever the bytes."""

import hashlib
import re
import unicodedata
from collections.abc import Callable, Collection
from dataclasses import dataclass
from email import message_from_bytes
from email.headerregistry import AddressHeader
from email.policy import EmailPolicy
from enum import StrEnum

from pydantic import TypeAdapter, ValidationError

from domain.purchases import email_key
from domain.requests import Email, RefundRequest
from producers.mail import references
from producers.mail.wording import reason_of, wish_of
from producers.mail.words import Part, Words, header, texts

LARGEST = 1_000_000  # bytes; a request is words, and what is larger carries attachments that nobody here reads
MOST_PARTS, MOST_LEVELS = 500, 40  # lines and words that may begin a part; the library takes long over thousands
LONGEST_COMMENT = 4_000  # characters, as in the form
LONGEST_KEY = 250  # characters of a Message-ID that is kept as it is


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


class Kind(StrEnum):
    """Why a mail is not a request."""

    sentence: str

    def __new__(cls, value: str, sentence: str) -> "Kind":
        kind = str.__new__(cls, value)
        kind._value_ = value
        kind.sentence = sentence
        return kind

    TOO_BIG = "too_big", "This mail is larger than 1 MB."
    AUTOMATIC = (
        "automatic",
        "A machine sent this mail: an automatic reply, a list or a report. Answering it could go round in circles.",
    )
    NO_SENDER = "no_sender", "This mail has no sender, several, or one that is no e-mail address."
    NO_REFERENCE = "no_reference", "This mail names no purchase."
    SEVERAL_REFERENCES = (
        "several_references",
        "This mail names several purchases, and none of them more clearly than the others.",
    )
    KEY_REUSED = "key_reused", "An earlier mail with the same Message-ID asked for something else."
    UNREADABLE = "unreadable", "Nobody could make sense of this mail."


@dataclass(frozen=True, slots=True)
class Mail:
    """A request that came by mail. ``message_id`` names it: the same mail again has the same one."""

    request: RefundRequest
    message_id: str


@dataclass(frozen=True, slots=True)
class NotARequest:
    """A mail for a person to look at, or for nobody."""

    kind: Kind

    @property
    def why(self) -> str:
        return self.kind.sentence


def read(raw: bytes, *, own: Collection[str] = ()) -> Mail | NotARequest:
    """The request in this mail. ``own`` are our addresses: what comes from them would go round in circles."""
    if len(raw) > LARGEST:
        return NotARequest(Kind.TOO_BIG)
    if raw.count(b"\n--") > MOST_PARTS or raw.lower().count(b"boundary") > MOST_LEVELS:
        return NotARequest(Kind.UNREADABLE)
    try:
        return _read(message_from_bytes(raw, policy=_POLICY), raw, frozenset(map(email_key, own)))
    except Exception:  # noqa: BLE001 - strangers write these bytes, and the standard library raises whatever it likes
        return NotARequest(Kind.UNREADABLE)


def _read(message: Part, raw: bytes, own: frozenset[str]) -> Mail | NotARequest:
    if any(is_so(message) for is_so in AUTOMATIC):
        return NotARequest(Kind.AUTOMATIC)
    sender = _sender(message)
    if sender is None:
        return NotARequest(Kind.NO_SENDER)
    if email_key(sender) in own or _MACHINE.match(sender):
        return NotARequest(Kind.AUTOMATIC)
    subject = _subject(message)
    versions = texts(message).versions
    words, found = next(
        ((words, found) for words in versions if (found := _references(subject, words))), (versions[0], [])
    )
    if len(found) != 1:
        return NotARequest(Kind.SEVERAL_REFERENCES if found else Kind.NO_REFERENCE)
    request = RefundRequest(
        email=sender,
        reference=found[0],
        reason=reason_of(words.new, subject),
        wish=wish_of(words.new, subject),
        comment=_comment(words.new),
        locale=_locale(message),
    )
    return Mail(request, _key(message, raw))


def _references(subject: str, words: Words) -> list[str]:
    """Those of the new words; of the subject of a reply and of what it quotes only where the new words have none."""
    reply = _REPLY.match(subject)
    places = (words.new, subject, words.quoted) if reply else (f"{subject}\n{words.new}", words.quoted)
    return next((found for place in places if (found := references.find(place))), [])


_REPLY = re.compile(
    r"\s*(?:re|aw|antw|antwort|sv|vs|rif|fwd?|wg|tr|rv|enc|r|i|doorst)\s*(?:\[\d+\])?\s*[:：]", re.IGNORECASE
)
_MACHINE = re.compile(r"(?:mailer-daemon|postmaster|mail-?delivery)\b", re.IGNORECASE)


def _says(name: str, *quiet: str) -> Callable[[Part], bool]:
    """A header that is there and says something else than these."""
    return lambda message: header(message, name).partition(";")[0].strip().casefold() not in {"", *quiet}


AUTOMATIC: tuple[Callable[[Part], bool], ...] = (
    _says("auto-submitted", "no"),
    lambda message: header(message, "precedence").casefold() in {"bulk", "list", "junk", "auto_reply"},
    _says("list-id"),
    lambda message: header(message, "return-path") == "<>",
    _says("x-auto-response-suppress", "none"),
    _says("x-autoreply", "no"),
    _says("x-autorespond", "no"),
    _says("x-loop", "no"),
    lambda message: header(message, "content-type").casefold().startswith("multipart/report"),
)
"""The signs of a mail that no person wrote just now (RFC 3834 and what came before it)."""


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
    for char in references.without_cards(text):
        if char.isprintable() or char in "\n\t":
            kept += char
        elif unicodedata.category(char).startswith("Z"):
            kept += " "
    return kept.strip()[:LONGEST_COMMENT].strip()


def _locale(message: Part) -> str:
    first = header(message, "content-language").partition(",")[0].strip()
    return first if _LOCALE.fullmatch(first) else "en"


_LOCALE = re.compile(r"[A-Za-z]{2,3}(?:-[A-Za-z0-9]{2,8}){0,2}")


def _key(message: Part, raw: bytes) -> str:
    """The Message-ID, or what stands for it where there is none that can be kept."""
    name = header(message, "message-id")
    fine = name.isascii() and name.isprintable() and len(name.strip("<> ")) > 0 and len(name) <= LONGEST_KEY
    return name if fine else f"sha256:{hashlib.sha256(raw).hexdigest()}"
