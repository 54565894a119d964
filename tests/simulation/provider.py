"""A simulated payment provider. Its refunds are correct; its responses, lookups and webhooks may be wrong or late."""

from collections import Counter
from collections.abc import Callable, Iterable
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

TIMEOUT = 30.0  # seconds until the adapter gives a call up
LATEST = 3 * HOUR  # seconds after the timeout until a call is carried out at the latest


@dataclass(slots=True, eq=False)
class Refund:
    """One refund at the provider."""

    id: str
    charge: str
    amount: Money
    key: str | None
    at: float
    status: str = "paid"
    failure_reported: bool = False
    """Whether a webhook reported that the refund failed."""
    named: bool = False
    """Whether a webhook contained the refund's id."""
    was: str = "paid"
    changed: float = 0.0
    """The time of the last change of status. Lookups show the old status for a while."""


@dataclass(slots=True)
class Charge:
    """One charge, and how the provider treats its refunds."""

    captured: Money
    refundable_from: float = 0.0
    funded_from: float = 0.0
    declined: str | None = None
    disputes: dict[str, Dispute] = field(default_factory=dict)
    poison: str = ""
    """If set, the process that calls the provider about the charge, or reads the response, crashes."""

    @property
    def disputed(self) -> DisputeStatus:
        """The decisive status of all disputes."""
        return select_deciding_dispute([DisputeStatus(dispute, one) for one, dispute in self.disputes.items()])

    @property
    def is_disputed(self) -> bool:
        """Return whether a dispute is open."""
        return self.disputed.dispute is Dispute.OPEN


class Provider:
    """The provider: charges, idempotency keys, refunds, disputes and webhooks."""

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
        self.lag = random.choice([0.0, 0.0, 10.0, 10 * MINUTE, 3 * HOUR])
        self.asynchronous = random.random() < 0.3
        self.takes = random.choice([MINUTE, HOUR, 6 * HOUR, 3 * DAY])
        self._send = send
        asks = random.random() < 0.8
        self.repeats = asks and random.random() < forced.get("repeats", 0.3)
        self.on_refund: Callable[[Provider, Refund], None] = lambda *_: None
        self.capabilities = Capabilities(
            idempotency_key_ttl=timedelta(hours=random.choice([1, 24, 24, 24, 72, 45 * 24] if asks else [24, 72])),
            rejects_over_refund=random.random() < 0.5,
            lookup=Lookup.BY_KEY if asks else Lookup.NEVER,
            lists_refunds=asks and random.random() < forced.get("lists", 0.8),
            calls_per_second=random.choice([None, None, 5.0]),
            poll=PollPlan(max_delay=timedelta(hours=6), give_up=timedelta(days=random.choice([3, 10]))),
        )
        self.stores_refusals = random.random() < forced.get("stores_refusals", 0.8)
        self.latest = forced.get("latest", random.choice([MINUTE, HOUR, LATEST, LATEST]))
        self.stale = forced.get("stale", random.choice([0.0, 0.0, 0.0, 0.0, HOUR, 3 * DAY])) * (not self.repeats)
        self.stores_errors = self.capabilities.idempotency_key_ttl <= timedelta(days=1)

    # Refunds and disputes

    def execute(self, charge: str, amount: Money, key: str) -> RefundResult:
        """Carry a refund call out, or repeat the stored result of its key."""
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
        if self.stores_refusals or not isinstance(result, Declined):
            self.keys[key] = (now, result)
        return result

    def _refund(self, charge: str, amount: Money, key: str) -> RefundResult:
        if refusal := self._refusal(charge):
            return refusal
        short = self.clock.now < self.charges[charge].funded_from
        if short or self.faults.happens("failed_at_once"):
            failed = self._make(charge, amount, key, "failed")
            failed.failure_reported = True
            return (
                Failed(failed.id, "short", DeclineReason.INSUFFICIENT_BALANCE)
                if short
                else Failed(failed.id, "card_closed")
            )
        refund = self._make(charge, amount, key, "pending" if self.asynchronous else "paid")
        late = self.faults.happens("late_failure")
        if self.asynchronous:
            ends = self.clock.now + self.random.uniform(0.1, 1.0) * self.takes
            self.clock.at(ends, self._change_status, refund, "failed" if late else "paid")
        elif late:
            fails = self.clock.now + self.random.choice([1.0, 5.0, MINUTE, 6 * HOUR, DAY])
            self.clock.at(fails, self._change_status, refund, "failed")
        return _result_of(refund, refund.status)

    def _refusal(self, charge: str) -> Declined | None:
        paid, now = self.charges[charge], self.clock.now
        if paid.is_disputed:
            return Declined(DeclineReason.DISPUTED, "charge_disputed")
        if self.capabilities.rejects_over_refund and any(
            one.charge == charge and one.status != "failed" for one in self.refunds.values()
        ):
            return Declined(DeclineReason.ALREADY_REFUNDED, "charge_already_refunded")
        if now < paid.refundable_from:
            return Declined(DeclineReason.NOT_YET_REFUNDABLE, "charge_pending")
        if now < paid.funded_from and self.random.random() < 0.5:
            return Declined(DeclineReason.INSUFFICIENT_BALANCE, "balance_insufficient")
        return Declined(DeclineReason(paid.declined), "declined") if paid.declined else None

    def _make(self, charge: str, amount: Money, key: str | None, status: str) -> Refund:
        if key and self.capabilities.idempotency_key_ttl <= timedelta(days=3) and self.faults.happens("other_amount"):
            amount = Money(amount.minor - 1, amount.currency)
        now = self.clock.now
        refund = Refund(
            f"re_{self.name}_{len(self.refunds) + 1}", charge, amount, key, now, status, was=status, changed=now
        )
        self.refunds[refund.id] = refund
        self.on_refund(self, refund)
        self._send_webhook(refund)
        return refund

    def _change_status(self, refund: Refund, status: str) -> None:
        if refund.status != "failed":
            refund.was, refund.status, refund.changed = refund.status, status, self.clock.now
            self._send_webhook(refund)

    def refund_externally(self, charge: str) -> None:
        """Make an external refund, as in the provider's dashboard."""
        paid = self.charges[charge]
        alive = any(one.charge == charge and one.status != "failed" for one in self.refunds.values())
        if not (alive and self.capabilities.rejects_over_refund) and not paid.is_disputed:
            self.faults.count("external_refund")
            self._make(charge, paid.captured, None, "paid")

    def disputed(self, charge: str, one: str, dispute: Dispute) -> None:
        """Open or decide a dispute, and send its webhook."""
        self.charges[charge].disputes[one] = dispute
        self.faults.count(f"dispute_{dispute}")
        webhook_event = WebhookEvent(
            event_id=f"evt_{one}_{dispute}",
            subject=Subject.DISPUTE,
            charge=charge,
            reported=DisputeStatus(dispute, one, stage=int(dispute is not Dispute.OPEN)),
        )
        self._send(self, webhook_event)

    def _send_webhook(self, refund: Refund) -> None:
        """Send a webhook with the refund's status, or one that only reports a change and always has the same event id."""
        if self.repeats:
            webhook_event = WebhookEvent(f"evt_{refund.charge}", Subject.REFUND, refund.charge, reuses_event_id=True)
        else:
            event = f"evt_{refund.id}_{refund.status}"
            webhook_event = WebhookEvent(
                event, Subject.REFUND, refund.charge, refund.id, _result_of(refund, refund.status)
            )
        self._send(self, webhook_event)

    # Lookups

    def alive(self, charge: str) -> list[Refund]:
        """Return the refunds of a charge that have an idempotency key and did not fail."""
        return [one for one in self.refunds.values() if one.charge == charge and one.key and one.status != "failed"]

    def found(self, charge: str, key: str) -> LookupResult:
        """Return the result of a lookup without faults."""
        visible = [one for one in self.refunds.values() if one.charge == charge and one.at <= self.clock.now - self.lag]
        for refund in visible:
            if refund.key == key:
                return _result_of(refund, self._shown(refund))
        others = [one for one in visible if self._shown(one) != "failed"]
        return ExternalRefund(others[0].id, others[0].amount) if others else NotFound()

    def list_refunds(self, since: datetime, after: str | None, epoch: datetime) -> RefundPage:  # noqa: ARG002  # one page is enough
        """Return the list of refunds, which may lag."""
        listed = [
            ListedRefund(
                refund_id=one.id,
                charge=one.charge,
                amount=one.amount,
                status=RefundStatus(self._shown(one)),
                created_at=epoch + timedelta(seconds=one.at),
                key=one.key,
            )
            for one in self._listed()
            if epoch + timedelta(seconds=one.at) >= since
        ]
        return RefundPage(listed)

    def _shown(self, refund: Refund) -> str:
        """Return the status in lookups, which may be days older than the status in webhooks."""
        return refund.was if self.clock.now < refund.changed + self.stale else refund.status

    def _listed(self) -> Iterable[Refund]:
        return [one for one in self.refunds.values() if one.at <= self.clock.now - self.lag]


def _result_of(refund: Refund, status: str) -> Paid | Pending | Failed:
    if status == "paid":
        return Paid(refund.id, refund.amount)
    if status == "pending":
        return Pending(refund.id, refund.amount)
    return Failed(refund.id, "came_back")
