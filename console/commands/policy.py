"""`moneyback policy`: shows and sets the versions of a seller's refund policy."""

from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from console.arguments import SellerId, require_seller
from console.environment import records
from console.output import Json, minute, print_json, table
from domain.policies import Category, in_force

if TYPE_CHECKING:
    from domain.policies import Policy

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
        datetime | None, typer.Option("--from", help="In force from this instant (UTC); default: now.")
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
    json: Json = False,
) -> None:
    """Add a version of the policy. Versions are never edited, so earlier purchases keep their version.

    Needs `MONEYBACK_DATABASE_URL`.

    Example: `moneyback policy set aurora within_days --days 30 --except-product "Gift card"`
    """
    if (category is Category.WITHIN_DAYS) != (days is not None):
        raise typer.BadParameter(
            "Give --days with the category within_days, and only with this category.", param_hint="--days"
        )
    with records().work() as work:
        require_seller(work, seller)
        policy = work.sellers.new_policy(
            seller,
            category,
            days=days,
            in_force_from=since.replace(tzinfo=UTC) if since else None,
            methods=method or (),
            excluded_products=except_product or (),
            renewals_excluded=except_renewals,
        )
    if json:
        print_json(_as_dict(policy))
    else:
        typer.echo(
            f"Version {policy.version} of {seller}'s policy is in force from {minute(policy.in_force_from)} UTC."
        )


def _as_dict(policy: "Policy") -> dict[str, object]:
    values = asdict(policy)
    sets = {"methods": sorted(policy.methods), "excluded_products": sorted(policy.excluded_products)}
    return {"seller": values.pop("seller_id"), **values, **sets}
