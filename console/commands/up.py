"""`moneyback up`: every part, kept running, with the addresses of its pages."""

import os
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import uuid4

import typer

from config.extras import require
from console import wiring
from console.shown import out, table

if TYPE_CHECKING:
    from console.stack import Stack
    from records import Records

PARTS = ("sandbox", "relay", "worker", "beat", "web", "desk", "mail", "feed", "flower")


def add_to(app: typer.Typer) -> None:
    """Adds the verb."""
    app.command()(up)


def up() -> None:
    """Runs every part until Ctrl-C: pages, desk, Flower and the mailbox of sent letters. What happens is kept."""
    require("up")
    from console.home import Home
    from console.processes import Processes, stop_on_signals
    from console.servers import Servers
    from console.stack import Stack
    from records import schema
    from records.work import connect

    home = Home.here(wiring.UP)
    with stop_on_signals(), home.lock(), Servers(home) as servers, Processes(home, tell=_tell) as processes:
        stack = Stack(home, servers)
        os.environ.update(stack.env)
        schema.migrate(connect(servers.postgres.owner_url))
        tried = _furnish(wiring.records())
        parts = stack.parts(PARTS)
        for part in parts.values():
            processes.start(part)
        processes.wait_for(parts["web"], lambda: stack.answers("web", "/readyz"))
        processes.wait_for(parts["desk"], lambda: stack.answers("desk"))
        processes.wait_for(parts["flower"], stack.flower_listens)
        wiring.remember(home, stack.env)
        try:
            _welcome(stack, tried)
            processes.wait(servers.revive)
        finally:
            wiring.forget(home)


def _furnish(records: "Records") -> list[tuple[str, ...]]:
    """The demo's sellers and purchases, if there are none yet; some of them to try."""
    from console.demo.scene import cast, furnish

    now = datetime.now(UTC)
    roles = list(cast(now))
    tried = [role.purchase for role in roles[:4]]
    late = replace(tried[0], id=uuid4(), reference=f"MB-{now:%Y}-4000", charge=f"latefail_{uuid4().hex[:16]}")
    with records.work() as work:
        if not work.sellers.all():
            furnish(work, roles, now)
            work.purchases.put([late])
    records.engine.dispose()
    rows = [(bought.reference, bought.email, bought.product, "by the seller's policy") for bought in tried]
    return [*rows, (late.reference, late.email, late.product, "is paid, and comes back: a webhook tells")]


def _welcome(stack: "Stack", tried: list[tuple[str, ...]]) -> None:
    rows = [
        ("help centre and refund form", stack.public_url),
        ("API, described", f"{stack.public_url}/docs"),
        ("letters that were sent", f"{stack.public_url}/mailbox"),
        ("desk: what waits for a person", f"http://127.0.0.1:{stack.desk}"),
        (
            "Flower: the workers",
            f"http://127.0.0.1:{stack.flower}  (login {stack.flower_login.replace(':', ', password ')})",
        ),
    ]
    table("Moneyback is up", ("what", "where"), rows)
    table("Purchases to try", ("reference", "e-mail", "product", "its refund"), tried)
    out.print(
        f"Mail for it goes into {stack.home.inbox}/new, logs are in {stack.home.logs}. Ctrl-C stops everything.",
        highlight=False,
    )


def _tell(says: str) -> None:
    out.print(says, highlight=False, markup=False)
