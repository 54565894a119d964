"""The articles of the help centre, as Markdown files: ``help/<language>/<topic>/<article>.md``.

The first heading of a file is the question. Files are sorted by name, and digits at the start of a name only set the
order. An operator can add a folder with more articles. If an operator's file has the language, topic and name of an article of
the product, the file replaces the article. An empty file removes the article.
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

HERE = Path(__file__).parents[1] / "help"
DEFAULT_LANGUAGE = "en"  # every article exists in English

TOPICS = ("payment", "delivery", "refunds")
"""Our topics, in their order on the page. An operator's topics come after them."""

_ORDER_NUMBER = re.compile(r"^\d+-")


def _render_link(_: RendererHTML, tokens: Sequence[Token], n: int, __: OptionsDict, env: EnvType) -> str:
    """Render a link. A link to one of our pages gets the language and the seller of the page that shows the link."""
    href = str(tokens[n].attrGet("href") or "")
    if href.startswith("/") and not href.startswith("//"):
        page, separator, fragment = href.partition("#")
        href = f"{env['link_to'](page)}{separator}{fragment}"
    return f'<a href="{escapeHtml(href)}">'


_markdown = MarkdownIt("commonmark", {"html": False})
_markdown.add_render_rule("link_open", _render_link)


@dataclass(frozen=True, slots=True, kw_only=True)
class Article:
    """A question and its answer."""

    topic: str
    name: str
    language: str
    question: str
    text: str
    """The answer without its markup, for the search."""
    tokens: Sequence[Token]

    def html(self, link_to: Callable[[str], str]) -> Markup:
        """Return the answer as HTML. HTML in the file is escaped, and a link cannot be a script."""
        return Markup(_markdown.renderer.render(self.tokens, _markdown.options, {"link_to": link_to}))  # noqa: S704


class ArticleStore:
    """All articles. The files are read once; to load a changed file, restart the process."""

    def __init__(self, *folders: Path) -> None:
        self._files: dict[tuple[str, str, str], Article | None] = {}
        for folder in (*folders, HERE):
            for file in sorted(folder.glob("*/*/*.md")):
                language, topic = file.parts[-3:-1]
                self._files.setdefault((language, topic, file.stem), _read_article(file))
        self._topics: dict[str, Mapping[str, Sequence[Article]]] = {}

    def topics(self, language: str) -> Mapping[str, Sequence[Article]]:
        """Return the articles by topic. An article that is not translated into ``language`` is in English."""
        if language not in self._topics:
            names = sorted({(topic, stem) for _, topic, stem in self._files}, key=_topic_order)
            articles = filter(None, (self._find(language, *name) for name in names))
            self._topics[language] = {
                topic: tuple(group) for topic, group in groupby(articles, key=lambda article: article.topic)
            }
        return self._topics[language]

    def _find(self, language: str, topic: str, stem: str) -> Article | None:
        return self._files.get((language, topic, stem), self._files.get((DEFAULT_LANGUAGE, topic, stem)))


def _topic_order(name: tuple[str, str]) -> tuple[int, str, str]:
    topic, stem = name
    return TOPICS.index(topic) if topic in TOPICS else len(TOPICS), topic, stem


def _read_article(file: Path) -> Article | None:
    """Return the article in a file, or None if the file does not begin with a heading."""
    tokens = _markdown.parse(file.read_text(encoding="utf-8-sig"))
    if not tokens or tokens[0].type != "heading_open":
        return None
    language, topic = file.parts[-3:-1]
    question, answer = tokens[1].content, tokens[3:]
    text = " ".join(_plain_text(token) for token in answer if token.type == "inline")
    name = _ORDER_NUMBER.sub("", file.stem)
    return Article(topic=topic, name=name, language=language, question=question, text=text, tokens=answer)


def _plain_text(inline: Token) -> str:
    return "".join(" " if child.type.endswith("break") else child.content for child in inline.children or ())
