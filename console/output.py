"""Prints the results of commands, as tables or as JSON."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
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
    "waiting_for_approval": "cyan",
    "refund_pending": "cyan",
    "awaiting_confirmation": "yellow",
    "received": "yellow",
    "with_support": "magenta",
    "FAIL": "red",
}

out = Console(soft_wrap=False)


def rfc3339(at: datetime) -> str:
    """Return an instant as text in UTC and in the format of RFC 3339, like 2026-11-29T23:16:07Z."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def minute(at: datetime) -> str:
    """Return an instant as text in UTC, without seconds and time zone. The heading of the table's column must contain "UTC"."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M}"


def print_json(value: Any) -> None:  # noqa: ANN401  # any JSON value
    """Print one JSON value. Instants have the format of RFC 3339."""
    typer.echo(json.dumps(value, default=_as_json, ensure_ascii=False, indent=2))


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table. A cell that contains a state of a case has the colour of the state."""
    rich_table = Table(title=title, title_justify="left", header_style="bold", show_lines=False, pad_edge=False)
    for column in columns:
        rich_table.add_column(column, overflow="fold")
    for row in rows:
        cells = [escape(str(cell)) for cell in row]
        rich_table.add_row(*(f"[{STYLES[cell]}]{cell}[/]" if cell in STYLES else cell for cell in cells))
    out.print(rich_table)


def _as_json(value: object) -> str:
    return rfc3339(value) if isinstance(value, datetime) else str(value)
