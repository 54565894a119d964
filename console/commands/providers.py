"""`moneyback providers`: lists the payment providers and the connected accounts, and checks an account."""

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
from config.provider_plugins import Account
from console.environment import load_provider_settings
from console.output import Json, out, print_json, table
from domain.money import Money, UnknownMoneyError
from domain.providers import Capabilities, Lookup, Paid, PaymentProvider, Pending, Route, provider_of

app = typer.Typer(help="List what payment providers can do, and check an account.", no_args_is_help=True)


@app.command("list")
def list_(*, json: Json = False) -> None:
    """List every provider and every connected account with its capabilities.

    An account is connected if `MONEYBACK_PROVIDERS` names it and its settings are set (docs/settings.md). While `moneyback up`
    runs, its accounts are listed. Needs no other settings.

    Example: `moneyback providers list --json`
    """
    from worker.providers import capabilities

    accounts = connected_accounts(load_provider_settings())
    names = sorted({*PROVIDERS, *accounts}, key=lambda name: ([*PROVIDERS].index(provider_of(name)), name))
    by_name = [(name, accounts.get(name), capabilities(name)) for name in names]
    if json:
        print_json([{"provider": name, **_account(name, account), **_facts(can)} for name, account, can in by_name])
        return
    rows = [
        (
            name,
            _connection(name, account),
            ", ".join(sorted(account.sellers)) or "all" if account else "–",
            _windows(can),
            _format_duration(can.idempotency_key_ttl),
            "yes" if can.rejects_over_refund else "no",
            "immediately" if can.default_route.synchronous else "later",
            "yes" if can.lookup is Lookup.BY_KEY else "no, by webhook only",
            ", ".join(_lists(can)) or "–",
            f"{can.calls_per_second:g}/s" if can.calls_per_second else "–",
        )
        for name, account, can in by_name
    ]
    columns = (
        "provider or account",
        "",
        "sellers",
        "refund window",
        "keys expire after",
        "rejects over-refunds",
        "outcome known",
        "can look a refund up",
        "lists",
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
    name: Annotated[str, typer.Argument(metavar="NAME", help="The account's name, as in `MONEYBACK_PROVIDERS`.")],
    charge: Annotated[
        str | None, typer.Option(help="The id of a payment in the test account. The payment must not be refunded yet.")
    ] = None,
    amount: Annotated[str | None, typer.Option(help="The payment's whole amount, like 19.99.")] = None,
    currency: Annotated[str | None, typer.Option(help="The payment's currency, like EUR.")] = None,
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Refund without asking for a confirmation.")] = False,
    json: Json = False,
) -> None:
    """Check that Moneyback may read what it needs at a provider. With `--charge`, also refund one payment of a TEST account.

    Without `--charge`, only reads the latest refunds, disputes and payments. This is harmless, also with a live key. With
    `--charge`, looks the payment up, refunds it, repeats the refund with the same idempotency key, and looks the payment up
    again. The repeat must return the same refund. The refund is refused if the account moves real money.

    Exit code 1 if a check fails. Needs `MONEYBACK_PROVIDERS` and the settings of the account.

    Example: `moneyback providers check stripe --charge ch_3N… --amount 19.99 --currency EUR`
    """
    from config.extras import require
    from config.settings import Timers
    from console.provider_access import check_access
    from worker.providers import create_adapter

    log.set_up(logging.WARNING)
    account = connected_accounts(load_provider_settings()).get(name)
    if account is None:
        raise typer.BadParameter(f"{name!r} is not connected; see `moneyback providers list`.", param_hint="NAME")
    payment = _payment(name, account, charge, amount, currency)
    if payment and not yes:
        _confirm(name, *payment)
    require(name)
    seconds = Timers().provider_timeout_seconds
    adapter = create_adapter(name, account, seconds, connections=1)
    (access,) = check_access({name: adapter}, seconds=seconds)
    steps = _call_provider(adapter, *payment) if payment else []
    faults = [*([] if access.ok else [access.message]), *_faults(steps, adapter.capabilities)]
    kind = _kind(name, account)
    sentences = [*(faults or [access.message]), *_conclusion(kind, faults, refunded=bool(payment))]
    _show(Report(kind, steps, faults, sentences), json=json)
    raise typer.Exit(1 if faults else 0)


class Report(NamedTuple):
    """The results of a check. ``kind`` is live or test."""

    kind: str
    steps: list[Step]
    faults: list[str]
    sentences: list[str]


def _payment(
    name: str, account: Account, charge: str | None, amount: str | None, currency: str | None
) -> tuple[str, Money] | None:
    """Return the payment to refund, or None if no option names a payment."""
    given = [charge, amount, currency]
    if not any(given):
        return None
    if charge is None or amount is None or currency is None:
        raise typer.BadParameter("A refund needs --charge, --amount and --currency.", param_hint="--charge")
    if not PROVIDERS[provider_of(name)].is_test_account(account):
        raise typer.BadParameter(
            f"The settings of {name} are not for a test account. A refund would move real money. Without --charge, the "
            "account is only read.",
            param_hint="NAME",
        )
    try:
        money = Money.parse(amount, currency)
    except UnknownMoneyError as error:
        raise typer.BadParameter(str(error), param_hint="--amount") from None
    if money.minor <= 0:
        raise typer.BadParameter("The amount must be above zero.", param_hint="--amount")
    return charge, money


def _confirm(name: str, charge: str, amount: Money) -> None:
    if not sys.stdin.isatty():
        raise typer.BadParameter("A confirmation needs a terminal. Without a terminal, use --yes.", param_hint="--yes")
    typer.confirm(f"Refund {amount} of {charge} at {name}?", abort=True)


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
    """Return a sentence for each check of the refund that failed. Without a refund, ``steps`` is empty."""
    if not steps:
        return []
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


def _conclusion(kind: str, faults: list[str], *, refunded: bool) -> list[str]:
    """Return a sentence about refunds: what the check has shown, or why no refund was made."""
    if not refunded:
        return [_NOT_REFUNDED[kind]]
    return [] if faults else ["The repeat returned the same refund: the provider honours the idempotency key."]


_NOT_REFUNDED = {
    "live": "The live account moves real money, so no refund was made. Check refunds with a test account.",
    "test": "No refund was made. To check refunds, too, name a payment with --charge, --amount and --currency.",
}


def _show(report: Report, *, json: bool) -> None:
    results = [
        (call, type(result).__name__.lower(), _details(result), seconds) for call, result, seconds in report.steps
    ]
    if json:
        names = ("call", "result", "details", "seconds")
        steps = [dict(zip(names, result, strict=True)) for result in results]
        facts = {"ok": not report.faults, "account": report.kind, "faults": report.faults}
        print_json({**facts, "sentences": report.sentences, "steps": steps})
        return
    if results:
        rows = [(call, result, details, f"{seconds:.2f} s") for call, result, details, seconds in results]
        table("The provider's results", ("call", "result", "details", "took"), rows)
    for sentence in report.sentences:
        out.print(sentence, highlight=False)


def _kind(name: str, account: Account) -> str:
    return "test" if PROVIDERS[provider_of(name)].is_test_account(account) else "live"


def _connection(name: str, account: Account | None) -> str:
    return f"connected, {_kind(name, account)}" if account else "–"


def _account(name: str, account: Account | None) -> dict[str, object]:
    """Return the facts about a connected account. Without an account, the provider is not connected under this name."""
    if account is None:
        return {"connected": False}
    return {
        "connected": True,
        "account": _kind(name, account),
        "sellers": sorted(account.sellers),
        "webhook_path": f"/v1/webhooks/{name}",
    }


def _lists(can: Capabilities) -> list[str]:
    """Return the lists that the provider has."""
    lists = {"refunds": can.lists_refunds, "disputes": can.lists_disputes, "payments": can.lists_purchases}
    return [name for name, has_list in lists.items() if has_list]


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
        "lists_disputes": capabilities.lists_disputes,
        "lists_purchases": capabilities.lists_purchases,
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
