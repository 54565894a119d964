"""Every sentence for customers is in every catalogue, translated, with the same facts in it; and a letter says no other."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from config.i18n import CATALOGUES, LANGUAGES
from domain.emails import EmailKind
from domain.inquiry_emails import InquiryEmailKind
from domain.purchase_details import PurchaseDetails
from domain.purchases import Method
from domain.reason_codes import ReasonCode
from domain.requests import RefundScope
from records.inquiry_emails import InquiryEmail
from records.purchase_details import PurchaseWithDetails
from tests.catalogues import TRANSLATED, Sentence, catalogue, gather, placeholders, said
from tests.pseudolocale import Foreign, Seen, english
from tests.sample_emails import LINKS, SENDER, a_letter, bodies
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
    return gather()


@pytest.fixture
def foreign(monkeypatch: pytest.MonkeyPatch) -> Foreign:
    """Letters are written in a language that nobody speaks."""
    spoken = Foreign()
    for module in (render.__globals__, vars(inquiry_emails)):
        monkeypatch.setitem(module, "translator_for", lambda _: spoken)
    return spoken


def test_there_is_a_catalogue_for_every_language_but_english() -> None:
    assert {file.stem for file in CATALOGUES.glob("*.po")} == set(LANGUAGES) - {"en"} == set(TRANSLATED)


@pytest.mark.parametrize("language", TRANSLATED)
def test_every_sentence_is_in_the_catalogue_and_translated(language: str, sentences: dict[Sentence, set[str]]) -> None:
    known = {message.id: message for message in catalogue(language) if message.id}
    missing = {sentence: sorted(places) for sentence, places in sentences.items() if sentence not in known}
    assert not missing, f"`make languages` writes these {len(missing)} into the catalogues: {missing}"
    waiting = [sentence for sentence, message in known.items() if not said(message.string) or message.fuzzy]
    assert not waiting, f"These {len(waiting)} wait to be translated: {waiting}"


@pytest.mark.parametrize("language", TRANSLATED)
def test_nothing_is_in_a_catalogue_that_nobody_says(language: str, sentences: dict[Sentence, set[str]]) -> None:
    found = catalogue(language)
    assert {message.id for message in found if message.id} - set(sentences) == set()
    assert not found.obsolete


@pytest.mark.parametrize("language", TRANSLATED)
def test_every_translation_names_the_same_facts(language: str) -> None:
    for message in catalogue(language):
        for english_one, translated in zip(_forms(message.id), _forms(message.string), strict=False):
            if english_one and translated:
                assert placeholders(translated) == placeholders(english_one), english_one
                assert translated == translated.strip()


@pytest.mark.parametrize("refund_scope", RefundScope)
@pytest.mark.parametrize("stage", EmailKind)
def test_a_letter_says_only_what_is_in_the_catalogues(
    stage: EmailKind, refund_scope: RefundScope, foreign: Foreign, sentences: dict[Sentence, set[str]]
) -> None:
    reasons = [{"code": code.value} for code in ReasonCode]
    for method in (*Method, None) if stage is EmailKind.REFUNDED else (None,):
        for facts in (FACTS, FACTS | dict.fromkeys(("product", "seller_name", "support_email", "amount"))):
            letter = a_letter(stage, refund_scope=refund_scope, reasons=reasons, method=method, **facts)
            text, html = bodies(letter)
            assert english(f"{letter['Subject']}\n{text}") == []
            assert english(Seen(html).text) == []
    assert {one for one in foreign.asked if any(char.isalpha() for char in one) and one[0] != "{"} <= set(sentences)


@pytest.mark.parametrize("kind", InquiryEmailKind)
def test_a_note_says_only_what_is_in_the_catalogues(
    kind: InquiryEmailKind, foreign: Foreign, sentences: dict[Sentence, set[str]]
) -> None:
    bought = PurchaseWithDetails(
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
    note = InquiryEmail(id=UUID(int=2), kind=kind, to="ada@example.com", locale="xx", thread=None, purchases=(bought,))
    letter = inquiry_emails.render_inquiry(note, LINKS, SENDER)
    text, html = bodies(letter)
    assert english(f"{letter['Subject']}\n{text}") == []
    assert english(Seen(html).text) == []
    assert {one for one in foreign.asked if one[0] != "{"} <= set(sentences)


def _forms(text: Any) -> tuple[str, ...]:
    return (text,) if isinstance(text, str) else tuple(text)
