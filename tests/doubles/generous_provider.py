"""A provider that protects nobody: it refunds any amount of any charge, and loses answers. Also a call pool without threads."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from domain.money import Money
from domain.providers import (
    Capabilities,
    Declined,
    DeclineReason,
    DisputeStatus,
    ExternalRefund,
    Failed,
    ListedRefund,
    LookupResult,
    NotFound,
    Paid,
    Pending,
    RefundPage,
    RefundResult,
    RefundStatus,
    Unknown,
)
from domain.purchases import Dispute
from worker.providers.call_pool import CallPool, RecordResults

Argument = TypeVar("Argument")
Result = TypeVar("Result")

DELAY = timedelta(hours=3)
"""The longest time until the provider carries out a call. Moneyback expects at most six hours."""

RESULTS = ("paid", "pending", "declined", "not now", "failed", "answer lost", "call lost", "late")
"""What the provider may do with a refund call."""


@dataclass(slots=True, eq=False)
class Refund:
    """A refund at the provider. A refund by hand has no key."""

    id: str
    charge: str
    amount: Money
    key: str | None
    made_at: datetime
    status: RefundStatus = RefundStatus.PAID

    @property
    def result(self) -> Paid | Pending | Failed:
        """The refund as a lookup shows it."""
        match self.status:
            case RefundStatus.PAID:
                return Paid(self.id, self.amount)
            case RefundStatus.PENDING:
                return Pending(self.id, self.amount)
            case RefundStatus.FAILED:
                return Failed(self.id, "came_back")

    @property
    def listed(self) -> ListedRefund:
        """The refund as a list shows it."""
        return ListedRefund(self.id, self.charge, self.amount, self.status, self.made_at, self.key)


@dataclass(frozen=True, slots=True)
class LateCall:
    """A call that the provider carries out later. The worker knows nothing of this."""

    charge: str
    amount: Money
    key: str
    sent_at: datetime


class GenerousProvider:
    """A provider that refunds any amount of any charge, once for each key, and shows all refunds at once."""

    capabilities = Capabilities(idempotency_key_ttl=timedelta(days=1), lists_refunds=True)

    def __init__(self, captured: Mapping[str, int], clock: Callable[[], datetime]) -> None:
        """``captured`` is what the customer paid with each charge, in minor units. Only ``refund_by_hand`` heeds it."""
        self.refunds_made: list[Refund] = []
        self.late_calls: list[LateCall] = []
        self.next_result = "paid"
        self._captured, self._clock = captured, clock
        self._lock = threading.Lock()

    # What Moneyback calls

    def refund(self, charge: str, amount: Money, *, key: str) -> RefundResult:
        with self._lock:
            return self._refund(charge, amount, key)

    def _refund(self, charge: str, amount: Money, key: str) -> RefundResult:
        result, self.next_result = self.next_result, "paid"
        if known := self._find(key):
            return known.result
        match result:
            case "declined":
                return Declined(DeclineReason.PERMANENT, "closed")
            case "not now":
                return Declined(DeclineReason.INSUFFICIENT_BALANCE, "balance")
            case "call lost":
                return Unknown("timeout")
            case "late":
                self.late_calls.append(LateCall(charge, amount, key, self._clock()))
                return Unknown("timeout")
        statuses = {"pending": RefundStatus.PENDING, "failed": RefundStatus.FAILED}
        made = self._make(charge, amount, key, statuses.get(result, RefundStatus.PAID))
        return Unknown("timeout") if result == "answer lost" else made.result

    def look_up(self, charge: str, *, key: str) -> LookupResult:
        if known := self._find(key):
            return known.result
        others = self._live(charge)
        return ExternalRefund(others[0].id, others[0].amount) if others else NotFound()

    def refunds(self, charge: str) -> list[ListedRefund]:
        return [refund.listed for refund in self.refunds_made if refund.charge == charge]

    def list_refunds(self, since: datetime, after: str | None) -> RefundPage:  # noqa: ARG002  # one page has everything
        return RefundPage([refund.listed for refund in self.refunds_made])

    def dispute(self, charge: str) -> DisputeStatus:  # noqa: ARG002  # nothing is disputed
        return DisputeStatus(Dispute.NONE)

    # What happens at the provider

    def carry_out(self, *, sent_before: datetime) -> None:
        """Carry out the late calls that were sent before this instant."""
        due = [call for call in self.late_calls if call.sent_at < sent_before]
        self.late_calls = [call for call in self.late_calls if call not in due]
        for call in due:
            if self._find(call.key) is None:
                self._make(call.charge, call.amount, call.key, RefundStatus.PAID)

    def refund_by_hand(self, charge: str, minor: int) -> None:
        """Refund a part in the dashboard. The dashboard also counts the calls that will be carried out late."""
        late = sum(call.amount.minor for call in self.late_calls if call.charge == charge)
        if self.refunded(charge) + late + minor <= self._captured[charge]:
            self._make(charge, Money(minor, "EUR"), None, RefundStatus.PAID)

    def refunded(self, charge: str) -> int:
        """Return the sum of the refunds of this charge that did not fail."""
        return sum(refund.amount.minor for refund in self._live(charge))

    def _make(self, charge: str, amount: Money, key: str | None, status: RefundStatus) -> Refund:
        refund = Refund(f"re_{len(self.refunds_made) + 1}", charge, amount, key, self._clock(), status)
        self.refunds_made.append(refund)
        return refund

    def _find(self, key: str) -> Refund | None:
        return next((refund for refund in self.refunds_made if refund.key == key), None)

    def _live(self, charge: str) -> list[Refund]:
        return [
            refund
            for refund in self.refunds_made
            if refund.charge == charge and refund.status is not RefundStatus.FAILED
        ]


class SameThreadCallPool(CallPool):
    """Makes the calls one after another in the thread of the caller, so that an example always has the same result."""

    def __init__(self) -> None:
        """Start no threads."""

    def close(self) -> None:
        """Do nothing, because there are no threads to stop."""

    def map_all(
        self, call: Callable[[Argument], Result], arguments: Sequence[Argument]
    ) -> Iterator[list[tuple[Argument, Result]]]:
        """Yield the result of each call."""
        for argument in arguments:
            yield [(argument, call(argument))]

    def map_as_completed(
        self, call: Callable[[Argument], Result], arguments: Sequence[Argument], record: RecordResults[Argument, Result]
    ) -> None:
        """Pass the result of each call to ``record``."""
        for results in self.map_all(call, arguments):
            record(results)
