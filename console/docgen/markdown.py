"""Pages in Markdown, and the words of the code as people read them."""

import inspect
import re
from collections.abc import Iterable
from typing import Any

MADE = "Made from the code by `python -m console.docgen`; a change made here is lost."


def document(title: str, *parts: str) -> str:
    """A page under this title."""
    return "\n\n".join([f"<!-- {MADE} -->", f"# {title}", *parts]) + "\n"


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """A table; a cell cannot hold its own fence."""
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "/") for cell in line) + " |" for line in lines)


def said(thing: object) -> str:
    """What the docstring says."""
    return str(plain(inspect.getdoc(thing)))


def plain(value: Any) -> Any:  # noqa: ANN401  # JSON
    """Descriptions as people read them: one line a paragraph, one backtick where a docstring has two."""
    if isinstance(value, dict):
        return {name: plain(inner) for name, inner in value.items() if not (name == "title" and isinstance(inner, str))}
    if isinstance(value, list):
        return [plain(inner) for inner in value]
    return re.sub(r"(?<!\n)\n(?!\n)", " ", value).replace("``", "`") if isinstance(value, str) else value
