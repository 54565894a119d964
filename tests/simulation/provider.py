"""A simulated payment provider. It makes correct refunds, but its responses, lookups and webhooks may be wrong or late."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from random import Random
from typing import Any, TypeVar

from domain.money import Money
from domain.providers import (
    Capabilities,
    Declined,
    DeclineReason,
    DisputePage,
    DisputeStatus,
    ExternalRefund,
    Failed,
    ListedDispute,
    ListedRefund,
    Lookup,
    LookupResult,
    NotFound,
    Paid,
    PaymentStatus,
    Pending,
    PollPlan,
    RefundPage,
    RefundResult,
    RefundStatus,
    Unknown,
    WaitingForApproval,
)
from domain.purchases import Dispute
from domain.webhook_events import Subject, WebhookEvent
from tests.simulation.clock import Clock
from tests.simulation.faults import DAY, HOUR, MINUTE, Faults
from worker.providers.disputes import select_deciding_dispute

TIMEOUT = 30.0  # seconds until the adapter stops waiting for a response
MAX_DELAY = 3 * HOUR  # seconds; the longest time from the timeout of a call until the provider carries out the call
APPROVAL_DELAYS = (MINUTE, HOUR, DAY, 5 * DAY, 30 * DAY)  # seconds until a person decides about a refund

Row = TypeVar("Row")


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
    payment_reported: bool = False
    """True if a webhook reported that the refund was paid."""
    lacks_balance: bool = False
    """True if the refund failed because the seller's balance was too low."""
    previous_status: str = "paid"
    status_changed_at: float = 0.0
    """The time of the last change of the status. For ``Provider.status_lag`` seconds, lookups show the previous status."""


@dataclass(slots=True, eq=False)
class Approval:
    """The question whether a refund may be made. A person answers it in the provider's dashboard."""

    charge: str
    amount: Money
    key: str
    is_open: bool = True
    is_known: bool = False
    """True if our records contain that the refund waits for an approval."""


@dataclass(slots=True)
class ChargeDispute:
    """One dispute of a charge."""

    dispute: Dispute
    opened_at: float
    is_reported: bool
    """True if the provider sends webhooks about the dispute."""


@dataclass(slots=True)
class Charge:
    """One charge, and how the provider handles refunds of the charge."""

    captured: Money
    seller: str | None = None
    """The seller that the payment's metadata names."""
    is_voided: bool = False
    needs_approval: bool = False
    refundable_from: float = 0.0
    funded_from: float = 0.0
    """The time from which the seller's balance is sufficient."""
    decline_reason: str | None = None
    disputes: dict[str, ChargeDispute] = field(default_factory=dict)
    poison: str = ""
    """If "request", the process that sends a refund call crashes. If "response", the process that reads the response crashes."""

    @property
    def deciding_dispute(self) -> DisputeStatus:
        """The dispute that decides whether the charge counts as disputed."""
        return select_deciding_dispute([DisputeStatus(item.dispute, id_) for id_, item in self.disputes.items()])

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
        self.approvals: dict[str, Approval] = {}
        """The approvals by idempotency key."""
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
        self.on_approval: Callable[[Provider, Approval], None] = lambda *_: None
        key_hours = forced.get("key_hours", random.choice([1, 24, 24, 24, 72, 45 * 24] if has_lookups else [24, 72]))
        self.unreadable_rows = forced.get("unreadable_rows", 0.3)
        """The probability that a page of a list has a row that cannot be read."""
        self.capabilities = Capabilities(
            idempotency_key_ttl=timedelta(hours=key_hours),
            rejects_over_refund=random.random() < 0.5 or key_hours == 1,
            lookup=Lookup.BY_KEY if has_lookups else Lookup.NEVER,
            shows_payments=has_lookups and random.random() < forced.get("shows_payments", 0.5),
            lists_refunds=has_lookups and random.random() < forced.get("lists_refunds", 0.8),
            lists_disputes=has_lookups and random.random() < forced.get("lists_disputes", 0.5),
            calls_per_second=random.choice([None, None, 5.0]),
            poll=PollPlan(max_delay=timedelta(hours=6), give_up=timedelta(days=random.choice([3, 10]))),
        )
        self.page_size = random.choice([1, 2, 100])
        self.pays_beside_disputes = random.random() < forced.get("pays_beside_disputes", 0.3)
        """True if the provider also refunds a charge with an open dispute."""
        self.asks_for_approval = has_lookups and random.random() < forced.get("approvals", 0.15)
        """True if a person must approve some of the refunds."""
        self.shows_denials = random.random() < 0.5
        """True if the provider shows a refund that was not approved as failed. Otherwise, it shows nothing."""
        self.stores_declines = random.random() < 0.8
        self.max_delay = MINUTE if key_hours == 1 else random.choice([MINUTE, HOUR, MAX_DELAY, MAX_DELAY])
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
        if self.charges[charge].needs_approval:
            return self._ask(Approval(charge, amount, key))
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
        behaviour, now = self.charges.get(charge), self.clock.now
        if behaviour is None:
            return Declined(DeclineReason.PERMANENT, "no_such_payment")
        is_over = (
            self.capabilities.rejects_over_refund and self.refunded(charge) + amount.minor > behaviour.captured.minor
        )
        is_balance_low = now < behaviour.funded_from and self.random.random() < 0.5
        for applies, reason, code in (
            (behaviour.is_voided, DeclineReason.NOT_CAPTURED, "voided"),
            (behaviour.is_disputed and not self.pays_beside_disputes, DeclineReason.DISPUTED, "charge_disputed"),
            (is_over, DeclineReason.ALREADY_REFUNDED, "charge_already_refunded"),
            (now < behaviour.refundable_from, DeclineReason.NOT_YET_REFUNDABLE, "charge_pending"),
            (is_balance_low, DeclineReason.INSUFFICIENT_BALANCE, "balance_insufficient"),
        ):
            if applies:
                return Declined(reason, code)
        return Declined(DeclineReason(behaviour.decline_reason), "declined") if behaviour.decline_reason else None

    def _ask(self, approval: Approval) -> WaitingForApproval:
        """Wait until a person approves or denies the refund, or for ever."""
        self.faults.count("approval_asked")
        self.approvals[approval.key] = approval
        self.on_approval(self, approval)
        if self.random.random() < 0.85:
            decides = self._approve if self.random.random() < 0.7 else self._deny
            self.clock.later(self.random.random() * self.random.choice(APPROVAL_DELAYS), decides, approval)
        return WaitingForApproval("approval_required")

    def _approve(self, approval: Approval) -> None:
        if self._decline(approval.charge, approval.amount):
            self._deny(approval)
            return
        self.faults.count("approved")
        approval.is_open = False
        is_balance_low = self.clock.now < self.charges[approval.charge].funded_from
        status = "failed" if is_balance_low else "paid"
        self._make(approval.charge, approval.amount, approval.key, status, lacks_balance=is_balance_low)

    def _deny(self, approval: Approval) -> None:
        self.faults.count("denied")
        approval.is_open = False
        if self.shows_denials:
            self._make(approval.charge, approval.amount, approval.key, "failed")

    def _make(self, charge: str, amount: Money, key: str | None, status: str, *, lacks_balance: bool = False) -> Refund:
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
            lacks_balance=lacks_balance,
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

    def refund_externally(self, charge: str, minor: int | None = None) -> None:
        """Make an external refund, as a seller does in the provider's dashboard. Without ``minor``, refund the whole charge."""
        captured = self.charges[charge].captured
        amount = captured if minor is None else Money(minor, captured.currency)
        is_rejected = self.refunded(charge) + amount.minor > captured.minor and self.capabilities.rejects_over_refund
        if is_rejected or self.charges[charge].is_disputed or self.charges[charge].is_voided:
            return
        self.faults.count("external_refund")
        refund = self._make(charge, amount, None, "pending" if self.asynchronous else "paid")
        fails_late = self.faults.happens("late_failure")
        if self.asynchronous:
            ends_at = self.clock.now + self.random.uniform(0.1, 1.0) * self.max_pending_time
            self.clock.at(ends_at, self._change_status, refund, "failed" if fails_late else "paid")
        elif fails_late:
            fails_at = self.clock.now + self.random.choice([1.0, MINUTE, 6 * HOUR, 3 * DAY])
            self.clock.at(fails_at, self._change_status, refund, "failed")

    def refund_for_others(self, number: int) -> None:
        """Make a refund of a charge that another system made at the same provider account."""
        self._make(f"ch_of_others_{number}", Money(1234, "EUR"), None, "paid")

    def set_dispute(self, charge: str, dispute_id: str, dispute: Dispute, *, is_reported: bool = True) -> None:
        """Open, escalate or decide a dispute, and send its webhook if ``is_reported`` is True."""
        disputes = self.charges[charge].disputes
        item = disputes.setdefault(dispute_id, ChargeDispute(dispute, self.clock.now, is_reported))
        item.dispute = dispute
        self.faults.count(f"dispute_{dispute}")
        if not is_reported:
            return
        stage = {Dispute.INQUIRY: 0, Dispute.OPEN: 1}.get(dispute, 2)
        reported = DisputeStatus(dispute, dispute_id, stage=stage)
        webhook_event = (
            WebhookEvent(f"evt_{charge}", Subject.PAYMENT, charge, reuses_event_id=True)
            if self.reuses_event_ids
            else WebhookEvent(f"evt_{dispute_id}_{dispute}", Subject.DISPUTE, charge, reported=reported)
        )
        self._send(self, webhook_event)

    def _send_webhook(self, refund: Refund) -> None:
        """Send a webhook with the refund's status. With reused event ids, the webhook only reports that the payment changed."""
        if self.reuses_event_ids:
            webhook_event = WebhookEvent(f"evt_{refund.charge}", Subject.PAYMENT, refund.charge, reuses_event_id=True)
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

    def list_refunds(self, since: datetime, after: str | None, epoch: datetime) -> RefundPage:
        """Return a page of the list of refunds. The newest refunds may be missing. Some rows cannot be read."""
        listed = [
            self._listed(refund, epoch)
            for refund in self._visible_refunds()
            if epoch + timedelta(seconds=refund.made_at) >= since
        ]
        rows, next_cursor = self._page(listed, after)
        return RefundPage(rows, next_cursor, skipped=int(self.random.random() < self.unreadable_rows))

    def _page(self, rows: Sequence[Row], after: str | None) -> tuple[Sequence[Row], str | None]:
        """Return the rows of a page, and the cursor of the next page."""
        first = int(after or 0)
        last = first + self.page_size
        return rows[first:last], str(last) if last < len(rows) else None

    def list_disputes(self, since: datetime, after: str | None, epoch: datetime) -> DisputePage:
        """Return a page of the list of disputes."""
        listed = [
            ListedDispute(charge, DisputeStatus(item.dispute, dispute_id))
            for charge, behaviour in self.charges.items()
            for dispute_id, item in behaviour.disputes.items()
            if epoch + timedelta(seconds=item.opened_at) >= since
        ]
        rows, next_cursor = self._page(listed, after)
        return DisputePage(rows, next_cursor, skipped=int(self.random.random() < self.unreadable_rows))

    def payment(self, charge: str) -> PaymentStatus | Declined:
        """Return what the provider shows of a payment. The newest refunds may be missing."""
        behaviour = self.charges.get(charge)
        if behaviour is None:
            return Declined(DeclineReason.PERMANENT, "no_such_payment")
        visible = [refund for refund in self._visible_refunds() if refund.charge == charge]
        return PaymentStatus(
            captured=None if behaviour.is_voided else behaviour.captured,
            refunded=sum(refund.amount.minor for refund in visible if self._visible_status(refund) != "failed"),
            dispute=behaviour.deciding_dispute,
            seller=behaviour.seller,
            code="voided" if behaviour.is_voided else "captured",
        )

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
    if refund.lacks_balance:
        return Failed(refund.id, "balance_insufficient", DeclineReason.INSUFFICIENT_BALANCE)
    return Failed(refund.id, "failed_late")
