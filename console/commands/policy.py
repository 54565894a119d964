"""A seller's refund policy, version by version."""

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated

import typer

from console.environment import records
from console.output import Json, print_json, table
from domain.policies import Category, in_force

app = typer.Typer(help="Shows and sets refund policies.", no_args_is_help=True)


@app.command()
def show(seller: str, *, json: Json = False) -> None:
    """Every version of a seller's policy; each counts for purchases made while it was in force."""
    with records().work() as work:
        policies = work.sellers.policies(seller)
        if work.sellers.one(seller) is None:
            raise typer.BadParameter(f"There is no seller {seller!r}. `moneyback sellers list` names them.")
    if json:
        print_json(
            [
                asdict(p) | {"methods": sorted(p.methods), "excepted_products": sorted(p.excepted_products)}
                for p in policies
            ]
        )
        return
    now = in_force(policies, datetime.now(UTC))
    rows = [
        (
            p.version, f"{p.in_force_from:%Y-%m-%d %H:%M}", p.category, "–" if p.days is None else p.days,
            ", ".join(sorted(p.methods)), ", ".join(sorted(p.excepted_products)), "yes" if p.renewals_excepted else "no",
            "in force" if p == now else "",
        )
        for p in policies
    ]  # fmt: skip
    columns = ("version", "from (UTC)", "category", "days", "also refunds", "excepts", "excepts renewals", "")
    table(f"Policy of {seller}", columns, rows)


@app.command("set")
def set_(
    seller: str,
    category: Category,
    days: Annotated[int | None, typer.Option(help="How many days, for within_days.")] = None,
    since: Annotated[datetime | None, typer.Option("--from", help="In force from (UTC); now, if not given.")] = None,
    method: Annotated[
        list[str] | None, typer.Option(help="A payment method to refund as well; may be repeated.")
    ] = None,
    except_product: Annotated[list[str] | None, typer.Option(help="A product to except; may be repeated.")] = None,
    *,
    except_renewals: Annotated[bool, typer.Option(help="Except renewals.")] = False,
) -> None:
    """Adds a version. Versions are never edited: purchases made earlier keep the policy they were made under."""
    if (category is Category.WITHIN_DAYS) != (days is not None):
        raise typer.BadParameter("Give --days with within_days, and only with it.", param_hint="--days")
    if days is not None and days < 0:
        raise typer.BadParameter("A window cannot be shorter than 0 days, the same day.", param_hint="--days")
    with records().work() as work:
        if work.sellers.one(seller) is None:
            raise typer.BadParameter(f"There is no seller {seller!r}. Add it with `moneyback sellers add`.")
        policy = work.sellers.new_policy(
            seller,
            category,
            days=days,
            in_force_from=since.replace(tzinfo=UTC) if since else None,
            methods=method or (),
            excepted_products=except_product or (),
            renewals_excepted=except_renewals,
        )
    typer.echo(
        f"Version {policy.version} of {seller}'s policy is in force from {policy.in_force_from:%Y-%m-%d %H:%M} UTC."
    )
