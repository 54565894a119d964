"""Translates sentences for customers, and formats money and dates in their language.

A catalogue is a gettext file, ``config/languages/<language>.po``. Its keys are the English sentences. A sentence that is
missing from the catalogue stays English, and a test reports it. Money and dates follow the CLDR data of the language.
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

CATALOGUES = Path(__file__).with_name("languages")

LANGUAGES = {
    "en": "English",
    "de": "Deutsch",
    "fr": "Français",
    "es": "Español",
    "it": "Italiano",
    "pt": "Português",
    "ja": "日本語",
}
"""The languages of the product, each with its name in that language."""

_LOCALES = {"en": "en_GB", "pt": "pt_PT"}
"""The locale of a language for Babel. Babel would read ``en`` as American English and ``pt`` as Brazilian Portuguese."""

UTC = ZoneInfo("UTC")
_DECIMALS = re.compile(r"0\.0+")


class Translator:
    """The translations and the formats of a language."""

    def __init__(self, language: str) -> None:
        self.language = language
        self._locale = Locale.parse(_LOCALES.get(language, language))
        self.catalogue = _load_catalogue(language)

    def gettext(self, sentence: str, **facts: object) -> str:
        """Return the translation of a sentence. A name in braces is replaced by the fact with this name."""
        translated = self.catalogue.gettext(sentence)
        return translated.format_map({name: str(fact) for name, fact in facts.items()}) if facts else translated

    def money(self, money: Money) -> str:
        """Return an amount with as many decimals as in ISO 4217, because CLDR hides the decimals of some currencies."""
        decimals = CURRENCIES[money.currency]
        pattern = _DECIMALS.sub(
            "0." + "0" * decimals if decimals else "0", self._locale.currency_formats["standard"].pattern
        )
        amount = Decimal(money.minor).scaleb(-decimals)
        return format_currency(amount, money.currency, pattern, locale=self._locale, currency_digits=False)

    def day(self, at: datetime, zone: ZoneInfo = UTC) -> str:
        """Return the calendar day of an instant."""
        return format_date(at.astimezone(zone), "long", locale=self._locale)

    def instant(self, at: datetime, zone: ZoneInfo = UTC) -> str:
        """Return an instant as ``17 April 2026, 14:05 UTC``, with the time zone, because the reader's time zone is unknown."""
        local = at.astimezone(zone)
        time = f"{format_time(local, 'HH:mm', locale=self._locale)} {local:%Z}"
        return str(self._locale.datetime_formats["medium"]).format(time, self.day(at, zone))


@cache
def translator_for(locale: str) -> Translator:
    """Return the translator for a locale such as ``pt-BR``; English if the product does not have the language."""
    return Translator(language_for(locale))


def language_for(locale: str) -> str:
    """Return the language of the product for a locale; English if the product does not have the language."""
    return negotiate_locale([locale.replace("-", "_").lower()[:35]], list(LANGUAGES)) or "en"


def english_name(language: str) -> str:
    """Return the English name of a language of the product, such as ``German``, for readers in support."""
    return Locale.parse(language).english_name or language


def preferred_language(accepted: str) -> str:
    """Return the language that an Accept-Language header prefers (RFC 9110, 12.5.4)."""
    by_weight = sorted(_parse_weights(accepted[:500]), key=lambda weighted: -weighted[0])
    languages = (negotiate_locale([tag], list(LANGUAGES)) for weight, tag in by_weight if weight > 0)
    return next(filter(None, languages), "en")


def _parse_weights(accepted: str) -> Iterable[tuple[float, str]]:
    """Yield the weight and the locale of each valid part of an Accept-Language header."""
    for part in accepted.split(","):
        tag, _, weight = part.partition(";")
        try:
            yield float(weight.strip().removeprefix("q=") or 1), tag.strip().replace("-", "_").lower()
        except ValueError:
            continue


@cache
def _load_catalogue(language: str) -> NullTranslations:
    if language == "en":
        return NullTranslations()
    compiled = BytesIO()
    with (CATALOGUES / f"{language}.po").open("rb") as file:
        write_mo(compiled, read_po(file, locale=language))
    compiled.seek(0)
    return Translations(compiled, domain="moneyback")
