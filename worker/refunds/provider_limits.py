"""Defines the time limits and retry limits of refunds. They come from the settings and from what the provider can do."""

from dataclasses import dataclass
from datetime import timedelta

from config.settings import Timers
from domain.providers import Capabilities, PollPlan
from worker.context import WorkerContext
from worker.refunds.backoff import jitter

MAX_KEY_MARGIN = timedelta(hours=4)
"""An idempotency key is not sent again in the last four hours of its lifetime. A key that lives for an hour has ten minutes.

A process may pause just before it sends the key, and the key may expire during the pause.
"""


@dataclass(frozen=True, slots=True)
class RefundLimits:
    """The limits for the decision about one result. ``capabilities`` is None if the provider is not connected."""

    timers: Timers
    capabilities: Capabilities | None
    jitter: float = 1.0
    """A random factor for delays."""

    @property
    def can_look_up(self) -> bool:
        """True if refunds can be looked up. Also True if the provider is not connected, because it may be connected again."""
        return self.capabilities is None or self.capabilities.can_look_up

    @property
    def absence_can_be_proven(self) -> bool:
        """True if lookups can prove that no refund was made. For this, the provider must never refund more than was paid."""
        return self.capabilities is not None and self.capabilities.rejects_over_refund and self.capabilities.can_look_up

    @property
    def poll(self) -> PollPlan:
        """The delays between the polls, and the time after which polling ends."""
        return self.capabilities.poll if self.capabilities else PollPlan()


def limits_for(context: WorkerContext, provider: str) -> RefundLimits:
    """Return the limits for the decision about a result of this provider."""
    adapter = context.provider(provider)
    return RefundLimits(context.settings.timers, adapter.capabilities if adapter else None, jitter())
