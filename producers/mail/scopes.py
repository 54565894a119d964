"""Finds out how much the customer wants back. Only a text without doubt asks for everything, because support decides the rest."""

import re

from domain.requests import RefundScope
from producers.mail.request_sentences import is_negated
from producers.mail.scope_patterns import (
    AMOUNT,
    GIVEN_BACK_THINGS,
    JAPANESE_WHOLE,
    PART,
    REMAINDER,
    VAT,
    WHOLE_AMOUNT,
    WHOLE_THING,
)
from producers.mail.sentences import clauses, sentences


def scope_of(folded: str) -> RefundScope:
    """Return the refund scope of a folded text. It is partial if the text names a part, or something else than the whole."""
    if VAT.search(folded):
        return RefundScope.VAT
    is_partial = PART.search(folded) or any(
        _names_amount(sentence) or _names_thing(sentence) or _leaves_remainder(sentence)
        for sentence in sentences(folded)
    )
    return RefundScope.PARTIAL if is_partial else RefundScope.FULL


def _names_amount(sentence: str) -> bool:
    """Return True if the sentence asks for an amount that is not called the whole amount. A price in brackets is no wish."""
    without_prices = _BRACKETS.sub(" ", sentence)
    return AMOUNT.search(without_prices) is not None and not WHOLE_AMOUNT.search(without_prices)


_BRACKETS = re.compile(r"\([^()]{0,40}\)")


def _names_thing(sentence: str) -> bool:
    """Return True if the sentence names a thing that is given back, and this thing is not the whole purchase."""
    return not all(
        JAPANESE_WHOLE.search(match["japanese"])
        if match["japanese"]
        else any(map(WHOLE_THING.search, (match["behind"] or match["before"]).split()))
        for match in GIVEN_BACK_THINGS.finditer(sentence)
    )


def _leaves_remainder(sentence: str) -> bool:
    return any(REMAINDER.search(clause) and not is_negated(clause) for clause in clauses(sentence))
