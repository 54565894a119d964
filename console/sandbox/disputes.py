"""Disputes: a customer's bank takes back the money of a charge."""

import json
from collections import Counter, defaultdict
from typing import Any, Literal, NamedTuple

from console.sandbox.errors import INVALID_DISPUTE, ErrorResponse
from console.sandbox.refund_requests import is_charge

DisputeStatus = Literal["open", "won", "lost"]


class Dispute(NamedTuple):
    """One dispute; ``won`` and ``lost`` are from the seller's point of view."""

    id: str
    charge: str
    status: DisputeStatus
    created: float
    """The time at which the dispute opens, in epoch seconds. It may be in the future."""

    def document(self) -> dict[str, Any]:
        return {"id": self.id, "charge": self.charge, "status": self.status, "created": int(self.created)}


class Disputes:
    """All disputes. A dispute is visible only after it has opened."""

    def __init__(self) -> None:
        self._by_id: dict[str, Dispute] = {}
        self._by_charge: defaultdict[str, list[str]] = defaultdict(list)

    def put(self, dispute: Dispute) -> None:
        if dispute.id not in self._by_id:
            self._by_charge[dispute.charge].append(dispute.id)
        self._by_id[dispute.id] = dispute

    def get(self, dispute_id: str, now: float) -> Dispute | None:
        dispute = self._by_id.get(dispute_id)
        return dispute if dispute and dispute.created <= now else None

    def of(self, charge: str, now: float) -> list[Dispute]:
        """Return the open and closed disputes of a charge, oldest first."""
        ids = self._by_charge.get(charge, ())
        return [dispute for dispute_id in ids if (dispute := self.get(dispute_id, now))]

    def block(self, charge: str, now: float) -> bool:
        """Return whether a dispute of this charge is open or lost."""
        return charge in self._by_charge and any(dispute.status != "won" for dispute in self.of(charge, now))

    def count(self, now: float) -> dict[DisputeStatus, int]:
        counts = Counter(dispute.status for dispute in self._by_id.values() if dispute.created <= now)
        return {"open": counts["open"], "won": counts["won"], "lost": counts["lost"]}


def read_opening(body: bytes) -> str | ErrorResponse:
    """Return the charge in a request to open a dispute, or the error."""
    match _read(body):
        case {"charge": charge, "status": "open", **rest} if is_charge(charge) and not rest:
            return str(charge)
    return INVALID_DISPUTE


def read_closing(body: bytes) -> DisputeStatus | ErrorResponse:
    """Return the final status in a request to close a dispute, or the error."""
    match _read(body):
        case {"status": "won" | "lost" as status, **rest} if not rest:
            return status  # type: ignore[no-any-return]  # the pattern proves the type
    return INVALID_DISPUTE


def _read(body: bytes) -> Any:  # noqa: ANN401  # any JSON value
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None
