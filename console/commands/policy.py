"""`moneyback policy`: shows and sets the versions of a seller's refund policy."""

import sys
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, date, datetime, time
from typing import TYPE_CHECKING, Annotated
from zoneinfo import ZoneInfo

import typer

from console.arguments import SellerId, require_seller
from console.environment import records
from console.output import Json, minute, print_json, table
from console.program import as_typed
from domain.policies import Category, in_force

if TYPE_CHECKING:
    from domain.policies import Policy
    from records import Records

app = typer.Typer(help="Show and set the refund policies of sellers.", no_args_is_help=True)

_CATEGORIES = (
    "no_restrictions: refund any purchase, at any time; within_days: refund within --days days; statutory_withdrawal: refund "
    "only consumers, within 14 days; approval_required and in_house_support: support decides about each request; "
    "no_refunds: no automatic refund."
)


@app.command()
def show(seller: SellerId, *, json: Json = False) -> None:
    """Show every version of a seller's policy. A purchase keeps the version that was in force at the time of the purchase.

    Needs `MONEYBACK_DATABASE_URL`.

    Example: `moneyback policy show aurora`
    """
    with records().work() as work:
        require_seller(work, seller)
        policies = work.sellers.policies(seller)
    if json:
        print_json([_as_dict(policy) for policy in policies])
        return
    current = in_force(policies, datetime.now(UTC))
    rows = [
        (
            policy.version,
            minute(policy.in_force_from),
            policy.category,
            "–" if policy.days is None else policy.days,
            ", ".join(sorted(policy.methods)),
            ", ".join(sorted(policy.excluded_products)),
            "yes" if policy.renewals_excluded else "no",
            "yes" if policy.refunds_inquiries else "no",
            "in force" if policy == current else "",
        )
        for policy in policies
    ]
    columns = (
        "version",
        "from (UTC)",
        "category",
        "days",
        "extra methods",
        "excluded products",
        "excludes renewals",
        "refunds inquiries",
        "",
    )
    table(f"Policy of {seller}", columns, rows)


@app.command("set")
def set_(
    seller: SellerId,
    category: Annotated[Category, typer.Argument(help=_CATEGORIES)],
    days: Annotated[
        int | None, typer.Option(min=0, help="Days for within_days; 0 means only the day of purchase.")
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="DATE",
            help="In force from this date in the seller's time zone, or from this instant (UTC); default: now.",
        ),
    ] = None,
    method: Annotated[
        list[str] | None,
        typer.Option(help="Also refund this payment method automatically. Give the option once for each method."),
    ] = None,
    except_product: Annotated[
        list[str] | None,
        typer.Option(help="Never refund this product automatically. Give the option once for each product."),
    ] = None,
    *,
    except_renewals: Annotated[
        bool, typer.Option("--except-renewals", help="Never refund subscription renewals automatically.")
    ] = False,
    refund_inquiries: Annotated[
        bool,
        typer.Option(
            "--refund-inquiries",
            help="Refund a payment although the customer's bank asks about it. A refund often ends an inquiry.",
        ),
    ] = False,
    json: Json = False,
) -> None:
    """Add a version of the policy. Versions are never edited, so earlier purchases keep their version.

    If the seller has earlier purchases and no policy yet, the command asks whether the first policy holds for them, too.
    Without a terminal, it does not ask: the policy is in force from now on, and a sentence names the purchases without a
    policy.

    Needs `MONEYBACK_DATABASE_URL`.

    Example: `moneyback policy set aurora within_days --days 30 --except-product "Gift card"`
    """
    if (category is Category.WITHIN_DAYS) != (days is not None):
        raise typer.BadParameter(
            "Give --days with the category within_days, and only with this category.", param_hint="--days"
        )
    store = records()
    with store.work() as work:
        zone = require_seller(work, seller).time_zone
    in_force_from = _instant(since, zone) if since else _ask_for_start(store, seller, machine=json)
    with store.work() as work:
        policy = work.sellers.new_policy(
            seller,
            category,
            days=days,
            in_force_from=in_force_from,
            methods=method or (),
            excluded_products=except_product or (),
            renewals_excluded=except_renewals,
            refunds_inquiries=refund_inquiries,
        )
    if json:
        print_json(_as_dict(policy))
    else:
        typer.echo(
            f"Version {policy.version} of {seller}'s policy is in force from {minute(policy.in_force_from)} UTC."
        )
    _name_uncovered_purchases(store, seller)


def _instant(text: str, zone: ZoneInfo) -> datetime:
    """Return the start of a date in the seller's time zone, or an instant, which is in UTC if it names no other offset."""
    with suppress(ValueError):
        return datetime.combine(date.fromisoformat(text), time(), zone)
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is neither a date like 2026-01-31 nor an instant like 2026-01-31T12:00.", param_hint="--from"
        ) from None
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)


def _ask_for_start(store: "Records", seller: str, *, machine: bool) -> datetime | None:
    """Ask whether a first policy holds for earlier purchases, too. Return the instant of the earliest; None means now.

    A later version is not asked about, because it could not be in force before the first version and from now on, too.
    """
    with store.work() as work:
        has_policy = bool(work.sellers.policies(seller))
        count, earliest = work.sellers.uncovered_purchases(seller), work.sellers.earliest_uncovered_purchase(seller)
    if has_policy or earliest is None or machine or not sys.stdin.isatty():
        return None
    question = (
        f"{seller} has {count} earlier purchases, since {minute(earliest)} UTC. Shall the policy hold for them, too? "
        "If not, support decides about them."
    )
    return earliest if typer.confirm(question) else None


def _name_uncovered_purchases(store: "Records", seller: str) -> None:
    """Print on standard error how many purchases are from before the seller's first policy, and how to cover them."""
    with store.work() as work:
        count, earliest = work.sellers.uncovered_purchases(seller), work.sellers.earliest_uncovered_purchase(seller)
    if earliest is not None:
        advice = (
            f"No policy of {seller} holds for {count} earlier purchases, so support decides about them. "
            f"To cover them, run `moneyback policy set {seller} … --from {earliest.astimezone(UTC):%Y-%m-%dT%H:%M:%S}`."
        )
        typer.echo(as_typed(advice), err=True)


def _as_dict(policy: "Policy") -> dict[str, object]:
    values = asdict(policy)
    sets = {"methods": sorted(policy.methods), "excluded_products": sorted(policy.excluded_products)}
    return {"seller": values.pop("seller_id"), **values, **sets}
