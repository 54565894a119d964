"""Withdrawal by law, in two steps: "withdraw from contract here", then "confirm withdrawal" (Directive (EU) 2023/2673).

Nothing but name, contract and e-mail address is asked for, nobody signs in, and nothing is looked up: every declaration
is acknowledged, on the page and by mail. Only the payout waits for the link that is mailed to the purchase's own address.
"""

from collections.abc import Mapping
from typing import Annotated, Final

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response

from config.i18n import Translator
from domain.refund_reasons import RefundReason
from domain.requests import Channel, RefundRequest, WithdrawalDeclaration
from producers import intake
from producers.web.dependencies import ThePaper, TheRecords
from producers.web.pages import forms
from producers.web.pages.storefront import OptionalStorefront
from producers.web.problems import ProblemCode
from producers.web.templating import SEEN, Page
from records import DatabaseDownError
from records.storefronts import Storefront

FIELDS: Final[tuple[str, ...]] = ("name", "reference", "email")
_STEP = "step"
_CONFIRM, _CHANGE = "confirm", "change"
_LONGEST = 320  # characters that a link may fill in

STATEMENT: Final = (
    "I hereby give notice that I withdraw from my contract with the reference number {reference}. My name: {name}. "
    "My email address: {email}."
)
DOWN: Final = (
    "Something went wrong on our side, so your withdrawal hasn’t been submitted yet. Please try again in a minute. "
    "It counts only once, even if you send it twice."
)

withdrawals = APIRouter(include_in_schema=False)


@withdrawals.api_route("/withdraw", methods=SEEN)
def form(request: Request, paper: ThePaper, front: OptionalStorefront) -> Response:
    """Withdraw from contract here: the form, filled in as far as a link did."""
    known = {name: request.query_params.get(name, "")[:_LONGEST] for name in ("reference", "email")}
    return _form(paper, front, forms.SubmittedForm({"name": "", **known}, forms.new_nonce()), 200)


@withdrawals.post("/withdraw")
def declare(
    values: Annotated[Mapping[str, str], Depends(forms.typed)],
    paper: ThePaper,
    records: TheRecords,
    front: OptionalStorefront,
) -> Response:
    """The declaration as it will be made; confirmed, its acknowledgement. The same form again is acknowledged the same."""
    filled = forms.SubmittedForm({name: values.get(name, "") for name in FIELDS}, forms.nonce_of(values))
    said = forms.read(WithdrawalDeclaration, filled.values)
    trouble = forms.unknown(values, (*FIELDS, _STEP))
    if trouble or not isinstance(said, WithdrawalDeclaration):
        wrong = forms.SubmittedForm(filled.values, filled.nonce, forms.errors_of(said, FIELDS), trouble)
        return _form(paper, front, wrong, ProblemCode.VALIDATION_FAILED.status)
    if values.get(_STEP) == _CHANGE:
        return _form(paper, front, filled, 200)
    statement = paper.translator.gettext(STATEMENT, **said.model_dump())
    if values.get(_STEP) != _CONFIRM:
        return paper.render("withdrawal_confirm.html", front=front, form=filled, statement=statement)
    arrival = intake.submission(
        _request(said, paper.translator),
        Channel.WEB,
        key=forms.key_of(filled.nonce, said),
        seller=front.seller if front else None,
    )
    try:
        case, declared = intake.declare(records, arrival, name=said.name, statement=statement)
    except DatabaseDownError:
        kept = forms.SubmittedForm(filled.values, filled.nonce, trouble=forms.FieldError(DOWN))
        return _form(paper, front, kept, ProblemCode.SERVICE_UNAVAILABLE.status, {"retry-after": "5"})
    return paper.render("withdrawal_received.html", front=front, declared=declared, case=case, said=said)


def _request(said: WithdrawalDeclaration, spoken: Translator) -> RefundRequest:
    """A withdrawal gives no reason, and takes the whole amount back."""
    return RefundRequest(email=said.email, reference=said.reference, reason=RefundReason.OTHER, locale=spoken.language)


def _form(
    paper: Page,
    front: Storefront | None,
    filled: forms.SubmittedForm,
    status: int,
    headers: Mapping[str, str] | None = None,
) -> Response:
    return paper.render("withdrawal_form.html", status=status, headers=headers, form=filled, front=front)
