"""The refund form: filled in as far as a link did, accepted without looking anything up, answered alike for everybody."""

from collections.abc import Mapping
from typing import Annotated, Final

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from domain.refund_reasons import RefundReason
from domain.requests import Channel, RefundRequest, RefundScope
from producers import intake
from producers.web.dependencies import TheDoor, ThePaper
from producers.web.pages import forms
from producers.web.pages.storefront import OptionalStorefront
from producers.web.problems import ProblemCode
from producers.web.templating import SEEN, Page
from records import DatabaseDownError
from records.storefronts import Storefront

QUESTIONS: Final[Mapping[RefundScope, tuple[str, ...]]] = {
    RefundScope.FULL: (),
    RefundScope.PARTIAL: ("amount", "items"),
    RefundScope.VAT: ("vat_id", "exemption"),
}
"""What a person would ask about each refund_scope. Answers to the questions of another refund_scope are not taken: nobody saw them asked."""

FIELDS: Final = (
    "email",
    "reference",
    "reason",
    "refund_scope",
    *(q for asked in QUESTIONS.values() for q in asked),
    "comment",
)
PREFILLED: Final = ("email", "reference", "reason")
_LONGEST = 320  # characters that a link may fill in; no address is longer

DOWN: Final = (
    "Something went wrong on our side, so your request wasn’t sent. Please try again in a minute. It counts only "
    "once, even if you send it twice."
)

refundform = APIRouter(include_in_schema=False)


@refundform.api_route("/refund", methods=SEEN)
def form(request: Request, paper: ThePaper, front: OptionalStorefront) -> Response:
    """The form, filled in as far as a link did."""
    known = {name: request.query_params.get(name, "")[:_LONGEST] for name in PREFILLED}
    empty = forms.SubmittedForm(
        {**dict.fromkeys(FIELDS, ""), "refund_scope": RefundScope.FULL, **known}, forms.new_nonce()
    )
    return _form(paper, front, empty, 200)


@refundform.post("/refund")
def send(
    values: Annotated[Mapping[str, str], Depends(forms.typed)],
    paper: ThePaper,
    together: TheDoor,
    front: OptionalStorefront,
) -> Response:
    """Accepts a request. No purchase is looked up, and nothing in the answer depends on what there is to be found."""
    nonce = forms.nonce_of(values)
    shown = {name: values.get(name, "") for name in FIELDS}
    said = forms.read(RefundRequest, _asked(values) | {"locale": paper.translator.language})
    trouble = forms.unknown(values, FIELDS)
    if trouble or not isinstance(said, RefundRequest):
        filled = forms.SubmittedForm(shown, nonce, forms.errors_of(said, FIELDS), trouble)
        return _form(paper, front, filled, ProblemCode.VALIDATION_FAILED.status)
    arrival = intake.submission(
        said, Channel.WEB, key=forms.key_of(nonce, said), seller=front.seller if front else None
    )
    try:
        together.accept_one(arrival)
    except DatabaseDownError:
        kept = forms.SubmittedForm(shown, nonce, trouble=forms.FieldError(DOWN))
        return _form(paper, front, kept, ProblemCode.SERVICE_UNAVAILABLE.status, {"retry-after": "5"})
    return RedirectResponse(paper.to("/refund/sent", seller=front.seller if front else ""), 303)


@refundform.api_route("/refund/sent", methods=SEEN)
def sent(paper: ThePaper, front: OptionalStorefront) -> Response:
    """The same words for everybody, whether there is such a purchase or not."""
    return paper.render("request_sent.html", front=front)


def _asked(values: Mapping[str, str]) -> dict[str, object]:
    """The request as its model wants it: the answers, and only to what was asked, stand apart."""
    asked: dict[str, object] = {
        name: values[name] for name in ("email", "reference", "reason", "refund_scope", "comment") if name in values
    }
    questions = (
        QUESTIONS.get(RefundScope(values["refund_scope"]), ()) if values.get("refund_scope") in set(RefundScope) else ()
    )
    return asked | {"answers": {name: values.get(name, "") for name in questions}}


def _form(
    paper: Page,
    front: Storefront | None,
    filled: forms.SubmittedForm,
    status: int,
    headers: Mapping[str, str] | None = None,
) -> Response:
    return paper.render(
        "refund_form.html",
        status=status,
        headers=headers,
        form=filled,
        front=front,
        reasons=list(RefundReason),
        refund_scopes=list(RefundScope),
    )
