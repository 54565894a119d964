"""What a payment provider says about a payment now, and where the seller's staff finds the payment at the provider.

The page of a case never waits for a provider: a script loads this part afterwards, and a link opens it without a script.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from uuid import UUID
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Depends
from starlette.responses import Response

from config.i18n import UTC, Translator
from domain.desk_roles import Permission
from domain.providers import Declined, ListedRefund, PaymentStatus, ProviderAnswer, RefundStatus, Unknown, provider_of
from domain.purchases import Payment
from producers.desk.accounts.access import AgentDep, authorize, require
from producers.desk.case_copy import DISPUTES, method_name, money
from producers.desk.services import DeskServicesDep
from producers.web.dependencies import PageDep, RecordsDep
from producers.web.problems import ProblemCode, ProblemError
from producers.web.templating import READ_METHODS

router = APIRouter(include_in_schema=False, dependencies=[Depends(require(Permission.READ_CASES))])

_STATUSES = {RefundStatus.PAID: "made", RefundStatus.PENDING: "accepted", RefundStatus.FAILED: "failed"}


@dataclass(frozen=True, slots=True)
class ProviderReport:
    """What a provider says, as sentences."""

    sentences: Sequence[str]
    differences: Sequence[str]
    """What the provider says differently from our records. A person must look at it before a decision."""
    refunds: Sequence[ListedRefund] = ()


@router.api_route("/cases/{case_id}/payments/{position}/provider", methods=READ_METHODS)
def ask(
    case_id: UUID, position: int, user: AgentDep, page: PageDep, records: RecordsDep, services: DeskServicesDep
) -> Response:
    """Ask the provider about a payment of the case's purchase, after the transaction has ended."""
    with records.work() as work:
        view = work.case_views.get(case_id)
        if view is None:
            raise ProblemError(ProblemCode.NOT_FOUND, "This case doesn’t exist.")
        authorize(user, Permission.READ_CASES, view.seller)
        purchase = work.purchases.get(view.purchase) if view.purchase else None
        now = work.now
    if purchase is None or not 0 <= position < len(purchase.payments):
        raise ProblemError(ProblemCode.NOT_FOUND, "This case has no such payment.")
    payment = purchase.payments[position]
    report = describe(payment, services.ask_provider(payment.provider, payment.charge), page.translator)
    return page.render(
        "provider.html",
        user=user,
        view=view,
        zone=ZoneInfo(view.time_zone) if view.time_zone else UTC,
        payment=payment,
        position=position,
        report=report,
        now=now,
        provider_name=name_of(payment.provider),
        statuses=_STATUSES,
    )


def name_of(provider: str) -> str:
    """Return the name of a provider for people, such as ``PayPal``."""
    name = provider_of(provider)
    return {"paypal": "PayPal"}.get(name, name.capitalize())


def describe(payment: Payment, answer: ProviderAnswer | None, translator: Translator) -> ProviderReport:
    """Return what the provider says about the payment, and what differs from our records."""
    name = name_of(payment.provider)
    if answer is None:
        sentence = f"The account {payment.provider} is not connected to this desk, so the desk cannot ask it."
        return ProviderReport([sentence], [])
    refunds = answer.refunds if isinstance(answer.refunds, Sequence) else ()
    sentences = [*_about_payment(name, answer, translator), *_about_refunds(name, answer)]
    if not sentences:
        sentences = [f"{name} has no call that shows a payment. Look at its own page."]
    return ProviderReport(sentences, list(_differences(payment, answer, translator)), refunds)


def _about_payment(name: str, answer: ProviderAnswer, translator: Translator) -> Iterator[str]:
    match answer.payment:
        case Unknown(invalid_credentials=True):
            yield f"{name} rejects the credentials of this desk. Tell the operators."
        case Unknown(why):
            yield f"{name} gave no answer. {why}"
        case Declined(_, code):
            yield f"{name} does not know this payment{f' ({code})' if code else ''}."
        case PaymentStatus(captured=None, shows_amount=True, code=code):
            yield f"{name} shows no paid amount: the payment was voided, failed, or never captured{f' ({code})' if code else ''}."
        case PaymentStatus() as status:
            currency = status.captured.currency if status.captured else None
            paid = f"{translator.money(status.captured)} paid" if status.captured else "no amount"
            refunded = f", {money(translator, status.refunded, currency)} refunded" if currency else ""
            dispute = f", {DISPUTES[status.dispute.dispute]}"
            paid_with = f", paid with {method_name(status.method)}" if status.method else ""
            yield f"{name} shows {paid}{refunded}{dispute}{paid_with}."


def _about_refunds(name: str, answer: ProviderAnswer) -> Iterator[str]:
    match answer.refunds:
        case Unknown(why):
            yield f"{name} did not list the refunds of the payment. {why}"
        case []:
            yield f"{name} lists no refund of this payment."


def _differences(payment: Payment, answer: ProviderAnswer, translator: Translator) -> Iterator[str]:
    """Yield what the provider says differently. A payment of a cart is compared with the sum of its purchases."""
    status = answer.payment
    if not isinstance(status, PaymentStatus) or status.captured is None:
        return
    captured, currency = status.captured, payment.currency
    recorded = payment.amount if payment.captured is None else payment.captured
    if (captured.minor, captured.currency) != (recorded, currency):
        yield f"Our records have {money(translator, recorded, currency)} as the paid amount."
    elif status.refunded != payment.refunded:
        yield f"Our records have {money(translator, payment.refunded, currency)} as refunded."
    if status.dispute.dispute is not payment.dispute:
        yield f"Our records have {DISPUTES[payment.dispute]}."
