"""`moneyback helpdesks`: checks the bridges to helpdesks, and lets tickets go on that wait for an operator."""

import logging
from typing import TYPE_CHECKING, Annotated, NamedTuple
from uuid import UUID

import typer

from config import log
from config.settings import Settings
from console.environment import load_settings, records
from console.output import Json, out, print_json, table

if TYPE_CHECKING:
    from domain.helpdesks import Helpdesk

app = typer.Typer(help="Check the helpdesks, and let waiting tickets go on.", no_args_is_help=True)

Target = Annotated[
    str, typer.Argument(metavar="HELPDESK", help="The helpdesk's name, as in `MONEYBACK_HELPDESKS`, such as zendesk.")
]


class HelpdeskCheck(NamedTuple):
    """The result of a check of one helpdesk."""

    helpdesk: str
    ok: bool
    message: str


@app.command()
def check(*, json: Json = False) -> None:
    """Check the credentials, the custom field and the inbox of each connected helpdesk. Only reads.

    Exit code 1 if a check fails. Needs `MONEYBACK_HELPDESKS` and the settings of each helpdesk.

    Example: `moneyback helpdesks check --json`
    """
    log.set_up(logging.WARNING)
    checks = check_bridges(load_settings())
    if json:
        print_json([result._asdict() for result in checks])
    else:
        rows = [(result.helpdesk, "ok" if result.ok else "FAIL", result.message) for result in checks]
        table("Helpdesks", ("helpdesk", "", "result"), rows)
    raise typer.Exit(0 if all(result.ok for result in checks) else 1)


@app.command()
def retry(target: Target, *, json: Json = False) -> None:
    """Send the tickets now that a helpdesk has refused, because you have corrected the cause.

    Without this command, they are sent within an hour. Needs `MONEYBACK_DATABASE_URL`.

    Example: `moneyback helpdesks retry zendesk`
    """
    with records().work() as work:
        work.helpdesk_targets.lock(target)
        work.helpdesk_targets.resume(target)
        tickets = work.helpdesk_tickets.retry_refused(target, now=work.now)
    if json:
        print_json({"helpdesk": target, "tickets": tickets})
    else:
        out.print(f"{target} gets tickets again. {tickets} refused tickets are sent now.", highlight=False)


@app.command("create-again")
def create_again(
    target: Target,
    task: Annotated[
        UUID, typer.Argument(metavar="TASK", help="The id of the support task, from the task about the ticket.")
    ],
    *,
    json: Json = False,
) -> None:
    """Create a ticket again, because you have searched the helpdesk and the ticket does not exist.

    Exit code 1 if no ticket of this task is unknown. Needs `MONEYBACK_DATABASE_URL`.

    Example: `moneyback helpdesks create-again freshdesk 0198a6f0-0000-7000-8000-000000000001`
    """
    from domain.helpdesks import mark_of
    from worker.helpdesks.sending import unknown_task

    with records().work() as work:
        ticket_round = work.helpdesk_tickets.create_again(target, task, now=work.now)
        if ticket_round is not None:
            mark = mark_of(task, ticket_round - 1)
            work.support_tasks.close_solved_by_id([unknown_task(target, task, mark).id])
    if json:
        print_json({"helpdesk": target, "task": str(task), "created_again": ticket_round is not None})
    elif ticket_round is None:
        out.print(f"{target} has no ticket of the task {task} that may or may not exist.", highlight=False)
    else:
        out.print(f"The ticket of the task {task} is created again.", highlight=False)
    raise typer.Exit(0 if ticket_round is not None else 1)


def check_bridges(settings: Settings) -> list[HelpdeskCheck]:
    """Read from each connected helpdesk what its bridge needs."""
    from worker.helpdesks import connect_helpdesks
    from worker.mail_transport import mail_transport_for

    bridges = connect_helpdesks(settings, mail_transport_for(settings)).bridges
    return [_check(name, bridge) for name, bridge in bridges.items()]


def _check(name: str, bridge: "Helpdesk") -> HelpdeskCheck:
    faults = bridge.check()
    return HelpdeskCheck(name, not faults, " ".join(faults) or "The helpdesk accepts our calls.")
