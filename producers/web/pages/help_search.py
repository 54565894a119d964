"""Search in the help centre, whatever the words' case and accents; what stands in a question counts more."""

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from markupsafe import Markup, escape

from producers.web.pages.help_articles import Article

LONGEST = 100  # characters of a question; more is not read
MOST_WORDS = 10
_TELLING = 4  # letters: shorter words stand in every sentence
_AROUND = 70  # characters shown before the first hit, and twice as many after it

_ACCENTS = re.compile(r"[\u0300-\u036f]")
_WITHOUT_SPACES = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]")
_CONTENT = re.compile(r"[\u3400-\u9fff々]+|[ァ-ヶー]+|[a-z0-9]+")


@dataclass(frozen=True, slots=True)
class Hit:
    """An article that was found, its words marked."""

    article: Article
    question: Markup
    excerpt: Markup


def find(asked: str, topics: Mapping[str, Sequence[Article]]) -> list[Hit]:
    """The articles that hold all the words, the best first; where none does, those that hold the most of them.

    People ask whole questions, and no article holds every word of one. Fewer than half of what says something is nothing.
    """
    wanted = words(asked)
    articles = [article for some in topics.values() for article in some]
    telling = [word for word in wanted if len(word) >= _TELLING or not word.isascii()]
    found = _holding(articles, wanted, len(wanted)) or _holding(articles, telling, (len(telling) + 1) // 2)
    return [Hit(article, _marked(article.question, some), _excerpt(article.text, some)) for article, some in found]


def _holding(articles: Sequence[Article], wanted: Sequence[str], least: int) -> list[tuple[Article, list[str]]]:
    """Those articles that hold the most of these words, and at least so many; and which ones."""
    found: list[tuple[int, Article, list[str]]] = []
    for article in articles:
        question, text = _folded(article.question)[0], _folded(article.text)[0]
        held = [word for word in wanted if word in question or word in text]
        if held and len(held) >= least:
            found.append((sum(word in question for word in held), article, held))
    most = max((len(held) for _, _, held in found), default=0)
    found.sort(key=lambda one: -one[0])
    return [(article, held) for _, article, held in found if len(held) == most]


def words(asked: str) -> list[str]:
    """What is looked for. Japanese has no spaces: of a sentence in it, the words that carry what it is about are taken."""
    parts = _folded(asked[:LONGEST])[0].split()
    apart = [
        word for part in parts for word in (_CONTENT.findall(part) if _WITHOUT_SPACES.search(part) else ()) or [part]
    ]
    return list(dict.fromkeys(apart))[:MOST_WORDS]


@lru_cache(maxsize=1_000)  # all our articles in all languages: folding them anew would cost each search 20 ms
def _folded(text: str) -> tuple[str, list[int]]:
    """The text as it is compared, and where each of its characters came from."""
    characters: list[str] = []
    places: list[int] = []
    for place, char in enumerate(text):
        for one in _plain(char):
            characters.append(one)
            places.append(place)
    return "".join(characters), places


@lru_cache(maxsize=5_000)
def _plain(char: str) -> str:
    bare = _ACCENTS.sub("", unicodedata.normalize("NFD", unicodedata.normalize("NFKC", char).casefold()))
    return unicodedata.normalize("NFC", bare)


def _spans(text: str, wanted: Iterable[str]) -> list[tuple[int, int]]:
    """Where the words stand, from and to, apart from each other."""
    folded, places = _folded(text)
    spans = sorted(
        (places[at.start()], places[at.end() - 1] + 1) for word in wanted for at in re.finditer(re.escape(word), folded)
    )
    apart: list[tuple[int, int]] = []
    for start, end in spans:
        if apart and start <= apart[-1][1]:
            apart[-1] = (apart[-1][0], max(end, apart[-1][1]))
        else:
            apart.append((start, end))
    return apart


def _marked(text: str, wanted: Iterable[str]) -> Markup:
    parts, last = Markup(), 0
    for start, end in _spans(text, wanted):
        parts += escape(text[last:start]) + Markup("<mark>{}</mark>").format(text[start:end])
        last = end
    return parts + escape(text[last:])


def _excerpt(text: str, wanted: Sequence[str]) -> Markup:
    spans = _spans(text, wanted)
    first = spans[0][0] if spans else 0
    start = max(0, first - _AROUND)
    start = text.rfind(" ", 0, start) + 1 if start else 0
    end = first + 2 * _AROUND
    cut = text[start:end] if end >= len(text) else text[start:end].rsplit(" ", 1)[0]
    before, after = "… " if start else "", " …" if end < len(text) else ""
    return escape(before) + _marked(cut, wanted) + escape(after)
