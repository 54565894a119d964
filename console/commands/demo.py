"""`moneyback demo`: the main job on believable requests, from servers that are started for it and stopped after it."""

from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from config.extras import require
from console.commands.benchmark import HOME as BENCH
from console.shown import Json, as_json, out, table
from console.wiring import UP

if TYPE_CHECKING:
    from console.demo.run import Outcome
    from records.views import View

DEMO = "demo"


def add_to(app: typer.Typer) -> None:
    """Adds the verb."""
    app.command()(demo)


def demo(
    *,
    json: Json = False,
    clean: Annotated[
        bool, typer.Option("--clean", help="Remove all that demo, up and bench have kept, and do nothing else.")
    ] = False,
) -> None:
    """Shows the main job: requests come in, are judged, paid once or handed to support. Takes under a minute."""
    from console.home import Home

    if clean:
        for name in (DEMO, UP, BENCH):
            Home.here(name).clean()
        return
    require(DEMO)
    from console.demo.run import TIMERS, run
    from console.processes import stop_on_signals
    from console.servers import Servers
    from console.stack import Stack

    home = Home.here(DEMO)
    with stop_on_signals(), _progress(json) as progress:
        home.clean()  # every run begins with an empty house
        with home.lock(), Servers(home) as servers:
            bar = progress.add_task("Starting the servers", total=1.0)
            outcome = run(
                Stack(home, servers, TIMERS),
                lambda says, done: progress.update(bar, description=says, completed=done),
            )
    (_print_json if json else _print)(outcome)
    raise typer.Exit(0 if outcome.well else 1)


def _progress(quiet: bool) -> Progress:
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", table_column=None),
        BarColumn(bar_width=24),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        disable=quiet,
    )


def _print_json(outcome: "Outcome") -> None:
    as_json(
        {
            "cases": [
                {
                    "id": str(view.id),
                    "reference": view.reference,
                    "channel": view.channel,
                    "seller": view.seller,
                    "state": view.state,
                    "reasons": [reason["code"] for reason in view.reasons],
                }
                for view in outcome.views
            ],
            "provider": {"refunds": outcome.refunds, "duplicates": outcome.duplicates},
            "support_tasks": outcome.support_tasks,
            "letters": outcome.letters,
            "seconds": outcome.seconds,
        },
    )


def _print(outcome: "Outcome") -> None:
    rows = [
        (
            view.reference,
            view.channel,
            view.seller or "–",
            view.state,
            _why(view),
        )
        for view in outcome.views
    ]
    table("What became of every request", ("reference", "channel", "seller", "end state", "why"), rows)
    verdict = (
        "Every history replays to its state; the books balance." if outcome.well else "[red]Something is wrong:[/]"
    )
    out.print(
        f"{len(rows)} requests: the provider paid {outcome.refunds} refunds, {outcome.duplicates} of them twice. "
        f"{outcome.support_tasks} tasks wait on support.contact, {outcome.letters} letters were sent. "
        f"{verdict} {outcome.seconds} s.",
        highlight=False,
    )
    for fault in outcome.audited.faults:
        out.print(f"[red]The case {fault.case} {fault.sentence}[/]", highlight=False)
    out.print("See it live with `make up`; remove what was kept with `moneyback demo --clean`.", highlight=False)


def _why(view: "View") -> str:
    return " ".join(reason["sentence"] for reason in view.reasons) or WHY.get(view.state, "")


WHY = {
    "refunded": "Eligible, and paid once.",
    "awaiting_confirmation": "Eligible; the customer has not confirmed yet.",
    "withdrawn": "Eligible, but the customer decided against it.",
    "unmatched": "No purchase has this reference and address.",
    "duplicate": "Another case holds this purchase.",
}
