"""Purchases from a file."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from console.environment import records
from console.output import Json, print_json, table

app = typer.Typer(help="Takes purchases in from a file.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Takes purchases in from a file."""


@app.command("import")
def import_(
    file: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, readable=True, help="JSON Lines, or CSV (.csv).")
    ],
    *,
    json: Json = False,
) -> None:
    """Remembers the purchases in a file. Bad rows are named by line and left out, good ones are kept."""
    from producers.imports import import_file

    imported = import_file(records(), file)
    if json:
        print_json(asdict(imported))
    else:
        if imported.bad:
            table("Left out", ("line", "why"), [(bad.line, bad.why) for bad in imported.bad])
        typer.echo(
            f"{imported.new} new purchases, {imported.known} known ones brought up to date, {len(imported.bad)} left out."
        )
    raise typer.Exit(1 if imported.bad else 0)
