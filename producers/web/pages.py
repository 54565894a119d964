"""The help centre and the refund form."""

from collections.abc import Mapping
from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from domain.reasons import Reason
from domain.requests import Channel
from producers import intake
from producers.web import forms
from producers.web.paper import Sheet
from producers.web.problems import Kind
from producers.web.state import ThePaper, TheRecords
from records import DatabaseDownError

SEEN = ["GET", "HEAD"]

pages = APIRouter(include_in_schema=False)


@pages.api_route("/", methods=SEEN)
async def home(paper: ThePaper) -> Response:
    """The help centre."""
    return paper.page("home.html", headers={"cache-control": "public, max-age=300"})


@pages.api_route("/refund", methods=SEEN)
async def form(request: Request, paper: ThePaper) -> Response:
    """The form, filled in as far as a link did."""
    return _form(paper, forms.empty(request.query_params), 200)


@pages.post("/refund")
def send(values: Annotated[Mapping[str, str], Depends(forms.typed)], paper: ThePaper, records: TheRecords) -> Response:
    """Accepts a request. Nothing is looked up, and nothing in the answer depends on what there is to be found."""
    sent = forms.read(values)
    if isinstance(sent, forms.Filled):
        return _form(paper, sent, 422)
    try:
        intake.accept_one(records, intake.arrival(sent.request, Channel.WEB, key=sent.key))
    except DatabaseDownError:
        kept = forms.Filled(
            {name: values.get(name, "") for name in forms.FIELDS},
            values.get("nonce", ""),
            trouble="We could not take your request right now, so nothing was sent. Please press the button again in "
            "a minute: sending it again is safe and counts once.",
        )
        return _form(paper, kept, Kind.DOWN.status, {"retry-after": "5"})
    return RedirectResponse("/refund/sent", 303)


@pages.api_route("/refund/sent", methods=SEEN)
async def sent(paper: ThePaper) -> Response:
    """The same words for everybody, whether there is such a purchase or not."""
    return paper.page("sent.html")


def _form(paper: Sheet, filled: forms.Filled, status: int, headers: Mapping[str, str] | None = None) -> Response:
    return paper.page("refund.html", status=status, headers=headers, form=filled, reasons=list(Reason))
