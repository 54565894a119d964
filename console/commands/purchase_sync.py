"""`moneyback purchases sync`: imports purchases from the payments of a provider."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from config import log
from console.arguments import parse_instant, require_seller
from console.environment import load_settings
from console.never_automatic import never_automatic
from console.output import Json, minute, out, print_json, table

if TYPE_CHECKING:  # imported when the command needs them, so that `moneyback --help` is fast
    from worker.context import WorkerContext
    from worker.purchase_sync.run import SyncRequest, SyncResult


def add_to(app: typer.Typer) -> None:
    """Add the command to the group `purchases`."""
    app.command()(sync)


def sync(
    provider: Annotated[str, typer.Argument(help="A connected provider that lists its payments, like stripe.")],
    since: Annotated[
        str | None,
        typer.Option(
            metavar="DATE",
            help="From this date or instant on (UTC), like 2026-11-01. Default: since the previous synchronisation, or the "
            "last 180 days.",
        ),
    ] = None,
    seller: Annotated[
        str | None, typer.Option(metavar="ID", help="The seller of the payments that name no seller.")
    ] = None,
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the summary, and store nothing.")] = False,
    json: Json = False,
) -> None:
    """Import the payments of a provider as purchases. A known purchase is not changed.

    If the command is interrupted, the same command continues where it ended. Running it again changes nothing. A payment whose
    amount or seller differs from the known purchase is reported and not stored. Exit code 1 if a payment differs or lacks a
    seller, or if the list could not be read completely. Needs `MONEYBACK_DATABASE_URL`, `MONEYBACK_BROKER_URL`,
    `MONEYBACK_SECRET_KEY`, and `MONEYBACK_PROVIDERS` with the settings of the provider.

    Example: `moneyback purchases sync stripe --since 2026-11-01`
    """
    from worker.context import create_context
    from worker.purchase_sync.results import SyncCode
    from worker.purchase_sync.run import SyncRequest, synchronise

    log.set_up(logging.WARNING)
    begin = parse_instant(since, "--since") if since else None
    request = SyncRequest(provider=provider, since=begin, seller=seller, dry_run=dry_run)
    context = create_context(load_settings())
    try:
        _check(context, request)
        with _progress(provider, quiet=json) as report:
            result = synchronise(context, request, report, never_automatic(context.records).reason)
    finally:
        context.call_pool.close()
        context.records.engine.dispose()
    if json:
        print_json(_as_dict(request, result))
    else:
        _show(request, result)
    problems = (SyncCode.DIFFERS, SyncCode.NO_SELLER, SyncCode.UNKNOWN_SELLER)
    raise typer.Exit(1 if result.incomplete or any(result.codes[code] for code in problems) else 0)


def _check(context: "WorkerContext", request: "SyncRequest") -> None:
    """End the command with an error message if the provider lists no payments, or if the payments can have no seller."""
    from config.connected_providers import connected_accounts
    from worker.purchase_sync.sellers import load_sellers

    can_list = [name for name, adapter in context.providers.items() if adapter.capabilities.lists_purchases]
    if request.provider not in can_list:
        advice = f" These providers can: {', '.join(can_list)}." if can_list else ""
        raise typer.BadParameter(
            f"{request.provider!r} is not connected, or cannot list its payments.{advice}", param_hint="PROVIDER"
        )
    with context.records.work() as work:
        if request.seller is not None:
            require_seller(work, request.seller, "--seller")
        sellers = load_sellers(work, context, request.provider, request.seller)
    if not sellers.candidates:
        raise typer.BadParameter(
            "No seller uses the account. Add a seller with `moneyback sellers add`.", param_hint="--seller"
        )
    if request.seller not in {None, *sellers.candidates}:
        raise typer.BadParameter(
            f"The account {request.provider} belongs to other sellers: {', '.join(sellers.candidates)}. Name one of these "
            "sellers, or change the account's setting SELLERS.",
            param_hint="--seller",
        )
    names_sellers = connected_accounts(context.settings)[request.provider].seller_metadata is not None
    if request.seller is None and len(sellers.candidates) > 1 and not names_sellers:
        raise typer.BadParameter(
            f"The account {request.provider} has payments of several sellers. Name the seller with --seller. Or name the field "
            "of a payment's metadata that contains the seller's id, with the account's setting SELLER_METADATA.",
            param_hint="--seller",
        )


@contextmanager
def _progress(provider: str, *, quiet: bool) -> "Iterator[Callable[[SyncResult], None]]":
    """Show a progress bar on a terminal, on standard error. Yield the function that advances the bar after each page."""
    from worker.purchase_sync.results import SyncCode

    console, now = Console(stderr=True), datetime.now(UTC)
    columns = (TextColumn("{task.description}"), BarColumn(bar_width=24), TextColumn("{task.percentage:.0f} %"))
    with Progress(*columns, console=console, transient=True, disable=quiet or not console.is_terminal) as progress:
        bar = progress.add_task(f"Reading the payments of {provider}", total=1.0)
        yield lambda result: progress.update(
            bar,
            completed=_share(result, now),
            description=f"{provider}: {result.codes.total()} payments read, {result.codes[SyncCode.NEW]} new",
        )


def _share(result: "SyncResult", now: datetime) -> float:
    """Return the share of the period that has been read. A list begins with the oldest payment, or with the newest."""
    first, last, period = result.first_payment_at, result.last_payment_at, now - result.since
    if first is None or last is None or not period:
        return 0.0
    return (last - result.since) / period if last >= first else (now - last) / period


def _show(request: "SyncRequest", result: "SyncResult") -> None:
    from worker.purchase_sync.results import SKIPPED, SyncCode
    from worker.purchase_sync.run import MAX_SHOWN

    codes = result.codes
    if result.differences:
        table(
            "Differences", ("payment", "difference"), [(payment.charge, payment.why) for payment in result.differences]
        )
        if codes[SyncCode.DIFFERS] > len(result.differences):
            typer.echo(f"{codes[SyncCode.DIFFERS] - len(result.differences)} more payments differ.")
    if skipped := [(codes[code], code.sentence) for code in SKIPPED if codes[code]]:
        table("Payments without a purchase", ("number", "why"), skipped)
    if result.never_automatic:
        reasons = [(number, why) for why, number in result.never_automatic.most_common(MAX_SHOWN)]
        table("Stored payments that could never be refunded automatically", ("number", "why"), reasons)
    continued = " (continued)" if result.is_continued else ""
    typer.echo(f"Payments of {request.provider} since {minute(result.since)} UTC{continued}:")
    typer.echo(
        f"{codes[SyncCode.NEW]} new purchases, {codes[SyncCode.FURTHER_PAYMENT]} further payments of known purchases, "
        f"{codes[SyncCode.KNOWN]} known, {codes[SyncCode.DIFFERS]} differ, {sum(number for number, _ in skipped)} left out. "
        f"{result.no_purchases} rows are no paid purchases."
    )
    if result.incomplete:
        out.print(f"The list is incomplete: {result.incomplete} Run the command again to continue.", markup=False)
    if request.dry_run:
        typer.echo("This was a dry run. Nothing was stored.")


def _as_dict(request: "SyncRequest", result: "SyncResult") -> dict[str, object]:
    from worker.purchase_sync.results import SKIPPED, SyncCode

    return {
        "provider": request.provider,
        "since": result.since,
        "continued": result.is_continued,
        "dry_run": request.dry_run,
        **{code.value: result.codes[code] for code in SyncCode if code not in SKIPPED},
        "skipped": {code.value: result.codes[code] for code in SKIPPED if result.codes[code]},
        "never_automatic": dict(result.never_automatic),
        "no_purchases": result.no_purchases,
        "differences": [{"charge": payment.charge, "why": payment.why} for payment in result.differences],
        "incomplete": result.incomplete or None,
    }
