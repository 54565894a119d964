"""The search of the help centre. It ignores case and accents. An article is a question with its answer.

The results are sorted: an article comes earlier if its question contains more words of the query.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from markupsafe import Markup, escape

from producers.web.pages.help_articles import Article

MAX_QUERY_LENGTH = 100  # characters; the rest of a query is ignored
MAX_WORDS = 10
_MIN_KEYWORD_LENGTH = 4  # letters; shorter words, such as “the”, are in almost every sentence
_CONTEXT_LENGTH = 70  # characters of an excerpt before the first matched word; from that word on, twice as many follow

_ACCENTS = re.compile(r"[\u0300-\u036f]")
_JAPANESE = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]")
_CONTENT_WORDS = re.compile(r"[\u3400-\u9fff々]+|[ァ-ヶー]+|[a-z0-9]+")


@dataclass(frozen=True, slots=True)
class Hit:
    """An article that was found, with the words of the query marked."""

    article: Article
    question: Markup
    excerpt: Markup


def find(query: str, topics: Mapping[str, Sequence[Article]]) -> list[Hit]:
    """Return the articles that contain all words of the query, the best first.

    Customers type whole questions, and often no article contains every word of a question. In this case, return the
    articles that contain the most keywords, and at least half of them. ASCII words of less than four letters are no keywords.
    """
    query_words = words(query)
    articles = [article for topic_articles in topics.values() for article in topic_articles]
    keywords = [word for word in query_words if len(word) >= _MIN_KEYWORD_LENGTH or not word.isascii()]
    matches = _best_matches(articles, query_words, len(query_words)) or _best_matches(
        articles, keywords, (len(keywords) + 1) // 2
    )
    return [
        Hit(article, _mark(article.question, matched), _excerpt(article.text, matched)) for article, matched in matches
    ]


def _best_matches(
    articles: Sequence[Article], query_words: Sequence[str], minimum: int
) -> list[tuple[Article, list[str]]]:
    """Return the articles that contain the most query words, each with the query words that it contains.

    An article must contain at least ``minimum`` of the words.
    """
    matches: list[tuple[int, Article, list[str]]] = []
    for article in articles:
        question, text = _fold(article.question)[0], _fold(article.text)[0]
        matched = [word for word in query_words if word in question or word in text]
        if matched and len(matched) >= minimum:
            matches.append((sum(word in question for word in matched), article, matched))
    most = max((len(matched) for _, _, matched in matches), default=0)
    matches.sort(key=lambda match: -match[0])
    return [(article, matched) for _, article, matched in matches if len(matched) == most]


def words(query: str) -> list[str]:
    """Return the words to search for.

    Japanese has no spaces, so a Japanese sentence is reduced to its content words.
    """
    parts = _fold(query[:MAX_QUERY_LENGTH])[0].split()
    split = [
        word for part in parts for word in (_CONTENT_WORDS.findall(part) if _JAPANESE.search(part) else ()) or [part]
    ]
    return list(dict.fromkeys(split))[:MAX_WORDS]


@lru_cache(maxsize=1_000)  # 1,000 texts are enough for all articles. Without the cache, a search takes 20 ms longer
def _fold(text: str) -> tuple[str, list[int]]:
    """Return the text in lower case without accents, and the position of each character in the original text."""
    characters: list[str] = []
    positions: list[int] = []
    for position, original in enumerate(text):
        for character in _fold_character(original):
            characters.append(character)
            positions.append(position)
    return "".join(characters), positions


@lru_cache(maxsize=5_000)
def _fold_character(character: str) -> str:
    decomposed = unicodedata.normalize("NFD", unicodedata.normalize("NFKC", character).casefold())
    return unicodedata.normalize("NFC", _ACCENTS.sub("", decomposed))


def _find_spans(text: str, matched: Iterable[str]) -> list[tuple[int, int]]:
    """Return the start and the end of each matched word in the text. Overlapping and adjacent spans are merged."""
    folded, positions = _fold(text)
    spans = sorted(
        (positions[match.start()], positions[match.end() - 1] + 1)
        for word in matched
        for match in re.finditer(re.escape(word), folded)
    )
    merged: list[tuple[int, int]] = []
    for start, end in spans:
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def _mark(text: str, matched: Iterable[str]) -> Markup:
    html, position = Markup(), 0
    for start, end in _find_spans(text, matched):
        html += escape(text[position:start]) + Markup("<mark>{}</mark>").format(text[start:end])
        position = end
    return html + escape(text[position:])


def _excerpt(text: str, matched: Sequence[str]) -> Markup:
    spans = _find_spans(text, matched)
    first = spans[0][0] if spans else 0
    start = max(0, first - _CONTEXT_LENGTH)
    start = text.rfind(" ", 0, start) + 1 if start else 0
    end = first + 2 * _CONTEXT_LENGTH
    excerpt = text[start:end] if end >= len(text) else text[start:end].rsplit(" ", 1)[0]
    before, after = "… " if start else "", " …" if end < len(text) else ""
    return escape(before) + _mark(excerpt, matched) + escape(after)
