import os
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from worker.sandbox.behaviours import Behaviour, Status, Times, behaviour_of
from worker.sandbox.journal import Journal, JournalDamagedError, Record
from worker.sandbox.orders import Order
from worker.sandbox.refusals import ALREADY_REFUNDED, KEY_REUSED, Refused


class Refund(NamedTuple):
    """Money that left. Its status changes by itself, at a time that is written down when it is made."""

    id: str
    charge: str
    amount: int
    currency: str
    key: str
    status: Status
    becomes: Status | None
    becomes_at: float

    def status_at(self, now: float) -> Status:
        return self.becomes if self.becomes is not None and now >= self.becomes_at else self.status

    def document(self, status: Status) -> dict[str, Any]:
        return {
            "id": self.id,
            "charge": self.charge,
            "amount": self.amount,
            "currency": self.currency,
            "status": status,
            "key": self.key,
        }


@dataclass(frozen=True, slots=True)
class Carried:
    """The refund of an order, made just now or, when it is a replay, earlier under the same key."""

    refund: Refund
    replayed: bool


class Ledger:
    """The refunds, and the keys they were made under. Each order is a line in the journal before it is answered."""

    def __init__(self, folder: Path, times: Times, clock: Callable[[], float] = time.time) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._times = times
        self._clock = clock
        self._refunds: list[Refund] = []
        self._place: dict[str, int] = {}
        self._by_key: dict[str, Refund] = {}
        self._by_charge: defaultdict[str, list[Refund]] = defaultdict(list)
        self._stumbles: Counter[str] = Counter()
        self._amounts: Counter[str] = Counter()
        self._calls = self._replays = self._duplicates = 0
        self._enter = {
            "made": self._made,
            "replayed": self._replayed,
            "refused": self._refused,
            "stumbled": self._stumbled,
        }
        self._journal = Journal(folder / "journal.jsonl")
        self._rebuild()

    def carry_out(self, order: Order) -> Carried | Refused:
        """A known key comes first: it is answered as it was, whatever its charge would do today."""
        if (known := self._by_key.get(order.key)) is not None:
            return self._repeat(known, order)
        if earlier := self._by_charge.get(order.charge):
            return self._refuse(order, ALREADY_REFUNDED.about(earlier[0].id))
        behaviour = behaviour_of(order.charge)
        if behaviour.stumble and self._stumbles[order.charge] < behaviour.stumbles:
            self._write({"kind": "stumbled", "charge": order.charge, "key": order.key})
            return behaviour.stumble
        if behaviour.refusal:
            return self._refuse(order, behaviour.refusal)
        return Carried(self._make(order, behaviour), replayed=False)

    def find(self, *, key: str | None, charge: str | None) -> list[dict[str, Any]]:
        """The refunds of this key, of this charge, or, where both are named, of both."""
        if key is None:
            found = self._by_charge.get(charge or "", [])
        else:
            found = [r for r in (self._by_key.get(key),) if r is not None and charge in (None, r.charge)]
        return [self._document(refund) for refund in found]

    def get(self, refund_id: str) -> dict[str, Any] | None:
        place = self._place.get(refund_id)
        return None if place is None else self._document(self._refunds[place])

    def page(self, limit: int, starting_after: str | None) -> tuple[list[dict[str, Any]], bool] | None:
        """Refunds, oldest first, and whether there are more; None when there is no refund to start after."""
        start = 0 if starting_after is None else self._place.get(starting_after, -1) + 1
        if starting_after is not None and start == 0:
            return None
        end = start + limit
        return [self._document(refund) for refund in self._refunds[start:end]], end < len(self._refunds)

    def summary(self) -> dict[str, Any]:
        """Refunds and amounts are what left; some of it came back, because the refund failed later."""
        now = self._clock()
        return {
            "refunds": len(self._refunds),
            "failed": sum(refund.status_at(now) == "failed" for refund in self._refunds),
            "duplicates": self._duplicates,
            "calls": self._calls,
            "replays": self._replays,
            "amounts": dict(self._amounts),
        }

    def close(self) -> None:
        self._journal.close()

    def _document(self, refund: Refund) -> dict[str, Any]:
        return refund.document(refund.status_at(self._clock()))

    def _repeat(self, known: Refund, order: Order) -> Carried | Refused:
        if (known.charge, known.amount, known.currency) != (order.charge, order.amount, order.currency):
            return self._refuse(order, KEY_REUSED)
        self._write({"kind": "replayed", "id": known.id})
        return Carried(known, replayed=True)

    def _refuse(self, order: Order, refusal: Refused) -> Refused:
        self._write({"kind": "refused", "charge": order.charge, "key": order.key, "code": refusal.code})
        return refusal

    def _make(self, order: Order, behaviour: Behaviour) -> Refund:
        refund = {
            "id": f"re_{os.urandom(12).hex()}",
            "charge": order.charge,
            "amount": order.amount,
            "currency": order.currency,
            "key": order.key,
            "status": behaviour.status,
            "becomes": behaviour.becomes,
            "becomes_at": self._clock() + self._times.turn,
        }
        self._write({"kind": "made", "refund": refund})
        return self._refunds[-1]

    def _write(self, record: Record) -> None:
        """First the journal, then the index: an order that could not be written did not happen."""
        self._journal.append(record)
        self._enter_record(record)

    def _rebuild(self) -> None:
        try:
            for record in self._journal:
                self._enter_record(record)
        except (KeyError, TypeError) as error:
            self.close()
            raise JournalDamagedError(f"The journal holds a record that no sandbox wrote: {error!r}.") from None
        except JournalDamagedError:
            self.close()
            raise

    def _enter_record(self, record: Record) -> None:
        """The only way into the index, for a new record as for one read at the start."""
        self._calls += 1
        self._enter[record["kind"]](record)

    def _made(self, record: Record) -> None:
        refund = Refund(**record["refund"])
        self._place[refund.id] = len(self._refunds)
        self._refunds.append(refund)
        self._by_key[refund.key] = refund
        siblings = self._by_charge[refund.charge]
        siblings.append(refund)
        self._duplicates += len(siblings) == 2  # noqa: PLR2004 - the second one makes it a duplicate
        self._amounts[refund.currency] += refund.amount

    def _replayed(self, _: Record) -> None:
        self._replays += 1

    def _refused(self, _: Record) -> None:
        """A refusal counts as a call and leaves nothing else."""

    def _stumbled(self, record: Record) -> None:
        self._stumbles[record["charge"]] += 1
