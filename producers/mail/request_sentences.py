"""Decides whether a text asks for a refund, sentence by sentence. Without positive evidence, the text asks for nothing."""

from producers.mail.intent_patterns import REFUND_TOPICS, REFUND_WORDS, TAKEN_BACK
from producers.mail.request_patterns import (
    BARE_REFUND,
    CONDITION,
    DONE_REFUNDS,
    INTERROGATIVE,
    NEGATION,
    NOT_ARRIVED,
    NOT_DENIED,
    POLITE_CONDITION,
    PORTUGUESE_NO,
    REPORT,
    REPORT_BEHIND,
    REQUEST_VERBS,
    STATEMENT,
    WANTING,
)
from producers.mail.sentences import clauses, sentences


def asks_for_refund(folded: str) -> bool:
    """Return True if a sentence of a folded text asks for a refund."""
    return any(map(_asks, sentences(_without_topics(folded))))


def denies(folded: str) -> bool:
    """Return True if the folded text denies a wish for a refund, or takes the wish back."""
    return TAKEN_BACK.search(folded) is not None or any(
        _denies(clause)
        for sentence in sentences(folded)
        if not CONDITION.search(sentence)
        for clause in clauses(sentence)
    )


def wants(folded: str) -> bool:
    """Return True if the folded text has a wish or a question of any kind."""
    return "?" in folded or "か。" in folded or WANTING.search(folded) is not None


def mentions_refund(folded: str) -> bool:
    """Return True if the folded text has a refund word, whatever the text says about the refund."""
    return REFUND_WORDS.search(folded) is not None


def threatens(folded: str) -> bool:
    """Return True if the folded text has a condition such as "If you don't refund me, …"."""
    return any(_is_threat(sentence, list(clauses(sentence))) for sentence in sentences(folded))


def only_mentions(folded: str) -> bool:
    """Return True if a sentence of the folded text reports of a refund, or asks about a refund."""
    return REFUND_TOPICS.search(folded) is not None or any(
        pattern.search(sentence)
        for sentence in sentences(folded)
        if REFUND_WORDS.search(sentence)
        for pattern in (DONE_REFUNDS, REPORT, REPORT_BEHIND, INTERROGATIVE)
    )


def _without_topics(folded: str) -> str:
    return DONE_REFUNDS.sub(" | ", REFUND_TOPICS.sub(" | ", folded))


def _asks(sentence: str) -> bool:
    parts = list(clauses(sentence))
    if _is_hypothetical(sentence, parts):
        return False
    is_wanted = any(WANTING.search(part) and not is_negated(part) for part in parts)
    position = 0
    for part in parts:
        for word in REFUND_WORDS.finditer(part):
            before = sentence[: position + word.start()]
            is_asked = is_wanted and not _reports(part, word.start(), word.end())
            if (
                is_asked or _is_bare(part, word.start(), word.end(), sentence[position + word.end() :])
            ) and _is_wanted_thing(before):
                return True
        position += len(part)
    return _is_threat(sentence, parts)


def _is_bare(clause: str, start: int, end: int, rest: str) -> bool:
    """Return True for a clause that begins with the refund word: "Refund MB-2026-0417", "Geld zurück"."""
    return (
        BARE_REFUND.search(clause[:start]) is not None
        and not STATEMENT.search(rest)
        and not REPORT_BEHIND.search(clause[end:])
        and not is_negated(clause)
    )


def _reports(clause: str, start: int, end: int) -> bool:
    """Return True if the clause reports of the refund word. A wanting word between the report and the refund word counts more."""
    report = max((match.end() for match in REPORT.finditer(clause[:start])), default=-1)
    wanting = max((match.end() for match in WANTING.finditer(clause[:start])), default=-1)
    return report > wanting or REPORT_BEHIND.search(clause[end:]) is not None


def _is_wanted_thing(before: str) -> bool:
    """Return True if no question word is between the last wanting word and the refund word."""
    question = max((match.end() for match in INTERROGATIVE.finditer(before)), default=-1)
    return question < 0 or WANTING.search(before, question) is not None


def _is_hypothetical(sentence: str, parts: list[str]) -> bool:
    """Return True for a question about the rules: "If I don't like it, can I return it?"."""
    return sentence.rstrip().endswith("?") and any(
        CONDITION.search(part) and not POLITE_CONDITION.search(part) and not REFUND_WORDS.search(part) for part in parts
    )


def _is_threat(sentence: str, parts: list[str]) -> bool:
    """Return True for a condition such as "If you don't refund me, …"."""
    return CONDITION.search(sentence) is not None and any(
        REFUND_WORDS.search(part) and (is_negated(part) or CONDITION.search(part)) for part in parts[:2]
    )


def _denies(clause: str) -> bool:
    is_denied = REFUND_WORDS.search(clause) is not None and is_negated(clause) and not NOT_DENIED.search(clause)
    return is_denied and (REQUEST_VERBS.search(clause) is not None or not NOT_ARRIVED.search(clause))


def is_negated(clause: str) -> bool:
    """Return True if the clause has a negation."""
    return NEGATION.search(PORTUGUESE_NO.sub(" ", clause)) is not None
