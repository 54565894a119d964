"""Arguments that several commands share, with their checks."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:  # the package `records` is imported only when a command needs it
    from domain.policies import Seller
    from records import UnitOfWork

SellerId = Annotated[
    str, typer.Argument(metavar="SELLER", help="The seller's id; `moneyback sellers list` shows all sellers.")
]


def require_seller(work: "UnitOfWork", seller: str, option: str = "SELLER") -> "Seller":
    """Return the seller with this id. If there is no such seller, end the command with an error message and exit code 2."""
    known_seller = work.sellers.get(seller)
    if known_seller is None:
        raise typer.BadParameter(
            f"There is no seller {seller!r}. `moneyback sellers list` shows all sellers.", param_hint=option
        )
    return known_seller


def parse_instant(text: str, option: str) -> datetime:
    """Return the instant. A date without a time means midnight, and an instant without an offset is in UTC."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is neither a date like 2026-11-01 nor an instant like 2026-11-01T12:00Z.", param_hint=option
        ) from None
    return at if at.tzinfo else at.replace(tzinfo=UTC)
