"""Builds Markdown pages and tables, and turns docstrings into plain text."""

import inspect
import re
from collections.abc import Iterable
from typing import Any

GENERATED = "Generated from the code by `python -m console.docgen`. Do not edit: changes here are lost."


def document(title: str, *parts: str) -> str:
    """Return a page with this title."""
    return "\n\n".join([f"<!-- {GENERATED} -->", f"# {title}", *parts]) + "\n"


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """Return a table. A | in a cell is replaced by a /, because a | would end the cell."""
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "/") for cell in line) + " |" for line in lines)


def docstring_text(documented: object) -> str:
    """Return the docstring as plain text."""
    return str(plain(inspect.getdoc(documented)))


def plain(value: Any) -> Any:  # noqa: ANN401  # JSON
    """Return the value with plain texts: each paragraph is one line, and two backticks become one.

    The titles in a JSON schema are removed.
    """
    if isinstance(value, dict):
        return {name: plain(inner) for name, inner in value.items() if not (name == "title" and isinstance(inner, str))}
    if isinstance(value, list):
        return [plain(inner) for inner in value]
    return re.sub(r"(?<!\n)\n(?!\n)", " ", value).replace("``", "`") if isinstance(value, str) else value
