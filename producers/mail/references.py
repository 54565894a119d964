"""Finding the reference of a purchase in what people write. Tables say what one looks like; the first row that hits decides."""

import re
import unicodedata
from collections.abc import Callable
from typing import NamedTuple

from domain.purchases import reference_key
from domain.redaction import without_cards

LONGEST = 60  # characters; no seller we know uses more than half of it

_WORD = r"[A-Za-z0-9]+(?:[-_/][A-Za-z0-9]+)*"
_SPACED = r"(?-i:(?:[A-Z]{1,5}|\d{3,})(?:[ ]\d{3,}){1,5})(?=[ ]*(?:[.,;)\n]|$))"  # MB 2026 0417, at the end of its line
_LETTER = r"[A-Za-z0-9_\u00c0-\u024f]"  # of words with spaces between; Japanese has none
_AND = r"[ ]*(?:,|;|&|\+|、|と|\b(?:and|und|et|y|e|ed)\b)[ ]*"
_IS = r"(?:[\s:#=.(\"'*«\[「【-]|№|\b(?:is|was|ist|lautet|war|est|es|is:|è|é)\b|[はがの、]){0,12}"
_NO = r"[ -]?(?:numbers?|numéro|número|numero|nummern?|num|n[.]?[o°]|nr|id|code|código|codice|#|№)"


def _digits(text: str) -> int:
    return sum(char.isdigit() for char in text)


def _named(token: str) -> bool:
    """What follows a label need only look a little like a reference."""
    return 3 <= len(token) <= LONGEST and _digits(token) >= 2  # noqa: PLR2004 - "2nd" and "of 2" are not references


def _dashed(token: str) -> bool:
    """MB-2026-0417: letters first, dashes, three digits or more."""
    return "-" in token and token[0].isalpha() and _digits(token) >= 3 and len(token) <= LONGEST  # noqa: PLR2004 - not A4-2


def _numeric(token: str) -> bool:
    """123456789, AB1234567, 100-200300: six digits or more."""
    return _digits(token) >= 6 and len(token) <= LONGEST  # noqa: PLR2004 - fewer are years, amounts, postcodes


def _bare(token: str) -> bool:
    return _dashed(token) or _numeric(token)


class Row(NamedTuple):
    """One way to write a reference: what stands before it, and what it must look like."""

    label: str | None
    looks: Callable[[str], bool]


ROWS = (
    Row(rf"(?:referen(?:ce|z|cia|tie)|référence|riferimento|referência)(?:s|{_NO})?|ref{_NO}", _named),
    Row(
        rf"(?:order|purchase|transaction){_NO}|(?:bestell|auftrags?|kauf|vorgangs?|best\.)(?:[ -]?(?:nummern?|nr|no|id))"
        r"|(?:numéro|num|n°|nº|no|numero|número)[ .]*(?:de[ ]|d['’]|di[ ])?(?:la[ ])?(?:commande|pedido|compra|ordine|achat)"
        r"|(?:pedido|encomenda|compra|commande|achat|ordine|acquisto)[ ](?:n[.]?[o°]|número|numéro|numero)"
        r"|(?:numéro|n[.]?[o°]|numero|número)[ .]*(?:da[ ]|do[ ]|d['’])(?:encomenda|pedido|compra|ordine|acquisto)"
        r"|ordernummer|bestelnummer|numer zamówienia|номер заказа|(?:注文|受注|購入|オーダー|参照|整理)(?:番号|no|id)|订单号",
        _named,
    ),
    Row(
        rf"(?:invoice|receipt|confirmation|facture|factura|fattura|fatura){_NO}|rechnungs?[ -]?(?:nummer|nr|no)"
        r"|(?:numéro|n°|número|numero)[ ](?:de|della|da|di)[ ](?:facture|factura|fattura|fatura)|請求書番号|領収書番号",
        _named,
    ),
    Row(
        r"orders?|purchase|bestellung|auftrag|kauf|commande|achat|pedido|encomenda|compra"
        r"|ordine|acquisto|bestelling|invoice|rechnung|facture|factura|fattura|fatura|注文|購入|ref",
        _bare,
    ),
    Row(None, _dashed),
    Row(None, _numeric),
)
"""In this order: one after "reference" is surer than one after "invoice number", and any label is surer than none."""

NOT_REFERENCES = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"\b(?:https?://|www\.)[^\s<>]+",
        r"[^\s<>@]{1,64}@[^\s<>@]{1,255}",  # addresses
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
"""What has digits and dashes and is no reference. Only unlabelled tokens are held against it."""


def fold(text: str) -> str:
    """As references are compared: full width folded, every dash a hyphen, nothing invisible; lines stay lines."""
    kept = []
    for char in unicodedata.normalize("NFKC", text):
        category = unicodedata.category(char)
        if category == "Pd" or char == "\u2212":
            kept.append("-")
        elif category == "Zs":
            kept.append(" ")
        elif category not in {"Cf", "Cc", "Cs"} or char in "\n\t":
            kept.append(char)
    return "".join(kept)


def find(text: str) -> list[str]:
    """The different references in this text, by the first row that finds any."""
    folded = fold(text)
    bare = without_cards(folded)
    for pattern in NOT_REFERENCES:
        bare = pattern.sub(" | ", bare)
    for row, pattern in zip(ROWS, _PATTERNS, strict=True):
        found: dict[str, str] = {}
        for match in pattern.finditer(folded if row.label else bare):
            for token in _tokens(match["tokens"], row):
                found.setdefault(reference_key(token), token)
        if found:
            return list(found.values())
    return []


def _tokens(text: str, row: Row) -> list[str]:
    if row.label is None:
        return [text] if row.looks(text) else []
    first, *others = re.split(rf"{_AND}|\s+", text) if not re.fullmatch(_SPACED, text) else [text]
    alike = [other for other in others if _bare(other) and _shape(other) == _shape(first)]
    return [first, *alike] if row.looks(first) and not _is_date(first) else []


def _shape(token: str) -> str:
    """What two references of one seller have in common."""
    return re.sub(r"[A-Za-z]+", "A", re.sub(r"\d+", "9", token))


def _is_date(token: str) -> bool:
    return re.fullmatch(r"\d{4}-\d\d?-\d\d?|\d\d?[-/]\d\d?[-/]\d{2,4}", token) is not None


def _pattern(row: Row) -> re.Pattern[str]:
    if row.label is None:
        return re.compile(rf"(?<!{_LETTER})(?<![@./+-])(?P<tokens>{_WORD})(?!{_LETTER}|@)")
    tokens = rf"{_SPACED}|{_WORD}(?:(?:{_AND}|\s+)(?=[\w/-]{{0,60}}\d){_WORD}){{0,9}}"
    return re.compile(rf"(?<!{_LETTER})(?:{row.label}){_IS}(?<!{_LETTER})(?P<tokens>{tokens})", re.IGNORECASE)


_PATTERNS = tuple(_pattern(row) for row in ROWS)
