"""Asking providers: at their pace, within the time there is. Whatever goes wrong in here, money may have left: Unknown."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import structlog

from domain.providers import (
    Absent,
    Answer,
    Capabilities,
    Declined,
    DisputeSeen,
    Elsewhere,
    Found,
    LooksUp,
    Paid,
    PaymentProvider,
    Pending,
    Refusal,
    Unknown,
)
from records.operation import Operation
from worker.providers.deadline import watched
from worker.tools import Tools

log = structlog.get_logger()

Said = TypeVar("Said")


@dataclass(frozen=True, slots=True)
class Unsent:
    """No word of this call left us: there was no time left within the lease, or nobody could be reached."""

    why: str


def first_refund(tools: Tools, operation: Operation, *, until: float) -> Answer | Unsent:
    """Asks for a refund that the books know nothing of; a provider that would pay a payment twice is looked at first.

    Books that were set back to a backup have forgotten what was paid since. And somebody may have paid it by hand.
    """
    adapter = tools.provider(operation.provider)
    if adapter is None or adapter.capabilities.capped or adapter.capabilities.looks_up is LooksUp.NEVER:
        return refund(tools, operation, until=until)
    found = look_up(tools, operation, until=until)
    if isinstance(found, Absent):
        return refund(tools, operation, until=until)
    if isinstance(found, Elsewhere):
        return Declined(Refusal.ALREADY_REFUNDED, found.refund_id)
    return Unsent(found.why) if isinstance(found, Unknown) and not found.no_access else found


def refund(tools: Tools, operation: Operation, *, until: float) -> Answer | Unsent:
    """Asks for the refund, unless this monotonic instant has passed before its turn came."""
    adapter = tools.provider(operation.provider)
    if adapter is None:
        return _not_connected(operation.provider)
    if not _in_turn(tools, operation.provider, adapter.capabilities, until):
        return Unsent(NO_TIME)
    with watched() as wire:
        answer = _ask(
            tools,
            operation.provider,
            adapter,
            lambda: adapter.refund(operation.charge, operation.amount, key=operation.key),
        )
    if isinstance(answer, Unknown) and wire.nobody_reached:
        return Unsent(answer.why)
    return _of_this_amount(answer, operation)


def look_up(tools: Tools, operation: Operation, *, until: float) -> Found:
    """What the provider knows of this operation."""
    adapter = tools.provider(operation.provider)
    if adapter is None:
        return _not_connected(operation.provider)
    if not _in_turn(tools, operation.provider, adapter.capabilities, until):
        return Unknown(NO_TIME)
    found = _ask(tools, operation.provider, adapter, lambda: adapter.look_up(operation.charge, key=operation.key))
    return _of_this_amount(found, operation)


def foreign(tools: Tools, provider: str, charge: str, *, until: float) -> Found:
    """What refund a payment has that we never asked for."""
    adapter = tools.provider(provider)
    if adapter is None:
        return _not_connected(provider)
    if not _in_turn(tools, provider, adapter.capabilities, until):
        return Unknown(NO_TIME)
    return _ask(tools, provider, adapter, lambda: adapter.look_up(charge, key=NOBODYS))


def dispute(tools: Tools, provider: str, charge: str, *, until: float) -> DisputeSeen | Unknown:
    """How the dispute about this payment stands."""
    adapter = tools.provider(provider)
    if adapter is None:
        return _not_connected(provider)
    if not _in_turn(tools, provider, adapter.capabilities, until):
        return Unknown(NO_TIME)
    return _ask(tools, provider, adapter, lambda: adapter.dispute(charge))


NOBODYS = "mb_nobodys"
"""A key that no operation has."""


NO_TIME = "There was no time left to ask: the others, or the provider's rate limit, took it."


def _in_turn(tools: Tools, provider: str, capabilities: Capabilities, until: float) -> bool:
    """Whether there is time for this call. Begun any later, it could outlive its task, with what the others answered."""
    return tools.monotonic() <= until and tools.pace.take(provider, capabilities.calls_per_second, until=until)


def _ask(tools: Tools, name: str, adapter: PaymentProvider, call: Callable[[], Said]) -> Said | Unknown:
    try:
        said = call()
    except Exception as error:
        log.exception("provider_adapter_broke", provider=name)
        return Unknown(f"The adapter broke: {type(error).__name__}.")
    if isinstance(said, Unknown) and said.again_in is not None:
        tools.pace.hold_off(name, adapter.capabilities.calls_per_second, said.again_in)
    return said


def _of_this_amount(said: Said, operation: Operation) -> Said | Unknown:
    """A refund of another amount than was asked for is not ours to take for success."""
    if isinstance(said, Paid | Pending) and said.amount != operation.amount:
        return Unknown(f"The provider speaks of {said.amount}, but {operation.amount} was asked for.")
    return said


def _not_connected(provider: str) -> Unknown:
    return Unknown(f"The provider {provider} is not connected here any more.")
