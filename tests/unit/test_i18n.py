"""Translations: the choice of the language, and how amounts and dates are written in each language."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.i18n import LANGUAGES, language_for, preferred_language, translator_for
from domain.money import CURRENCIES, Money

NOON = datetime(2026, 6, 15, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("locale", "language"),
    [("de", "de"), ("de-AT", "de"), ("pt_BR", "pt"), ("JA", "ja"), ("zh-Hant-TW", "en"), ("xx", "en"), ("", "en")],
)
def test_each_locale_is_mapped_to_a_language_and_unknown_locales_to_english(locale: str, language: str) -> None:
    assert language_for(locale) == translator_for(locale).language == language


@pytest.mark.parametrize(
    ("accepted", "language"),
    [
        ("de-AT,de;q=0.9,en;q=0.5", "de"),
        ("en;q=0.1, fr;q=0.8", "fr"),
        ("zh, ja;q=0.3", "ja"),
        ("de;q=0, it", "it"),
        ("*", "en"),
        ("", "en"),
        ("de;q=often, es", "es"),
    ],
)
def test_the_language_that_a_browser_prefers_is_chosen(accepted: str, language: str) -> None:
    assert preferred_language(accepted) == language


@given(st.text())
def test_any_text_gives_a_known_language(text: str) -> None:
    assert preferred_language(text) in LANGUAGES
    assert language_for(text) in LANGUAGES


def test_an_amount_is_written_in_the_format_of_the_language() -> None:
    assert translator_for("en").money(Money(123456, "EUR")) == "€1,234.56"
    assert translator_for("de").money(Money(123456, "EUR")) == "1.234,56\xa0€"
    assert translator_for("ja").money(Money(500, "JPY")) == "￥500"
    assert translator_for("pt").money(Money(123456, "EUR")) == "1\xa0234,56\xa0€"


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_digit_of_an_amount_is_shown(language: str) -> None:
    for currency in CURRENCIES:
        shown = translator_for(language).money(Money(123456789, currency))
        assert "".join(char for char in shown if char.isdecimal()) == "123456789", currency


def test_a_date_is_the_local_date_of_the_time_zone() -> None:
    assert translator_for("en").day(NOON) == "15 June 2026"
    assert translator_for("ja").day(NOON.replace(hour=23), ZoneInfo("Asia/Tokyo")) == "2026年6月16日"
    assert translator_for("de").instant(NOON, ZoneInfo("Europe/Berlin")) == "15. Juni 2026, 14:00 CEST"
    assert translator_for("ja").instant(NOON) == "2026年6月15日 12:00 UTC"


def test_a_placeholder_in_a_value_is_not_replaced() -> None:
    assert (
        translator_for("en").gettext("{product} costs {amount}.", product="{amount}", amount="€1")
        == "{amount} costs €1."
    )
