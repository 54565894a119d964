"""How the console shows things: tables for people, JSON for machines."""

import json
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")]

STYLES = {
    "refunded": "green",
    "approved": "cyan",
    "refunding": "cyan",
    "refund_pending": "cyan",
    "awaiting_confirmation": "yellow",
    "received": "yellow",
    "with_support": "magenta",
}

out = Console(soft_wrap=False)


def print_json(value: Any) -> None:  # noqa: ANN401  # whatever JSON can say
    """Prints one JSON value."""
    typer.echo(json.dumps(value, default=str, ensure_ascii=False, indent=2))


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Prints a table; a cell that is a state has its colour."""
    shown = Table(title=title, title_justify="left", header_style="bold", show_lines=False, pad_edge=False)
    for column in columns:
        shown.add_column(column, overflow="fold")
    for row in rows:
        cells = [escape(str(cell)) for cell in row]
        shown.add_row(*(f"[{STYLES[cell]}]{cell}[/]" if cell in STYLES else cell for cell in cells))
    out.print(shown)
