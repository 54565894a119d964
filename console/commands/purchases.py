"""`moneyback purchases`: imports purchases from a file."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from console.arguments import require_seller
from console.environment import load_settings, records
from console.never_automatic import never_automatic
from console.output import Json, out, print_json, table

if TYPE_CHECKING:  # the command imports these modules only when it runs, so that `moneyback --help` is fast
    from producers.purchase_files.reader import PurchaseFile
    from producers.purchase_import import ImportResult

MAX_SHOWN = 20  # rows of a table; more rows would hide the summary

app = typer.Typer(help="Import purchases from a file.", no_args_is_help=True)


class System(StrEnum):
    """The systems whose exports can be imported."""

    STRIPE = "stripe"
    PAYPAL = "paypal"
    WOOCOMMERCE = "woocommerce"
    SHOPIFY = "shopify"


class Separator(StrEnum):
    """The decimal separators."""

    POINT = "."
    COMMA = ","


@app.callback()
def _group() -> None:
    """Import purchases from a file."""


@app.command("import")
def import_(
    file: Annotated[
        Path, typer.Argument(help="A CSV file, or a file of JSON Lines. WooCommerce: also the JSON of its REST API.")
    ],
    system: Annotated[
        System | None, typer.Option("--from", help="The system that exported the file.", show_default=False)
    ] = None,
    seller: Annotated[
        str | None, typer.Option(metavar="ID", help="The seller of the rows that name no seller.")
    ] = None,
    provider: Annotated[
        str | None, typer.Option(metavar="NAME", help="The payment provider of the rows that name no provider.")
    ] = None,
    map_: Annotated[
        list[str] | None,
        typer.Option("--map", metavar="FIELD=COLUMN", help="The column of a field. May be repeated."),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="FIELD=VALUE", help="The value of a field in the rows that have no value. May be repeated."
        ),
    ] = None,
    decimal_separator: Annotated[
        Separator | None, typer.Option(help="The decimal separator, if amounts such as 1.234 have several meanings.")
    ] = None,
    time_zone: Annotated[
        str | None,
        typer.Option(
            metavar="ZONE",
            help="The time zone of dates without an offset, and of unclear abbreviations such as CST; default: the seller's time "
            "zone.",
        ),
    ] = None,
    date_format: Annotated[
        str | None, typer.Option(metavar="FORMAT", help='The format of the dates, like "%d/%m/%Y %H:%M".')
    ] = None,
    *,
    minor_units: Annotated[
        bool | None,
        typer.Option(
            "--minor-units/--decimal-amounts",
            help="4900 is 49.00, or 49 is 49.00. Default: the format decides.",
            show_default=False,
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the summary, and keep nothing.")] = False,
    json: Json = False,
) -> None:
    """Import purchases. Either all valid rows are kept in one commit, or nothing is kept.

    Without `--from` and `--map`, the file has the fields of the HTTP API (docs/integrators.md). A known purchase is updated.
    Invalid rows are left out and reported with their line numbers; then the exit code is 1. If the file as a whole cannot be
    read, the exit code is 2. The summary says how many purchases could never be refunded automatically, and why. Needs
    `MONEYBACK_DATABASE_URL`.

    Example: `moneyback purchases import orders.csv --from shopify --seller aurora --dry-run`
    """
    from config.connected_providers import sellers_of
    from producers.purchase_files.reader import Options, PurchaseFile
    from producers.purchase_import import import_rows

    values = _pairs(set_ or [], "--set") | {
        name: value for name, value in (("seller", seller), ("provider", provider)) if value
    }
    options = Options(
        system=system,
        columns=_pairs(map_ or [], "--map"),
        values=values,
        minor_units=minor_units,
        decimal_separator=decimal_separator,
        date_format=date_format,
        time_zone=_zone(time_zone),
    )
    database = records()
    with database.work() as work:
        if seller:
            require_seller(work, seller, "--seller")
        zones = {known.id: known.time_zone for known in work.sellers.list_all()}
    purchases = PurchaseFile(file, options, zones)
    with _progress(purchases, quiet=json) as advance:
        imported = import_rows(
            database,
            purchases.rows(),
            dry_run=dry_run,
            on_batch=lambda _: advance(),
            check=never_automatic(database).reason,
            owners=sellers_of(load_settings()),
        )
    no_purchases = purchases.no_purchases + imported.no_purchases
    (_print_json if json else _print)(imported, no_purchases, purchases.without_items, dry_run=dry_run)
    raise typer.Exit(1 if imported.rejected else 0)


def _pairs(texts: Sequence[str], option: str) -> dict[str, str]:
    """Return the values of an option by field. If a field is unknown, end the command with an error message."""
    from producers.purchase_files.columns import suggest
    from producers.purchase_files.own_format import FIELDS

    pairs = {}
    for text in texts:
        name, sign, value = text.partition("=")
        if name.strip() not in FIELDS:
            similar = suggest(name, FIELDS)
            raise typer.BadParameter(
                f"There is no field {name!r}{f'; did you mean {similar!r}' if similar else ''}. "
                f"The fields are {', '.join(FIELDS)}.", param_hint=option,
            )  # fmt: skip
        if not sign or not value.strip():
            raise typer.BadParameter(f"{text!r} has no value. Write {name}=VALUE.", param_hint=option)
        pairs[name.strip()] = value.strip()
    return pairs


def _zone(name: str | None) -> ZoneInfo | None:
    try:
        return ZoneInfo(name) if name else None
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise typer.BadParameter(
            f"There is no time zone {name!r}. Write it like Europe/Berlin.", param_hint="--time-zone"
        ) from None


@contextmanager
def _progress(purchases: "PurchaseFile", *, quiet: bool) -> Iterator[Callable[[], None]]:
    """Show a progress bar on a terminal. Yield the function that advances the bar to the position in the file."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TextColumn("{task.percentage:.0f} %"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=quiet or not console.is_terminal) as progress:
        bar = progress.add_task(f"Importing {purchases.file.name}", total=purchases.file.size)
        yield lambda: progress.update(bar, completed=purchases.file.position)


def _print_json(
    imported: "ImportResult", no_purchases: Counter[str], without_items: Counter[str], *, dry_run: bool
) -> None:
    print_json(
        {
            "dry_run": dry_run,
            "new": imported.new,
            "known": imported.known,
            "rejected": [{"line": row.line, "why": row.why} for row in imported.rejected],
            "no_purchases": dict(no_purchases),
            "without_items": dict(without_items),
            "never_automatic": dict(imported.never_automatic),
        }
    )


def _print(imported: "ImportResult", no_purchases: Counter[str], without_items: Counter[str], *, dry_run: bool) -> None:
    if imported.rejected:
        table("Left out", ("line", "why"), [(row.line, row.why) for row in imported.rejected[:MAX_SHOWN]])
        if len(imported.rejected) > MAX_SHOWN:
            typer.echo(f"{len(imported.rejected) - MAX_SHOWN} more rows are left out. --json lists every row.")
    for title, counter in (
        ("Rows that are no purchase", no_purchases),
        ("Purchases without their items", without_items),
        ("Purchases that could never be refunded automatically", imported.never_automatic),
    ):
        if counter:
            table(title, ("number", "why"), [(number, why) for why, number in counter.most_common(MAX_SHOWN)])
    typer.echo(f"{imported.new} new purchases, {imported.known} known, {len(imported.rejected)} rows left out.")
    if imported.never_automatic:
        typer.echo(f"{imported.never_automatic.total()} of them could never be refunded automatically.")
    if dry_run:
        out.print("This was a dry run. Nothing was kept.")
