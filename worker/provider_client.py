"""Provider client: calls a provider within its rate limit and the time that is left. If anything goes wrong: Unknown."""

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

ProviderAnswer = TypeVar("ProviderAnswer")


@dataclass(frozen=True, slots=True)
class NotSent:
    """Nothing of this call was sent: there was no time left within the lease, or the provider could not be reached."""

    why: str


def send_refund(context: WorkerContext, operation: RefundOperation, *, until: float) -> RefundResult | NotSent:
    """Sends a refund of which the records know nothing. A provider that would pay a payment twice is looked up first.

    Records that were restored from a backup lack what was paid since; and support may have paid the refund by hand.
    """
    adapter = context.provider(operation.provider)
    if adapter is None or adapter.capabilities.rejects_over_refund or not adapter.capabilities.can_look_up:
        return refund(context, operation, until=until)
    found = look_up(context, operation, until=until)
    if isinstance(found, NotFound):
        return refund(context, operation, until=until)
    if isinstance(found, ExternalRefund):
        return Declined(DeclineReason.ALREADY_REFUNDED, found.refund_id)
    return NotSent(found.why) if isinstance(found, Unknown) and not found.invalid_credentials else found


def refund(context: WorkerContext, operation: RefundOperation, *, until: float) -> RefundResult | NotSent:
    """Sends the refund, unless this monotonic instant passes before its turn comes."""
    with record_network_activity() as activity:
        answer = _call(
            context,
            operation.provider,
            lambda adapter: adapter.refund(operation.charge, operation.amount, key=operation.key),
            until=until,
            no_time=NotSent(NO_TIME),
        )
    if isinstance(answer, Unknown) and activity.nothing_was_sent:
        return NotSent(answer.why)
    return _of_this_amount(answer, operation)


def look_up(context: WorkerContext, operation: RefundOperation, *, until: float) -> LookupResult:
    """Returns what the provider knows of this operation."""
    found = _call(
        context,
        operation.provider,
        lambda adapter: adapter.look_up(operation.charge, key=operation.key),
        until=until,
        no_time=Unknown(NO_TIME),
    )
    return _of_this_amount(found, operation)


def find_external_refund(context: WorkerContext, provider: str, charge: str, *, until: float) -> LookupResult:
    """Returns the refund of a payment that was not made by us."""
    return _call(
        context,
        provider,
        lambda adapter: adapter.look_up(charge, key=NO_MATCHING_KEY),
        until=until,
        no_time=Unknown(NO_TIME),
    )


def dispute(context: WorkerContext, provider: str, charge: str, *, until: float) -> DisputeStatus | Unknown:
    """Returns the status of the dispute about this payment."""
    return _call(context, provider, lambda adapter: adapter.dispute(charge), until=until, no_time=Unknown(NO_TIME))


def cannot_look_up(context: WorkerContext, provider: str) -> bool:
    """Whether this provider is connected and only reports by signed webhook events."""
    adapter = context.provider(provider)
    return adapter is not None and not adapter.capabilities.can_look_up


def catch_adapter_errors(provider: str, call: Callable[[], ProviderAnswer]) -> ProviderAnswer | Unknown:
    """Makes this call. An adapter that raises an error has a bug, and nobody knows what the provider did: Unknown."""
    try:
        return call()
    except Exception as error:
        log.exception("provider_adapter_error", provider=provider)
        return Unknown(f"The adapter broke: {type(error).__name__}.")


NO_MATCHING_KEY = "mb_nobodys"
"""An idempotency key that no operation has."""

NO_TIME = "There was no time left to ask: the others, or the provider's rate limit, took it."

NoTime = TypeVar("NoTime", NotSent, Unknown)


def _call(
    context: WorkerContext,
    provider: str,
    call: Callable[[PaymentProvider], ProviderAnswer],
    *,
    until: float,
    no_time: NoTime,
) -> ProviderAnswer | Unknown | NoTime:
    """Makes a call to this provider in its turn. Begun later, the call could outlive its task, with its result."""
    adapter = context.provider(provider)
    if adapter is None:
        return Unknown(f"The provider {provider} is not connected here any more.")
    if not _in_turn(context, provider, adapter.capabilities, until):
        return no_time
    said = catch_adapter_errors(provider, lambda: call(adapter))
    if isinstance(said, Unknown) and said.retry_after is not None:
        context.rate_limiter.pause(provider, adapter.capabilities.calls_per_second, said.retry_after)
    return said


def _in_turn(context: WorkerContext, provider: str, capabilities: Capabilities, until: float) -> bool:
    """Waits for this call's turn at the provider's rate limit. Returns whether there is time left for the call."""
    return context.monotonic() <= until and context.rate_limiter.acquire(
        provider, capabilities.calls_per_second, until=until
    )


def _of_this_amount(said: ProviderAnswer, operation: RefundOperation) -> ProviderAnswer | Unknown:
    """Replaces a result about another amount by Unknown: a refund of another amount than was asked for is no success."""
    if isinstance(said, Paid | Pending) and said.amount != operation.amount:
        return Unknown(f"The provider speaks of {said.amount}, but {operation.amount} was asked for.")
    return said
