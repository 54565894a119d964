"""Finds out from a customer's text: whether the customer asks for a refund, the refund reason and scope, and the language.

The results become fields of the refund request. The results prove nothing, because the customer can write anything.
"""

import re

from domain.refund_reasons import RefundReason
from domain.requests import RefundScope
from producers.mail.concern_patterns import CONCERNS
from producers.mail.intent_patterns import NO_WITHDRAWALS, OTHER_INTENTS, REFUND_TOPICS, WITHDRAWALS
from producers.mail.reason_patterns import REASONS, any_of
from producers.mail.request_sentences import asks_for_refund, denies, mentions_refund, only_mentions, threatens, wants
from producers.mail.scopes import scope_of
from producers.mail.sentences import MAX_TEXT, fold_text, sentences

_THANKS_WORDS = any_of(
    r"\bthank|\bcheers\b|\bdanke?\b|\bmerci\b|\bgracias\b|\bgrazie\b|\bobrigad[oa]\b|ありがとう|感謝|"
    r"\bgot (?:it|the money)\b|\b(?:angekommen|erledigt)\b",
)
"""Words of thanks, and words for money that has arrived."""

_NEWSLETTER_WORDS = any_of(
    r"\bunsubscribe\b|\bview (?:this|it) (?:email |mail )?in (?:your|a) browser\b|\bnewsletter abbestellen\b|\babbestellen\b",
    r"\bse désabonner\b|\bse désinscrire\b|\bdarse de baja\b|\bdisiscri|\bcancelar (?:a )?(?:inscrição|subscrição)\b",
    r"配信停止|登録解除",
)
"""Words at the end of newsletters, such as "unsubscribe" or "view this email in your browser"."""


def asks(text: str, *subjects: str) -> bool:
    """Return True if a text asks for a refund, or a subject does and the text is about nothing else. No text denies the wish."""
    folded, *heads = map(fold_text, (text, *subjects))
    if withdraws(text, *subjects):
        return True
    is_asked = asks_for_refund(folded) or (any(map(asks_for_refund, heads)) and not _is_about_something_else(folded))
    return is_asked and not any(map(denies, (folded, *heads)))


def _is_about_something_else(folded: str) -> bool:
    return only_mentions(folded) or OTHER_INTENTS.search(folded) is not None


def mentions(text: str, *subjects: str) -> bool:
    """Return True if one of the texts speaks of a refund in a way that can be a wish, and no text denies the wish."""
    folded = [fold_text(item) for item in (text, *subjects)]
    return asks(text, *subjects) or (
        any(mentions_refund(REFUND_TOPICS.sub(" ", item)) for item in folded) and not any(map(denies, folded))
    )


def revokes(*texts: str) -> bool:
    """Return True if one of the texts denies the wish for a refund, or takes the wish back."""
    return any(denies(fold_text(text)) for text in texts)


def text_before_request(text: str) -> str:
    """Return the lines before the first refund word. A contact form writes the customer's name and address there."""
    lines = text[:MAX_TEXT].split("\n")
    number = next((number for number, line in enumerate(lines) if mentions_refund(line)), len(lines))
    return "\n".join(lines[:number])


def wants_something_else(*texts: str) -> bool:
    """Return True if one of the texts asks for something else than a refund, or takes the wish for a refund back."""
    return revokes(*texts) or any(
        OTHER_INTENTS.search(text) or REFUND_TOPICS.search(text) for text in map(fold_text, texts)
    )


def withdraws(*texts: str) -> bool:
    """Return True if one of the texts declares a withdrawal from a contract, and none of the texts takes the wish back."""
    folded = [fold_text(_FORM_CHOICE.sub("", text)) for text in texts]
    return any(_declares_withdrawal(sentence) for text in folded for sentence in sentences(text)) and not any(
        map(denies, folded)
    )


def _declares_withdrawal(sentence: str) -> bool:
    return (
        WITHDRAWALS.search(sentence) is not None
        and not NO_WITHDRAWALS.search(sentence)
        and not sentence.rstrip().endswith(("?", "か。"))
    )


_FORM_CHOICE = re.compile(r"[ ]?\(\*\)|(?<=\w)/\w{1,12}\b|\((?:n|en|s)\)")
"""The choices that the model form leaves to the customer: "I/We (*) hereby give notice"."""


def concerns_support(*texts: str) -> bool:
    """Return True if one of the texts says something that support must read besides the request."""
    return any(CONCERNS.search(text) or threatens(text) for text in map(fold_text, texts))


def complains(*texts: str) -> bool:
    """Return True if the texts only complain, so that the purpose can only be a refund.

    A mail with a question or another wish asks for this wish. A technical fault or a missing delivery asks for help.
    """
    return reason_of(*texts) in _REASONS_FOR_A_REFUND and not any(
        wants(text) or only_mentions(text) or OTHER_INTENTS.search(text) for text in map(fold_text, texts)
    )


_REASONS_FOR_A_REFUND = frozenset(RefundReason) - {
    RefundReason.OTHER,
    RefundReason.TECHNICAL_ISSUE,
    RefundReason.NOT_DELIVERED,
}


def thanks(*texts: str) -> bool:
    """Return True if one of the texts says thanks. Most replies that ask for no refund say thanks."""
    return any(_THANKS_WORDS.search(text) for text in texts)


def advertises(text: str) -> bool:
    """Return True if the text comes from a newsletter."""
    return _NEWSLETTER_WORDS.search(text) is not None


def reason_of(*texts: str) -> RefundReason:
    """Return the refund reason of the first text that names a reason. The default is OTHER."""
    return next(
        (reason for text in texts for reason, pattern in REASONS if pattern.search(fold_text(text))),
        RefundReason.OTHER,
    )


def refund_scope_of(*texts: str) -> RefundScope:
    """Return the refund scope of the first text that asks for a VAT refund or a partial refund. The default is FULL."""
    scopes = (scope_of(fold_text(text)) for text in texts)
    return next((scope for scope in scopes if scope is not RefundScope.FULL), RefundScope.FULL)


_COMMON_WORDS = {
    "en": (
        "i you the and my for to is was have please not would this with your it me of hello hi want back dear "
        "regards refund can on are at from that do thanks"
    ),
    "de": (
        "ich und die der das nicht bitte für ein eine mein meine ist habe mit sie von den zu ihr hallo grüße "
        "möchte wurde um erstattung erstatten rückerstattung bestellung widerruf geld zurück auch auf kann "
        "vielen dank guten tag wir im dem sich hat"
    ),
    "fr": (
        "je le la les et pour mon ma ne pas est vous une bonjour avec merci des du un ai cordialement "
        "souhaite j que remboursement rembourser commande demande puis sur deux beaucoup votre bonsoir cette "
        "ce dans nous au"
    ),
    "es": (
        "el la los y por mi no es para una con que hola gracias quiero un se lo he del saludos señores me "
        "solicito reembolso devolución pedido en muchas buenos días dos puedo su esta este nos al quería quisiera por"
    ),
    "it": (
        "il la per mio mia non è una che con grazie vorrei ho di un sono del buongiorno salve saluti chiedo "
        "mi rimborso ordine mille posso su due questo questa i gli le al"
    ),
    "pt": (
        "o a os e para meu minha não é uma com obrigado obrigada quero que um por eu do da olá gostaria "
        "cumprimentos fiz reembolso devolução encomenda pedido em dois bom dia muito pela pelo posso no na "
        "esta este as queria por pedimos"
    ),
}
"""Common words of refund requests in each supported European language. They show the language of a text."""

SUPPORTED_LANGUAGES = {*_COMMON_WORDS, "ja"}
_COMMON_WORD_SETS = {language: frozenset(words.split()) for language, words in _COMMON_WORDS.items()}
_MIN_MATCHES = 2  # common words or Japanese letters that show a language; a single one may be part of a name
_KANA = re.compile(r"[\u3041-\u3096\u30a1-\u30fa]")


def detect_language(text: str) -> str | None:
    """Return the supported language of a text, or None if the language is not clear."""
    beginning = _WITHOUT_LANGUAGE.sub(" ", text[:MAX_TEXT])
    if len(_KANA.findall(beginning)) >= _MIN_MATCHES or _JAPANESE_WORDS.search(beginning):
        return "ja"
    words = set(re.findall(r"\w+", beginning.casefold()))
    matches = sorted(
        (
            (len(words & common) + _MIN_MATCHES * bool(_OWN_WORDS[language].search(beginning)), language)
            for language, common in _COMMON_WORD_SETS.items()
        ),
        reverse=True,
    )
    (best, language), (second, other) = matches[0], matches[1]
    if best == second and {language, other} == {"es", "pt"}:
        return "es" if best >= _MIN_MATCHES else None  # these two languages share most words of refund requests
    return language if best >= _MIN_MATCHES and best > second else None


_WITHOUT_LANGUAGE = re.compile(
    r"[^\s@]{1,64}@\S+|\b(?:https?://|www\.)\S+|\be-?mail\b|\bsent from (?:my|mail)\b[^\n]*|"
    r"^(?=[^\n]*\b(?:confidential|intended recipient|disclaimer)\b)[^\n]*",
    re.IGNORECASE | re.MULTILINE,
)
"""Parts of a mail that do not show the author's language: addresses, links, and the lines that programs add below a mail."""

_OWN_WORDS = {
    language: re.compile(rf"\b(?:{words})", re.IGNORECASE)
    for language, words in {
        "en": r"(?!)",  # other languages use the word "refund", too
        "de": r"(?:rück)?erstatt|storn(?:o|ier)|widerruf|rückzahl|rückgabe|geld[ -]zurück|bestell",
        "fr": r"rembours|commande\b|rétract",
        "es": r"devu[eé]lv|devoluci[oó]n|reintegr|reembols",
        "it": r"rimbors|ordine\b|acquisto\b|recesso\b",
        "pt": r"estorn|devolução|encomenda\b|reembols",
    }.items()
}
"""Words of refund requests that only one language has, or only Spanish and Portuguese. A single word shows the language."""

_JAPANESE_WORDS = re.compile("返金|返品|払戻|注文|購入|解約")
"""Words that show Japanese without kana."""
