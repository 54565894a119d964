"""`moneyback bench`: what this machine does, in figures."""

from dataclasses import asdict
from typing import Annotated

import typer

from config.extras import require
from console.shown import Json, as_json, out, table

HOME = "bench"


def add_to(app: typer.Typer) -> None:
    """Adds the verb."""
    app.command()(bench)


def bench(
    number: Annotated[int, typer.Option("-n", "--number", min=100, help="Requests to drain, twice.")] = 5_000,
    *,
    json: Json = False,
) -> None:
    """Drains a backlog through relay, broker, worker and sandbox: with many cases a message, and with one."""
    require("bench")
    from console.bench import run
    from console.home import Home
    from console.processes import stop_on_signals
    from console.servers import Servers
    from console.stack import Stack

    home = Home.here(HOME)
    tell = (lambda _: None) if json else (lambda says: out.print(f"· {says}", highlight=False))
    with stop_on_signals():
        home.clean()
        with home.lock(), Servers(home) as servers:
            measured = run(Stack(home, servers), number, tell)
        home.clean()
    if json:
        as_json(asdict(measured))
        return
    parts = ", ".join(f"{part} {ms}" for part, ms in measured.cpu_ms_by_part.items())
    rows = [
        ("refunds a second", measured.refunds_per_s),
        ("… one case a message", measured.one_a_message_per_s),
        ("the batch pays off", f"{measured.refunds_per_s / measured.one_a_message_per_s:.1f} fold"),
        ("CPU a refund, ms", f"{measured.cpu_ms} ({parts})"),
        ("accepted to paid, unloaded, ms", f"p50 {measured.p50_ms}, p99 {measured.p99_ms}"),
    ]
    table(f"{number} refunds", ("what", "figure"), rows)
