"""Shopfronts: whose customer somebody is, and the colours that they see."""

from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.responses import Response

from producers.web.dependencies import TheRecords
from producers.web.pages.theme import Colour, stylesheet
from producers.web.problems import ProblemCode, ProblemError
from producers.web.templating import SEEN
from records import DatabaseDownError, Records
from records.storefronts import Storefront

LONGEST = 100  # characters of a seller's id

shopfronts = APIRouter(include_in_schema=False)


def known(seller: str, records: TheRecords) -> Storefront:
    """The shopfront that the address names."""
    front = _front(records, seller)
    if front is None:
        raise ProblemError(ProblemCode.NOT_FOUND)
    return front


def asked(records: TheRecords, seller: str = "") -> Storefront | None:
    """The shopfront that a link came from. One that is not there is none: the page is ours then.

    Nor is one while the database is away: a form that was sent meanwhile is to come back with what was typed.
    """
    try:
        return _front(records, seller) if seller else None
    except DatabaseDownError:
        return None


def _front(records: Records, seller: str) -> Storefront | None:
    if not seller.isprintable() or len(seller) > LONGEST:
        return None
    with records.work() as work:
        return work.storefronts.get(seller)


RequiredStorefront = Annotated[Storefront, Depends(known)]
OptionalStorefront = Annotated[Storefront | None, Depends(asked)]


@shopfronts.api_route("/s/{seller}/colours.css", methods=SEEN)
def colours(front: RequiredStorefront) -> Response:
    """The seller's colours. Without one of its own the sheet is empty."""
    sheet = stylesheet(Colour.read(front.colour)) if front.colour else ""
    return Response(sheet, media_type="text/css", headers={"cache-control": "public, max-age=300"})
