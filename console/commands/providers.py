"""Payment providers: what each can do, and whether a test account answers as its adapter expects."""

import logging
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Annotated, Any, NamedTuple
from uuid import uuid4

import typer

from config import log
from config.accounts import PROVIDERS, connected_accounts
from console.shown import Json, as_json, out, table
from console.wiring import wired
from domain.money import Money, UnknownMoneyError
from domain.providers import Capabilities, LooksUp, Paid, PaymentProvider, Pending, Route

app = typer.Typer(help="Shows what payment providers can do, and tries a test account.", no_args_is_help=True)


@app.command("list")
def list_(*, json: Json = False) -> None:
    """Every adapter, whether it is connected here, and what its provider can do.

    A provider is connected by its name in MONEYBACK_PROVIDERS and the settings of its account (docs/settings.md).
    """
    from worker.providers import capabilities

    here = connected_accounts(wired())
    known = {name: capabilities(name) for name in PROVIDERS}
    if json:
        as_json([{"provider": name, "connected": name in here, **_facts(can)} for name, can in known.items()])
        return
    rows = [
        (
            name,
            "connected" if name in here else "–",
            _windows(can),
            _long(can.keys_live),
            "yes" if can.capped else "no",
            "at once" if can.otherwise.synchronous else "later",
            "yes" if can.looks_up is LooksUp.BY_KEY else "by webhook only",
            "yes" if can.lists else "no",
            f"{can.calls_per_second:g}/s" if can.calls_per_second else "–",
        )
        for name, can in known.items()
    ]
    heads = ("provider", "", "refunds until", "keys live", "capped", "outcome", "looks up", "lists", "calls")
    table("Payment providers", heads, rows)


class Step(NamedTuple):
    """One question to the provider, its answer, and how long that took."""

    asked: str
    answer: Any
    seconds: float

    @property
    def refund_id(self) -> str | None:
        return self.answer.refund_id if isinstance(self.answer, Paid | Pending) else None


@app.command()
def check(
    name: Annotated[str, typer.Argument(help="The provider, as in MONEYBACK_PROVIDERS.")],
    charge: Annotated[str, typer.Option(help="A payment of the test account that was not refunded yet.")],
    amount: Annotated[str, typer.Option(help="Its whole amount, like 19.99.")],
    currency: Annotated[str, typer.Option(help="Its currency, like EUR.")],
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before refunding.")] = False,
    json: Json = False,
) -> None:
    """Refunds one payment of a TEST account, and shows whether the provider answers as its adapter expects.

    Looks the payment up, refunds it, sends the same refund again under the same key, and looks it up again. The repeat
    must be the same refund. Accounts that move real money are refused.
    """
    from worker.providers import connected

    log.set_up(logging.WARNING)
    settings = wired()
    account = connected_accounts(settings).get(name)
    if account is None:
        raise typer.BadParameter(f"{name!r} is not connected here; see `moneyback providers list`.", param_hint="NAME")
    if not PROVIDERS[name].is_test_account(account):
        raise typer.BadParameter(
            f"The settings of {name} are not those of a test account: this would move real money.", param_hint="NAME"
        )
    try:
        money = Money.parse(amount, currency)
    except UnknownMoneyError as error:
        raise typer.BadParameter(str(error), param_hint="--amount") from None
    if money.minor <= 0:
        raise typer.BadParameter("There is nothing to refund.", param_hint="--amount")
    if not yes:
        if not sys.stdin.isatty():
            raise typer.BadParameter("Nobody is here to ask: say --yes.", param_hint="--yes")
        typer.confirm(f"Refund {money} of {charge} at {name}?", abort=True)
    adapter = connected(settings)[name]
    steps = _try(adapter, charge, money)
    wrong = _wrong(steps, adapter.capabilities)
    _show(steps, wrong, json=json)
    raise typer.Exit(1 if wrong else 0)


def _try(adapter: PaymentProvider, charge: str, amount: Money) -> list[Step]:
    key = f"chk_{uuid4().hex}"  # not one of a case's: reconciliation must not take it for a forgotten refund
    return [
        _timed("look-up", lambda: adapter.look_up(charge, key=key)),
        _timed("refund", lambda: adapter.refund(charge, amount, key=key)),
        _timed("the same again", lambda: adapter.refund(charge, amount, key=key)),
        _timed("look-up", lambda: adapter.look_up(charge, key=key)),
    ]


def _timed(asked: str, call: Callable[[], object]) -> Step:
    began = time.monotonic()
    return Step(asked, call(), time.monotonic() - began)


def _wrong(steps: list[Step], can: Capabilities) -> list[str]:
    """What did not go as it must."""
    _, refund, repeat, found = steps
    if refund.refund_id is None:
        return ["The payment was not refunded; the answers say why."]
    wrong = []
    if repeat.refund_id != refund.refund_id:
        wrong.append("The repeat under the same key is not the same refund. Look at the account before anything else.")
    if can.looks_up is LooksUp.BY_KEY and found.refund_id != refund.refund_id:
        wrong.append(
            "The refund is not found again by its key. Providers may take a moment: look again, then ask them."
        )
    return wrong


def _show(steps: list[Step], wrong: list[str], *, json: bool) -> None:
    told = [(step.asked, type(step.answer).__name__.lower(), _details(step.answer), step.seconds) for step in steps]
    if json:
        names = ("asked", "answer", "details", "seconds")
        as_json({"well": not wrong, "wrong": wrong, "steps": [dict(zip(names, step, strict=True)) for step in told]})
        return
    rows = [(asked, answer, details, f"{seconds:.2f} s") for asked, answer, details, seconds in told]
    table("What the provider answered", ("asked", "answer", "which says", "took"), rows)
    for sentence in wrong or ["The repeat is the same refund: the provider keeps our key."]:
        out.print(sentence, highlight=False)


def _details(answer: object) -> str:
    values = {name: getattr(answer, name) for name in getattr(answer, "__slots__", ())}
    return ", ".join(f"{name} {value}" for name, value in values.items() if value not in (None, "", False))


def _facts(can: Capabilities) -> dict[str, object]:
    return {
        "keys_live_seconds": can.keys_live.total_seconds(),
        "capped": can.capped,
        "looks_up": can.looks_up,
        "lists": can.lists,
        "calls_per_second": can.calls_per_second,
        "routes": {method: _route(route) for method, route in {**can.routes, "*": can.otherwise}.items()},
    }


def _route(route: Route) -> dict[str, object]:
    return {
        "window_days": route.window.days if route.window else None,
        "minimum_delay_seconds": route.minimum_delay.total_seconds(),
        "partial": route.partial,
        "synchronous": route.synchronous,
    }


def _windows(can: Capabilities) -> str:
    """By method, the others last."""
    by_method = [f"{method} {_long(route.window)}" for method, route in can.routes.items()]
    rest = _long(can.otherwise.window)
    return ", ".join([*by_method, f"others {rest}" if by_method else rest])


def _long(time_: timedelta | None) -> str:
    if time_ is None:
        return "no limit known"
    hours = time_.total_seconds() / 3_600
    return f"{hours:g} h" if hours < 48 else f"{hours / 24:g} days"  # noqa: PLR2004  # days read better from two on
