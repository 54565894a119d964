"""`moneyback cases`: lists, shows and exports cases."""

import csv
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from console.arguments import require_seller
from console.environment import records
from console.output import Json, minute, out, print_json, rfc3339, table
from domain.csv_cells import escape_formula
from domain.errors import UnreadableError
from domain.states import State

if TYPE_CHECKING:  # records are imported when a command needs them
    from records.case_views import CaseView

app = typer.Typer(help="List, show and export cases: one case for each refund request.", no_args_is_help=True)

EVERY_CASE = 10_000_000  # more cases than an installation has
PRIVATE = {"email", "purchase_email", "comment"}

InState = Annotated[State | None, typer.Option("--state", help="Only cases in this state.")]


@app.command("list")
def list_(
    state: InState = None,
    seller: Annotated[str | None, typer.Option(metavar="SELLER", help="Only cases of the seller with this id.")] = None,
    limit: Annotated[int, typer.Option(min=1, metavar="N", help="Show at most N cases, newest first.")] = 100,
    *,
    json: Json = False,
) -> None:
    """List cases, newest first, without personal data.

    Needs `MONEYBACK_DATABASE_URL`.

    Example: `moneyback cases list --state with_support --seller aurora`
    """
    with records().work() as work:
        if seller is not None:
            require_seller(work, seller, "--seller")
        views = work.case_views.search(state=state, seller=seller, limit=limit)
    if json:
        print_json([_public(view) for view in views])
        return
    rows = [
        (view.number, view.reference, view.channel, view.seller or "–", view.state, minute(view.received_at))
        for view in views
    ]
    table(f"{len(rows)} cases", ("case", "reference", "channel", "seller", "state", "received (UTC)"), rows)


@app.command()
def show(
    case: Annotated[
        str, typer.Argument(metavar="CASE", help="The case number that the customer names, or the case's id.")
    ],
    *,
    json: Json = False,
) -> None:
    """Show one case with its whole history, without personal data.

    Exit code 1 if there is no such case. Needs `MONEYBACK_DATABASE_URL`.

    Example: `moneyback cases show 4K7P-2M9X-G --json`
    """
    with records().work() as work:
        try:
            view = work.case_views.find(case)
        except UnreadableError as error:
            raise typer.BadParameter(str(error), param_hint="CASE") from None
        history = work.history.for_case(view.id) if view else []
    if view is None:
        typer.echo(f"There is no case {case}.", err=True)
        raise typer.Exit(1)
    if json:
        print_json(_public(view) | {"history": [asdict(row) | {"hash": row.hash.hex()} for row in history]})
        return
    out.print(f"[bold]{view.number}[/]  {view.reference}  {view.seller or '–'}  {view.state}", highlight=False)
    out.print(f"  id {view.id}", highlight=False)
    for reason in view.reasons:
        out.print(f"  · {reason['sentence']} {reason.get('detail', '')}".rstrip(), markup=False, highlight=False)
    rows = [
        (row.seq, f"{row.created_at:%Y-%m-%d %H:%M:%S.%f}"[:-3], row.actor, row.event, row.to_state, row.why)
        for row in history
    ]
    table("History", ("", "when (UTC)", "who", "event", "state", "why"), rows)


@app.command()
def export(state: InState = None, *, json: Json = False) -> None:
    """Print all cases, or the cases in one state, as CSV that is safe to open in a spreadsheet.

    Needs `MONEYBACK_DATABASE_URL`.

    Example: `moneyback cases export --state refunded > refunded.csv`
    """
    with records().work() as work:
        views = work.case_views.search(state=state, limit=EVERY_CASE)
    rows = [_csv_row(view) for view in views]
    if json:
        print_json(rows)
        return
    writer = csv.writer(sys.stdout)
    writer.writerow(("case", "number", "reference", "channel", "seller", "state", "reason", "received_at", "why"))
    for row in rows:
        writer.writerow([escape_formula(cell) for cell in row.values()])


def _public(view: "CaseView") -> dict[str, object]:
    return {name: value for name, value in asdict(view).items() if name not in PRIVATE}


def _csv_row(view: "CaseView") -> dict[str, str]:
    return {
        "case": str(view.id),
        "number": view.number,
        "reference": view.reference,
        "channel": str(view.channel),
        "seller": view.seller or "",
        "state": str(view.state),
        "reason": str(view.reason),
        "received_at": rfc3339(view.received_at),
        "why": " ".join(reason["code"] for reason in view.reasons),
    }
