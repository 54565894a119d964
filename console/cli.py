"""The `moneyback` program: a command for each service, and the commands that set up, inspect and repair an installation."""

import sys

import typer
from rich.console import Console
from rich.markup import escape

from console.commands import (
    api_keys,
    audit,
    bench,
    cases,
    customers,
    dead_letters,
    demo,
    doctor,
    embed,
    helpdesks,
    policy,
    providers,
    purchase_sync,
    purchases,
    reconcile,
    sellers,
    services,
    storefront,
    up,
    users,
)
from console.program import as_typed, program

app = typer.Typer(
    name="moneyback",
    help="Refunds customers exactly once, and records why. Start with `moneyback demo`.\n\n"
    "Settings are environment variables (docs/settings.md). Without `MONEYBACK_DATABASE_URL`, a command that needs a "
    "database uses the database of the running `moneyback up`.\n\n"
    "Exit codes: 0 success; 1 the command found a problem, or the requested object does not exist; 2 wrong usage or settings.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)

demo.add_to(app)
up.add_to(app)
services.add_to(app)
doctor.add_to(app)
audit.add_to(app)
reconcile.add_to(app)
bench.add_to(app)
embed.add_to(app)
app.add_typer(api_keys.app, name="api-keys")
app.add_typer(cases.app, name="cases")
app.add_typer(customers.app, name="customers")
app.add_typer(dead_letters.app, name="dead-letters")
app.add_typer(helpdesks.app, name="helpdesks")
app.add_typer(policy.app, name="policy")
app.add_typer(providers.app, name="providers")
purchase_sync.add_to(purchases.app)
app.add_typer(purchases.app, name="purchases")
app.add_typer(sellers.app, name="sellers")
app.add_typer(storefront.app, name="storefront")
app.add_typer(users.app, name="users")


def main() -> None:
    """Run one command. An error that the user can correct is printed as a sentence, with exit code 2."""
    try:
        app(prog_name=program())
    except Exception as error:
        from console.error_messages import message_for

        sentence = message_for(error)
        if sentence is None:
            raise
        Console(stderr=True).print(f"[red]{escape(as_typed(sentence))}[/red]", highlight=False, soft_wrap=True)
        sys.exit(2)
