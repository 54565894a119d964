"""Answers of the help centre: Markdown files, one an article, in ``help/<language>/<topic>/<article>.md``.

The first heading is the question. Files are put in order by their names; digits at a name's start are for that alone. Files
of the operator's own folder come first: one with the same name takes the place of ours, an empty one takes ours away.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.common.utils import escapeHtml
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict
from markupsafe import Markup

HERE = Path(__file__).with_name("help")
OURS = "en"  # every article is there in English

TOPICS = ("payment", "delivery", "refunds")
"""The order of our topics; those of an operator's own follow."""

_NUMBER = re.compile(r"^\d+-")


def _link(_: RendererHTML, tokens: Sequence[Token], n: int, __: OptionsDict, env: EnvType) -> str:
    """Links to our own pages go on with what the reader chose."""
    href = str(tokens[n].attrGet("href") or "")
    if href.startswith("/") and not href.startswith("//"):
        page, hash_, part = href.partition("#")
        href = f"{env['to'](page)}{hash_}{part}"
    return f'<a href="{escapeHtml(href)}">'


_markdown = MarkdownIt("commonmark", {"html": False})
_markdown.add_render_rule("link_open", _link)


@dataclass(frozen=True, slots=True, kw_only=True)
class Article:
    """One question and its answer."""

    topic: str
    name: str
    language: str
    question: str
    text: str
    """The answer without its markup, for the search."""
    tokens: Sequence[Token]

    def html(self, to: Callable[[str], str]) -> Markup:
        """The answer. Markup is Markdown's alone: HTML in the file is text, and no link is a script."""
        return Markup(_markdown.renderer.render(self.tokens, _markdown.options, {"to": to}))  # noqa: S704


class ArticleStore:
    """All articles, read once: a process that is to know a changed file is started again."""

    def __init__(self, *folders: Path) -> None:
        self._files: dict[tuple[str, str, str], Article | None] = {}
        for folder in (*folders, HERE):
            for file in sorted(folder.glob("*/*/*.md")):
                language, topic = file.parts[-3:-1]
                self._files.setdefault((language, topic, file.stem), _read(file))
        self._topics: dict[str, Mapping[str, Sequence[Article]]] = {}

    def topics(self, language: str) -> Mapping[str, Sequence[Article]]:
        """The articles by topic, in this language where they are written in it, else in English."""
        if language not in self._topics:
            named = sorted({(topic, stem) for _, topic, stem in self._files}, key=_in_order)
            articles = filter(None, (self._one(language, *name) for name in named))
            self._topics[language] = {
                topic: tuple(some) for topic, some in groupby(articles, key=lambda article: article.topic)
            }
        return self._topics[language]

    def _one(self, language: str, topic: str, stem: str) -> Article | None:
        return self._files.get((language, topic, stem), self._files.get((OURS, topic, stem)))


def _in_order(name: tuple[str, str]) -> tuple[int, str, str]:
    topic, stem = name
    return TOPICS.index(topic) if topic in TOPICS else len(TOPICS), topic, stem


def _read(file: Path) -> Article | None:
    tokens = _markdown.parse(file.read_text(encoding="utf-8-sig"))
    if not tokens or tokens[0].type != "heading_open":
        return None
    language, topic = file.parts[-3:-1]
    question, answer = tokens[1].content, tokens[3:]
    text = " ".join(_plain(token) for token in answer if token.type == "inline")
    name = _NUMBER.sub("", file.stem)
    return Article(topic=topic, name=name, language=language, question=question, text=text, tokens=answer)


def _plain(inline: Token) -> str:
    return "".join(" " if child.type.endswith("break") else child.content for child in inline.children or ())
