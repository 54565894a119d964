"""Purchase lookup: whoever asks is told the same; what is private goes by mail, behind a link that opens once."""

from collections.abc import Mapping
from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from config.signed_links import Links, Purpose
from domain.errors import NotPossibleError
from domain.inquiry_emails import InquiryEmailKind
from domain.requests import Email, Reference
from producers.web.dependencies import TheLinks, ThePaper, TheRecords
from producers.web.pages import forms
from producers.web.pages.storefront import OptionalStorefront
from producers.web.problems import ProblemCode, ProblemError
from producers.web.templating import SEEN, Page
from records import DatabaseDownError
from records.storefronts import Storefront

FIELDS: Final = ("ask", "email", "reference")
DOWN: Final = "Something went wrong on our side, so nothing was sent. Please try again in a minute."
_LONGEST = 320  # characters that a link may fill in; no address is longer

lookups = APIRouter(include_in_schema=False)


class AllReferences(BaseModel):
    """Asks for the references of all purchases of an address."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    email: Email


class OnePurchase(AllReferences):
    """Asks for what is private about one purchase."""

    reference: Reference


@lookups.api_route("/lookup", methods=SEEN)
def form(request: Request, paper: ThePaper, front: OptionalStorefront) -> Response:
    """The form, filled in as far as a link did."""
    known = {name: request.query_params.get(name, "")[:_LONGEST] for name in ("email", "reference")}
    return _form(paper, front, forms.SubmittedForm({"ask": _kind(request.query_params), **known}, ""), 200)


@lookups.post("/lookup")
def ask(
    values: Annotated[Mapping[str, str], Depends(forms.typed)],
    paper: ThePaper,
    records: TheRecords,
    front: OptionalStorefront,
) -> Response:
    """Owes the address a note. Nothing is looked up here, and nothing in the answer depends on what there is to be found."""
    kind = _kind(values)
    wanted = AllReferences if kind is InquiryEmailKind.REFERENCES else OnePurchase
    said = forms.read(wanted, {name: values[name] for name in wanted.model_fields if name in values})
    shown = {**{name: values.get(name, "") for name in FIELDS}, "ask": kind}
    trouble = forms.unknown(values, FIELDS)
    if trouble or isinstance(said, dict):
        wrong = forms.SubmittedForm(shown, "", forms.errors_of(said, FIELDS), trouble)
        return _form(paper, front, wrong, ProblemCode.VALIDATION_FAILED.status)
    reference = said.reference if isinstance(said, OnePurchase) else None
    try:
        with records.work() as work:
            work.inquiry_emails.enqueue(
                kind=kind, email=said.email, reference=reference, locale=paper.translator.language
            )
    except DatabaseDownError:
        down = forms.SubmittedForm(shown, "", trouble=forms.FieldError(DOWN))
        return _form(paper, front, down, ProblemCode.SERVICE_UNAVAILABLE.status, {"retry-after": "5"})
    return RedirectResponse(paper.to("/lookup/sent", seller=front.seller if front else ""), 303)


@lookups.api_route("/lookup/sent", methods=SEEN)
def sent(paper: ThePaper, front: OptionalStorefront) -> Response:
    """The same words for everybody, whether there is such a purchase or not."""
    return paper.render("lookup_sent.html", front=front)


@lookups.api_route("/open/{token}", methods=SEEN)
def closed(token: str, paper: ThePaper, records: TheRecords, links: TheLinks) -> Response:
    """A button. Looking opens nothing: mail scanners follow every link."""
    note = _note(links, token)
    with records.work() as work:
        standing = work.inquiry_emails.link(note)
    if standing is None:
        raise ProblemError(ProblemCode.NOT_FOUND)
    paper = paper.speaking(standing.locale)
    return paper.render("open_purchase.html", token=token) if standing.opens else _too_late(paper)


@lookups.post("/open/{token}", dependencies=[Depends(forms.nothing_typed)])
def opened(token: str, paper: ThePaper, records: TheRecords, links: TheLinks) -> Response:
    """What is private about a purchase, once."""
    note = _note(links, token)
    with records.work() as work:
        standing = work.inquiry_emails.link(note)
        purchases = work.inquiry_emails.open_link(note)
        bought = work.purchase_details.get_many(purchases or ())
    if standing is None:
        raise ProblemError(ProblemCode.NOT_FOUND)
    paper = paper.speaking(standing.locale)
    return (
        _too_late(paper) if purchases is None else paper.render("purchase_details.html", purchases=bought, front=None)
    )


def _kind(values: Mapping[str, str]) -> InquiryEmailKind:
    return (
        InquiryEmailKind.REFERENCES if values.get("ask") == InquiryEmailKind.REFERENCES else InquiryEmailKind.PURCHASE
    )


def _note(links: Links, token: str) -> UUID:
    try:
        return links.read(Purpose.OPEN, token)
    except NotPossibleError as error:
        raise ProblemError(ProblemCode.NOT_FOUND, str(error)) from None


def _too_late(paper: Page) -> Response:
    return paper.render("link_expired.html", status=ProblemCode.LINK_EXPIRED.status)


def _form(
    paper: Page,
    front: Storefront | None,
    filled: forms.SubmittedForm,
    status: int,
    headers: Mapping[str, str] | None = None,
) -> Response:
    lost = filled.values["ask"] == InquiryEmailKind.REFERENCES
    return paper.render("lookup_form.html", status=status, headers=headers, form=filled, lost=lost, front=front)
