"""Finds the purchases that a mail names but that the customer keeps: "MB-1 works fine, please refund MB-2"."""

import re
from typing import NamedTuple

from producers.mail.reason_patterns import any_of
from producers.mail.references import candidates
from producers.mail.request_patterns import DONE_REFUNDS
from producers.mail.request_sentences import asks_for_refund, denies, is_negated
from producers.mail.sentences import fold_text

_MAX_CLAUSES = 60  # a mail about several purchases is short; a longer mail is not divided

_CLAUSE_END = re.compile(
    r"(?<=[.!?。;\n,:()、])(?!\d)|(?=\b(?:but|aber|sondern|mais|et non|pero|y no|e non|mas|e não|and not|und nicht)\b)"
)

_KEPT = any_of(
    r"\b(?:keep(?:ing)?|happy with|satisfied with|stays?|(?:works?|runs?|is) (?:fine|well|great|perfect\w*|ok|good))\b",
    r"\b(?:behalt\w*|zufrieden|(?:funktioniert|läuft|ist) (?:gut|einwandfrei|prima|super|bestens|in ordnung))\b",
    r"\b(?:gard(?:e|er|ons)|content|satisfait\w*|(?:marche|fonctionne) (?:bien|très bien|parfaitement))\b",
    r"\b(?:quedo|qued[ao]rme\w*|contento|(?:funciona|va) (?:bien|perfecto|perfectamente))\b",
    r"\b(?:tengo|tenere|soddisfatt\w|content[oa]|(?:funziona|va) (?:bene|benissimo|perfettamente))\b",
    r"\b(?:fico|ficar|satisfeit\w|(?:funciona|está) (?:bem|ótim\w|perfeit\w*))\b|問題な|気に入|使い続け|残し",
)
_BEGINS_WITH_NOT = any_of(
    r"^\W*(?:(?:but|and|aber|und|mais|et|pero|y|ma|e|mas) )?(?:not|nicht|pas|non|no|não)\b[^.!?\n]{0,25}(?:REF|\d{2,})"
)


class DividedText(NamedTuple):
    """A text without the clauses about purchases that the customer keeps, and these clauses."""

    text: str
    kept: str


def set_aside_kept(text: str) -> DividedText:
    """Divide a text about several purchases. A text about a single purchase remains whole."""
    parts = _CLAUSE_END.split(text)
    if not 1 < len(parts) <= _MAX_CLAUSES:
        return DividedText(text, "")
    kept = [part for part in parts if candidates(part) and _is_kept(fold_text(part))]
    rest = "".join(part for part in parts if part not in kept)
    return DividedText(rest, "".join(kept)) if kept and candidates(rest) else DividedText(text, "")


def _is_kept(clause: str) -> bool:
    if _BEGINS_WITH_NOT.search(clause):
        return True
    is_good = _KEPT.search(clause) is not None and not is_negated(clause)
    return not asks_for_refund(clause) and (is_good or DONE_REFUNDS.search(clause) is not None or denies(clause))
