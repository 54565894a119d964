"""Extracts the text of an HTML page in one pass.

The standard library's ``html.parser`` takes minutes for some malformed pages, and mail contains many malformed pages.
"""

import html
import re
from collections.abc import Iterator

_HIDDEN_ELEMENTS = frozenset({"script", "style", "title", "template"})
_INLINE_ELEMENTS = frozenset(
    "a abbr b bdi bdo cite code em font i img kbd mark q s small span strong sub sup u wbr".split()
)
_TABLE_CELLS = frozenset({"td", "th"})
_TAG_NAME = re.compile(r"/?([a-zA-Z][a-zA-Z0-9:]{0,20})")


def html_to_text(page: str) -> str:
    """Return the visible text: one line for each block, with ``> `` before each line of a quotation (``blockquote``)."""
    lines: list[str] = []
    line: list[str] = []
    quote_depth = 0

    def end_line() -> None:
        lines.append(("> " if quote_depth else "") + " ".join("".join(line).split()))
        line.clear()

    for tag, text in _split_tags(page):
        name = tag.removeprefix("/")
        if name in _TABLE_CELLS:
            line.append(" ")
        elif name and name not in _INLINE_ELEMENTS:
            end_line()
        if name == "blockquote":
            quote_depth = quote_depth + 1 if tag == name else max(0, quote_depth - 1)
        line.append(html.unescape(text))
    end_line()
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip("\n")


def _split_tags(page: str) -> Iterator[tuple[str, str]]:
    """Yield each tag with the text after it.

    If the end of a tag or of a hidden element is not found, the rest of the page is ignored. No failed search is repeated,
    so the time is linear in the length of the page.
    """
    lower = page.lower() if len(page.lower()) == len(page) else page  # lower() replaces the letter İ by two characters
    position, tag = 0, ""
    while True:
        start = page.find("<", position)
        yield tag, page[position:] if start < 0 else page[position:start]
        if start < 0:
            return
        end = page.find("-->" if page.startswith("<!--", start) else ">", start + 1)
        if end < 0:
            return
        name = _TAG_NAME.match(page, start + 1)
        if name is None and not page.startswith(("<!", "<?", "</"), start):
            yield "", "<"  # not a tag, as in "1 < 2"
            tag, position = "", start + 1
            continue
        tag = ("/" if page.startswith("</", start) else "") + name[1].lower() if name else ""
        position = page.index(">", end) + 1
        if tag in _HIDDEN_ELEMENTS:
            position = lower.find(f"</{tag}", position)
            if position < 0:
                return
