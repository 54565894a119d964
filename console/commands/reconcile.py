"""Reconciliation by hand: the providers' own lists of refunds held against ours."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from config import log
from console.shown import Json, as_json, out, table
from console.wiring import wired

if TYPE_CHECKING:  # imported when the verb needs them, so that `moneyback --help` answers at once
    from worker.reconciling import Reconciled
    from worker.tools import Tools

BACK = timedelta(days=8)  # a week, and a day to have looked at it
COLUMNS = ("provider", "listed", "ours", "not ours", "looked into", "differ", "")


def add_to(app: typer.Typer) -> None:
    """Adds the verb."""
    app.command()(reconcile)


def reconcile(
    provider: Annotated[str | None, typer.Option(help="Only this one; every one that can list, if not given.")] = None,
    since: Annotated[
        str | None, typer.Option(help="From this date or instant on (UTC), like 2026-11-01; 8 days back, if not given.")
    ] = None,
    *,
    json: Json = False,
) -> None:
    """Holds the refunds that providers list against ours, both ways.

    What only is news to us is looked up by a worker. What people must look into becomes a task, once: refunds that are
    missing or that we did not make, and those whose amount, currency or state differs. Exit code 1 when something
    differs or a list could not be read to its end; nothing is called missing then.
    """
    from worker.reconciling import reconcile as hold_against
    from worker.tools import tools_of

    log.set_up(logging.WARNING)
    begin = _instant(since) if since else datetime.now(UTC) - BACK
    tools = tools_of(wired())
    try:
        names = _chosen(tools, provider)
        with _progress(names) as tell:
            done = [hold_against(tools, name, begin, tell) for name in names]
    finally:
        tools.hands.close()
        tools.records.engine.dispose()
    if json:
        as_json({"since": begin, "providers": [_facts(one) for one in done]})
    else:
        _show(begin, done)
    raise typer.Exit(1 if any(one.discrepancies or one.incomplete for one in done) else 0)


def _chosen(tools: "Tools", provider: str | None) -> list[str]:
    able = [name for name, adapter in tools.providers.items() if adapter.capabilities.lists]
    if provider is None and able:
        return able
    if provider in able:
        return [provider]
    who = f"{provider!r} is not connected here, or cannot" if provider else "No provider that is connected here can"
    others = f" Those that can: {', '.join(able)}." if able else ""
    raise typer.BadParameter(f"{who} list its refunds.{others}", param_hint="--provider")


def _instant(text: str) -> datetime:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is no date like 2026-11-01, nor an instant.", param_hint="--since"
        ) from None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


@contextmanager
def _progress(names: list[str]) -> "Iterator[Callable[[Reconciled], None]]":
    """On the terminal's error stream, so that what is printed can be piped."""
    with Console(stderr=True).status(f"Asking {', '.join(names)} …") as status:
        yield lambda done: status.update(f"{done.provider}: {done.listed} refunds listed, {done.matched} ours …")


def _show(begin: datetime, done: "list[Reconciled]") -> None:
    rows = [
        (one.provider, one.listed, one.matched, one.not_ours, one.looked_into, one.discrepancies.total(),
         f"incomplete: {one.incomplete}" if one.incomplete else "")
        for one in done
    ]  # fmt: skip
    table(f"Refunds since {begin:%Y-%m-%d %H:%M} UTC", COLUMNS, rows)
    shown = [
        (report.trouble, report.evidence.get("charge"), report.evidence.get("refund") or report.evidence.get("our_refund"),
         report.trouble.sentence)
        for one in done
        for report in one.reports
    ]  # fmt: skip
    if shown:
        table("Tasks for people", ("trouble", "payment", "refund", "says"), shown)
    more = sum(one.discrepancies.total() - len(one.reports) for one in done)
    if more:
        out.print(f"And {more} more: the desk has all of them.", highlight=False)


def _facts(done: "Reconciled") -> dict[str, object]:
    return {
        "provider": done.provider,
        "listed": done.listed,
        "ours": done.matched,
        "not_ours": done.not_ours,
        "looked_into": done.looked_into,
        "discrepancies": dict(done.discrepancies),
        "incomplete": done.incomplete or None,
        "first": [
            {"trouble": one.trouble, "says": one.trouble.sentence, "task": one.id, "case": one.case, **one.evidence}
            for one in done.reports
        ],
    }
