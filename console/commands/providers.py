"""`moneyback providers`: lists the capabilities of each payment provider, and checks a test account."""

import logging
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Annotated, Any, NamedTuple
from uuid import uuid4

import typer

from config import log
from config.connected_providers import connected_accounts
from config.provider_accounts import PROVIDERS
from console.environment import load_settings
from console.output import Json, out, print_json, table
from domain.money import Money, UnknownMoneyError
from domain.providers import Capabilities, Lookup, Paid, PaymentProvider, Pending, Route

app = typer.Typer(help="List what payment providers can do, and check a test account.", no_args_is_help=True)


@app.command("list")
def list_(*, json: Json = False) -> None:
    """List every provider with its capabilities, and show whether the provider is connected.

    A provider is connected if `MONEYBACK_PROVIDERS` names the provider and the settings of its account are set
    (docs/settings.md). Needs `MONEYBACK_DATABASE_URL`, `MONEYBACK_BROKER_URL` and `MONEYBACK_SECRET_KEY`.

    Example: `moneyback providers list --json`
    """
    from worker.providers import capabilities as capabilities_of

    connected_names = connected_accounts(load_settings())
    by_provider = {name: capabilities_of(name) for name in PROVIDERS}
    if json:
        print_json(
            [
                {"provider": name, "connected": name in connected_names, **_facts(capabilities)}
                for name, capabilities in by_provider.items()
            ]
        )
        return
    rows = [
        (
            name,
            "connected" if name in connected_names else "–",
            _windows(capabilities),
            _format_duration(capabilities.idempotency_key_ttl),
            "yes" if capabilities.rejects_over_refund else "no",
            "immediately" if capabilities.default_route.synchronous else "later",
            "yes" if capabilities.lookup is Lookup.BY_KEY else "no, by webhook only",
            "yes" if capabilities.lists_refunds else "no",
            f"{capabilities.calls_per_second:g}/s" if capabilities.calls_per_second else "–",
        )
        for name, capabilities in by_provider.items()
    ]
    columns = (
        "provider",
        "",
        "refund window",
        "keys expire after",
        "rejects over-refunds",
        "outcome known",
        "can look a refund up",
        "can list refunds",
        "maximum call rate",
    )
    table("Payment providers", columns, rows)


class Step(NamedTuple):
    """One call to the provider, with the name, the result and the duration of the call."""

    call: str
    result: Any
    seconds: float

    @property
    def refund_id(self) -> str | None:
        return self.result.refund_id if isinstance(self.result, Paid | Pending) else None


@app.command()
def check(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The provider's name, as in `MONEYBACK_PROVIDERS`.")],
    charge: Annotated[
        str, typer.Option(help="The id of a payment in the test account. The payment must not be refunded yet.")
    ],
    amount: Annotated[str, typer.Option(help="The payment's whole amount, like 19.99.")],
    currency: Annotated[str, typer.Option(help="The payment's currency, like EUR.")],
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Refund without asking for a confirmation.")] = False,
    json: Json = False,
) -> None:
    """Refund one payment of a TEST account, and check that the provider behaves as its adapter expects.

    Looks the payment up, refunds it, repeats the refund with the same idempotency key, and looks the payment up again.
    The repeat must return the same refund. Accounts that move real money are refused. Exit code 1 if a check fails.
    Needs `MONEYBACK_PROVIDERS` and the settings of the provider.

    Example: `moneyback providers check stripe --charge ch_3N… --amount 19.99 --currency EUR`
    """
    from worker.providers import connect_providers

    log.set_up(logging.WARNING)
    settings = load_settings()
    account = connected_accounts(settings).get(name)
    if account is None:
        raise typer.BadParameter(f"{name!r} is not connected; see `moneyback providers list`.", param_hint="NAME")
    if not PROVIDERS[name].is_test_account(account):
        raise typer.BadParameter(
            f"The settings of {name} are not for a test account. A refund would move real money.", param_hint="NAME"
        )
    try:
        money = Money.parse(amount, currency)
    except UnknownMoneyError as error:
        raise typer.BadParameter(str(error), param_hint="--amount") from None
    if money.minor <= 0:
        raise typer.BadParameter("The amount must be above zero.", param_hint="--amount")
    if not yes:
        if not sys.stdin.isatty():
            raise typer.BadParameter(
                "A confirmation needs a terminal. Without a terminal, use --yes.", param_hint="--yes"
            )
        typer.confirm(f"Refund {money} of {charge} at {name}?", abort=True)
    adapter = connect_providers(settings)[name]
    steps = _call_provider(adapter, charge, money)
    faults = _faults(steps, adapter.capabilities)
    _show(steps, faults, json=json)
    raise typer.Exit(1 if faults else 0)


def _call_provider(adapter: PaymentProvider, charge: str, amount: Money) -> list[Step]:
    key = f"chk_{uuid4().hex}"  # no case has a key that begins with chk_, so reconciliation does not report this refund
    return [
        _timed("lookup", lambda: adapter.look_up(charge, key=key)),
        _timed("refund", lambda: adapter.refund(charge, amount, key=key)),
        _timed("repeat", lambda: adapter.refund(charge, amount, key=key)),
        _timed("lookup", lambda: adapter.look_up(charge, key=key)),
    ]


def _timed(name: str, call: Callable[[], object]) -> Step:
    began = time.monotonic()
    return Step(name, call(), time.monotonic() - began)


def _faults(steps: list[Step], capabilities: Capabilities) -> list[str]:
    """Return a sentence for each check that failed."""
    _, refund, repeat, lookup = steps
    if refund.refund_id is None:
        return ["The payment was not refunded. The details of the call “refund” show why."]
    faults = []
    if repeat.refund_id != refund.refund_id:
        faults.append("The repeat with the same key returned another refund. Check how often the payment was refunded.")
    if capabilities.lookup is Lookup.BY_KEY and lookup.refund_id != refund.refund_id:
        faults.append(
            "The last lookup did not find the refund. Repeat the check later with another payment. If that check also fails, "
            "contact the provider."
        )
    return faults


def _show(steps: list[Step], faults: list[str], *, json: bool) -> None:
    results = [(step.call, type(step.result).__name__.lower(), _details(step.result), step.seconds) for step in steps]
    if json:
        names = ("call", "result", "details", "seconds")
        rows_as_dicts = [dict(zip(names, result, strict=True)) for result in results]
        print_json({"ok": not faults, "faults": faults, "steps": rows_as_dicts})
        return
    rows = [(call, result, details, f"{seconds:.2f} s") for call, result, details, seconds in results]
    table("The provider's results", ("call", "result", "details", "took"), rows)
    for sentence in faults or ["The repeat returned the same refund: the provider honours the idempotency key."]:
        out.print(sentence, highlight=False)


def _details(result: object) -> str:
    values = {name: getattr(result, name) for name in getattr(result, "__slots__", ())}
    return ", ".join(f"{name} {value}" for name, value in values.items() if value not in (None, "", False))


def _facts(capabilities: Capabilities) -> dict[str, object]:
    routes = {**capabilities.routes, "*": capabilities.default_route}
    return {
        "idempotency_key_ttl_seconds": capabilities.idempotency_key_ttl.total_seconds(),
        "rejects_over_refund": capabilities.rejects_over_refund,
        "lookup": capabilities.lookup,
        "lists_refunds": capabilities.lists_refunds,
        "calls_per_second": capabilities.calls_per_second,
        "routes": {method: _route(route) for method, route in routes.items()},
    }


def _route(route: Route) -> dict[str, object]:
    return {
        "window_days": route.window.days if route.window else None,
        "minimum_delay_seconds": route.minimum_delay.total_seconds(),
        "partial": route.partial,
        "synchronous": route.synchronous,
    }


def _windows(capabilities: Capabilities) -> str:
    """Return the refund window of each payment method that has its own route, then the window of all other payment methods."""
    by_method = [f"{method} {_format_duration(route.window)}" for method, route in capabilities.routes.items()]
    default = _format_duration(capabilities.default_route.window)
    return ", ".join([*by_method, f"others {default}" if by_method else default])


def _format_duration(duration: timedelta | None) -> str:
    if duration is None:
        return "no limit known"
    hours = duration.total_seconds() / 3_600
    return f"{hours:g} h" if hours < 48 else f"{hours / 24:g} days"  # noqa: PLR2004  # from two days on, days are easier to read
