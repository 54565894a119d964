"""`moneyback sellers`: lists sellers, adds a seller, and changes a seller's settings."""

import re
from datetime import timedelta
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import typer

from console.environment import records
from console.output import Json, print_json, table
from console.program import as_typed
from domain.money import Money
from domain.policies import Seller, SerialLimit

app = typer.Typer(help="List and add sellers.", no_args_is_help=True)

_REFERENCE_FIELD = re.compile(r"receipt_number|invoice_number|charge|metadata\.\S.{0,99}")
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@app.command("list")
def list_(*, json: Json = False) -> None:
    """List every seller with its settings.

    Needs `MONEYBACK_DATABASE_URL`.

    Example: `moneyback sellers list`
    """
    with records().work() as work:
        sellers = work.sellers.list_all()
    if json:
        print_json([_as_dict(seller) for seller in sellers])
        return
    rows = [
        (
            seller.id,
            seller.name,
            seller.time_zone.key,
            seller.support_email,
            "on" if seller.self_service else "off",
            seller.ceiling or "–",
        )
        for seller in sellers
    ]
    table(f"{len(rows)} sellers", ("seller", "name", "time zone", "support", "self-service", "ceiling"), rows)


@app.command()
def add(
    seller: Annotated[str, typer.Argument(help="The seller's id: letters and digits, with . _ or - between them.")],
    name: Annotated[str, typer.Argument(help="The name that customers read.")],
    support_email: Annotated[str, typer.Argument(help="The address that customers write to.")],
    time_zone: Annotated[str, typer.Option(help="The time zone that decides when a day ends.")] = "UTC",
    ceiling: Annotated[
        str | None, typer.Option(metavar="AMOUNT-CURRENCY", help="The largest automatic refund, like 200.00-EUR.")
    ] = None,
    serial_limit: Annotated[
        str | None,
        typer.Option(metavar="N/DAYS", help="At most N automatic refunds for a customer in DAYS days, like 3/90."),
    ] = None,
    four_eyes_above: Annotated[
        str | None,
        typer.Option(
            metavar="AMOUNT-CURRENCY",
            help="Above this amount, a second person confirms a refund that support approves, like 100.00-EUR.",
        ),
    ] = None,
    undo_above: Annotated[
        str | None,
        typer.Option(
            metavar="AMOUNT-CURRENCY",
            help="Above this amount, a refund that support approves waits ten seconds, so that it can be undone.",
        ),
    ] = None,
    reference_field: Annotated[
        str | None,
        typer.Option(
            metavar="FIELD",
            help="The field of a provider's payment that contains the reference: receipt_number, invoice_number, "
            "metadata.NAME or charge. Default: metadata.reference, or else the number of the invoice or the receipt, or else "
            "the charge.",
        ),
    ] = None,
    answer_hours: Annotated[
        int | None,
        typer.Option(
            metavar="HOURS",
            min=1,
            help="Support should answer within this number of hours. The hours of Saturday and Sunday do not count.",
        ),
    ] = None,
    *,
    self_service: Annotated[
        bool, typer.Option(help="Allow automatic refunds, or send every request to support.")
    ] = True,
    json: Json = False,
) -> None:
    """Add a seller, or change the seller that has this id.

    Needs `MONEYBACK_DATABASE_URL`.

    Example: `moneyback sellers add aurora "Aurora Software" help@aurora.example --time-zone Europe/Berlin`
    """
    added = Seller(
        id=_id(seller),
        name=name,
        time_zone=_zone(time_zone),
        support_email=_email(support_email),
        self_service=self_service,
        ceiling=_money(ceiling, "--ceiling"),
        serial_limit=_limit(serial_limit),
        four_eyes_above=_money(four_eyes_above, "--four-eyes-above"),
        undo_above=_money(undo_above, "--undo-above"),
        reference_field=_reference_field(reference_field),
        answer_hours=answer_hours,
    )
    with records().work() as work:
        work.sellers.upsert(added)
    if json:
        print_json(_as_dict(added))
    else:
        advice = f"`moneyback policy set {seller} within_days --days 30`"
        typer.echo(as_typed(f"{name} is set up. Next, set a refund policy: {advice}"))


def _as_dict(seller: Seller) -> dict[str, object]:
    limit = seller.serial_limit
    return {
        "id": seller.id,
        "name": seller.name,
        "time_zone": seller.time_zone.key,
        "support_email": seller.support_email,
        "self_service": seller.self_service,
        "ceiling": _amount(seller.ceiling),
        "four_eyes_above": _amount(seller.four_eyes_above),
        "undo_above": _amount(seller.undo_above),
        "serial_limit": {"count": limit.count, "days": limit.within.days} if limit else None,
        "reference_field": seller.reference_field,
        "answer_hours": seller.answer_hours,
    }


def _amount(money: Money | None) -> dict[str, object] | None:
    return {"minor": money.minor, "currency": money.currency} if money else None


def _id(text: str) -> str:
    if not _ID.fullmatch(text):
        raise typer.BadParameter(
            f"{text!r} is not an id: use at most 64 letters and digits, with . _ or - between them.",
            param_hint="SELLER",
        )
    return text


def _reference_field(text: str | None) -> str | None:
    if text is not None and not _REFERENCE_FIELD.fullmatch(text):
        raise typer.BadParameter(
            f"{text!r} is no field with a reference. Write receipt_number, invoice_number, charge, or metadata. and the name "
            "of a metadata field, like metadata.order_id.",
            param_hint="--reference-field",
        )
    return text


def _email(text: str) -> str:
    from pydantic import TypeAdapter, ValidationError

    from domain.requests import Email

    try:
        return TypeAdapter(Email).validate_python(text)
    except ValidationError:
        raise typer.BadParameter(f"{text!r} is not an e-mail address.", param_hint="SUPPORT_EMAIL") from None


def _zone(text: str) -> ZoneInfo:
    try:
        return ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError):
        raise typer.BadParameter(f"There is no time zone {text!r}.", param_hint="--time-zone") from None


def _money(text: str | None, option: str) -> Money | None:
    if text is None:
        return None
    amount, _, currency = text.partition("-")
    try:
        return Money.parse(amount, currency)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from None


def _limit(text: str | None) -> SerialLimit | None:
    if text is None:
        return None
    count, _, days = text.partition("/")
    if not (count.isdecimal() and days.isdecimal()):
        raise typer.BadParameter("Write the limit as 3/90: three refunds in ninety days.", param_hint="--serial-limit")
    return SerialLimit(count=int(count), within=timedelta(days=int(days)))
