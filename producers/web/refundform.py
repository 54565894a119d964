"""The refund form: filled in as far as a link did, accepted without looking anything up, answered alike for everybody."""

from collections.abc import Mapping
from typing import Annotated, Final

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from domain.reasons import Reason
from domain.requests import Channel, RefundRequest, Wish
from producers import intake
from producers.web import forms
from producers.web.paper import SEEN, Sheet
from producers.web.problems import Kind
from producers.web.shopfront import AFront
from producers.web.state import TheDoor, ThePaper
from records import DatabaseDownError
from records.shopfronts import Shopfront

QUESTIONS: Final[Mapping[Wish, tuple[str, ...]]] = {
    Wish.FULL: (),
    Wish.PARTIAL: ("amount", "items"),
    Wish.VAT: ("vat_id", "exemption"),
}
"""What a person would ask about each wish. Answers to the questions of another wish are not taken: nobody saw them asked."""

FIELDS: Final = ("email", "reference", "reason", "wish", *(q for asked in QUESTIONS.values() for q in asked), "comment")
PREFILLED: Final = ("email", "reference", "reason")
_LONGEST = 320  # characters that a link may fill in; no address is longer

DOWN: Final = (
    "Something went wrong on our side, so your request wasn’t sent. Please try again in a minute. It counts only "
    "once, even if you send it twice."
)

refundform = APIRouter(include_in_schema=False)


@refundform.api_route("/refund", methods=SEEN)
def form(request: Request, paper: ThePaper, front: AFront) -> Response:
    """The form, filled in as far as a link did."""
    known = {name: request.query_params.get(name, "")[:_LONGEST] for name in PREFILLED}
    empty = forms.Filled({**dict.fromkeys(FIELDS, ""), "wish": Wish.FULL, **known}, forms.new_nonce())
    return _form(paper, front, empty, 200)


@refundform.post("/refund")
def send(
    values: Annotated[Mapping[str, str], Depends(forms.typed)], paper: ThePaper, together: TheDoor, front: AFront
) -> Response:
    """Accepts a request. No purchase is looked up, and nothing in the answer depends on what there is to be found."""
    nonce = forms.nonce_of(values)
    shown = {name: values.get(name, "") for name in FIELDS}
    said = forms.read(RefundRequest, _asked(values) | {"locale": paper.speech.language})
    trouble = forms.unknown(values, FIELDS)
    if trouble or not isinstance(said, RefundRequest):
        filled = forms.Filled(shown, nonce, forms.errors_of(said, FIELDS), trouble)
        return _form(paper, front, filled, Kind.INVALID.status)
    arrival = intake.arrival(said, Channel.WEB, key=forms.key_of(nonce, said), seller=front.seller if front else None)
    try:
        together.accept_one(arrival)
    except DatabaseDownError:
        kept = forms.Filled(shown, nonce, trouble=forms.Wrong(DOWN))
        return _form(paper, front, kept, Kind.DOWN.status, {"retry-after": "5"})
    return RedirectResponse(paper.to("/refund/sent", seller=front.seller if front else ""), 303)


@refundform.api_route("/refund/sent", methods=SEEN)
def sent(paper: ThePaper, front: AFront) -> Response:
    """The same words for everybody, whether there is such a purchase or not."""
    return paper.page("request_sent.html", front=front)


def _asked(values: Mapping[str, str]) -> dict[str, object]:
    """The request as its model wants it: the answers, and only to what was asked, stand apart."""
    asked: dict[str, object] = {
        name: values[name] for name in ("email", "reference", "reason", "wish", "comment") if name in values
    }
    questions = QUESTIONS.get(Wish(values["wish"]), ()) if values.get("wish") in set(Wish) else ()
    return asked | {"answers": {name: values.get(name, "") for name in questions}}


def _form(
    paper: Sheet, front: Shopfront | None, filled: forms.Filled, status: int, headers: Mapping[str, str] | None = None
) -> Response:
    return paper.page(
        "refund_form.html",
        status=status,
        headers=headers,
        form=filled,
        front=front,
        reasons=list(Reason),
        wishes=list(Wish),
    )
