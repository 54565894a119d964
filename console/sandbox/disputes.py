"""Disputes: a customer's bank takes back the money of a charge."""

from collections import Counter, defaultdict
from typing import Any, Final, NamedTuple

from console.sandbox.behaviours import DisputeStatus
from console.sandbox.errors import INVALID_DISPUTE, ErrorResponse
from console.sandbox.refund_requests import is_charge, read_json
from console.sandbox.rows import Page, PageQuery, Rows

RESPONSE_TIME: Final = 7 * 86_400  # seconds in which the seller may respond, as at most card networks
UNDECIDED: Final = frozenset({"inquiry", "open"})
CHANGES: Final = {"inquiry": {"open", "won"}, "open": {"won", "lost"}}
"""The next statuses of each undecided status. A bank closes an inquiry in favour of the seller, or opens a dispute."""


class Dispute(NamedTuple):
    """One dispute. An inquiry is a dispute, too, but the bank has not taken the money back."""

    id: str
    charge: str
    status: DisputeStatus
    created: float
    """The time at which the dispute opens, in epoch seconds. It may be in the future."""

    def document(self) -> dict[str, Any]:
        created = int(self.created)
        return {
            "id": self.id,
            "charge": self.charge,
            "status": self.status,
            "created": created,
            "respond_by": created + RESPONSE_TIME if self.status in UNDECIDED else None,
        }


class Disputes:
    """All disputes. A dispute is visible only after it has opened."""

    def __init__(self) -> None:
        self._rows = Rows[Dispute]()
        self._by_charge: defaultdict[str, list[str]] = defaultdict(list)

    def put(self, dispute: Dispute) -> None:
        if self._rows.get(dispute.id) is None:
            self._by_charge[dispute.charge].append(dispute.id)
        self._rows.put(dispute.id, dispute)

    def get(self, dispute_id: str, now: float) -> Dispute | None:
        dispute = self._rows.get(dispute_id)
        return dispute if dispute and dispute.created <= now else None

    def page(self, query: PageQuery, now: float) -> Page | None:
        """Return a page of the disputes that have opened. Return None if the query's last dispute does not exist."""
        page = self._rows.page(query, lambda dispute: query.since <= dispute.created <= now)
        return page and page.map(Dispute.document)

    def of(self, charge: str, now: float) -> list[Dispute]:
        """Return the open and closed disputes of a charge, oldest first."""
        ids = self._by_charge.get(charge, ())
        return [dispute for dispute_id in ids if (dispute := self.get(dispute_id, now))]

    def undecided(self, charge: str, now: float) -> bool:
        """Return whether a dispute or an inquiry of this charge is undecided."""
        return any(dispute.status in UNDECIDED for dispute in self.of(charge, now))

    def block(self, charge: str, now: float) -> bool:
        """Return whether a dispute of this charge is open or lost. An inquiry blocks no refund."""
        return charge in self._by_charge and any(dispute.status in {"open", "lost"} for dispute in self.of(charge, now))

    def count(self, now: float) -> dict[str, int]:
        counts = Counter(dispute.status for dispute in self._rows if dispute.created <= now)
        return {"inquiry": counts["inquiry"], "open": counts["open"], "won": counts["won"], "lost": counts["lost"]}


def read_opening(body: bytes) -> tuple[str, DisputeStatus] | ErrorResponse:
    """Return the charge and the status in a request to open a dispute or an inquiry, or the error."""
    match read_json(body):
        case {"charge": charge, "status": "open" | "inquiry" as status, **rest} if is_charge(charge) and not rest:
            return charge, status
    return INVALID_DISPUTE


def read_change(body: bytes) -> DisputeStatus | ErrorResponse:
    """Return the new status in a request to change a dispute, or the error."""
    match read_json(body):
        case {"status": "open" | "won" | "lost" as status, **rest} if not rest:
            return status  # type: ignore[no-any-return]  # the pattern proves the type
    return INVALID_DISPUTE
