"""`moneyback demo`: processes sample requests on servers that the command starts and stops itself."""

from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from config.extras import require_for
from console.commands.bench import NAME as BENCH
from console.environment import UP
from console.output import Json, out, print_json, table

if TYPE_CHECKING:
    from console.demo.run import Outcome
    from records.case_views import CaseView

DEMO = "demo"


def add_to(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command()(demo)


def demo(
    *,
    json: Json = False,
    clean: Annotated[
        bool, typer.Option("--clean", help="Remove the files of the commands demo, up and bench, and run no demo.")
    ] = False,
) -> None:
    """Show what Moneyback does: 28 requests arrive. None is lost, and none is refunded twice.

    The demo takes less than a minute. It starts its own PostgreSQL and Valkey in `MONEYBACK_HOME`, and needs no settings.
    The exit code is 1 if a refund was made twice or a request was lost.

    Example: `moneyback demo --json`
    """
    from console.data_dir import DataDir

    if clean:
        for name in (DEMO, UP, BENCH):
            DataDir.default(name).clean()
        return
    require_for(DEMO)
    from console.demo.run import TIMERS, run
    from console.servers import Servers
    from console.stack import Stack
    from console.supervisor import stop_on_signals

    data_dir = DataDir.default(DEMO)
    with stop_on_signals(), _progress(json) as progress:
        data_dir.clean()  # every run begins with an empty folder
        with data_dir.lock(), Servers(data_dir) as servers:
            bar = progress.add_task("Starting the servers", total=1.0)
            outcome = run(
                Stack(data_dir, servers, TIMERS),
                lambda step, done: progress.update(bar, description=step, completed=done),
            )
    (_print_json if json else _print)(outcome)
    for fault in outcome.faults:
        typer.echo(fault, err=True)
    raise typer.Exit(1 if outcome.faults else 0)


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
    print_json(
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
            "emails_sent": outcome.emails_sent,
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
    table("Result of every request", ("reference", "channel", "seller", "end state", "why"), rows)
    verdict = "[red]The demo failed.[/]" if outcome.faults else "Every case and every refund agrees with the history."
    out.print(
        f"{len(rows)} requests: the provider made {outcome.refunds} refunds, {outcome.duplicates} of them twice. "
        f"{outcome.support_tasks} support tasks are in the queue support.contact, {outcome.emails_sent} e-mails were sent. "
        f"{verdict} The demo took {outcome.seconds} s.",
        highlight=False,
    )
    out.print(
        "Next: `make up` runs Moneyback; `moneyback demo --clean` removes the files of the demo.", highlight=False
    )


def _why(view: "CaseView") -> str:
    return " ".join(reason["sentence"] for reason in view.reasons) or WHY.get(view.state, "")


WHY = {  # for the states that have no reason code
    "refunded": "Eligible, and refunded once.",
    "awaiting_confirmation": "Eligible; the customer has not confirmed yet.",
    "cancelled": "Eligible, but the customer cancelled the request.",
    "unmatched": "No purchase has this reference and e-mail address.",
    "duplicate": "Another case is about this purchase.",
}
