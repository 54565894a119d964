"""A pseudo-language without Latin letters. If a page in this language contains Latin letters, a text was not translated."""

import re
from html.parser import HTMLParser
from typing import ClassVar

from babel import Locale
from babel.support import NullTranslations

from config.i18n import Translator

_LETTERS = re.compile(r"(%\(\w+\)[sd]|\{\w+\})|[A-Za-z]")
_UNTRANSLATABLE = re.compile(
    r"https?://\S+|[\w.+-]+@[\w.-]+\w|[\dA-Z]{4}-[\dA-Z]{4}-[\dA-Z]\b|\b(?:UTC|CEST|CET|Moneyback)\b"
)
"""Texts that are the same in every language: URLs, e-mail addresses, case numbers, time zones and the name "Moneyback"."""


class PseudoTranslator(Translator):
    """A translator into the pseudo-language. It also records which sentences it translated."""

    def __init__(self) -> None:
        self.language = "xx"
        self._locale = Locale.parse("ja")  # Japanese dates and amounts have no Latin letters
        self.catalogue = _Translations()

    @property
    def looked_up(self) -> set[str]:
        """The sentences that were translated."""
        assert isinstance(self.catalogue, _Translations)
        return self.catalogue.looked_up


class _Translations(NullTranslations):
    def __init__(self) -> None:
        super().__init__()
        self.looked_up: set[str] = set()

    def gettext(self, message: str) -> str:
        self.looked_up.add(message)
        return _LETTERS.sub(lambda found: found[1] or "ж", message)

    ugettext = gettext


def untranslated_words(text: str, *facts: str) -> list[str]:
    """Return the words in Latin letters. Leave out `facts` and texts that are the same in every language."""
    for fact in facts:
        text = text.replace(fact, "")
    return re.findall(r"[A-Za-z]{2,}", _UNTRANSLATABLE.sub("", text))


class PageText(HTMLParser):
    """The text of a page, as a browser displays it or a screen reader reads it.

    Elements whose `lang` attribute has a value other than "xx" are left out.
    """

    HIDDEN_ELEMENTS: ClassVar = {"script", "style"}
    VOID_ELEMENTS: ClassVar = {"meta", "link", "img", "input", "br", "hr"}
    TEXT_ATTRIBUTES: ClassVar = {"alt", "title", "aria-label", "placeholder"}

    def __init__(self, html: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self._open: list[tuple[str, bool]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        lang = dict(attrs).get("lang")
        hidden = self._hidden or tag in self.HIDDEN_ELEMENTS or (lang is not None and lang != "xx")
        if not hidden:
            self.words += [value for name, value in attrs if name in self.TEXT_ATTRIBUTES and value]
        if tag not in self.VOID_ELEMENTS:
            self._open.append((tag, hidden))

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop()[0] != tag:
            pass

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.words.append(data)

    @property
    def _hidden(self) -> bool:
        return bool(self._open) and self._open[-1][1]

    @property
    def text(self) -> str:
        return "\n".join(self.words)
