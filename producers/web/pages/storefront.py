"""Storefronts: find the storefront for a page, and serve the seller's colours."""

from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.responses import Response

from producers.web.dependencies import RecordsDep
from producers.web.pages.theme import Colour, stylesheet
from producers.web.problems import ProblemCode, ProblemError
from producers.web.templating import READ_METHODS
from records import DatabaseDownError, Records
from records.storefronts import Storefront

MAX_SELLER_LENGTH = 100  # the maximum number of characters in a seller's id

router = APIRouter(include_in_schema=False)


def get_storefront(seller: str, records: RecordsDep) -> Storefront:
    """Return the storefront of the seller in the URL's path. Raise a ProblemError if the seller is unknown."""
    storefront = _find_storefront(records, seller)
    if storefront is None:
        raise ProblemError(ProblemCode.NOT_FOUND)
    return storefront


def get_optional_storefront(records: RecordsDep, seller: str = "") -> Storefront | None:
    """Return the storefront of the seller in the URL's query.

    Return None if the seller is unknown or the database is unavailable. Without a storefront, the page has our default
    theme. A form page can therefore show the customer's input again even if the database is unavailable.
    """
    try:
        return _find_storefront(records, seller) if seller else None
    except DatabaseDownError:
        return None


def _find_storefront(records: Records, seller: str) -> Storefront | None:
    if not seller.isprintable() or len(seller) > MAX_SELLER_LENGTH:
        return None
    with records.work() as work:
        return work.storefronts.get(seller)


StorefrontDep = Annotated[Storefront, Depends(get_storefront)]
OptionalStorefrontDep = Annotated[Storefront | None, Depends(get_optional_storefront)]


@router.api_route("/s/{seller}/colours.css", methods=READ_METHODS)
def show_colours(storefront: StorefrontDep) -> Response:
    """Serve the seller's colours. The stylesheet is empty if the seller chose no colour."""
    css = stylesheet(Colour.read(storefront.colour)) if storefront.colour else ""
    return Response(css, media_type="text/css", headers={"cache-control": "public, max-age=300"})
