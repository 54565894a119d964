"""Extracts the text of a mail, even if its headers name a wrong charset, and separates new text from quoted text."""

import re
from collections.abc import Iterable, Iterator
from email.message import Message
from typing import NamedTuple, TypeAlias
from urllib.parse import unquote

from producers.mail.html_text import html_to_text

MAX_TEXT = 40_000  # the maximum number of characters that are read; a long thread has a few thousand
MAX_DEPTH = 12  # the maximum number of nested levels of MIME parts that are read; mail clients use at most four

Part: TypeAlias = "Message[str, str]"


class MailText(NamedTuple):
    """One text of a mail, divided into new and quoted lines."""

    new: str
    quoted: str


class MailTexts(NamedTuple):
    """The texts of a mail: its plain text, its HTML as text, the text of attached mails, and its encrypted text.

    ``links`` contains the targets of the links in the HTML. ``file_names`` contains the names of all files in the mail, and
    ``attachments`` those of the files that the author attached. A picture inside a text is often a logo of the signature.
    """

    plain: str
    html: str
    attached_mails: str
    encrypted: str
    links: str
    file_names: str
    attachments: str

    @property
    def is_encrypted(self) -> bool:
        """True if the mail has no readable text. Its text is encrypted, or is inside an S/MIME file, which is not read."""
        return bool(self.encrypted) and not (self.plain.strip() or self.html.strip())

    @property
    def versions(self) -> list[MailText]:
        """The plain text and the HTML text, each divided into new and quoted lines."""
        versions = [split(text) for text in (self.plain, self.html) if text.strip()]
        return [
            MailText(version.new, f"{version.quoted}\n{self.attached_mails}")
            for version in versions or [MailText("", "")]
        ]


def texts(message: Part) -> MailTexts:
    """Return the texts of a mail. Of its attachments, only attached mails are read."""
    texts_by_kind: dict[str, list[str]] = {kind: [] for kind in MailTexts._fields}
    for kind, text in _walk(message, 0):
        texts_by_kind[kind].append(text)
    return MailTexts(*("\n".join(texts_by_kind[kind])[:MAX_TEXT] for kind in MailTexts._fields))


_ENCRYPTED_TYPES = {"multipart/encrypted", "application/pkcs7-mime", "application/x-pkcs7-mime"}
"""Content types of OpenPGP (RFC 3156) and S/MIME (RFC 8551)."""


def _walk(part: Part, depth: int) -> Iterator[tuple[str, str]]:
    """Yield the texts of a part and its subparts as pairs: the name of the field of MailTexts, and the text."""
    content_type, payload = part.get_content_type(), part.get_payload()
    if content_type in _ENCRYPTED_TYPES:
        yield "encrypted", content_type
    elif content_type == "message/rfc822" and isinstance(payload, list):
        yield from map(_read_attached_mail, payload)
    elif isinstance(payload, list):
        for subpart in payload if depth < MAX_DEPTH else ():
            if isinstance(subpart, Message):
                yield from _walk(subpart, depth + 1)
    elif _is_attachment(part) or not content_type.startswith(("text/", "multipart/")):
        yield "file_names", _file_name(part)
        if not (_is_embedded(part) or content_type.endswith("-signature")):
            yield "attachments", _file_name(part) or content_type
    else:
        yield from _read_text(part, content_type)


def _read_attached_mail(mail: object) -> tuple[str, str]:
    attached = texts(mail) if isinstance(mail, Message) else MailTexts("", "", "", "", "", "", "")
    text = f"{_raw_header(mail, 'subject')}\n{attached.plain or attached.html}\n{attached.attached_mails}"
    return "attached_mails", text


def _read_text(part: Part, content_type: str) -> Iterator[tuple[str, str]]:
    if content_type == "text/html":
        page = _decode(part)[:MAX_TEXT]
        yield "html", html_to_text(page)
        yield "links", "\n".join(map(unquote, _LINK.findall(page)))
    elif content_type.startswith(("text/plain", "multipart/")):  # a truncated mail can be a multipart without parts
        text = _unflow(part, _decode(part))
        yield ("encrypted" if text.lstrip().startswith("-----BEGIN PGP MESSAGE-----") else "plain"), text


def _is_attachment(part: Part) -> bool:
    disposition = _raw_header(part, "content-disposition").strip().casefold()
    return disposition.startswith("attachment") or "filename" in disposition


def _is_embedded(part: Part) -> bool:
    """Return whether a file is a part of the text, such as a picture that the HTML shows (RFC 2392)."""
    disposition = _raw_header(part, "content-disposition").strip().casefold()
    return bool(_raw_header(part, "content-id").strip()) and not disposition.startswith("attachment")


_LINK = re.compile(r"""\bhref\s?=\s?["']?(https?://[^\s"'<>]{1,500})""", re.IGNORECASE)


def _file_name(part: Part) -> str:
    try:
        return part.get_filename() or ""
    except Exception:  # noqa: BLE001 - the library raises undocumented errors for malformed names
        return ""


def _unflow(part: Part, text: str) -> str:
    """Return a text with whole paragraphs if the mail program broke the lines with ``format=flowed`` (RFC 3676, 4).

    A line that ends in a space continues in the next line of the same quotation. With ``delsp=yes``, the space is not a part
    of the text: such a line can end inside a word.
    """
    parameters = _raw_header(part, "content-type").casefold().replace('"', "")
    if not re.search(r"format\s?=\s?flowed", parameters):
        return text
    removed = " " if re.search(r"delsp\s?=\s?yes", parameters) else ""
    lines: list[str] = []
    open_quotes: str | None = None
    for line in text.split("\n"):
        quotes, content = _FLOWED_LINE.fullmatch(line).groups()  # type: ignore[union-attr]  # every line matches
        if quotes == open_quotes and content != _FLOWED_SIGNATURE:
            lines[-1] += content
        else:
            lines.append(f"{quotes} {content}" if quotes else content)
        open_quotes = quotes if content.endswith(" ") and content != _FLOWED_SIGNATURE else None
        if open_quotes is not None:
            lines[-1] = lines[-1].removesuffix(removed)
    return "\n".join(lines)


_FLOWED_LINE = re.compile(r"(>*) ?(.*)", re.DOTALL)
_FLOWED_SIGNATURE = "-- "  # the line before a signature ends in a space, but does not continue (RFC 3676, 4.3)


def _raw_header(part: object, name: str) -> str:
    """Return the unparsed value of a header, because the standard library fails to parse some values."""
    items = part.raw_items() if isinstance(part, Message) else ()
    return next((str(value) for key, value in items if key.casefold() == name), "")


def header(message: Part, name: str) -> str:
    """Return the unparsed value of a header in one line, empty if the header is absent."""
    return " ".join(_raw_header(message, name).split())


def _decode(part: Part) -> str:
    content = part.get_payload(decode=True)
    if not isinstance(content, bytes):
        return ""
    try:
        declared_charset = str(part.get_content_charset() or "utf-8")
    except Exception:  # noqa: BLE001 - the library raises undocumented errors for malformed charsets
        declared_charset = "utf-8"
    if declared_charset == "iso-2022-jp":
        content, declared_charset = _with_jis_x_0213(content), "iso2022_jp_2004"
    for charset in (_ACTUAL_CHARSETS.get(declared_charset, declared_charset), "utf-8", *_undeclared_charsets(content)):
        try:
            return content.decode(charset).replace("\r\n", "\n").replace("\r", "\n")
        except (LookupError, ValueError):
            continue
    return content.decode("latin-1")


def decode_iso_2022_jp(content: bytes) -> str:
    """Return a text in ISO-2022-JP, also with NEC's characters."""
    return _with_jis_x_0213(content).decode("iso2022_jp_2004")


def _with_jis_x_0213(content: bytes) -> bytes:
    """Return a text in ISO-2022-JP with the escape sequence of JIS X 0213.

    Mail clients write NEC's characters, such as a circled digit, as if they were in JIS X 0208. JIS X 0213 has the same
    characters in the same places, with another escape sequence.
    """
    return content.replace(b"\x1b$B", b"\x1b$(Q")


def _undeclared_charsets(content: bytes) -> tuple[str, ...]:
    """Return the charsets of a text that is not in its declared charset. Bytes of several kana in CP932 are no European text."""
    return ("cp932", "cp1252") if len(_CP932_KANA.findall(content)) >= _MIN_KANA else ("cp1252",)


_CP932_KANA = re.compile(rb"\x82[\x9f-\xf1]|\x83[\x40-\x96]")
_MIN_KANA = 3  # a European text has the bytes 0x82 and 0x83, a low quotation mark and a florin sign, rarely


_ACTUAL_CHARSETS = {
    "iso-8859-1": "cp1252",
    "latin-1": "cp1252",
    "gb2312": "gb18030",
    "ks_c_5601-1987": "cp949",
    **dict.fromkeys(("shift_jis", "shift-jis", "sjis", "x-sjis", "windows-31j", "cswindows31j", "ms932"), "cp932"),
    "euc-jp": "euc_jis_2004",
}
"""For each charset that a mail may declare, the larger charset in which the mail's text is really encoded.

Mail clients declare the small charset but use the larger one. Browsers read such texts with the same larger charsets.
"""


_ATTRIBUTION_VERB = (
    r"\b(?:wrote|schrieb|écrit|escribió|ha scritto|schreef|escreveu|napisał\w*|skrev|napsal\w*)(?!\w)[^\n]{0,200}:\s*"
)
"""The verb of an attribution and the text after the verb, up to the colon, in ten languages.

An attribution is the text above a quotation. It names the quoted author, such as "Ada wrote:".
"""

_ATTRIBUTION = re.compile(rf"\s*(?:On|Am|Le|El|Il|Op|Em|No dia|W dniu|Den|Dne)\b[^\n]{{0,400}}{_ATTRIBUTION_VERB}")
"""An attribution that begins with a date, as Gmail, Apple Mail and Thunderbird write it:

"On Mon, 1 Jun 2026 at 10:00, Ada <ada@example.com> wrote:"
"""

_ATTRIBUTION_WITH_ADDRESS = re.compile(
    rf"[^\n<>]{{0,100}}<[^\s<>]{{3,200}}>\s*{_ATTRIBUTION_VERB}|"
    r"\s*\d{4}[年/.-][^\n]{0,200}(?:<[^\s<>]{3,200}>|\([^\s()]{3,200}\)|のメール|書きました|wrote)\s*[:：]\s*"
)
"""An attribution that begins with the author, "Ada <ada@example.com> wrote:", or with a Japanese date (Gmail, Apple Mail)."""

_MAX_ATTRIBUTION_LINES = 3  # mail clients break a long attribution into several lines

_SEPARATOR = re.compile(
    r"\s*[-_*=]{2,}\s*(?:original message|original-nachricht|ursprüngliche nachricht|forwarded message|"
    r"weitergeleitete nachricht|message d['’]origine|message transféré|message original|mensaje original|"
    r"mensaje reenviado|messaggio originale|messaggio inoltrato|oorspronkelijk bericht|doorgestuurd bericht|"
    r"mensagem (?:original|encaminhada|reencaminhada)|元のメッセージ|転送(?:された)?メッセージ|original-?mail)(?!\w).*|"
    r"\s*(?:begin forwarded message|anfang der weitergeleiteten (?:nachricht|e-mail)|"
    r"début du message (?:transféré|réexpédié)|inicio del mensaje reenviado|inizio messaggio inoltrato|"
    r"início da mensagem (?:reenviada|encaminhada)|転送されたメッセージ)\s*[:：].*",
    re.IGNORECASE,
)
"""The line between a mail and the mail that it quotes or forwards.

First alternative: "-----Original Message-----" (Outlook) and "---------- Forwarded message ---------" (Gmail).
Second alternative: "Begin forwarded message:" (Apple Mail).
"""

_FROM_LINE = re.compile(r"\s*\**(?:From|Von|De|Da|Van|差出人)\s?[:：]\**\s*\S.*")
_OTHER_HEADER_LINE = re.compile(
    r"\s*\**(?:Sent|Date|Gesendet|Datum|Envoyé|Enviad[oa](?: el)?|Fecha|Data|Inviato|Verzonden|Subject|Betreff|Objet|Asunto|"
    r"Oggetto|Assunto|To|An|À|Para|A|送信日時|日時|日付|宛先|件名)\s?[:：].*"
)
"""Header lines that Outlook and other clients write above a quoted mail: "From: Ada", "Sent: Monday", "Subject: …"."""

_HEADER_BLOCK_LINES = 5  # the maximum number of header lines above a quoted mail
_RULE_LINE = re.compile(r"\s*[_-]{10,}\s*")
"""The horizontal rule of Outlook above the header lines of a quoted mail."""

_QUOTED_LINE = re.compile(r"\s*[>＞]")
"""The beginning of a quoted line: ">", or the full-width "＞" of Japanese mail clients."""

_SIGNATURE_LINE = re.compile(r"-- ?|-----BEGIN PGP SIGNATURE-----")
"""The line before a signature: "-- " (RFC 3676), also without the space, or the first line of an OpenPGP signature."""


def split(text: str) -> MailText:
    """Divide a text into new lines and quoted or forwarded lines. The signature of the new lines is left out."""
    lines = text.split("\n")
    new: list[str] = []
    quoted: list[str] = []
    position = 0
    last_quoted_line = max((number for number, line in enumerate(lines) if _QUOTED_LINE.match(line)), default=-1)
    while position < len(lines):
        attribution_length = _attribution_length(lines, position)
        if attribution_length and last_quoted_line < position + attribution_length:
            quoted += lines[position:]  # no later line begins with ">", so all later lines are the quotation
            break
        if attribution_length:
            position += attribution_length
            continue
        if _starts_quoted_mail(lines, position):
            quoted += lines[position:]
            break
        (quoted if _QUOTED_LINE.match(lines[position]) else new).append(lines[position])
        position += 1
    return MailText(_join(_without_signature(new)), _join(line.lstrip("> ＞|") for line in quoted))


def _attribution_length(lines: list[str], start: int) -> int:
    """Return the number of lines of the attribution that begins at ``start``; 0 if there is none."""
    if not lines[start].strip():
        return 0
    if _ATTRIBUTION_WITH_ADDRESS.fullmatch(lines[start]):
        return 1
    for count in range(1, _MAX_ATTRIBUTION_LINES + 1):
        block = lines[start : start + count]
        if len(block) < count or not block[-1].strip() or _attributes(block[1:]):
            return 0  # the first line is the customer's text, such as "On second thought, I keep it."
        if _attributes(block):
            return count
    return 0


def _attributes(lines: list[str]) -> bool:
    return _ATTRIBUTION.fullmatch(" ".join(lines)) is not None


def _starts_quoted_mail(lines: list[str], start: int) -> bool:
    """Return True if all lines from ``start`` on are a quoted or forwarded mail."""
    if _SEPARATOR.fullmatch(lines[start]):
        return True
    if _RULE_LINE.fullmatch(lines[start]):
        return any(_is_header_block(lines, below) for below in range(start + 1, min(start + 3, len(lines))))
    return _is_header_block(lines, start)


def _is_header_block(lines: list[str], start: int) -> bool:
    """Return True if the header lines of a quoted mail begin at ``start``. Some clients write the date before the sender."""
    if not (_FROM_LINE.fullmatch(lines[start]) or _OTHER_HEADER_LINE.fullmatch(lines[start])):
        return False
    block = lines[start : start + _HEADER_BLOCK_LINES]
    return any(_FROM_LINE.fullmatch(line) for line in block) and any(
        _OTHER_HEADER_LINE.fullmatch(line) for line in block
    )


def _without_signature(lines: list[str]) -> list[str]:
    return next(
        (lines[:number] for number, line in enumerate(lines) if number and _SIGNATURE_LINE.fullmatch(line)), lines
    )


def _join(lines: Iterable[str]) -> str:
    return "\n".join(line.rstrip() for line in lines).strip("\n")
