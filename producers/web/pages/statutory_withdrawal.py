"""The statutory withdrawal in two steps: "Withdraw from contract here", then "Confirm withdrawal" (Directive (EU) 2023/2673).

The form asks only for name, contract and e-mail address, and the customer does not sign in. The contract is not looked up, so
every withdrawal is acknowledged, on the page and by e-mail. But no refund starts yet. An e-mail to the address of the purchase
contains a link, and the refund starts when the customer opens the link and confirms the refund.
"""

from typing import Final

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from config.i18n import Translator
from domain.refund_reasons import RefundReason
from domain.requests import Channel, RefundRequest, WithdrawalDeclaration
from producers import intake
from producers.web.dependencies import PageDep, RecordsDep
from producers.web.pages import forms
from producers.web.pages.forms import FormFieldsDep, SubmittedForm
from producers.web.pages.storefront import OptionalStorefrontDep
from producers.web.problems import ProblemCode
from producers.web.templating import READ_METHODS
from records import DatabaseDownError

FIELDS: Final[tuple[str, ...]] = ("name", "reference", "email")
_TEMPLATE = "withdrawal_form.html"
_STEP = "step"
_CONFIRM, _CHANGE = "confirm", "change"

STATEMENT: Final = (
    "I hereby give notice that I withdraw from my contract with the reference number {reference}. My name: {name}. "
    "My email address: {email}."
)
DATABASE_DOWN: Final = (
    "Something went wrong on our side, so your withdrawal hasn’t been submitted yet. Please try again in a minute. "
    "Your withdrawal counts only once, even if you send it twice."
)

router = APIRouter(include_in_schema=False)


@router.api_route("/withdraw", methods=READ_METHODS)
def show_form(request: Request, page: PageDep, storefront: OptionalStorefrontDep) -> Response:
    """Show the form. Query parameters of the link can fill in the reference and the e-mail address."""
    values = {"name": "", **forms.prefilled(request, ("reference", "email"))}
    return forms.render_form(page, _TEMPLATE, SubmittedForm(values, forms.new_nonce()), storefront)


@router.post("/withdraw")
def submit_form(
    fields: FormFieldsDep, page: PageDep, records: RecordsDep, storefront: OptionalStorefrontDep
) -> Response:
    """Show the withdrawal statement. If the customer has confirmed it, store the withdrawal and acknowledge the withdrawal.

    If the customer sends the same form again, the acknowledgement is the same.
    """
    form = SubmittedForm({name: fields.get(name, "") for name in FIELDS}, forms.nonce_of(fields))
    declaration = forms.parse(WithdrawalDeclaration, form.values)
    form_error = forms.unknown_field_error(fields, (*FIELDS, _STEP))
    if form_error or not isinstance(declaration, WithdrawalDeclaration):
        form = SubmittedForm(form.values, form.nonce, forms.ordered_errors(declaration, FIELDS), form_error)
        return forms.render_form(page, _TEMPLATE, form, storefront, problem=ProblemCode.VALIDATION_FAILED)
    if fields.get(_STEP) == _CHANGE:
        return forms.render_form(page, _TEMPLATE, form, storefront)
    statement = page.translator.gettext(STATEMENT, **declaration.model_dump())
    if fields.get(_STEP) != _CONFIRM:
        return forms.render_form(page, "withdrawal_confirm.html", form, storefront, statement=statement)
    submission = intake.submission(
        _refund_request(declaration, page.translator),
        Channel.WEB,
        key=forms.idempotency_key(form.nonce, declaration),
        seller=storefront.seller if storefront else None,
    )
    try:
        accepted, withdrawal = intake.declare(records, submission, name=declaration.name, statement=statement)
    except DatabaseDownError:
        form = SubmittedForm(form.values, form.nonce, form_error=forms.FieldError(DATABASE_DOWN))
        return forms.render_form(page, _TEMPLATE, form, storefront, problem=ProblemCode.SERVICE_UNAVAILABLE)
    return page.render(
        "withdrawal_received.html",
        storefront=storefront,
        withdrawal=withdrawal,
        case_number=accepted.number,
        declaration=declaration,
    )


def _refund_request(declaration: WithdrawalDeclaration, translator: Translator) -> RefundRequest:
    """Return the refund request of a withdrawal: the full amount, without a reason."""
    return RefundRequest(
        email=declaration.email,
        reference=declaration.reference,
        reason=RefundReason.OTHER,
        locale=translator.language,
    )
