import json
from collections import Counter, defaultdict
from typing import Any, Literal, NamedTuple

from console.sandbox.errors import WRONG_DISPUTE, Refused
from console.sandbox.refund_requests import is_charge

Stand = Literal["open", "won", "lost"]


class Dispute(NamedTuple):
    """The customer's bank wants the money of a charge back; ``won`` and ``lost`` are the seller's side of it."""

    id: str
    charge: str
    status: Stand
    created: float
    """When it opens, in epoch seconds; in the future for one that is about to."""

    def document(self) -> dict[str, Any]:
        return {"id": self.id, "charge": self.charge, "status": self.status, "created": int(self.created)}


class Disputes:
    """Every dispute as it stands. One that is about to open is not there yet."""

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
        """Oldest first."""
        ids = self._by_charge.get(charge, ())
        return [dispute for dispute_id in ids if (dispute := self.get(dispute_id, now))]

    def block(self, charge: str, now: float) -> bool:
        """Whether the bank took the money of this charge, or may."""
        return charge in self._by_charge and any(dispute.status != "won" for dispute in self.of(charge, now))

    def count(self, now: float) -> dict[Stand, int]:
        standing = Counter(dispute.status for dispute in self._by_id.values() if dispute.created <= now)
        return {"open": standing["open"], "won": standing["won"], "lost": standing["lost"]}


def read_opening(body: bytes) -> str | Refused:
    """The charge that is disputed from now on."""
    match _read(body):
        case {"charge": charge, "status": "open", **rest} if is_charge(charge) and not rest:
            return str(charge)
    return WRONG_DISPUTE


def read_closing(body: bytes) -> Stand | Refused:
    """How a dispute ends."""
    match _read(body):
        case {"status": "won" | "lost" as status, **rest} if not rest:
            return status  # type: ignore[no-any-return]  # the pattern says what it is
    return WRONG_DISPUTE


def _read(body: bytes) -> Any:  # noqa: ANN401  # whatever JSON can be
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None
