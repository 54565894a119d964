"""The pages on which a customer looks up a purchase.

After sending the form, every customer sees the same page. The private details are behind a link in an e-mail. The link works
only once.
"""

from collections.abc import Mapping
from typing import Final
from uuid import UUID

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from config.signed_links import Links, Purpose
from domain.errors import NotPossibleError
from domain.inquiry_emails import InquiryEmailKind
from domain.requests import Email, Reference
from producers.web.dependencies import LinksDep, PageDep, RecordsDep
from producers.web.pages import forms
from producers.web.pages.forms import FormFieldsDep, SubmittedForm
from producers.web.pages.storefront import OptionalStorefrontDep
from producers.web.problems import ProblemCode, ProblemError
from producers.web.templating import READ_METHODS, Page
from records import DatabaseDownError
from records.storefronts import Storefront

FIELDS: Final = ("ask", "email", "reference")
DATABASE_DOWN: Final = "Something went wrong on our side, so nothing was sent. Please try again in a minute."

router = APIRouter(include_in_schema=False)


class ReferencesInquiry(BaseModel):
    """The form of a customer who asks for the reference numbers of all purchases with one e-mail address."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    email: Email


class PurchaseInquiry(ReferencesInquiry):
    """The form of a customer who asks for the private details of one purchase."""

    reference: Reference


@router.api_route("/lookup", methods=READ_METHODS)
def show_form(request: Request, page: PageDep, storefront: OptionalStorefrontDep) -> Response:
    """Show the form. The query of the address can contain values, which are filled into the fields."""
    values = {"ask": _inquiry_kind(request.query_params), **forms.prefilled(request, ("email", "reference"))}
    return _render(page, SubmittedForm(values, ""), storefront)


@router.post("/lookup")
def submit_form(
    fields: FormFieldsDep, page: PageDep, records: RecordsDep, storefront: OptionalStorefrontDep
) -> Response:
    """Enqueue an inquiry e-mail. A worker looks up the purchase later, so the response does not depend on the purchase."""
    kind = _inquiry_kind(fields)
    model = ReferencesInquiry if kind is InquiryEmailKind.REFERENCES else PurchaseInquiry
    inquiry = forms.parse(model, {name: fields[name] for name in model.model_fields if name in fields})
    values = {**{name: fields.get(name, "") for name in FIELDS}, "ask": kind}
    form_error = forms.unknown_field_error(fields, FIELDS)
    if form_error or isinstance(inquiry, dict):
        form = SubmittedForm(values, "", forms.ordered_errors(inquiry, FIELDS), form_error)
        return _render(page, form, storefront, ProblemCode.VALIDATION_FAILED)
    reference = inquiry.reference if isinstance(inquiry, PurchaseInquiry) else None
    try:
        with records.work() as work:
            work.inquiry_emails.enqueue(
                kind=kind, email=inquiry.email, reference=reference, locale=page.translator.language
            )
    except DatabaseDownError:
        form = SubmittedForm(values, "", form_error=forms.FieldError(DATABASE_DOWN))
        return _render(page, form, storefront, ProblemCode.SERVICE_UNAVAILABLE)
    return RedirectResponse(page.to("/lookup/sent", seller=storefront.seller if storefront else ""), 303)


@router.api_route("/lookup/sent", methods=READ_METHODS)
def show_sent(page: PageDep, storefront: OptionalStorefrontDep) -> Response:
    """Show the same page to every customer, whether the purchase exists or not."""
    return page.render("lookup_sent.html", storefront=storefront)


@router.api_route("/open/{token}", methods=READ_METHODS)
def show_button(token: str, page: PageDep, records: RecordsDep, links: LinksDep) -> Response:
    """Show a button that opens the purchase. GET does not use up the link, because mail scanners follow every link."""
    email_id = _email_id(links, token)
    with records.work() as work:
        link = work.inquiry_emails.link(email_id)
    if link is None:
        raise ProblemError(ProblemCode.NOT_FOUND)
    page = page.for_locale(link.locale)
    return page.render("open_purchase.html", token=token) if link.opens else _link_expired(page)


@router.post("/open/{token}", dependencies=[Depends(forms.require_no_fields)])
def open_purchase(token: str, page: PageDep, records: RecordsDep, links: LinksDep) -> Response:
    """Show the private details of the purchases. The link cannot be opened again."""
    email_id = _email_id(links, token)
    with records.work() as work:
        link = work.inquiry_emails.link(email_id)
        purchase_ids = work.inquiry_emails.open_link(email_id)
        purchases = work.purchase_details.get_many(purchase_ids or ())
    if link is None:
        raise ProblemError(ProblemCode.NOT_FOUND)
    page = page.for_locale(link.locale)
    if purchase_ids is None:
        return _link_expired(page)
    return page.render("purchase_details.html", purchases=purchases, storefront=None)


def _inquiry_kind(values: Mapping[str, str]) -> InquiryEmailKind:
    asks_references = values.get("ask") == InquiryEmailKind.REFERENCES
    return InquiryEmailKind.REFERENCES if asks_references else InquiryEmailKind.PURCHASE


def _email_id(links: Links, token: str) -> UUID:
    """Return the id of the inquiry e-mail that contains this link."""
    try:
        return links.read(Purpose.OPEN, token)
    except NotPossibleError as error:
        raise ProblemError(ProblemCode.NOT_FOUND, str(error)) from None


def _link_expired(page: Page) -> Response:
    return page.render("link_expired.html", status=ProblemCode.LINK_EXPIRED.status)


def _render(
    page: Page, form: SubmittedForm, storefront: Storefront | None, problem: ProblemCode | None = None
) -> Response:
    asks_references = form.values["ask"] == InquiryEmailKind.REFERENCES
    return forms.render_form(
        page, "lookup_form.html", form, storefront, problem=problem, asks_references=asks_references
    )
