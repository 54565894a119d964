import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from console.sandbox.behaviours import Behaviour, Times, behaviour_of
from console.sandbox.disputes import Dispute, Stand
from console.sandbox.errors import (
    ALREADY_REFUNDED,
    DISPUTE_CLOSED,
    DISPUTE_OPEN,
    DISPUTED,
    KEY_IN_USE,
    KEY_REUSED,
    NOT_FOUND,
    Refused,
)
from console.sandbox.events import Event
from console.sandbox.refund_requests import Order
from console.sandbox.refunds import Refund, refund_of
from console.sandbox.store import Books


@dataclass(frozen=True, slots=True)
class Carried:
    """The refund of an order, made just now or, when it is a replay, earlier under the same key."""

    refund: Refund
    replayed: bool


class Ledger:
    """Decides what comes of an order. Each is a line in the journal before it is answered.

    ``capped``: a charge is refunded once, whatever the key. ``tells``: what happens from now on is told by webhook.
    """

    def __init__(
        self,
        folder: Path,
        times: Times,
        clock: Callable[[], float] = time.time,
        *,
        capped: bool = True,
        tells: bool = False,
    ) -> None:
        self._times, self._clock, self._capped, self._tells = times, clock, capped, tells
        self.books = Books(folder, clock)

    def carry_out(self, order: Order) -> Carried | Refused:
        """A known key comes first: it is answered as it was, whatever its charge would do today."""
        now = self._clock()
        if (known := self._remembered(order.key, now)) is not None:
            return self._repeat(known, order, now)
        if (stored := self.books.stored.get(order.key)) is not None:
            return self._repeat_stumble(*stored, order)
        return self._begin(order, behaviour_of(order.charge), now)

    def open_dispute(self, charge: str) -> Dispute | Refused:
        now = self._clock()
        if any(dispute.status == "open" for dispute in self.books.disputes.of(charge, now)):
            return DISPUTE_OPEN
        return self._open_dispute(charge, now)

    def close_dispute(self, dispute_id: str, status: Stand) -> Dispute | Refused:
        now = self._clock()
        dispute = self.books.disputes.get(dispute_id, now)
        if dispute is None:
            return NOT_FOUND
        return DISPUTE_CLOSED if dispute.status != "open" else self._write_dispute(dispute._replace(status=status), now)

    def posted(self, event: Event, *, arrived: bool) -> None:
        """Whether this event was acknowledged, or given up."""
        self.books.write({"kind": "posted", "event": event.id, "arrived": arrived})

    def close(self) -> None:
        self.books.close()

    def _remembered(self, key: str, now: float) -> Refund | None:
        refunds = self.books.by_key.get(key)
        if not refunds:
            return None
        last = refunds[-1]
        forgotten = behaviour_of(last.charge).forgets and now >= last.created + self._times.memory
        return None if forgotten else last

    def _begin(self, order: Order, behaviour: Behaviour, now: float) -> Carried | Refused:
        self._bring_to_light(order, behaviour, now)
        if self.books.disputes.block(order.charge, now):
            return self._refuse(order, DISPUTED)
        if (earlier := self.books.by_charge.get(order.charge)) and (self._capped or behaviour.elsewhere):
            return self._refuse(order, ALREADY_REFUNDED.about(earlier[0].id))
        if behaviour.stumble and self.books.stumbles[order.charge] < behaviour.stumbles:
            self.books.write({"kind": "stumbled", "order": order})
            return behaviour.stumble
        if behaviour.refusal:
            return self._refuse(order, behaviour.refusal)
        return Carried(self._write_refund("made", refund_of(order, behaviour, now, self._times)), replayed=False)

    def _repeat(self, known: Refund, order: Order, now: float) -> Carried | Refused:
        if not known.is_for(order):
            return self._refuse(order, KEY_REUSED)
        if now < known.created:
            return self._refuse(order, KEY_IN_USE)
        self.books.write({"kind": "replayed", "key": order.key})
        return Carried(known, replayed=True)

    def _repeat_stumble(self, stored: Order, stumble: Refused, order: Order) -> Refused:
        if order != stored:
            return self._refuse(order, KEY_REUSED)
        self.books.write({"kind": "replayed", "key": order.key})
        return stumble.repeated()

    def _bring_to_light(self, order: Order, behaviour: Behaviour, now: float) -> None:
        """What others did to the charge before the first call about it; only the call tells the sandbox of the charge."""
        if behaviour.elsewhere and order.charge not in self.books.by_charge:
            by_hand = order._replace(key=f"by-hand-{os.urandom(6).hex()}")
            self._write_refund("found", refund_of(by_hand, behaviour, now, self._times))
        if behaviour.disputed and not self.books.disputes.of(order.charge, now):
            self._open_dispute(order.charge, now)

    def _refuse(self, order: Order, refusal: Refused) -> Refused:
        self.books.write({"kind": "refused", "charge": order.charge, "key": order.key, "code": refusal.code})
        return refusal

    def _write_refund(self, kind: str, refund: Refund) -> Refund:
        self.books.write({"kind": kind, "refund": refund, "told": self._tells})
        return refund

    def _open_dispute(self, charge: str, now: float) -> Dispute:
        return self._write_dispute(Dispute(f"dp_{os.urandom(12).hex()}", charge, "open", now), now)

    def _write_dispute(self, dispute: Dispute, at: float) -> Dispute:
        self.books.write({"kind": "disputed", "dispute": dispute, "at": at, "told": self._tells})
        return dispute
