"""Calls providers within their rate limits and the time limit of the Celery task.

If an adapter raises an error, the result of the call is ``Unknown``.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import structlog

from domain.money import Money
from domain.providers import (
    Capabilities,
    Declined,
    DeclineReason,
    DisputeStatus,
    ExternalRefund,
    ListedPurchase,
    ListedRefund,
    LookupResult,
    NotFound,
    PaymentProvider,
    PaymentStatus,
    RefundResult,
    RefundStatus,
    Unknown,
)
from domain.purchases import AUTOMATIC, Dispute, Method
from domain.refund_operations import RefundOperation, check_amount
from worker.context import WorkerContext
from worker.providers.deadline import record_network_activity

log = structlog.get_logger()

ProviderResult = TypeVar("ProviderResult")


WALLETS = {Method.GOOGLE_PAY, "link"}
"""The wallets that a seller may report as a card. Stripe shows Link as a method of its own ("The Charge object")."""

INTERCHANGEABLE = (AUTOMATIC - {Method.DIRECT_DEBIT}) | WALLETS
"""The methods that a seller may report instead of each other, because the same rules apply. Only a direct debit has a hold."""


@dataclass(frozen=True, slots=True)
class NotSent:
    """The result of a call that was not sent, because no time was left or the provider could not be reached."""

    why: str


@dataclass(frozen=True, slots=True)
class ExpectedPayment:
    """The payment as the seller reports it. The provider must show the same before a refund is sent."""

    captured: Money
    """What the customer paid with this payment, for all purchases that it paid."""
    method: str
    seller_id: str
    refunded: int = 0
    """The sum of the known refunds of the payment, in minor units."""
    known_refunds: frozenset[str] = frozenset()
    """The ids of the known refunds of the payment."""


def send_refund(
    context: WorkerContext, operation: RefundOperation, expected: ExpectedPayment, *, until: float
) -> RefundResult | NotSent:
    """Send a refund for the first time, if the provider shows the payment as the seller reports it, without an unknown refund.

    An unknown refund may already exist for two reasons. The database was restored from a backup, which lacks the latest
    refunds. Or support refunded the payment manually.
    """
    adapter = context.provider(operation.provider)
    if adapter is None or not adapter.capabilities.can_look_up:
        return refund(context, operation, until=until)
    rejects_second = adapter.capabilities.rejects_over_refund and operation.amount == expected.captured
    must_look_up, refunded = not rejects_second, 0
    if adapter.capabilities.shows_payments:
        shown = show_payment(context, operation.provider, operation.charge, until=until)
        if objection := _object_to(shown, operation, expected):
            return objection
        refunded = max(0, shown.refunded - expected.refunded) if isinstance(shown, PaymentStatus) else 0
        must_look_up = refunded > 0 or bool(expected.known_refunds)
    if must_look_up:
        return _look_up_first(context, operation, expected, refunded, until=until)
    return refund(context, operation, until=until)


def repeat_refund(
    context: WorkerContext, operation: RefundOperation, expected: ExpectedPayment, *, until: float
) -> RefundResult | NotSent:
    """Send a refund again under its key, if the provider still shows the payment as the seller reports it.

    The worker that sent the refund first may have crashed before it had looked at the payment.
    """
    adapter = context.provider(operation.provider)
    if adapter and adapter.capabilities.shows_payments:
        shown = show_payment(context, operation.provider, operation.charge, until=until)
        if objection := _object_to(shown, operation, expected):
            return objection
        if isinstance(shown, PaymentStatus) and shown.refunded > expected.refunded:
            return NotSent("The provider shows a refund of this payment, but the lookup does not show it yet.")
    return refund(context, operation, until=until)


def _look_up_first(
    context: WorkerContext, operation: RefundOperation, expected: ExpectedPayment, refunded: int, *, until: float
) -> RefundResult | NotSent:
    """Send the refund if the payment has no unknown refund. Otherwise, return our refund, or a decline because of that refund.

    ``refunded`` is the sum of unknown refunds that the payment shows. The lookup may not show these refunds yet.
    """
    result = look_up(context, operation, until=until)
    if isinstance(result, ExternalRefund) and result.refund_id in expected.known_refunds:
        result = find_unknown_refund(context, operation, expected.known_refunds, until=until)
    match result:
        case NotFound() if refunded:
            return Declined(DeclineReason.EXTERNALLY_REFUNDED, str(Money(refunded, operation.amount.currency)))
        case NotFound():
            return refund(context, operation, until=until)
        case ExternalRefund(refund_id, amount):
            return Declined(DeclineReason.EXTERNALLY_REFUNDED, f"{refund_id}, {amount}")
        case Unknown(why, invalid_credentials=False):
            return NotSent(why)
        case _:
            return result


def _object_to(
    shown: PaymentStatus | Declined | Unknown, operation: RefundOperation, expected: ExpectedPayment
) -> RefundResult | NotSent | None:
    """Return why the refund is not sent, or None if the provider shows the payment as the seller reports it."""
    match shown:
        case Unknown(why, invalid_credentials=False):
            return NotSent(why)
        case Unknown() | Declined():
            return shown
        case PaymentStatus(captured=None, shows_amount=True, code=code):
            return Declined(DeclineReason.NOT_CAPTURED, code)
        case PaymentStatus():
            return _object_to_payment(shown, expected) or _object_to_dispute(shown.dispute, operation)


def _object_to_payment(shown: PaymentStatus, expected: ExpectedPayment) -> Declined | None:
    if shown.shows_amount and shown.captured != expected.captured:
        return Declined(DeclineReason.PAYMENT_DIFFERS, f"{shown.captured} instead of {expected.captured}")
    if shown.seller not in {None, expected.seller_id}:
        return Declined(DeclineReason.OTHER_SELLER, str(shown.seller))
    if shown.method not in INTERCHANGEABLE | {None, expected.method}:
        return Declined(DeclineReason.PAYMENT_DIFFERS, f"{shown.method} instead of {expected.method}")
    return None


def _object_to_dispute(status: DisputeStatus, operation: RefundOperation) -> Declined | None:
    if status.dispute is Dispute.OPEN:
        return Declined(DeclineReason.DISPUTED, status.dispute_id)
    if status.dispute is Dispute.LOST:
        return Declined(DeclineReason.DISPUTE_LOST, status.dispute_id)
    if status.dispute is Dispute.INQUIRY and not operation.refunds_inquiry:
        return Declined(DeclineReason.INQUIRY, status.dispute_id)
    return None


def refund(context: WorkerContext, operation: RefundOperation, *, until: float) -> RefundResult | NotSent:
    """Send the refund. Return NotSent if the rate limit allows no call before ``until``, or if nothing reached the provider.

    ``until`` is a value of the monotonic clock.
    """
    with record_network_activity() as activity:
        result = _call(
            context,
            operation.provider,
            lambda adapter: adapter.refund(operation.charge, operation.amount, key=operation.key),
            until=until,
            no_time=NotSent(NO_TIME),
        )
    if isinstance(result, Unknown) and activity.nothing_was_sent:
        return NotSent(result.why)
    return check_amount(result, operation)


def look_up(context: WorkerContext, operation: RefundOperation, *, until: float) -> LookupResult:
    """Look up the refund of this operation at the provider."""
    result = _call(
        context,
        operation.provider,
        lambda adapter: adapter.look_up(operation.charge, key=operation.key),
        until=until,
        no_time=Unknown(NO_TIME),
    )
    return check_amount(result, operation)


def find_unknown_refund(
    context: WorkerContext, operation: RefundOperation, known: frozenset[str], *, until: float
) -> ExternalRefund | NotFound | Unknown:
    """Find a refund of this operation's payment that is not ``known``. Failed refunds are ignored.

    The lookup of the operation found no refund with its key, but perhaps showed only one of several other refunds. If the
    list contains our refund, the lookup does not show it yet.
    """
    refunds = list_refunds_of(context, operation.provider, operation.charge, until=until)
    if isinstance(refunds, Unknown):
        return refunds
    if any(refund.key == operation.key for refund in refunds):
        return Unknown("The provider lists our refund, but the lookup does not show it yet.")
    unknown = (refund for refund in refunds if refund.refund_id not in known)
    live = next((refund for refund in unknown if refund.status is not RefundStatus.FAILED), None)
    return NotFound() if live is None else ExternalRefund(live.refund_id, live.amount)


def show_payment(
    context: WorkerContext, provider: str, charge: str, *, until: float
) -> PaymentStatus | Declined | Unknown:
    """Ask the provider what it knows about this payment."""
    return _call(context, provider, lambda adapter: adapter.payment(charge), until=until, no_time=Unknown(NO_TIME))


def show_purchase(
    context: WorkerContext, provider: str, charge: str, *, until: float
) -> ListedPurchase | Declined | Unknown:
    """Ask the provider for this payment with what a purchase needs."""
    return _call(context, provider, lambda adapter: adapter.purchase(charge), until=until, no_time=Unknown(NO_TIME))


def list_refunds_of(
    context: WorkerContext, provider: str, charge: str, *, until: float
) -> Sequence[ListedRefund] | Unknown:
    """Return all refunds of this payment, also the refunds that Moneyback did not make."""
    return _call(context, provider, lambda adapter: adapter.refunds(charge), until=until, no_time=Unknown(NO_TIME))


def find_refunded_charge(
    context: WorkerContext, provider: str, refund_id: str, *, until: float
) -> str | Declined | Unknown:
    """Return the charge of a refund."""
    return _call(
        context, provider, lambda adapter: adapter.refunded_charge(refund_id), until=until, no_time=Unknown(NO_TIME)
    )


def find_disputed_charge(
    context: WorkerContext, provider: str, dispute_id: str, *, until: float
) -> str | Declined | Unknown:
    """Return the charge of a dispute."""
    return _call(
        context, provider, lambda adapter: adapter.disputed_charge(dispute_id), until=until, no_time=Unknown(NO_TIME)
    )


def dispute(context: WorkerContext, provider: str, charge: str, *, until: float) -> DisputeStatus | Unknown:
    """Look up the status of the dispute about this payment."""
    return _call(context, provider, lambda adapter: adapter.dispute(charge), until=until, no_time=Unknown(NO_TIME))


def cannot_look_up(context: WorkerContext, provider: str) -> bool:
    """Return True if this provider is connected and reports refunds only in signed webhook events."""
    adapter = context.provider(provider)
    return adapter is not None and not adapter.capabilities.can_look_up


def catch_adapter_errors(provider: str, call: Callable[[], ProviderResult]) -> ProviderResult | Unknown:
    """Make the call. If the adapter raises an error, return ``Unknown``, because the provider may have carried out the call."""
    try:
        return call()
    except Exception as error:
        log.exception("provider_adapter_error", provider=provider)
        return Unknown(f"The provider's adapter raised {type(error).__name__}.")


NO_TIME = "The provider was not called, because no time was left after other calls or the wait for the rate limit."

NoTime = TypeVar("NoTime", NotSent, Unknown)


def _call(
    context: WorkerContext,
    provider: str,
    call: Callable[[PaymentProvider], ProviderResult],
    *,
    until: float,
    no_time: NoTime,
) -> ProviderResult | Unknown | NoTime:
    """Make a call to this provider when its rate limit allows the call.

    Return ``no_time`` if the call would start later than ``until``. The Celery task could end during such a call, and the
    result would be lost.
    """
    adapter = context.provider(provider)
    if adapter is None:
        return Unknown(f"The provider {provider} is not connected any more.")
    if not _wait_for_rate_limit(context, provider, adapter.capabilities, until):
        return no_time
    result = catch_adapter_errors(provider, lambda: call(adapter))
    if isinstance(result, Unknown) and result.retry_after is not None:
        context.rate_limiter.pause(provider, adapter.capabilities.calls_per_second, result.retry_after)
    return result


def _wait_for_rate_limit(context: WorkerContext, provider: str, capabilities: Capabilities, until: float) -> bool:
    """Wait until the provider's rate limit allows a call. Return False if the call could not start before ``until``."""
    return context.monotonic() <= until and context.rate_limiter.acquire(
        provider, capabilities.calls_per_second, until=until
    )
