"""Speech: what is said to a customer, in their language. English sentences are the keys of the catalogues.

A catalogue is a gettext file, ``config/languages/<language>.po``; a sentence that is missing from it is said in English, and a
test finds it. Money and dates are written as CLDR says they are written in that language.
"""

import re
from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from functools import cache
from io import BytesIO
from pathlib import Path
from zoneinfo import ZoneInfo

from babel import Locale
from babel.core import negotiate_locale
from babel.dates import format_date, format_time
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.numbers import format_currency
from babel.support import NullTranslations, Translations

from domain.money import CURRENCIES, Money

HERE = Path(__file__).with_name("languages")

LANGUAGES = {
    "en": "English",
    "de": "Deutsch",
    "fr": "Français",
    "es": "Español",
    "it": "Italiano",
    "pt": "Português",
    "ja": "日本語",
}
"""The languages spoken here, each by its own name."""

UTC = ZoneInfo("UTC")
_DECIMALS = re.compile(r"0\.0+")


class Translator:
    """One language."""

    def __init__(self, language: str) -> None:
        self.language = language
        self._locale = Locale.parse("en_GB" if language == "en" else language)
        self.catalogue = _catalogue(language)

    def gettext(self, sentence: str, **facts: object) -> str:
        """This sentence; facts take the place of their names in braces."""
        said = self.catalogue.gettext(sentence)
        return said.format_map({name: str(fact) for name, fact in facts.items()}) if facts else said

    def money(self, money: Money) -> str:
        """An amount as it is written in this language, with the decimals that ISO 4217 gives its currency: CLDR hides some."""
        decimals = CURRENCIES[money.currency]
        pattern = _DECIMALS.sub(
            "0." + "0" * decimals if decimals else "0", self._locale.currency_formats["standard"].pattern
        )
        amount = Decimal(money.minor).scaleb(-decimals)
        return format_currency(amount, money.currency, pattern, locale=self._locale, currency_digits=False)

    def day(self, at: datetime, zone: ZoneInfo = UTC) -> str:
        """The calendar day of an instant."""
        return format_date(at.astimezone(zone), "long", locale=self._locale)

    def instant(self, at: datetime, zone: ZoneInfo = UTC) -> str:
        """``17 April 2026, 14:05 UTC``: the zone is said, because the reader's is not known."""
        there = at.astimezone(zone)
        return f"{self.day(at, zone)}, {format_time(there, 'HH:mm', locale=self._locale)} {there:%Z}"


@cache
def translator_for(locale: str) -> Translator:
    """The speech for a locale, such as ``pt-BR``; English where its language is not spoken here."""
    return Translator(language_for(locale))


def language_for(locale: str) -> str:
    """The language of ours that this locale asks for."""
    return negotiate_locale([locale.replace("-", "_").lower()[:35]], list(LANGUAGES)) or "en"


def preferred_language(accepted: str) -> str:
    """The language that a browser asks for by its Accept-Language header (RFC 9110, 12.5.4)."""
    wanted = sorted(_weighted(accepted[:500]), key=lambda one: -one[0])
    found = (negotiate_locale([tag], list(LANGUAGES)) for weight, tag in wanted if weight > 0)
    return next(filter(None, found), "en")


def _weighted(accepted: str) -> Iterable[tuple[float, str]]:
    for part in accepted.split(","):
        tag, _, weight = part.partition(";")
        try:
            yield float(weight.strip().removeprefix("q=") or 1), tag.strip().replace("-", "_").lower()
        except ValueError:
            continue


@cache
def _catalogue(language: str) -> NullTranslations:
    if language == "en":
        return NullTranslations()
    compiled = BytesIO()
    with (HERE / f"{language}.po").open("rb") as file:
        write_mo(compiled, read_po(file, locale=language))
    compiled.seek(0)
    return Translations(compiled, domain="moneyback")
