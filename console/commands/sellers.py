"""Sellers, and the keys of their forms."""

from datetime import timedelta
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import typer

from console.commands import api_keys
from console.environment import records
from console.output import table
from domain.money import Money
from domain.policies import Seller, SerialLimit

app = typer.Typer(help="Adds sellers and makes keys for their forms.", no_args_is_help=True)
app.add_typer(api_keys.app, name="key")


@app.command("list")
def list_() -> None:
    """Every seller, as set up today."""
    with records().work() as work:
        sellers = work.sellers.all()
    rows = [
        (s.id, s.name, s.time_zone.key, s.support_email, "on" if s.self_service else "off", s.ceiling or "–")
        for s in sellers
    ]
    table(f"{len(rows)} sellers", ("seller", "name", "time zone", "support", "self-service", "ceiling"), rows)


@app.command()
def add(
    seller: str,
    name: str,
    support_email: str,
    time_zone: Annotated[str, typer.Option(help="Whose calendar days count, like Europe/Berlin.")] = "UTC",
    ceiling: Annotated[str | None, typer.Option(help="The largest automatic refund, like 200.00-EUR.")] = None,
    serial_limit: Annotated[
        str | None, typer.Option(help="At most so many automatic refunds in so many days, like 3/90.")
    ] = None,
    *,
    self_service: Annotated[bool, typer.Option(help="Whether customers may help themselves.")] = True,
) -> None:
    """Adds a seller, or changes what one has switched on."""
    try:
        zone = ZoneInfo(time_zone)
    except (ZoneInfoNotFoundError, ValueError):
        raise typer.BadParameter(f"There is no time zone {time_zone!r}.", param_hint="--time-zone") from None
    made = Seller(
        id=seller,
        name=name,
        time_zone=zone,
        support_email=support_email,
        self_service=self_service,
        ceiling=_money(ceiling),
        serial_limit=_limit(serial_limit),
    )
    with records().work() as work:
        work.sellers.put(made)
    typer.echo(f"{name} is set up. Give it a policy next: moneyback policy set {seller} within_days --days 30")


def _money(text: str | None) -> Money | None:
    if text is None:
        return None
    amount, _, currency = text.partition("-")
    try:
        return Money.parse(amount, currency)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--ceiling") from None


def _limit(text: str | None) -> SerialLimit | None:
    if text is None:
        return None
    count, _, days = text.partition("/")
    if not (count.isdecimal() and days.isdecimal()):
        raise typer.BadParameter("Write it as 3/90: three refunds in ninety days.", param_hint="--serial-limit")
    return SerialLimit(count=int(count), within=timedelta(days=int(days)))
