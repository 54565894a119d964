"""A payment provider as adversary: honest about money, and about nothing else."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from random import Random
from typing import Any

from domain.money import Money
from domain.notices import About, Notice
from domain.providers import (
    Absent,
    Answer,
    Capabilities,
    Declined,
    DisputeSeen,
    Elsewhere,
    Failed,
    Found,
    Listed,
    LooksUp,
    Page,
    Paid,
    Pending,
    PollPlan,
    Refusal,
    Standing,
    Unknown,
)
from domain.purchases import Dispute
from tests.simulation.clock import Clock
from tests.simulation.faults import DAY, HOUR, MINUTE, Faults
from worker.providers.disputes import decisive

TIMEOUT = 30.0  # seconds after which our side gives a call up
LATEST = 3 * HOUR  # how long after that a call may still be carried out


@dataclass(slots=True, eq=False)
class Refund:
    """One refund at the provider."""

    id: str
    charge: str
    amount: Money
    key: str | None
    at: float
    status: str = "paid"
    told: bool = False
    """Whether we were told that it failed."""
    named: bool = False
    """Whether a webhook named it to us."""
    was: str = "paid"
    changed: float = 0.0
    """Until then it was something else, and is shown as that for a while."""


@dataclass(slots=True)
class Charge:
    """What became of one payment there."""

    captured: Money
    refundable_from: float = 0.0
    funded_from: float = 0.0
    declined: str | None = None
    disputes: dict[str, Dispute] = field(default_factory=dict)
    poison: str = ""
    """Asking about it, or reading the answer, ends the process that does."""

    @property
    def disputed(self) -> DisputeSeen:
        """How it stands, whatever disputes it had."""
        return decisive([DisputeSeen(dispute, one) for one, dispute in self.disputes.items()])

    @property
    def is_disputed(self) -> bool:
        """Whether a dispute about it is open."""
        return self.disputed.dispute is Dispute.OPEN


class Provider:
    """The provider's side: charges, keys, refunds, disputes, webhooks."""

    def __init__(
        self, name: str, clock: Clock, faults: Faults, send: Callable[["Provider", Notice], None], **forced: Any
    ) -> None:
        random = faults.random
        self.name = name
        self.clock = clock
        self.faults = faults
        self.random: Random = random
        self.charges: dict[str, Charge] = {}
        self.refunds: dict[str, Refund] = {}
        self.calls: Counter[str] = Counter()
        self.keys: dict[str, tuple[float, Answer]] = {}
        self.down_until = 0.0
        self.lag = random.choice([0.0, 0.0, 10.0, 10 * MINUTE, 3 * HOUR])
        self.asynchronous = random.random() < 0.3
        self.takes = random.choice([MINUTE, HOUR, 6 * HOUR, 3 * DAY])
        self._send = send
        asks = random.random() < 0.8
        self.repeats = asks and random.random() < forced.get("repeats", 0.3)
        self.made: Callable[[Provider, Refund], None] = lambda *_: None
        self.capabilities = Capabilities(
            keys_live=timedelta(hours=random.choice([1, 24, 24, 24, 72, 45 * 24] if asks else [24, 72])),
            capped=random.random() < 0.5,
            looks_up=LooksUp.BY_KEY if asks else LooksUp.NEVER,
            lists=asks and random.random() < forced.get("lists", 0.8),
            calls_per_second=random.choice([None, None, 5.0]),
            poll=PollPlan(longest=timedelta(hours=6), give_up=timedelta(days=random.choice([3, 10]))),
        )
        self.stores_refusals = random.random() < forced.get("stores_refusals", 0.8)
        self.latest = forced.get("latest", random.choice([MINUTE, HOUR, LATEST, LATEST]))
        self.stale = forced.get("stale", random.choice([0.0, 0.0, 0.0, 0.0, HOUR, 3 * DAY])) * (not self.repeats)
        self.stores_errors = self.capabilities.keys_live <= timedelta(days=1)

    # What it does

    def execute(self, charge: str, amount: Money, key: str) -> Answer:
        """Carries a call out, or repeats what it said to this key before."""
        now = self.clock.now
        if key in self.keys:
            at, said = self.keys[key]
            if now - at < self.capabilities.keys_live.total_seconds():
                return replace(said, replayed=True) if isinstance(said, Unknown) else said
            self.faults.noted("key_forgotten")
        if self.stores_errors and self.faults.happens("error_stored"):
            said = Unknown("500, stored")
        else:
            said = self._refund(charge, amount, key)
        if self.stores_refusals or not isinstance(said, Declined):
            self.keys[key] = (now, said)
        return said

    def _refund(self, charge: str, amount: Money, key: str) -> Answer:
        if refusal := self._refusal(charge):
            return refusal
        short = self.clock.now < self.charges[charge].funded_from
        if short or self.faults.happens("failed_at_once"):
            failed = self._make(charge, amount, key, "failed")
            failed.told = True
            return Failed(failed.id, "short", Refusal.NO_BALANCE) if short else Failed(failed.id, "card_closed")
        refund = self._make(charge, amount, key, "pending" if self.asynchronous else "paid")
        late = self.faults.happens("late_failure")
        if self.asynchronous:
            ends = self.clock.now + self.random.uniform(0.1, 1.0) * self.takes
            self.clock.at(ends, self._become, refund, "failed" if late else "paid")
        elif late:
            fails = self.clock.now + self.random.choice([1.0, 5.0, MINUTE, 6 * HOUR, DAY])
            self.clock.at(fails, self._become, refund, "failed")
        return _said(refund, refund.status)

    def _refusal(self, charge: str) -> Declined | None:
        paid, now = self.charges[charge], self.clock.now
        if paid.is_disputed:
            return Declined(Refusal.DISPUTED, "charge_disputed")
        if self.capabilities.capped and any(
            one.charge == charge and one.status != "failed" for one in self.refunds.values()
        ):
            return Declined(Refusal.ALREADY_REFUNDED, "charge_already_refunded")
        if now < paid.refundable_from:
            return Declined(Refusal.NOT_YET, "charge_pending")
        if now < paid.funded_from and self.random.random() < 0.5:
            return Declined(Refusal.NO_BALANCE, "balance_insufficient")
        return Declined(Refusal(paid.declined), "declined") if paid.declined else None

    def _make(self, charge: str, amount: Money, key: str | None, status: str) -> Refund:
        if key and self.capabilities.keys_live <= timedelta(days=3) and self.faults.happens("other_amount"):
            amount = Money(amount.minor - 1, amount.currency)
        now = self.clock.now
        refund = Refund(
            f"re_{self.name}_{len(self.refunds) + 1}", charge, amount, key, now, status, was=status, changed=now
        )
        self.refunds[refund.id] = refund
        self.made(self, refund)
        self._tell(refund)
        return refund

    def _become(self, refund: Refund, status: str) -> None:
        if refund.status != "failed":
            refund.was, refund.status, refund.changed = refund.status, status, self.clock.now
            self._tell(refund)

    def refunded_by_hand(self, charge: str) -> None:
        """Somebody refunds it in the provider's own dashboard."""
        paid = self.charges[charge]
        alive = any(one.charge == charge and one.status != "failed" for one in self.refunds.values())
        if not (alive and self.capabilities.capped) and not paid.is_disputed:
            self.faults.noted("foreign_refund")
            self._make(charge, paid.captured, None, "paid")

    def disputed(self, charge: str, one: str, dispute: Dispute) -> None:
        """The customer's bank opens this dispute, or decides it."""
        self.charges[charge].disputes[one] = dispute
        self.faults.noted(f"dispute_{dispute}")
        notice = Notice(
            event=f"evt_{one}_{dispute}",
            about=About.DISPUTE,
            charge=charge,
            said=DisputeSeen(dispute, one, stage=int(dispute is not Dispute.OPEN)),
        )
        self._send(self, notice)

    def _tell(self, refund: Refund) -> None:
        """Either with words, or only that something changed: then always under the same id."""
        if self.repeats:
            notice = Notice(f"evt_{refund.charge}", About.REFUND, refund.charge, repeats=True)
        else:
            event = f"evt_{refund.id}_{refund.status}"
            notice = Notice(event, About.REFUND, refund.charge, refund.id, _said(refund, refund.status))
        self._send(self, notice)

    # What it says

    def alive(self, charge: str) -> list[Refund]:
        """The refunds of this payment that were made under a key of ours and did not fail."""
        return [one for one in self.refunds.values() if one.charge == charge and one.key and one.status != "failed"]

    def found(self, charge: str, key: str) -> Found:
        """What an honest look-up shows."""
        seen = [one for one in self.refunds.values() if one.charge == charge and one.at <= self.clock.now - self.lag]
        for refund in seen:
            if refund.key == key:
                return _said(refund, self._shown(refund))
        others = [one for one in seen if self._shown(one) != "failed"]
        return Elsewhere(others[0].id, others[0].amount) if others else Absent()

    def page(self, since: datetime, after: str | None, epoch: datetime) -> Page:  # noqa: ARG002  # one page is enough
        """Its list, lagging."""
        listed = [
            Listed(
                refund_id=one.id,
                charge=one.charge,
                amount=one.amount,
                standing=Standing(self._shown(one)),
                at=epoch + timedelta(seconds=one.at),
                key=one.key,
            )
            for one in self._listed()
            if epoch + timedelta(seconds=one.at) >= since
        ]
        return Page(listed)

    def _shown(self, refund: Refund) -> str:
        """Its webhooks may be days ahead of what it shows, where they have words."""
        return refund.was if self.clock.now < refund.changed + self.stale else refund.status

    def _listed(self) -> Iterable[Refund]:
        return [one for one in self.refunds.values() if one.at <= self.clock.now - self.lag]


def _said(refund: Refund, status: str) -> Paid | Pending | Failed:
    if status == "paid":
        return Paid(refund.id, refund.amount)
    if status == "pending":
        return Pending(refund.id, refund.amount)
    return Failed(refund.id, "came_back")
