"""`moneyback purchases`: imports purchases from a file."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from console.environment import records
from console.output import Json, print_json, table

app = typer.Typer(help="Import purchases from a file.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Import purchases from a file."""


@app.command("import")
def import_(
    file: Annotated[
        Path,
        typer.Argument(
            exists=True,
            dir_okay=False,
            readable=True,
            help="A file of JSON Lines, or a CSV file whose name ends in .csv.",
        ),
    ],
    *,
    json: Json = False,
) -> None:
    """Import purchases. Valid rows are stored; invalid rows are left out and reported with their line numbers.

    If a purchase with the same reference exists, it is updated. Exit code 1 if a row was left out. Needs
    `MONEYBACK_DATABASE_URL`.

    Example: `moneyback purchases import purchases.csv`
    """
    from producers.purchase_import import import_file

    imported = import_file(records(), file)
    if json:
        print_json(asdict(imported))
    else:
        if imported.rejected:
            table("Left out", ("line", "why"), [(row.line, row.why) for row in imported.rejected])
        typer.echo(f"{imported.new} new purchases, {imported.known} known, {len(imported.rejected)} left out.")
    raise typer.Exit(1 if imported.rejected else 0)
