"""The text of HTML, in one pass. The standard library's parser takes minutes over some broken pages; mail is full of those."""

import html
import re
from collections.abc import Iterator

_UNSEEN = frozenset({"script", "style", "title", "template"})
_INLINE = frozenset("a abbr b bdi bdo cite code em font i img kbd mark q s small span strong sub sup u wbr".split())
_CELLS = frozenset({"td", "th"})
_NAME = re.compile(r"/?([a-zA-Z][a-zA-Z0-9:]{0,20})")


def html_to_text(page: str) -> str:
    """What a person sees, without its looks: a line for each block, ``>`` before what is quoted."""
    lines: list[str] = []
    line: list[str] = []
    quoted = 0

    def end_line() -> None:
        lines.append(("> " if quoted else "") + " ".join("".join(line).split()))
        line.clear()

    for tag, text in _pieces(page):
        name = tag.removeprefix("/")
        if name in _CELLS:
            line.append(" ")
        elif name and name not in _INLINE:
            end_line()
        if name == "blockquote":
            quoted = quoted + 1 if tag == name else max(0, quoted - 1)
        line.append(html.unescape(text))
    end_line()
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip("\n")


def _pieces(page: str) -> Iterator[tuple[str, str]]:
    """Each tag and the text that follows it. Every search that fails ends the page, so that none is made twice."""
    lower = page.lower() if len(page.lower()) == len(page) else page  # a few letters grow when lowered
    at, tag = 0, ""
    while True:
        start = page.find("<", at)
        yield tag, page[at:] if start < 0 else page[at:start]
        if start < 0:
            return
        end = page.find("-->" if page.startswith("<!--", start) else ">", start + 1)
        if end < 0:
            return
        named = _NAME.match(page, start + 1)
        if named is None and not page.startswith(("<!", "<?", "</"), start):
            yield "", "<"  # no tag, as in "1 < 2"
            tag, at = "", start + 1
            continue
        tag = ("/" if page.startswith("</", start) else "") + named[1].lower() if named else ""
        at = page.index(">", end) + 1
        if tag in _UNSEEN:
            at = lower.find(f"</{tag}", at)
            if at < 0:
                return
