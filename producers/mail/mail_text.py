"""A mail's words: decoded whatever they claim to be, and what was written now told from what was only quoted."""

import re
from collections.abc import Iterator
from email.message import Message
from typing import NamedTuple, TypeAlias

from producers.mail.html_text import html_to_text

MOST = 40_000  # characters of a text that are looked at; a request has a few hundred, and a thread some thousands
DEEPEST = 12  # parts within parts; mail programs nest four

Part: TypeAlias = "Message[str, str]"


class MailText(NamedTuple):
    """One text of a mail."""

    new: str
    quoted: str


class MailTexts(NamedTuple):
    """The texts of a mail: what it says plainly, what it says in HTML, and the mails it carries."""

    plain: str
    html: str
    carried: str
    locked: str

    @property
    def sealed(self) -> bool:
        """Whether all it says is encrypted, or signed in a way that hides it."""
        return bool(self.locked) and not (self.plain.strip() or self.html.strip())

    @property
    def versions(self) -> list[MailText]:
        """The plain text and the HTML one, each with what was written told from what was quoted."""
        told = [split(text) for text in (self.plain, self.html) if text.strip()]
        return [MailText(words.new, f"{words.quoted}\n{self.carried}") for words in told or [MailText("", "")]]


def texts(message: Part) -> MailTexts:
    """Every text of a mail that is no attachment."""
    found: dict[str, list[str]] = {kind: [] for kind in MailTexts._fields}
    for kind, text in _walk(message, 0):
        found[kind].append(text)
    return MailTexts(*("\n".join(found[kind])[:MOST] for kind in MailTexts._fields))


_LOCKED = {"multipart/encrypted", "application/pkcs7-mime", "application/x-pkcs7-mime"}


def _walk(part: Part, depth: int) -> Iterator[tuple[str, str]]:
    kind, inside = part.get_content_type(), part.get_payload()
    if kind in _LOCKED:
        yield "locked", kind
    elif kind == "message/rfc822" and isinstance(inside, list):
        yield from map(_carried, inside)
    elif isinstance(inside, list):
        for child in inside if depth < DEEPEST else ():
            if isinstance(child, Message):
                yield from _walk(child, depth + 1)
    elif not _is_attachment(part):
        yield from _text(part, kind)


def _carried(mail: object) -> tuple[str, str]:
    carried = texts(mail) if isinstance(mail, Message) else MailTexts("", "", "", "")
    return "carried", f"{_raw(mail, 'subject')}\n{carried.plain or carried.html}\n{carried.carried}"


def _text(part: Part, kind: str) -> Iterator[tuple[str, str]]:
    if kind == "text/html":
        yield "html", html_to_text(_decoded(part)[:MOST])
    elif kind.startswith(("text/plain", "multipart/")):  # a multipart without parts is what a cut mail looks like
        text = _decoded(part)
        yield ("locked" if text.lstrip().startswith("-----BEGIN PGP MESSAGE-----") else "plain"), text


def _is_attachment(part: Part) -> bool:
    raw = _raw(part, "content-disposition").strip().casefold()
    return raw.startswith("attachment") or "filename" in raw


def _raw(part: object, name: str) -> str:
    """A header as it came: parsing it is what breaks."""
    items = part.raw_items() if isinstance(part, Message) else ()
    return next((str(value) for key, value in items if key.casefold() == name), "")


def header(message: Part, name: str) -> str:
    """A header as it came, in one line; empty without one."""
    return " ".join(_raw(message, name).split())


def _decoded(part: Part) -> str:
    content = part.get_payload(decode=True)
    if not isinstance(content, bytes):
        return ""
    try:
        claimed = str(part.get_content_charset() or "utf-8")
    except Exception:  # noqa: BLE001 - a charset can be written in more wrong ways than the library knows
        claimed = "utf-8"
    for charset in (_MEANT.get(claimed, claimed), "utf-8", "cp1252"):
        try:
            return content.decode(charset).replace("\r\n", "\n").replace("\r", "\n")
        except (LookupError, ValueError):
            continue
    return content.decode("latin-1")


_MEANT = {"iso-8859-1": "cp1252", "latin-1": "cp1252", "gb2312": "gb18030", "ks_c_5601-1987": "cp949"}  # as browsers do


_VERBS = (
    r"\b(?:wrote|schrieb|écrit|escribió|ha scritto|schreef|escreveu|napisał\w*|skrev|napsal\w*)(?!\w)[^\n]{0,200}:\s*"
)
_WROTE = re.compile(rf"\s*(?:On|Am|Le|El|Il|Op|Em|No dia|W dniu|Den|Dne)\b[^\n]{{0,400}}{_VERBS}")
_WROTE_ALONE = re.compile(
    rf"[^\n<>]{{0,100}}<[^\s<>]{{3,200}}>\s*{_VERBS}|"
    r"\s*\d{4}[年/.-][^\n]{0,200}(?:<[^\s<>]{3,200}>|\([^\s()]{3,200}\)|のメール|書きました|wrote)\s*[:：]\s*"
)
_WROTE_LINES = 3  # mail programs break the line that says who wrote what

_BELOW = re.compile(
    r"\s*[-_*=]{2,}\s*(?:original message|original-nachricht|ursprüngliche nachricht|forwarded message|"
    r"weitergeleitete nachricht|message d['’]origine|message transféré|message original|mensaje original|"
    r"mensaje reenviado|messaggio originale|messaggio inoltrato|oorspronkelijk bericht|doorgestuurd bericht|"
    r"mensagem (?:original|encaminhada|reencaminhada)|元のメッセージ|転送(?:された)?メッセージ|original-?mail)(?!\w).*|"
    r"\s*(?:begin forwarded message|anfang der weitergeleiteten (?:nachricht|e-mail)|"
    r"début du message (?:transféré|réexpédié)|inicio del mensaje reenviado|inizio messaggio inoltrato|"
    r"início da mensagem (?:reenviada|encaminhada)|転送されたメッセージ)\s*[:：].*",
    re.IGNORECASE,
)
_FROM = re.compile(r"\s*\**(?:From|Von|De|Da|Van|差出人)\s?[:：]\**\s*\S.*")
_SENT = re.compile(
    r"\s*\**(?:Sent|Date|Gesendet|Datum|Envoyé|Enviad[oa](?: el)?|Fecha|Data|Inviato|Verzonden|Subject|Betreff|Objet|Asunto|"
    r"Oggetto|Assunto|To|An|À|Para|A|送信日時|日時|日付|宛先|件名)\s?[:：].*"
)
_BLOCK = 5  # lines of the headers that a mail program puts above what it quotes
_RULE = re.compile(r"\s*[_-]{10,}\s*")
_MARKED = re.compile(r"\s*[>＞]")
_SIGNATURE = re.compile(r"-- ?|-----BEGIN PGP SIGNATURE-----")


def split(text: str) -> MailText:
    """What was written now, and what was quoted or forwarded. The signature is neither."""
    lines = text.split("\n")
    new: list[str] = []
    quoted: list[str] = []
    at = 0
    marked = max((number for number, line in enumerate(lines) if _MARKED.match(line)), default=-1)
    while at < len(lines):
        wrote = _attribution(lines, at)
        if wrote and marked < at + wrote:
            quoted += lines[at:]  # quoted without marks: all that follows is
            break
        if wrote:
            at += wrote
            continue
        if _is_below(lines, at):
            quoted += lines[at:]
            break
        (quoted if _MARKED.match(lines[at]) else new).append(lines[at])
        at += 1
    return MailText(_joined(_unsigned(new)), _joined(line.lstrip("> ＞|") for line in quoted))


def _attribution(lines: list[str], at: int) -> int:
    """How many lines say "On Monday Ada wrote:" here."""
    if not lines[at].strip():
        return 0
    if _WROTE_ALONE.fullmatch(lines[at]):
        return 1
    return next(
        (count for count in range(1, _WROTE_LINES + 1) if _WROTE.fullmatch(" ".join(lines[at : at + count]))),
        0,
    )


def _is_below(lines: list[str], at: int) -> bool:
    """Whether everything from here on is another mail."""
    if _BELOW.fullmatch(lines[at]):
        return True
    if _RULE.fullmatch(lines[at]):
        return any(_is_block(lines, below) for below in range(at + 1, min(at + 3, len(lines))))
    return _is_block(lines, at)


def _is_block(lines: list[str], at: int) -> bool:
    """Whether the headers of another mail begin here; some programs say first when it was sent, some from whom."""
    if not (_FROM.fullmatch(lines[at]) or _SENT.fullmatch(lines[at])):
        return False
    block = lines[at : at + _BLOCK]
    return any(_FROM.fullmatch(line) for line in block) and any(_SENT.fullmatch(line) for line in block)


def _unsigned(lines: list[str]) -> list[str]:
    return next((lines[:at] for at, line in enumerate(lines) if at and _SIGNATURE.fullmatch(line)), lines)


def _joined(lines: "Iterator[str] | list[str]") -> str:
    return "\n".join(line.rstrip() for line in lines).strip("\n")
