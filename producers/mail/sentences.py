"""Divides a customer's text into sentences and clauses, and writes it in the form in which the patterns of this package match."""

import re
import unicodedata
from collections.abc import Iterator

from domain.money import CURRENCIES
from producers.mail.reason_patterns import any_of

MAX_TEXT = 5_000  # characters; the rest of a longer text is not searched

CURRENCY_CODE = rf"(?-i:{'|'.join(sorted(CURRENCIES))})"
"""A currency of ISO 4217. Other capital letters before a number are a reference, as in PED7781."""


def fold_text(text: str) -> str:
    """Return the beginning of a text in the form in which the patterns match.

    Apostrophes are straight. Each reference is the word REF, because "no. 4711" is no negation and ORD10443 is no amount.
    Mail programs break long lines, so only a short line ends a sentence. A dot inside a sentence is a middle dot.
    """
    folded = unicodedata.normalize("NFKC", _ENCLOSED.sub(" ", text[:MAX_TEXT]).translate(_NUMBER_SIGNS)).translate(
        _STRAIGHT
    )
    folded = _REFERENCE.sub("REF", _WRAPPED_LINE.sub(r"\1 ", folded))
    folded = _LABELLED_NUMBER.sub("REF", _ORDER_NUMBER.sub("REF", folded))
    return _INNER_DOT.sub(lambda match: f"{match[0][:-1]}·", folded)


_NUMBER_SIGNS = str.maketrans({"\u00ba": "\u00b0", "\u2116": "#"})  # NFKC would write the word "no" for both signs
_STRAIGHT = str.maketrans({"\u2019": "'", "\u2018": "'", "\u00b4": "'", "`": "'"})
_ENCLOSED = re.compile("[\u2460-\u24ff]")  # circled digits, which are no part of the reference behind the digit
_WRAPPED_LINE = re.compile(r"([^\n]{50}[^\n.!?:])[ \t]?\n(?=[^\W\d_])")
_REFERENCE = re.compile(
    rf"(?<![A-Za-z0-9])(?!{CURRENCY_CODE}[-]?\d)(?:"
    r"[A-Za-z]{1,6}[-_/](?:[A-Za-z0-9]{1,12}[-_/]){0,4}[A-Za-z]{0,3}\d[A-Za-z0-9]*|"  # MB-2026-0417
    r"[A-Za-z]{1,6}(?:\.\d{3,}){1,4}|(?-i:[A-Z]{1,6})\d{2,}[A-Za-z0-9]*|"  # MB.2026.0417, ORD10443
    r"(?!\d{4}-\d\d?-\d\d?(?!\d))\d{3,}(?:-[A-Za-z0-9]{1,8}){1,4}"  # 123456-X, but not the date 2026-06-15
    r")(?![A-Za-z0-9])",
    re.IGNORECASE,
)
_LABELLED_NUMBER = re.compile(
    r"(?:(?<![^\W\d_])(?:nr|no|num|n|number|nummer|numéro|número|numero)[.:]?[ ]?|n?[°º№#][ ]?)(?:\d[A-Za-z0-9-]{0,20}|"
    r"(?-i:REF)(?![A-Za-z]))",
    re.IGNORECASE,
)
_ORDER_NUMBER = re.compile(
    r"(?:(?<=\border )|(?<=\borders )|(?<=\bbestellung )|(?<=\bauftrag )|(?<=\bcommande )|(?<=\bpedido )|(?<=\bencomenda )|"
    r"(?<=\bordine )|(?<=注文))\d{2,}(?:[ ]\d{3,})*",
    re.IGNORECASE,
)
_INNER_DOT = re.compile(
    r"\d\.(?=\d|[ ](?:jan|feb|m[aä]r|apr|ma[iy]|jun|jul|aug|sep|o[kc]t|nov|de[zc]))|"  # dates: 20.11.2026, 20. November
    r"\b(?:nr|no|num|n)\.(?=[ ]?(?:\d|(?-i:REF)(?![A-Za-z])))|\b(?:mr|mrs|ms|dr|art|ca|bzw|inkl|ggf|sr|sra|sig)\.(?=[ ]?\w)",
    re.IGNORECASE,
)


def sentences(folded: str) -> list[str]:
    """Return the sentences of a folded text, each with its punctuation mark."""
    return _SENTENCE.findall(folded)


_SENTENCE = re.compile(r"[^.!?。\n]+[.!?。]{0,3}")


def clauses(sentence: str) -> Iterator[str]:
    """Yield the clauses of a sentence. A comma, a bracket, a conjunction, or a word such as "please" begins a clause."""
    start = 0
    for match in _CLAUSE_BEGINNING.finditer(sentence):
        yield sentence[start : match.start()]
        start = match.start()
    yield sentence[start:]


_CLAUSE_BEGINNING = any_of(
    r"[,;:()](?!\d)|(?<!返金)(?<!返品)、|[ ][-–—]+[ ]|(?<=です)が|(?<=ます)が|(?<=した)が|(?<=ん)が|ので|(?<=[るたすい])から|"
    r"けど|(?<=なく)(?=[^て])",
    r"\b(?:and|but|because|since|which|that|who|while|until|unless|although|though|if|when|as(?! soon| well))\b",
    r"\b(?:und|aber|sondern|weil|denn|obwohl|dass|damit|wenn|falls|sobald)\b",
    r"\b(?:et|mais|car|donc|parce que|puisque|vu que|qui|que|alors que|pero|porque|ya que|pues|aunque|y)\b",
    r"\b(?:ed?|ma|però|perché|poiché|dato che|quindi|che|mas|pois|já que|cuando|quando|quand)\b",
    r"\bit (?=(?:does|is|did|has|was|won|can|never|keeps|just)\b)",
    r"\b(?:please|kindly|bitte|merci de|veuillez|por favor|per favore)\b"
    r"(?! (?:do not|don't|never|no\b|nicht|kein|ne pas|non|não)|[ ]?$|[ ]?[.!?,])",
)
"""The beginning of a clause. A negation in one clause says nothing about a refund in another clause."""
