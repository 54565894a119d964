"""`moneyback up`: runs every service, and prints the addresses of the pages."""

import os
import secrets
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import uuid4

import typer

from config.connected_providers import connected_accounts
from config.extras import require_for
from console import environment
from console.output import out, table
from console.program import program
from console.start_checks import startable
from domain.desk_roles import Role
from domain.desk_users import RoleGrant

if TYPE_CHECKING:
    from console.stack import Stack
    from records import Records

SERVICES = ("sandbox", "relay", "worker", "beat", "web", "desk", "mail", "consume", "flower")
FIRST_USER = "support@moneyback.example"
"""The first user of the desk, who has every role, so that each page can be tried."""


def add_to(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command()(up)


def up() -> None:
    """Run every service until Ctrl-C: the pages, the API, the desk, Flower, and a page that shows the sent e-mails.

    Starts its own PostgreSQL and Valkey and stores their data in `MONEYBACK_HOME`; needs no settings. The sandbox provider
    is connected. `MONEYBACK_PROVIDERS` connects other providers. While `moneyback up` runs, commands in other terminals
    use its database and its settings.

    Example: `moneyback up`, and in another terminal `moneyback cases list`
    """
    require_for("up")
    from console.data_dir import DataDir
    from console.servers import Servers
    from console.stack import Stack
    from console.supervisor import Supervisor, stop_on_signals
    from records import migrate
    from records.unit_of_work import connect

    data_dir = DataDir.default(environment.UP)
    with (
        stop_on_signals(),
        data_dir.lock(),
        Servers(data_dir) as servers,
        Supervisor(data_dir, report=_report) as supervisor,
    ):
        stack = Stack(data_dir, servers)
        os.environ.update(stack.env)
        settings = startable("up")
        migrate.migrate(connect(servers.postgres.owner_url))
        examples = _seed(environment.records())
        desk_user = _first_desk_user(environment.records())
        services = stack.services(SERVICES)
        for service in services.values():
            supervisor.start(service)
        supervisor.wait_for(services["web"], lambda: stack.answers("web", "/readyz"))
        supervisor.wait_for(services["desk"], lambda: stack.answers("desk"))
        supervisor.wait_for(services["flower"], stack.flower_listens)
        environment.publish(data_dir)
        try:
            _print_addresses(stack, examples, desk_user, [*connected_accounts(settings)])
            supervisor.wait(servers.revive)
        finally:
            environment.unpublish(data_dir)


def _seed(records: "Records") -> list[tuple[str, ...]]:
    """Return example purchases. If the database has no seller, first store the sellers and purchases of the demo."""
    from console.demo.scenario import build_scenario, seed
    from records.purchase_reports import store_purchases

    now = datetime.now(UTC)
    customers = list(build_scenario(now))
    purchases = [customer.purchase for customer in customers[:4]]
    payment = replace(purchases[0].payments[0], charge=f"latefail_{uuid4().hex[:16]}")
    fails_late = replace(purchases[0], id=uuid4(), reference=f"MB-{now:%Y}-4000", payments=(payment,))
    with records.work() as work:
        if not work.sellers.list_all():
            seed(work, customers, now)
            store_purchases(work, [fails_late])
    records.engine.dispose()
    result = "the refund succeeds, then fails; a webhook reports the failure"
    return [
        *(
            (bought.reference, bought.email, bought.product, "refunded if the seller's policy allows it")
            for bought in purchases
        ),
        (fails_late.reference, fails_late.email, fails_late.product, result),
    ]


def _first_desk_user(records: "Records") -> str:
    """Return with what support signs in to the desk. If the desk has no user, first add a user with a one-time password.

    The user must replace the password at the first sign-in.
    """
    from producers.desk.accounts.passwords import hash_password

    password = secrets.token_urlsafe(12)
    with records.work() as work:
        if work.desk_users.any_can_sign_in(with_provider=False):
            signs_in = f"sign in as {work.desk_users.list_all()[0].user.email}"
        else:
            grants = [RoleGrant(Role.LEAD), RoleGrant(Role.SELLER_ADMIN)]
            work.desk_users.add(FIRST_USER, "Support", grants, actor=None, password_hash=hash_password(password))
            signs_in = f"{FIRST_USER}, one-time password {password}"
    records.engine.dispose()
    return signs_in


def _print_addresses(stack: "Stack", examples: list[tuple[str, ...]], desk_user: str, providers: list[str]) -> None:
    rows = [
        ("help centre, refund form", stack.public_url),
        ("API reference", f"{stack.public_url}/docs"),
        ("e-mails that were sent", f"{stack.public_url}/mailbox"),
        ("desk: cases for support", f"{stack.desk_url}  ({desk_user})"),
        (
            "Flower: Celery workers",
            f"http://127.0.0.1:{stack.flower}  (login {stack.flower_login.replace(':', ', password ')})",
        ),
        ("payment providers", ", ".join(providers)),
    ]
    table("Moneyback is up", ("what", "where"), rows)
    table("Purchases to try", ("reference", "e-mail", "product", "what happens"), examples)
    out.print(
        f"A mail in {stack.data_dir.incoming_mail}/new becomes a refund request. The logs are in {stack.data_dir.logs}. "
        f"In another terminal, {program()} cases list, and every other command, uses this installation. "
        "Ctrl-C stops everything.",
        highlight=False,
    )


def _report(sentence: str) -> None:
    out.print(sentence, highlight=False, markup=False)
