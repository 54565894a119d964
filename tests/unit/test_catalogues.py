"""Every catalogue translates every sentence for customers with the same placeholders. E-mails use only these sentences."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from config.i18n import CATALOGUES, LANGUAGES
from domain.case_payments import METHOD_NAMES, CasePayment
from domain.emails import EmailKind
from domain.inquiry_emails import InquiryEmailKind
from domain.purchase_details import PurchaseDetails
from domain.purchases import Method
from domain.reason_codes import ReasonCode
from domain.refund_operations import OperationStatus
from domain.requests import RefundScope
from records.inquiry_emails import InquiryEmail
from records.purchase_details import PurchaseWithDetails
from tests.catalogues import TRANSLATED, Sentence, collect_sentences, is_translated, placeholders, read_catalogue
from tests.pseudolocale import PageText, PseudoTranslator, untranslated_words
from tests.sample_emails import LINKS, SENDER, an_email, bodies
from worker.emails import inquiry_emails, render

FACTS: dict[str, Any] = {
    "product": "Φώτο 4",
    "seller_name": "Аврора",
    "purchase_reference": "417",
    "reference": "417",
    "declared_by": "Ада",
    "statement": "Да.",
}


@pytest.fixture(scope="module")
def sentences() -> dict[Sentence, set[str]]:
    return collect_sentences()


@pytest.fixture
def pseudo_translator(monkeypatch: pytest.MonkeyPatch) -> PseudoTranslator:
    """Render e-mails in the pseudo-language of tests/pseudolocale.py."""
    translator = PseudoTranslator()
    for module in (render.__globals__, vars(inquiry_emails)):
        monkeypatch.setitem(module, "translator_for", lambda _: translator)
    return translator


def test_there_is_a_catalogue_for_every_language_but_english() -> None:
    assert {file.stem for file in CATALOGUES.glob("*.po")} == set(LANGUAGES) - {"en"} == set(TRANSLATED)


@pytest.mark.parametrize("language", TRANSLATED)
def test_every_sentence_is_in_the_catalogue_and_translated(language: str, sentences: dict[Sentence, set[str]]) -> None:
    known = {message.id: message for message in read_catalogue(language) if message.id}
    missing = {sentence: sorted(places) for sentence, places in sentences.items() if sentence not in known}
    assert not missing, f"{len(missing)} sentences are not in the catalogue; `make languages` adds them: {missing}"
    untranslated = [
        sentence for sentence, message in known.items() if not is_translated(message.string) or message.fuzzy
    ]
    assert not untranslated, f"{len(untranslated)} sentences are not translated: {untranslated}"


@pytest.mark.parametrize("language", TRANSLATED)
def test_a_catalogue_has_no_unused_sentence(language: str, sentences: dict[Sentence, set[str]]) -> None:
    found = read_catalogue(language)
    assert {message.id for message in found if message.id} - set(sentences) == set()
    assert not found.obsolete


@pytest.mark.parametrize("language", TRANSLATED)
def test_every_translation_has_the_same_placeholders(language: str) -> None:
    for message in read_catalogue(language):
        for original, translated in zip(_forms(message.id), _forms(message.string), strict=False):
            if original and translated:
                assert placeholders(translated) == placeholders(original), original
                assert translated == translated.strip()


@pytest.mark.parametrize("refund_scope", RefundScope)
@pytest.mark.parametrize("kind", EmailKind)
def test_a_case_email_uses_only_sentences_of_the_catalogues(
    kind: EmailKind, refund_scope: RefundScope, pseudo_translator: PseudoTranslator, sentences: dict[Sentence, set[str]]
) -> None:
    reasons = [{"code": code.value} for code in ReasonCode]
    for method in (*Method, None) if kind is EmailKind.REFUNDED else (None,):
        for facts in (FACTS, FACTS | dict.fromkeys(("product", "seller_name", "support_email", "amount"))):
            email = an_email(kind, refund_scope=refund_scope, reasons=reasons, method=method, **facts)
            text, html = bodies(email)
            assert untranslated_words(f"{email['Subject']}\n{text}") == []
            assert untranslated_words(PageText(html).text) == []
    assert {
        text for text in pseudo_translator.looked_up if any(char.isalpha() for char in text) and text[0] != "{"
    } <= set(sentences)


def _payments(*statuses: OperationStatus | None, **changes: Any) -> tuple[CasePayment, ...]:
    """Return a payment for each status, and a payment that support must refund."""
    facts: dict[str, Any] = {"provider": "стр", "amount": 100, "currency": "EUR"}
    return (
        *(CasePayment(charge=str(n), method=None, status=s, **facts, **changes) for n, s in enumerate(statuses)),
        *(CasePayment(charge=name, method=name, for_support=True, **facts, **changes) for name in METHOD_NAMES),
    )


SITUATIONS: dict[str, tuple[EmailKind, dict[str, Any]]] = {
    "several payments": (EmailKind.START_REFUND, {"payments": _payments(None, None)}),
    "a second charge": (EmailKind.START_REFUND, {"payments": _payments(None, duplicate=True)}),
    "a second charge is refunded": (EmailKind.REFUNDED, {"payments": _payments(None, duplicate=True)}),
    "several payments are refunded": (EmailKind.REFUNDED, {"payments": _payments(OperationStatus.PAID)}),
    "a payment is pending": (EmailKind.ACCEPTED, {"payments": _payments(OperationStatus.PENDING)}),
    "the customer must act": (
        EmailKind.ACCEPTED,
        {"payments": _payments(OperationStatus.PENDING), "customer_must_act": True},
    ),
    "a part is refunded": (EmailKind.WITH_SUPPORT, {"payments": _payments(OperationStatus.PAID)}),
    "the amount differs": (EmailKind.WITH_SUPPORT, {"reasons": [{"code": ReasonCode.REFUND_DIFFERS.value}]}),
    "the seller cancels": (EmailKind.RETURNED, {"reasons": [{"code": ReasonCode.REFUND_CANCELLED.value}]}),
    "the purchase is unknown": (EmailKind.WITH_SUPPORT, {"purchase": None}),
    "support declines, and the purchase is unknown": (EmailKind.DECLINED, {"purchase": None}),
    "support asks, and the purchase is unknown": (EmailKind.QUESTION, {"purchase": None}),
    "support refunded another way, and the purchase is unknown": (EmailKind.REFUNDED_ELSEWHERE, {"purchase": None}),
    "a question is open": (EmailKind.WITH_SUPPORT, {"decided_event": "support_asked"}),
    "support refunded another way": (EmailKind.REFUNDED, {"decided_event": "support_refunded_elsewhere"}),
    "a part is approved": (EmailKind.APPROVED, {"amount": 1000, "is_approved": True}),
    "a part is pending": (EmailKind.ACCEPTED, {"amount": 1000, "is_approved": True}),
    "a part was refunded": (EmailKind.REFUNDED, {"amount": 1000, "is_approved": True}),
}


@pytest.mark.parametrize("situation", SITUATIONS)
@pytest.mark.parametrize("earlier", [(), (EmailKind.NOT_FOUND,)])
def test_an_email_about_a_situation_uses_only_sentences_of_the_catalogues(
    situation: str,
    earlier: tuple[EmailKind, ...],
    pseudo_translator: PseudoTranslator,
    sentences: dict[Sentence, set[str]],
) -> None:
    kind, changes = SITUATIONS[situation]
    email = an_email(kind, *earlier, **FACTS | changes)
    text, html = bodies(email)
    assert untranslated_words(f"{email['Subject']}\n{text}") == []
    assert untranslated_words(PageText(html).text) == []
    assert {text for text in pseudo_translator.looked_up if text[:1] != "{"} - {""} <= set(sentences)


@pytest.mark.parametrize("kind", InquiryEmailKind)
def test_an_inquiry_email_uses_only_sentences_of_the_catalogues(
    kind: InquiryEmailKind, pseudo_translator: PseudoTranslator, sentences: dict[Sentence, set[str]]
) -> None:
    purchase = PurchaseWithDetails(
        id=UUID(int=1),
        reference="417",
        email="ada@example.com",
        product="Φώτο 4",
        purchased_at=datetime(2026, 6, 15, tzinfo=UTC),
        returned=False,
        seller="aurora",
        seller_name="Аврора",
        time_zone=ZoneInfo("Europe/Berlin"),
        support_email="help@aurora.example",
        website=None,
        whom_to_ask=None,
        details=PurchaseDetails(),
    )
    inquiry = InquiryEmail(
        id=UUID(int=2), kind=kind, to="ada@example.com", locale="xx", thread=None, purchases=(purchase,)
    )
    email = inquiry_emails.render_inquiry(inquiry, LINKS, SENDER)
    text, html = bodies(email)
    assert untranslated_words(f"{email['Subject']}\n{text}") == []
    assert untranslated_words(PageText(html).text) == []
    assert {text for text in pseudo_translator.looked_up if text[0] != "{"} <= set(sentences)


def _forms(text: Any) -> tuple[str, ...]:
    return (text,) if isinstance(text, str) else tuple(text)
