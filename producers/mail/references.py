"""Finds references of purchases in a customer's text. Only the first row of ROWS that finds a reference is used."""

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from domain.purchases import reference_key
from domain.redaction import without_cards

MAX_REFERENCE_LENGTH = 60  # characters; the longest reference that we know has half of this length

_COMPACT_REFERENCE = r"[A-Za-z0-9]+(?:[-_/][A-Za-z0-9]+|[.]\d{3,}(?![A-Za-z0-9]|,\d))*"
"""A possible reference without spaces: MB-2026-0417, AB1234567, 2026/417, MB.2026.0417."""

_SPACED_REFERENCE = r"(?-i:(?:[A-Z]{1,5}|\d{3,})(?:[ ]\d{3,}){1,5})(?=[ ]*(?:[.,;)\n]|$))"
"""A reference that is written with spaces, at the end of a line or clause: MB 2026 0417."""

_ALPHABETIC = r"[A-Za-z0-9_\u00c0-\u024f]"
"""A letter or digit that must not be directly beside a reference.

Japanese letters are not in this class: they can be beside a reference, because Japanese has no spaces.
"""

_AND = (
    r"[ ]*(?:,|;|&|\+|、|と|及び|および|\b(?:and also|and|as well as|plus|und auch|und|sowie|ainsi que|et|así como|y|nonché|ed|"
    r"e anche|e|"
    r"bem como)\b)[ ]*(?:the other one,?[ ]|(?:order|bestellung|commande|pedido|ordine|encomenda)s?[ ])?"
)
"""The text between two references of a list: "MB-1 and MB-2"."""

_IS = r"(?:[\s:#=.(\"'*«\[「【-]|№|\b(?:is|was|ist|lautet|war|est|es|is:|è|é)\b|[はがの、]){0,12}"
"""The text between a label and its reference: "order number is: MB-1"."""

_NUMBER = r"[ -]?(?:numbers?|numéro|número|numero|nummern?|num|n[.]?[o°]|nr|id|code|código|codice|#|№)"
"""The word "number" at the end of a label such as "order number"."""


def _count_digits(text: str) -> int:
    return sum(char.isdigit() for char in text)


def _is_labelled_reference(token: str) -> bool:
    """Return True if a token after a label can be a reference: it has at least 3 characters and 2 digits (unlike "2nd")."""
    return 3 <= len(token) <= MAX_REFERENCE_LENGTH and _count_digits(token) >= 2  # noqa: PLR2004


def _is_dashed_reference(token: str) -> bool:
    """Return True for a reference such as MB-2026-0417. It begins with a letter, and has a dash and at least 3 digits."""
    has_shape = "-" in token and token[0].isalpha() and _count_digits(token) >= 3  # noqa: PLR2004
    return (has_shape or _is_dotted_reference(token)) and len(token) <= MAX_REFERENCE_LENGTH


def _is_dotted_reference(token: str) -> bool:
    """Return True for a reference such as MB.2026.0417. Version numbers have fewer digits after each dot."""
    return re.fullmatch(r"[A-Za-z]+(?:\.\d{3,}){1,4}", token) is not None


def _is_numeric_reference(token: str) -> bool:
    """Return True for a reference such as 123456789, AB1234567 or 100-200300.

    It has at least 6 digits. Numbers with fewer digits are often years, amounts or postcodes.
    """
    return _count_digits(token) >= 6 and len(token) <= MAX_REFERENCE_LENGTH  # noqa: PLR2004


def _is_unlabelled_reference(token: str) -> bool:
    return _is_dashed_reference(token) or _is_numeric_reference(token)


class Row(NamedTuple):
    """One form of a reference: a pattern of the label before the reference, and a check of the reference.

    ``label`` is None if the reference has no label.
    """

    label: str | None
    is_reference: Callable[[str], bool]


ROWS = (
    Row(
        rf"(?:referen(?:ce|z|cia|tie)|référence|riferimento|referência)(?:s|{_NUMBER})?|ref{_NUMBER}",
        _is_labelled_reference,
    ),
    Row(
        rf"(?:order|purchase|transaction){_NUMBER}|(?:bestell|auftrags?|kauf|vorgangs?|best\.)(?:[ -]?(?:nummern?|nr|no|id))"
        r"|(?:numéro|num|n°|nº|no|numero|número)[ .]*(?:de[ ]|d['’]|di[ ])?(?:la[ ])?(?:commande|pedido|compra|ordine|achat)"
        r"|(?:pedido|encomenda|compra|commande|achat|ordine|acquisto)[ ](?:n[.]?[o°]|número|numéro|numero)"
        r"|(?:numéro|n[.]?[o°]|numero|número)[ .]*(?:da[ ]|do[ ]|d['’])(?:encomenda|pedido|compra|ordine|acquisto)"
        r"|(?:orders?|purchase|bestellung|auftrag|kauf|commande|achat|pedido|encomenda|compra|ordine|acquisto|注文|購入)"
        r"[ ]?(?:nr|no|n[°º]|num|nro)?[ .]{0,2}(?=[#№]?[ ]?\d{4,5}(?![\d.,-]|[ ]?(?:€|\$|eur|usd|euro|円|licen|"
        r"lizen)))(?![ ]?(?:19|20)\d\d\b)"
        r"|(?:bestellung|auftrag|kauf)[ ](?:nr|no|nummer)"
        r"|ordernummer|bestelnummer|numer zamówienia|номер заказа|(?:注文|受注|購入|オーダー|参照|整理)(?:番号|no|id)|订单号",
        _is_labelled_reference,
    ),
    Row(
        rf"(?:invoice|receipt|confirmation|facture|factura|fattura|fatura){_NUMBER}|rechnungs?[ -]?(?:nummer|nr|no)"
        r"|(?:numéro|n°|número|numero)[ ](?:de|della|da|di)[ ](?:facture|factura|fattura|fatura)|請求書番号|領収書番号",
        _is_labelled_reference,
    ),
    Row(
        r"orders?|purchase|bestellung|auftrag|kauf|commande|achat|pedido|encomenda|compra"
        r"|ordine|acquisto|bestelling|invoice|rechnung|facture|factura|fattura|fatura|注文|購入|ref",
        _is_unlabelled_reference,
    ),
    Row(None, _is_dashed_reference),
    Row(None, _is_numeric_reference),
)
"""The forms of a reference, the most certain form first.

A number after "reference" is more certain than a number after "invoice number". A number without a label is least certain.
"""

OTHER_NUMBERS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"§{1,2}[ ]?\d+\w*|\b\d{2,4}/\d{1,4}/(?:EU|EG|EC|EEC|UE|CE|EWG)\b|\b[LRD]\.?[ ]?\d{3}-\d{1,3}\b",  # laws
        (
            r"\b(?:directive|regulation|richtlinie|verordnung|règlement|directiva|reglamento|direttiva|regolamento|diretiva|"
            r"article|artikel|artículo|articolo|artigo)\b[^\n\d]{0,20}\d[\d/.-]{0,15}"
        ),
        r"\b(?:ch|pi|py|re|in|sub|cs|tr|txn|pm|cus)_[A-Za-z0-9_]{6,60}",  # ids of a payment provider
        r"\[(?:ticket|case|request|req|fall|vorgang)\b[^\]\n]{0,40}\]",  # tags of a ticket system
        r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d)?[\dZ.+:]*",  # time stamps
        r"\b1Z[0-9A-Z]{16}\b",
        r"\b(?:parcel|paket|colis|paquete|pacco|encomenda postal|dhl|ups|fedex|dpd|gls|hermes)\b[^\n\d]{0,20}[\w-]{8,40}",
        r"\b(?:amazon|ebay|paypal|steam|apple|google)\b[^\n\d]{0,25}\d[\w-]{4,40}",  # orders of other shops
    )
)
"""Numbers that are not references, even if a label such as "order" is before the number."""

NOT_REFERENCES = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"\b(?:https?://|www\.)[^\s<>]+",
        r"[^\s<>@]{1,64}@[^\s<>@]{1,255}",  # e-mail addresses
        r"\b\d{4}-\d\d?-\d\d?\b|\b\d\d?[-./]\d\d?[-./]\d{2,4}\b",  # dates
        r"\b(?:tel|telefon|phone|fax|mobil[e]?|handy|cell|téléphone|whatsapp)\b[^\n\d+]{0,20}[+\d][\d \t()/.-]{4,30}",
        r"\+\d[\d ()/.-]{6,20}|\b0\d{2,5}[ /]\d[\d -]{4,12}",  # telephone numbers
        r"\b[A-Z]{2}\d{2}(?:[ ]?[A-Z0-9]{4}){3,7}(?:[ ]?[A-Z0-9]{1,3})?\b",  # IBAN
        r"\b(?:VAT|USt|HRB|tax|TVA|SIRET|BIC|PLZ|zip)\b[^\n\d]{0,20}[\w-]{4,20}",
        (
            r"\b(?:ticket|incident|customer|kunden|client|kdnr|licen[cs]e|lizenz|serial|serien|tracking|sendungs?)"
            r"[ -]?(?:number|nummer|no|nr|key|schlüssel|code|id)?[ .:#]{1,4}[\w-]{4,40}"
        ),
        r"\b(?:error|fehler|erreur)[ -]?(?:code|nummer|number)?[ :#]{0,3}[\w-]{0,20}\d[\w-]{0,20}",
        r"\b(?:UTF|ISO|IEC|DIN|RTX|GTX|CVE|CP|RFC)-\d[\d-]{0,12}",  # standards and other names with numbers
    )
)
"""Texts that contain digits or dashes but are not references. The search for unlabelled references removes these texts first."""


def fold(text: str) -> str:
    """Return the text in a simpler form, in which references are easier to find.

    Full-width characters become normal characters, each dash becomes a hyphen, and invisible characters are removed.
    """
    folded = []
    separated = "".join(" " if unicodedata.category(char) == "No" else char for char in text)  # a circled digit: ①
    for char in unicodedata.normalize("NFKC", separated):
        category = unicodedata.category(char)
        if category == "Pd" or char == "\u2212":
            folded.append("-")
        elif category == "Zs":
            folded.append(" ")
        elif category not in {"Cf", "Cc", "Cs"} or char in "\n\t":
            folded.append(char)
    return _BROKEN_REFERENCE.sub("", "".join(folded))


_BROKEN_REFERENCE = re.compile(
    r"(?<=[A-Za-z0-9]-)(?:[ ]?\n[ >]{0,4}(?=\d)|[ ](?=\d{3}))|(?<=[A-Za-z0-9])[ ]?\n[ >]{0,4}(?=-\d{3})"
)
"""A line end inside a reference, beside one of the dashes, or the space that a mail program left of the line end."""


class Candidate(NamedTuple):
    """A part of a text that can be a reference, and its place in the text."""

    text: str
    start: int
    end: int


def candidates(text: str) -> tuple[Candidate, ...]:
    """Return all parts of a text that can be references, the longest first: at most MAX_CANDIDATES.

    The parts can overlap. Whether a part is a reference, only the sender's purchases show: "4711", "MB 2026 0417", a part of
    a link, and a reference that is broken over two lines.
    """
    expanded = expand(fold(text))
    tokens = [match for match in _TOKEN.finditer(expanded.text) if len(match[0]) <= MAX_REFERENCE_LENGTH][:MAX_TOKENS]
    found = [Candidate(whole, -1, -1) for whole in expanded.replaced]
    for number, token in enumerate(tokens):
        found.append(Candidate(token[0], *token.span()))
        found += [Candidate(part[0], *part.span()) for part in _PART.finditer(expanded.text, *token.span())]
        found += [Candidate(part[1], *part.span(1)) for part in _NAMED_PART.finditer(expanded.text, *token.span())]
        found += [Candidate(part[0], *part.span()) for part in _NUMBER_PART.finditer(expanded.text, *token.span())]
        for last, previous in zip(tokens[number + 1 : number + MAX_GROUPS], tokens[number:], strict=False):
            if not (_GROUP_SPACE.fullmatch(expanded.text, previous.end(), last.start()) and _GROUP.fullmatch(last[0])):
                break
            whole = _LINE_END.sub("", expanded.text[token.start() : last.end()])
            found.append(Candidate(whole, token.start(), last.end()))
    found = [item for item in found if _count_digits(item.text) and len(item.text) >= MIN_LENGTH]
    found += [Candidate(label["token"], *label.span("token")) for label in _LABELLED.finditer(expanded.text)]
    usable = {(item.start, item.end): item for item in found}
    return tuple(sorted(usable.values(), key=lambda item: (-len(item.text), item.start))[:MAX_CANDIDATES])


MAX_TOKENS, MAX_CANDIDATES = 500, 300  # a long thread has a hundred numbers
MAX_GROUPS = 5  # groups of a reference that is written with spaces
MIN_LENGTH = 3  # characters; a purchase with a shorter reference is found only by its label

_TOKEN = re.compile(rf"(?<!{_ALPHABETIC})[A-Za-z0-9]+(?:[-_/.:=][A-Za-z0-9]+)*")
_PART = re.compile(r"[A-Za-z0-9]+(?:-[A-Za-z0-9]+)*")
_NAMED_PART = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{4,}-([A-Za-z0-9]+(?:-[A-Za-z0-9]+)*)")
"""A reference behind a word, as in the name of a file: invoice-MB-2026-0417.pdf."""

_NUMBER_PART = re.compile(r"(?<=[A-Za-z])\d{3,}")
"""A number directly behind a word, as in the name of a file: order4731.pdf."""

_LABELLED = re.compile(
    rf"(?:(?<!{_ALPHABETIC})(?:orders?|purchase|bestell(?:ung)?|auftrags?|kauf|commande|achat|pedido|encomenda|compra|ordine|"
    rf"acquisto|referen[a-z]{{1,4}}|ref)|注文|#|№)(?P<number>{_NUMBER}|[ ]n[.]|番号)?{_IS}(?<!{_ALPHABETIC})"
    rf"(?P<token>[A-Z]{{0,2}}\d{{1,4}}|(?(number)(?-i:[A-Z]{{3,12}})|(?!)))(?!{_ALPHABETIC}|[-./]\w)",
    re.IGNORECASE,
)
"""A short reference behind a label: "order 42", "#7". Behind a label for a number, it can have no digit: "order code XKCDQ"."""

_LINE_END = re.compile(r"[ ]?\n[ ]?")
_GROUP = re.compile(r"\d{1,10}")
_GROUP_SPACE = re.compile(r"[ ]?\n?[ ]?-?")


class Expanded(NamedTuple):
    """A text in which each abbreviated reference is written in full, and the possible references that were replaced."""

    text: str
    replaced: list[str]


def expand(text: str) -> Expanded:
    """Write abbreviated references in full: "MB-2026-5551/-5552" becomes "MB-2026-5551, MB-2026-5552"."""
    replaced = []

    def write_in_full(match: re.Match[str]) -> str:
        begin, end = match["begin"], match["end"]
        ends = re.findall(r"\d+", match["ends"])
        is_dashed = "-" in match["ends"]
        if not all(len(other) == len(end) or (len(other) < len(end) and is_dashed) for other in ends):
            return match[0]
        if any(_YEAR.fullmatch(other) for other in ends) and not (is_dashed or _YEAR.fullmatch(end)):
            return match[0]
        replaced.append(match[0])
        return ", ".join([begin + end, *(begin + end[: len(end) - len(other)] + other for other in ends)])

    return Expanded(_ABBREVIATED.sub(write_in_full, text), replaced)


_YEAR = re.compile(r"(?:19|20)\d\d")
_ABBREVIATED = re.compile(
    r"(?<![A-Za-z0-9_/-])(?P<begin>[A-Za-z]{1,6}-(?:[A-Za-z0-9]{1,8}-){1,3})(?P<end>\d{2,8})"
    rf"(?P<ends>(?:(?:[ ]?/[ ]?-?|{_AND}-?)\d{{1,8}}(?![A-Za-z0-9/-])){{1,5}})"
)
"""A reference, and the last digits of further references: MB-2026-5551/5552, "MB-2026-5551 and 5552"."""


def find(text: str) -> list[str]:
    """Return the references in a text, each once: those of the first row of ROWS that finds a reference, and similar ones."""
    folded = _without(OTHER_NUMBERS, expand(fold(text)).text)
    unlabelled = _without(NOT_REFERENCES, without_cards(folded))
    for row, pattern in zip(ROWS, _PATTERNS, strict=True):
        matches = pattern.finditer(folded if row.label else unlabelled)
        if found := [token for match in matches for token in _references_in(match["tokens"], row)]:
            return _each_once([*found, *_of_same_series(found, unlabelled)])
    return []


def _without(patterns: Iterable[re.Pattern[str]], text: str) -> str:
    for pattern in patterns:
        text = pattern.sub(" | ", text)
    return text


def _each_once(tokens: Iterable[str]) -> list[str]:
    first: dict[str, str] = {}
    for token in tokens:
        first.setdefault(reference_key(token), token)
    return list(first.values())


def _of_same_series(found: Iterable[str], text: str) -> Iterator[str]:
    """Yield the references in a text that belong to the series of one of the found references."""
    series = {_series(token) for token in found} - {None}
    for match in _UNLABELLED.finditer(text) if series else ():
        if _series(match["tokens"]) in series:
            yield match["tokens"]


def _series(token: str) -> str | None:
    """Return the first letters and the shape of a reference such as MB-2026-0417, or None for other references.

    References of the same series are purchases of the same shop, wherever they are in the text.
    """
    prefix = re.match(r"[A-Za-z]+(?=[-.]\d)", token)
    return f"{prefix[0].casefold()} {_shape(token)}" if prefix and _is_dashed_reference(token) else None


def _references_in(tokens: str, row: Row) -> list[str]:
    """Return the references in ``tokens``: up to ten tokens after a label, or one token without a label.

    After a label, the first token can be a reference. A later token can be a reference if it has the same shape as
    the first token: "orders MB-1 and MB-2".
    """
    if row.label is None:
        return [tokens] if row.is_reference(tokens) else []
    first, *others = re.split(rf"{_AND}|\s+", tokens) if not re.fullmatch(_SPACED_REFERENCE, tokens) else [tokens]
    similar = [other for other in others if _is_unlabelled_reference(other) and _shape(other) == _shape(first)]
    return [first, *similar] if row.is_reference(first) and not _is_date(first) else []


def is_similar(token: str, other: str) -> bool:
    """Return True if two references have the same length and shape, or belong to the same series."""
    is_same_shape = len(token) == len(other) and _shape(token) == _shape(other)
    return is_same_shape or _series(token) == _series(other) is not None


def _shape(token: str) -> str:
    """Return the shape of a reference, such as A-9-9 for MB-2026-0417. A seller's references usually have the same shape."""
    return re.sub(r"[A-Za-z]+", "A", re.sub(r"\d+", "9", token))


def _is_date(token: str) -> bool:
    return re.fullmatch(r"\d{4}-\d\d?-\d\d?|\d\d?[-/]\d\d?[-/]\d{2,4}", token) is not None


def _pattern(row: Row) -> re.Pattern[str]:
    """Return the pattern of a row. Its group ``tokens`` contains up to ten tokens after a label, or one token without a label."""
    if row.label is None:
        return re.compile(rf"(?<!{_ALPHABETIC})(?<![@./+-])(?P<tokens>{_COMPACT_REFERENCE})(?!{_ALPHABETIC}|@)")
    tokens = (
        rf"{_SPACED_REFERENCE}|{_COMPACT_REFERENCE}(?:(?:{_AND}|\s+)(?=[\w/-]{{0,60}}\d){_COMPACT_REFERENCE}){{0,9}}"
    )
    return re.compile(rf"(?<!{_ALPHABETIC})(?:{row.label}){_IS}(?<!{_ALPHABETIC})(?P<tokens>{tokens})", re.IGNORECASE)


_PATTERNS = tuple(_pattern(row) for row in ROWS)
_UNLABELLED = _PATTERNS[-1]
