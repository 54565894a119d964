"""`moneyback reconcile`: compares the providers' lists of refunds with our records."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from config import log
from console.arguments import parse_instant
from console.environment import load_settings
from console.output import Json, out, print_json, table

if TYPE_CHECKING:  # imported when the command needs them, so that `moneyback --help` is fast
    from worker.context import WorkerContext
    from worker.reconciliation.run import ReconciliationResult

DEFAULT_PERIOD = timedelta(days=8)  # a week and one day, for installations that run the command once a week
COLUMNS = ("provider", "listed", "ours", "not ours", "looked up", "discrepancies", "")


def add_to(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command()(reconcile)


def reconcile(
    provider: Annotated[
        str | None, typer.Option(help="Only this provider; default: every provider that can list refunds.")
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(metavar="DATE", help="From this date or instant on (UTC), like 2026-11-01; default: 8 days ago."),
    ] = None,
    *,
    json: Json = False,
) -> None:
    """Compare the providers' lists of refunds with our records, in both directions.

    Creates a support task for each refund that is missing from the provider's list, that Moneyback did not make, or whose
    amount, currency or status differs. If only our status is out of date, a worker looks the refund up. Exit code 1 if
    there is a discrepancy, or if a list could not be read completely. If a list is incomplete, no refund is reported as
    missing. Needs `MONEYBACK_DATABASE_URL`, `MONEYBACK_BROKER_URL`, `MONEYBACK_SECRET_KEY`, and `MONEYBACK_PROVIDERS` with
    the settings of each provider.

    Example: `moneyback reconcile --provider stripe --since 2026-11-01`
    """
    from worker.context import create_context
    from worker.reconciliation.run import reconcile as compare

    log.set_up(logging.WARNING)
    begin = parse_instant(since, "--since") if since else datetime.now(UTC) - DEFAULT_PERIOD
    context = create_context(load_settings())
    try:
        names = _names_of_providers(context, provider)
        with _progress(names) as report:
            results = [compare(context, name, begin, report) for name in names]
    finally:
        context.call_pool.close()
        context.records.engine.dispose()
    if json:
        print_json({"since": begin, "providers": [_as_dict(result) for result in results]})
    else:
        _show(begin, results)
    raise typer.Exit(1 if any(result.discrepancies or result.incomplete for result in results) else 0)


def _names_of_providers(context: "WorkerContext", provider: str | None) -> list[str]:
    can_list = [name for name, adapter in context.providers.items() if adapter.capabilities.lists_refunds]
    if provider is None and can_list:
        return can_list
    if provider in can_list:
        return [provider]
    subject = f"{provider!r} is not connected, or cannot" if provider else "No connected provider can"
    advice = f" These providers can: {', '.join(can_list)}." if can_list else ""
    raise typer.BadParameter(f"{subject} list its refunds.{advice}", param_hint="--provider")


@contextmanager
def _progress(names: list[str]) -> "Iterator[Callable[[ReconciliationResult], None]]":
    """Show the progress on standard error, so that standard output can be piped."""
    with Console(stderr=True).status(f"Reading the refunds of {', '.join(names)} …") as status:
        yield lambda result: status.update(
            f"{result.provider}: {result.listed} refunds listed, {result.matched} ours …"
        )


def _show(begin: datetime, results: "list[ReconciliationResult]") -> None:
    rows = [
        (
            result.provider,
            result.listed,
            result.matched,
            result.unknown_payments,
            result.lookups_requested,
            result.discrepancies.total(),
            f"incomplete: {result.incomplete}" if result.incomplete else "",
        )
        for result in results
    ]
    table(f"Refunds since {begin:%Y-%m-%d %H:%M} UTC", COLUMNS, rows)
    tasks = [
        (
            report.kind,
            report.evidence.get("charge"),
            report.evidence.get("refund") or report.evidence.get("our_refund"),
            report.kind.sentence,
        )
        for result in results
        for report in result.reports
    ]
    if tasks:
        table("Support tasks", ("kind", "payment", "refund", "meaning"), tasks)
    not_shown = sum(result.discrepancies.total() - len(result.reports) for result in results)
    if not_shown:
        out.print(f"{not_shown} more support tasks are not shown; the desk lists all tasks.", highlight=False)


def _as_dict(result: "ReconciliationResult") -> dict[str, object]:
    return {
        "provider": result.provider,
        "listed": result.listed,
        "ours": result.matched,
        "not_ours": result.unknown_payments,
        "looked_up": result.lookups_requested,
        "discrepancies": dict(result.discrepancies),
        "incomplete": result.incomplete or None,
        "first": [
            {
                "kind": report.kind,
                "message": report.kind.sentence,
                "task": report.id,
                "case": report.case_id,
                **report.evidence,
            }
            for report in result.reports
        ],
    }
