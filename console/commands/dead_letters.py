"""`moneyback dead-letters`: lists and republishes messages that no consumer could read."""

from dataclasses import asdict
from typing import Annotated

import typer

from console.environment import records
from console.output import Json, minute, out, print_json, table

EXCERPT = 120  # the table shows at most this many bytes of a message's body

app = typer.Typer(help="List and republish messages that no consumer could read.", no_args_is_help=True)


@app.command("list")
def list_(
    *,
    all_: Annotated[bool, typer.Option("--all", help="Also list messages that were republished already.")] = False,
    json: Json = False,
) -> None:
    """List dead letters, the oldest first: the queue, the reason, and the unchanged body.

    Needs `MONEYBACK_DATABASE_URL`.

    Example: `moneyback dead-letters list --json`
    """
    with records().work() as work:
        messages = work.dead_letters.list_all(redriven=all_)
    if json:
        print_json([asdict(message) | {"body": message.body.decode(errors="replace")} for message in messages])
        return
    rows = [
        (
            message.id,
            message.queue,
            minute(message.created_at),
            message.why,
            message.body[:EXCERPT].decode(errors="replace"),
        )
        for message in messages
    ]
    table(f"{len(rows)} dead letters", ("id", "queue", "since (UTC)", "why", "body"), rows)


@app.command()
def redrive(
    ids: Annotated[
        list[int] | None, typer.Argument(metavar="ID…", help="The ids, from `moneyback dead-letters list`.")
    ] = None,
    *,
    all_: Annotated[bool, typer.Option("--all", help="Republish every dead letter.")] = False,
    json: Json = False,
) -> None:
    """Republish dead letters, unchanged, to the queues from which they were received.

    Exit code 1 if an id is unknown, or if its message was republished already.

    Needs `MONEYBACK_DATABASE_URL` and `MONEYBACK_BROKER_URL`.

    Examples: `moneyback dead-letters redrive 17 18`, `moneyback dead-letters redrive --all`
    """
    if not ids and not all_:
        raise typer.BadParameter("Name the ids, or use --all. `moneyback dead-letters list` shows the ids.")
    database = records()
    from worker.app import app as celery
    from worker.dead_letters import redrive as publish_again

    requested = sorted(set(ids or []))
    if all_:
        with database.work() as work:
            requested = [message.id for message in work.dead_letters.list_all()]
    redriven = publish_again(database, celery, requested)
    if json:
        print_json({"requested": len(requested), "redriven": redriven})
    else:
        out.print(f"Republished {redriven} of {len(requested)} messages.", highlight=False)
    raise typer.Exit(0 if redriven == len(requested) else 1)
