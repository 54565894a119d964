"""Builds Markdown pages and tables, and turns docstrings into plain text."""

import inspect
import re
from collections.abc import Iterable
from typing import Any

MADE = "Generated from the code by `python -m console.docgen`. Do not edit: changes here are lost."


def document(title: str, *parts: str) -> str:
    """Returns a page with this title."""
    return "\n\n".join([f"<!-- {MADE} -->", f"# {title}", *parts]) + "\n"


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """Returns a table; a | in a cell becomes a /, because it would end the cell."""
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "/") for cell in line) + " |" for line in lines)


def said(thing: object) -> str:
    """Returns the docstring as plain text."""
    return str(plain(inspect.getdoc(thing)))


def plain(value: Any) -> Any:  # noqa: ANN401  # JSON
    """Returns the value with its texts made plain: one line for each paragraph, and one backtick instead of two."""
    if isinstance(value, dict):
        return {name: plain(inner) for name, inner in value.items() if not (name == "title" and isinstance(inner, str))}
    if isinstance(value, list):
        return [plain(inner) for inner in value]
    return re.sub(r"(?<!\n)\n(?!\n)", " ", value).replace("``", "`") if isinstance(value, str) else value
