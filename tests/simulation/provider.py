"""A simulated payment provider. It makes correct refunds, but its responses, lookups and webhooks may be wrong or late."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from random import Random
from typing import Any

from domain.money import Money
from domain.providers import (
    Capabilities,
    Declined,
    DeclineReason,
    DisputeStatus,
    ExternalRefund,
    Failed,
    ListedRefund,
    Lookup,
    LookupResult,
    NotFound,
    Paid,
    Pending,
    PollPlan,
    RefundPage,
    RefundResult,
    RefundStatus,
    Unknown,
)
from domain.purchases import Dispute
from domain.webhook_events import Subject, WebhookEvent
from tests.simulation.clock import Clock
from tests.simulation.faults import DAY, HOUR, MINUTE, Faults
from worker.providers.disputes import select_deciding_dispute

TIMEOUT = 30.0  # seconds until the adapter stops waiting for a response
MAX_DELAY = 3 * HOUR  # seconds; the longest time from the timeout of a call until the provider carries out the call


@dataclass(slots=True, eq=False)
class Refund:
    """One refund at the provider."""

    id: str
    charge: str
    amount: Money
    key: str | None
    made_at: float
    status: str = "paid"
    failure_reported: bool = False
    """True if a webhook reported that the refund failed."""
    id_reported: bool = False
    """True if a webhook contained the refund's id."""
    previous_status: str = "paid"
    status_changed_at: float = 0.0
    """The time of the last change of the status. For ``Provider.status_lag`` seconds, lookups show the previous status."""


@dataclass(slots=True)
class Charge:
    """One charge, and how the provider handles refunds of the charge."""

    captured: Money
    refundable_from: float = 0.0
    funded_from: float = 0.0
    """The time from which the seller's balance is sufficient."""
    decline_reason: str | None = None
    disputes: dict[str, Dispute] = field(default_factory=dict)
    poison: str = ""
    """If "request", the process that sends a refund call crashes. If "response", the process that reads the response crashes."""

    @property
    def deciding_dispute(self) -> DisputeStatus:
        """The dispute that decides whether the charge counts as disputed."""
        return select_deciding_dispute([DisputeStatus(dispute, id_) for id_, dispute in self.disputes.items()])

    @property
    def is_disputed(self) -> bool:
        """Return whether a dispute is open."""
        return self.deciding_dispute.dispute is Dispute.OPEN


class Provider:
    """The provider, with its charges, idempotency keys, refunds, disputes and webhooks."""

    def __init__(
        self, name: str, clock: Clock, faults: Faults, send: Callable[["Provider", WebhookEvent], None], **forced: Any
    ) -> None:
        random = faults.random
        self.name = name
        self.clock = clock
        self.faults = faults
        self.random: Random = random
        self.charges: dict[str, Charge] = {}
        self.refunds: dict[str, Refund] = {}
        self.calls: Counter[str] = Counter()
        self.keys: dict[str, tuple[float, RefundResult]] = {}
        self.down_until = 0.0
        self.refund_lag = random.choice([0.0, 0.0, 10.0, 10 * MINUTE, 3 * HOUR])
        """The seconds until a lookup shows a new refund."""
        self.asynchronous = random.random() < 0.3
        """True if a new refund is pending until the provider pays it."""
        self.max_pending_time = random.choice([MINUTE, HOUR, 6 * HOUR, 3 * DAY])
        self._send = send
        has_lookups = random.random() < 0.8
        self.reuses_event_ids = has_lookups and random.random() < forced.get("reuses_event_ids", 0.3)
        """True if webhooks only report that a payment changed, and all webhooks of a charge have the same event id."""
        self.on_refund: Callable[[Provider, Refund], None] = lambda *_: None
        key_hours = random.choice([1, 24, 24, 24, 72, 45 * 24] if has_lookups else [24, 72])
        self.capabilities = Capabilities(
            idempotency_key_ttl=timedelta(hours=key_hours),
            rejects_over_refund=random.random() < 0.5 or key_hours == 1,
            lookup=Lookup.BY_KEY if has_lookups else Lookup.NEVER,
            lists_refunds=has_lookups and random.random() < forced.get("lists_refunds", 0.8),
            calls_per_second=random.choice([None, None, 5.0]),
            poll=PollPlan(max_delay=timedelta(hours=6), give_up=timedelta(days=random.choice([3, 10]))),
        )
        self.stores_declines = random.random() < 0.8
        self.max_delay = random.choice([MINUTE, HOUR, MAX_DELAY, MAX_DELAY])
        """The maximum number of seconds between a call's timeout and the moment when the provider carries out the call."""
        status_lag = forced.get("status_lag", random.choice([0.0, 0.0, 0.0, 0.0, HOUR, 3 * DAY]))
        self.status_lag = status_lag * (not self.reuses_event_ids)
        """The seconds until a lookup shows a change of a refund's status."""
        self.stores_errors = self.capabilities.idempotency_key_ttl <= timedelta(days=1)

    # Refunds and disputes

    def execute(self, charge: str, amount: Money, key: str) -> RefundResult:
        """Carry out a refund call, or return the stored result of its idempotency key."""
        now = self.clock.now
        if key in self.keys:
            at, result = self.keys[key]
            if now - at < self.capabilities.idempotency_key_ttl.total_seconds():
                return replace(result, replayed=True) if isinstance(result, Unknown) else result
            self.faults.count("key_expired")
        if self.stores_errors and self.faults.happens("error_stored"):
            result = Unknown("500, stored")
        else:
            result = self._refund(charge, amount, key)
        if self.stores_declines or not isinstance(result, Declined):
            self.keys[key] = (now, result)
        return result

    def _refund(self, charge: str, amount: Money, key: str) -> RefundResult:
        if decline := self._decline(charge, amount):
            return decline
        is_balance_low = self.clock.now < self.charges[charge].funded_from
        if is_balance_low or self.faults.happens("failed_at_once"):
            failed = self._make(charge, amount, key, "failed")
            failed.failure_reported = True
            return (
                Failed(failed.id, "balance_insufficient", DeclineReason.INSUFFICIENT_BALANCE)
                if is_balance_low
                else Failed(failed.id, "card_closed")
            )
        refund = self._make(charge, amount, key, "pending" if self.asynchronous else "paid")
        fails_late = self.faults.happens("late_failure")
        if self.asynchronous:
            ends_at = self.clock.now + self.random.uniform(0.1, 1.0) * self.max_pending_time
            self.clock.at(ends_at, self._change_status, refund, "failed" if fails_late else "paid")
        elif fails_late:
            fails_at = self.clock.now + self.random.choice([1.0, 5.0, MINUTE, 6 * HOUR, DAY])
            self.clock.at(fails_at, self._change_status, refund, "failed")
        return _result_of(refund, refund.status)

    def _decline(self, charge: str, amount: Money) -> Declined | None:
        """Return the decline of a refund, or None if the provider makes the refund."""
        behaviour, now = self.charges[charge], self.clock.now
        if behaviour.is_disputed:
            return Declined(DeclineReason.DISPUTED, "charge_disputed")
        if self.capabilities.rejects_over_refund and self.refunded(charge) + amount.minor > behaviour.captured.minor:
            return Declined(DeclineReason.ALREADY_REFUNDED, "charge_already_refunded")
        if now < behaviour.refundable_from:
            return Declined(DeclineReason.NOT_YET_REFUNDABLE, "charge_pending")
        if now < behaviour.funded_from and self.random.random() < 0.5:
            return Declined(DeclineReason.INSUFFICIENT_BALANCE, "balance_insufficient")
        return Declined(DeclineReason(behaviour.decline_reason), "declined") if behaviour.decline_reason else None

    def _make(self, charge: str, amount: Money, key: str | None, status: str) -> Refund:
        if key and self.capabilities.idempotency_key_ttl <= timedelta(days=3) and self.faults.happens("other_amount"):
            amount = Money(amount.minor - 1, amount.currency)
        now = self.clock.now
        refund = Refund(
            f"re_{self.name}_{len(self.refunds) + 1}",
            charge,
            amount,
            key,
            now,
            status,
            previous_status=status,
            status_changed_at=now,
        )
        self.refunds[refund.id] = refund
        self.on_refund(self, refund)
        self._send_webhook(refund)
        return refund

    def _change_status(self, refund: Refund, status: str) -> None:
        if refund.status != "failed":
            refund.previous_status, refund.status, refund.status_changed_at = refund.status, status, self.clock.now
            self._send_webhook(refund)

    def refund_externally(self, charge: str) -> None:
        """Make an external refund, as a seller does in the provider's dashboard."""
        is_rejected = self.refunded(charge) > 0 and self.capabilities.rejects_over_refund
        if not is_rejected and not self.charges[charge].is_disputed:
            self.faults.count("external_refund")
            self._make(charge, self.charges[charge].captured, None, "paid")

    def set_dispute(self, charge: str, dispute_id: str, dispute: Dispute) -> None:
        """Open or decide a dispute, and send its webhook."""
        self.charges[charge].disputes[dispute_id] = dispute
        self.faults.count(f"dispute_{dispute}")
        webhook_event = WebhookEvent(
            event_id=f"evt_{dispute_id}_{dispute}",
            subject=Subject.DISPUTE,
            charge=charge,
            reported=DisputeStatus(dispute, dispute_id, stage=int(dispute is not Dispute.OPEN)),
        )
        self._send(self, webhook_event)

    def _send_webhook(self, refund: Refund) -> None:
        """Send a webhook with the refund's status. With reused event ids, the webhook only reports that the payment changed."""
        if self.reuses_event_ids:
            webhook_event = WebhookEvent(f"evt_{refund.charge}", Subject.REFUND, refund.charge, reuses_event_id=True)
        else:
            event_id = f"evt_{refund.id}_{refund.status}"
            webhook_event = WebhookEvent(
                event_id, Subject.REFUND, refund.charge, refund.id, _result_of(refund, refund.status)
            )
        self._send(self, webhook_event)

    # Lookups

    def refunded(self, charge: str) -> int:
        """Return the sum of the refunds of this charge that did not fail, in minor units."""
        refunds = self.refunds.values()
        return sum(refund.amount.minor for refund in refunds if refund.charge == charge and refund.status != "failed")

    def own_refunds(self, charge: str) -> list[Refund]:
        """Return the refunds of this charge that Moneyback made, without the failed refunds."""
        refunds = self.refunds.values()
        return [refund for refund in refunds if refund.charge == charge and refund.key and refund.status != "failed"]

    def look_up(self, charge: str, key: str) -> LookupResult:
        """Return what a lookup shows. New refunds and new statuses are shown late. The caller adds other faults."""
        visible = [refund for refund in self._visible_refunds() if refund.charge == charge]
        for refund in visible:
            if refund.key == key:
                return _result_of(refund, self._visible_status(refund))
        others = [refund for refund in visible if self._visible_status(refund) != "failed"]
        return ExternalRefund(others[0].id, others[0].amount) if others else NotFound()

    def list_refunds(self, since: datetime, after: str | None, epoch: datetime) -> RefundPage:  # noqa: ARG002  # all refunds fit on one page
        """Return the list of refunds. The newest refunds may be missing."""
        listed = [
            self._listed(refund, epoch)
            for refund in self._visible_refunds()
            if epoch + timedelta(seconds=refund.made_at) >= since
        ]
        return RefundPage(listed)

    def refunds_of(self, charge: str, epoch: datetime) -> Sequence[ListedRefund]:
        """Return all refunds of a charge. The newest refunds may be missing."""
        return [self._listed(refund, epoch) for refund in self._visible_refunds() if refund.charge == charge]

    def _listed(self, refund: Refund, epoch: datetime) -> ListedRefund:
        return ListedRefund(
            refund_id=refund.id,
            charge=refund.charge,
            amount=refund.amount,
            status=RefundStatus(self._visible_status(refund)),
            created_at=epoch + timedelta(seconds=refund.made_at),
            key=refund.key,
        )

    def _visible_status(self, refund: Refund) -> str:
        """Return the status that lookups show. It can be an old status, although a webhook already reported the new status."""
        is_outdated = self.clock.now < refund.status_changed_at + self.status_lag
        return refund.previous_status if is_outdated else refund.status

    def _visible_refunds(self) -> Iterable[Refund]:
        """Return the refunds that lookups and lists show."""
        return [refund for refund in self.refunds.values() if refund.made_at <= self.clock.now - self.refund_lag]


def _result_of(refund: Refund, status: str) -> Paid | Pending | Failed:
    if status == "paid":
        return Paid(refund.id, refund.amount)
    if status == "pending":
        return Pending(refund.id, refund.amount)
    return Failed(refund.id, "failed_late")
