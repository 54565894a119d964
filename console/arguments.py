"""Arguments that several verbs share, and the check that a seller exists."""

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:  # records are imported when a verb needs them
    from domain.policies import Seller
    from records import UnitOfWork

SellerId = Annotated[
    str, typer.Argument(metavar="SELLER", help="The seller's id; `moneyback sellers list` shows all of them.")
]


def require_seller(work: "UnitOfWork", seller: str, option: str = "SELLER") -> "Seller":
    """Return the seller, or end the verb with a sentence and exit code 2."""
    found = work.sellers.get(seller)
    if found is None:
        raise typer.BadParameter(
            f"There is no seller {seller!r}. `moneyback sellers list` shows all of them.", param_hint=option
        )
    return found
