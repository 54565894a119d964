"""The `moneyback` command: one verb a part, and the verbs people use to look and to set things up."""

import sys

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.markup import escape

from config.accounts import ACCOUNTS
from console.commands import (
    bench,
    cases,
    demo,
    doctor,
    embed,
    policy,
    providers,
    purchases,
    reconcile,
    sellers,
    services,
    storefront,
    up,
)
from console.environment import NotConfiguredError
from domain.errors import MoneybackError

_PREFIXES = {account.__name__: account.model_config["env_prefix"] for account in ACCOUNTS.values()}
"""What the variables of an account's settings start with."""

app = typer.Typer(
    name="moneyback",
    help="Gives a customer's money back, once, and says why. Start with `moneyback demo`.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)

demo.add_to(app)
up.add_to(app)
services.add_to(app)
doctor.add_to(app)
reconcile.add_to(app)
bench.add_to(app)
embed.add_to(app)
app.add_typer(cases.app, name="cases")
app.add_typer(policy.app, name="policy")
app.add_typer(providers.app, name="providers")
app.add_typer(purchases.app, name="purchases")
app.add_typer(sellers.app, name="sellers")
app.add_typer(storefront.app, name="storefront")


def main() -> None:
    """Runs one verb. What a person can mend is a sentence and exit code 2; what was found wrong is exit code 1."""
    try:
        app()
    except Exception as error:
        sentence = _explain(error)
        if sentence is None:
            raise
        Console(stderr=True).print(f"[red]{escape(sentence)}[/red]", highlight=False, soft_wrap=True)
        sys.exit(2)


def _explain(error: Exception) -> str | None:
    """The sentence for what a person can mend; None for a bug, which keeps its traceback."""
    from console.servers import LocalStackError
    from records import DatabaseDownError

    if isinstance(error, MoneybackError | LocalStackError | NotConfiguredError):
        return str(error)
    if isinstance(error, ValidationError):
        prefix = _PREFIXES.get(error.title, "MONEYBACK_")
        return "; ".join(f"{prefix}{'_'.join(map(str, e['loc'])).upper()}: {e['msg']}" for e in error.errors())
    if isinstance(error, DatabaseDownError):
        return f"The database does not answer: {str(error.__cause__ or error).splitlines()[0]}"
    return None
