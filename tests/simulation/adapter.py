"""A simulated provider adapter. It also simulates the network between a worker and the provider, with faults."""

from collections.abc import Callable, Sequence
from datetime import datetime

from domain.money import Money
from domain.providers import (
    Capabilities,
    Declined,
    DisputePage,
    DisputeStatus,
    ListedRefund,
    LookupResult,
    NotFound,
    PaymentStatus,
    RefundPage,
    RefundResult,
    Unknown,
)
from domain.purchases import Dispute
from tests.simulation.clock import Clock, Killed
from tests.simulation.faults import Faults
from tests.simulation.provider import TIMEOUT, Provider
from worker.providers.deadline import record_connection_failure


class Adapter:
    """The adapter of one provider in one process."""

    def __init__(self, provider: Provider, clock: Clock, epoch: datetime, preempt: Callable[[str], None]) -> None:
        self._provider, self._clock, self._epoch, self._preempt = provider, clock, epoch, preempt
        self._faults: Faults = provider.faults
        self._random = provider.random
        self.capabilities: Capabilities = provider.capabilities
        self.on_call: Callable[[Provider, str, Money, str, float], None] = lambda *_: None
        self._looked_at: dict[str, float] = {}
        """For each charge, the time at which this process last looked at the payment."""
        self.on_empty_lookup: Callable[[Provider, str], None] = lambda *_: None

    def refund(self, charge: str, amount: Money, *, key: str) -> RefundResult:
        """Ask the provider for a refund. At random, the call or its response is lost."""
        provider, clock, faults = self._provider, self._clock, self._faults
        self._preempt("before the call")
        self.on_call(provider, charge, amount, key, self._looked_at.get(charge, 0.0))
        provider.calls[key] += 1
        self._network_delay()
        if self._poison(charge) == "request":
            self._crash()
        if error := self._rejected() or self._lost_before(charge, amount, key):
            return error
        result = provider.execute(charge, amount, key)
        self._network_delay()
        if self._poison(charge) == "response":
            self._crash()
        if faults.happens("lost_after"):
            clock.sleep(TIMEOUT)
            result = Unknown("timeout")
        elif faults.happens("error_after"):
            result = Unknown("500")
        self._maybe_raise()
        self._preempt("after the call")
        return result

    def _rejected(self) -> Unknown | None:
        """At random, return an error for a call that the provider will not carry out. Otherwise, return None."""
        if self._faults.happens("connection_refused"):
            record_connection_failure()
            return Unknown("connection refused")
        return Unknown("401", invalid_credentials=True) if self._faults.happens("unauthorized") else None

    def _lost_before(self, charge: str, amount: Money, key: str) -> Unknown | None:
        """At random, return an error that does not show whether the provider carries out the call. Otherwise, return None.

        After such an error, the provider carries out the call later, or never.
        """
        provider, clock, faults = self._provider, self._clock, self._faults
        if clock.now < provider.down_until or faults.happens("error_before"):
            return Unknown("503")
        if faults.happens("lost_before"):
            clock.sleep(TIMEOUT)
            return Unknown("timeout")
        if faults.happens("too_many_requests"):
            return Unknown("429", retry_after=self._random.choice([1.0, 60.0, 600.0]))
        if faults.happens("carried_out_late"):
            delay = TIMEOUT + self._random.choice([0.01, 0.1, 0.9]) * provider.max_delay
            clock.later(delay, provider.execute, charge, amount, key)
            if self._random.random() < 0.2:  # an external refund is made before the provider carries out the late call
                clock.later(delay * self._random.random(), provider.refund_externally, charge)
            clock.sleep(TIMEOUT)
            return Unknown("timeout")
        return None

    def look_up(self, charge: str, *, key: str) -> LookupResult:
        """Look up a refund."""
        self._preempt("before the look-up")
        self._network_delay()
        provider, faults = self._provider, self._faults
        if self._poison(charge):
            self._crash()
        if self._clock.now < provider.down_until or faults.happens("look_up_failed"):
            return Unknown("503")
        result = NotFound() if faults.happens("look_up_empty") else provider.look_up(charge, key)
        if isinstance(result, NotFound):
            self.on_empty_lookup(provider, key)
        self._network_delay()
        self._maybe_raise()
        self._preempt("after the look-up")
        return result

    def refunds(self, charge: str) -> Sequence[ListedRefund] | Unknown:
        """Look up all refunds of a charge."""
        self._preempt("before the look-up")
        self._network_delay()
        if self._clock.now < self._provider.down_until or self._faults.happens("look_up_failed"):
            return Unknown("503")
        if self._faults.happens("look_up_empty"):
            return ()
        return self._provider.refunds_of(charge, self._epoch)

    def dispute(self, charge: str) -> DisputeStatus | Unknown:
        """Look up the dispute of a charge."""
        self._preempt("before the look-up")
        self._network_delay()
        if self._clock.now < self._provider.down_until or self._faults.happens("look_up_failed"):
            return Unknown("503")
        known = self._provider.charges.get(charge)
        return known.deciding_dispute if known else DisputeStatus(Dispute.NONE)

    def list_refunds(self, since: datetime, after: str | None) -> RefundPage | Unknown:
        """Return one page of the list of the provider's refunds."""
        self._preempt("before the look-up")
        if self._clock.now < self._provider.down_until or self._faults.happens("look_up_failed"):
            return Unknown("503")
        return self._provider.list_refunds(since, after, self._epoch)

    def payment(self, charge: str) -> PaymentStatus | Declined | Unknown:
        """Look up a payment before it is refunded."""
        self._preempt("before the look-up")
        self._network_delay()
        if self._clock.now < self._provider.down_until or self._faults.happens("look_up_failed"):
            return Unknown("503")
        self._looked_at[charge] = self._clock.now
        return self._provider.payment(charge)

    def list_disputes(self, since: datetime, after: str | None) -> DisputePage | Unknown:
        """Return one page of the list of the provider's disputes."""
        self._preempt("before the look-up")
        if self._clock.now < self._provider.down_until or self._faults.happens("look_up_failed"):
            return Unknown("503")
        return self._provider.list_disputes(since, after, self._epoch)

    def _network_delay(self) -> None:
        self._clock.sleep(self._random.choice([0.02, 0.1, 0.5, 5.0]))

    def _maybe_raise(self) -> None:
        if self._faults.happens("adapter_error"):
            raise ValueError("The adapter cannot read the response.")

    def _poison(self, charge: str) -> str:
        known = self._provider.charges.get(charge)
        return known.poison if known else ""

    def _crash(self) -> None:
        """Kill the worker, because it sent a poison request or read a poison response."""
        task = self._clock.current
        assert task, "A provider call was made outside a task."
        self._faults.count("poison")
        self._clock.kill(task.process)
        raise Killed
