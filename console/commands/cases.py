"""Cases: looking at them, and at the messages that nobody could read."""

import csv
import sys
from dataclasses import asdict
from typing import Annotated
from uuid import UUID

import typer

from console.environment import records
from console.output import Json, out, print_json, table

app = typer.Typer(help="Looks at cases, and at messages that nobody could read.", no_args_is_help=True)

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\0")


@app.command("list")
def list_(
    state: Annotated[str | None, typer.Option(help="Only cases in this state.")] = None,
    seller: Annotated[str | None, typer.Option(help="Only cases of this seller.")] = None,
    limit: Annotated[int, typer.Option(help="At the most so many, the newest first.")] = 100,
    *,
    json: Json = False,
) -> None:
    """The newest cases."""
    with records().work() as work:
        views = work.views.search(state=state, seller=seller, limit=limit)
    if json:
        print_json([_public(asdict(view)) for view in views])
        return
    rows = [
        (view.id, view.reference, view.channel, view.seller or "–", view.state, f"{view.received_at:%Y-%m-%d %H:%M}")
        for view in views
    ]
    table(f"{len(rows)} cases", ("case", "reference", "channel", "seller", "state", "received (UTC)"), rows)


@app.command()
def show(case: UUID, *, json: Json = False) -> None:
    """One case, with its whole history."""
    with records().work() as work:
        view = work.views.one(case)
        history = work.history.of(case)
    if view is None:
        out.print(f"There is no case {case}.")
        raise typer.Exit(1)
    if json:
        print_json(_public(asdict(view)) | {"history": [asdict(row) | {"hash": row.hash.hex()} for row in history]})
        return
    out.print(f"[bold]{view.id}[/]  {view.reference}  {view.seller or '–'}  {view.state}", highlight=False)
    for reason in view.reasons:
        out.print(f"  · {reason['sentence']} {reason.get('detail', '')}".rstrip(), markup=False, highlight=False)
    rows = [
        (row.seq, f"{row.at:%Y-%m-%d %H:%M:%S.%f}"[:-3], row.actor, row.event, row.there, row.why) for row in history
    ]
    table("History", ("", "when (UTC)", "who", "event", "state", "why"), rows)


@app.command()
def export(state: Annotated[str | None, typer.Option(help="Only cases in this state.")] = None) -> None:
    """Every case as CSV, safe to open in a spreadsheet."""
    with records().work() as work:
        views = work.views.search(state=state, limit=10_000_000)
    writer = csv.writer(sys.stdout)
    writer.writerow(("case", "reference", "channel", "seller", "state", "reason", "received_at", "why"))
    for view in views:
        why = " ".join(reason["code"] for reason in view.reasons)
        cells = (
            view.id, view.reference, view.channel, view.seller or "", view.state, view.reason,
            view.received_at.isoformat(), why,
        )  # fmt: skip
        writer.writerow([_not_a_formula(str(cell)) for cell in cells])


@app.command()
def dead(
    *, all_: Annotated[bool, typer.Option("--all", help="Also those put back.")] = False, json: Json = False
) -> None:
    """Messages that nobody could read, as they came."""
    with records().work() as work:
        messages = work.dead.all(redriven=all_)
    if json:
        print_json([asdict(message) | {"body": message.body.decode(errors="replace")} for message in messages])
        return
    rows = [
        (
            message.id,
            message.queue,
            f"{message.at:%Y-%m-%d %H:%M}",
            message.why,
            message.body[:120].decode(errors="replace"),
        )
        for message in messages
    ]
    table(f"{len(rows)} messages", ("id", "queue", "since (UTC)", "why", "what came"), rows)


@app.command()
def redrive(
    ids: Annotated[list[int] | None, typer.Argument(help="The messages' ids, from `cases dead`.")] = None,
    *,
    all_: Annotated[bool, typer.Option("--all", help="Every message kept.")] = False,
) -> None:
    """Puts messages back on the queue they came from, as they came."""
    ours = records()
    from worker.app import app as celery
    from worker.redrive import redrive as put_back

    with ours.work() as work:
        kept = [message.id for message in work.dead.all()]
    chosen = kept if all_ else ids or []
    if not chosen:
        raise typer.BadParameter("Name the messages to put back, or use --all; `moneyback cases dead` lists them.")
    out.print(f"Put {put_back(ours, celery, chosen)} of {len(chosen)} messages back.")


def _public(view: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in view.items() if name not in {"email", "purchase_email", "comment"}}


def _not_a_formula(cell: str) -> str:
    """A spreadsheet runs a cell that begins like a formula (OWASP ASVS 5.0, 1.2.10)."""
    return f"'{cell}" if cell.startswith(_FORMULA) else cell
