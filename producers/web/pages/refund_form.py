"""The refund form. A link can fill in fields. The response never depends on whether the purchase exists."""

from collections.abc import Mapping
from typing import Final

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from domain.refund_reasons import RefundReason
from domain.requests import Channel, RefundRequest, RefundScope
from producers import intake
from producers.web.dependencies import GroupCommitDep, PageDep
from producers.web.pages import forms
from producers.web.pages.forms import FormFieldsDep, SubmittedForm
from producers.web.pages.storefront import OptionalStorefrontDep
from producers.web.problems import ProblemCode
from producers.web.templating import READ_METHODS, Page
from records import DatabaseDownError
from records.storefronts import Storefront

QUESTIONS: Final[Mapping[RefundScope, tuple[str, ...]]] = {
    RefundScope.FULL: (),
    RefundScope.PARTIAL: ("amount", "items"),
    RefundScope.VAT: ("vat_id", "exemption"),
}
"""The questions for each refund scope. Support needs the answers.

The form shows only the questions of the selected scope. Answers to the questions of another scope are ignored.
"""

FIELDS: Final = (
    "email",
    "reference",
    "reason",
    "refund_scope",
    *(question for questions in QUESTIONS.values() for question in questions),
    "comment",
)
PREFILLED: Final = ("email", "reference", "reason")

DATABASE_DOWN: Final = (
    "Something went wrong on our side, so your request wasn’t sent. Please try again in a minute. Your request counts only "
    "once, even if you send it twice."
)

router = APIRouter(include_in_schema=False)


@router.api_route("/refund", methods=READ_METHODS)
def show_form(request: Request, page: PageDep, storefront: OptionalStorefrontDep) -> Response:
    """Show the form. The link to the form can fill in fields."""
    values = {**dict.fromkeys(FIELDS, ""), "refund_scope": RefundScope.FULL, **forms.prefilled(request, PREFILLED)}
    return _render(page, SubmittedForm(values, forms.new_nonce()), storefront)


@router.post("/refund")
def submit_form(
    fields: FormFieldsDep, page: PageDep, group_commit: GroupCommitDep, storefront: OptionalStorefrontDep
) -> Response:
    """Accept a refund request. A worker looks up the purchase later."""
    nonce = forms.nonce_of(fields)
    values = {name: fields.get(name, "") for name in FIELDS}
    refund_request = forms.parse(RefundRequest, _request_values(fields) | {"locale": page.translator.language})
    form_error = forms.unknown_field_error(fields, FIELDS)
    if form_error or not isinstance(refund_request, RefundRequest):
        form = SubmittedForm(values, nonce, forms.ordered_errors(refund_request, FIELDS), form_error)
        return _render(page, form, storefront, ProblemCode.VALIDATION_FAILED)
    submission = intake.submission(
        refund_request,
        Channel.WEB,
        key=forms.idempotency_key(nonce, refund_request),
        seller=storefront.seller if storefront else None,
    )
    try:
        group_commit.accept_one(submission)
    except DatabaseDownError:
        form = SubmittedForm(values, nonce, form_error=forms.FieldError(DATABASE_DOWN))
        return _render(page, form, storefront, ProblemCode.SERVICE_UNAVAILABLE)
    return RedirectResponse(page.to("/refund/sent", seller=storefront.seller if storefront else ""), 303)


@router.api_route("/refund/sent", methods=READ_METHODS)
def show_sent(page: PageDep, storefront: OptionalStorefrontDep) -> Response:
    """Show the same page to every customer, whether the purchase exists or not."""
    return page.render("request_sent.html", storefront=storefront)


def _request_values(fields: Mapping[str, str]) -> dict[str, object]:
    """Return the values of a RefundRequest. ``answers`` contains only the answers to the questions of the scope."""
    values: dict[str, object] = {
        name: fields[name] for name in ("email", "reference", "reason", "refund_scope", "comment") if name in fields
    }
    scope = fields.get("refund_scope")
    questions = QUESTIONS[RefundScope(scope)] if scope in set(RefundScope) else ()
    return values | {"answers": {name: fields.get(name, "") for name in questions}}


def _render(
    page: Page, form: SubmittedForm, storefront: Storefront | None, problem: ProblemCode | None = None
) -> Response:
    return forms.render_form(
        page,
        "refund_form.html",
        form,
        storefront,
        problem=problem,
        reasons=list(RefundReason),
        refund_scopes=list(RefundScope),
    )
