"""Calls providers within their rate limits and the time limit of the Celery task.

If an adapter raises an error, the result of the call is ``Unknown``.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import structlog

from domain.providers import (
    Capabilities,
    Declined,
    DeclineReason,
    DisputeStatus,
    ExternalRefund,
    LookupResult,
    NotFound,
    Paid,
    PaymentProvider,
    Pending,
    RefundResult,
    Unknown,
)
from domain.refund_operations import RefundOperation
from worker.context import WorkerContext
from worker.providers.deadline import record_network_activity

log = structlog.get_logger()

ProviderResult = TypeVar("ProviderResult")


@dataclass(frozen=True, slots=True)
class NotSent:
    """The result of a call that was not sent, because no time was left or the provider could not be reached."""

    why: str


def send_refund(context: WorkerContext, operation: RefundOperation, *, until: float) -> RefundResult | NotSent:
    """Send a refund for the first time. If the provider does not reject a second refund of a payment, first look for a refund.

    A refund may already exist for two reasons. The database was restored from a backup, which lacks the latest refunds. Or
    support refunded the payment manually.
    """
    adapter = context.provider(operation.provider)
    if adapter is None or adapter.capabilities.rejects_over_refund or not adapter.capabilities.can_look_up:
        return refund(context, operation, until=until)
    result = look_up(context, operation, until=until)
    if isinstance(result, NotFound):
        return refund(context, operation, until=until)
    if isinstance(result, ExternalRefund):
        return Declined(DeclineReason.ALREADY_REFUNDED, result.refund_id)
    return NotSent(result.why) if isinstance(result, Unknown) and not result.invalid_credentials else result


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
    return _check_amount(result, operation)


def look_up(context: WorkerContext, operation: RefundOperation, *, until: float) -> LookupResult:
    """Look up the refund of this operation at the provider."""
    result = _call(
        context,
        operation.provider,
        lambda adapter: adapter.look_up(operation.charge, key=operation.key),
        until=until,
        no_time=Unknown(NO_TIME),
    )
    return _check_amount(result, operation)


def find_external_refund(context: WorkerContext, provider: str, charge: str, *, until: float) -> LookupResult:
    """Look up a refund of this payment that Moneyback did not make."""
    return _call(
        context,
        provider,
        lambda adapter: adapter.look_up(charge, key=NO_MATCHING_KEY),
        until=until,
        no_time=Unknown(NO_TIME),
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


NO_MATCHING_KEY = "mb_no_matching_key"
"""An idempotency key that no operation has, so that a lookup with this key finds only external refunds."""

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


def _check_amount(result: ProviderResult, operation: RefundOperation) -> ProviderResult | Unknown:
    """Return the result, or ``Unknown`` if the provider reports another amount than the requested amount."""
    if isinstance(result, Paid | Pending) and result.amount != operation.amount:
        return Unknown(f"The provider reports a refund of {result.amount}, but {operation.amount} was requested.")
    return result
