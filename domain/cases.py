"""A case, and the transitions that change its state."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import UUID

from domain.requests import SubmittedRequest
from domain.states import DECISION_EVENTS, Event, State, next_state

Evidence = Mapping[str, object]
"""The facts on which a transition is based, as JSON. The JSON is hashed. Floats are not allowed, because their text may vary."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A case that a worker has locked or leased."""

    id: UUID
    state: State
    seq: int
    """The number of the newest row of the history."""
    head_hash: bytes
    """The hash of the newest row of the history."""
    fence: int
    """A number that rises with each lease, so that the write of a worker with an earlier lease is refused."""
    request: SubmittedRequest
    purchase_id: UUID | None = None
    seller_id: str | None = None
    decided_seq: int = 0
    """The number of the newest transition by which support decided or the customer answered; 0 before the first of them."""

    def after(self, event: Event, *, actor: str, why: str = "", evidence: Evidence | None = None) -> "Transition":
        """Return the transition that this event causes; raise InvalidTransitionError if the event is not allowed."""
        return Transition(
            case=self,
            event=event,
            to_state=next_state(self.state, event),
            actor=actor,
            why=why,
            evidence=evidence or {},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """A row of a case's history, before it is recorded."""

    case: Case
    event: Event
    to_state: State
    actor: str
    why: str = ""
    evidence: Evidence = field(default_factory=dict)
    purchase_id: UUID | None = None
    """The purchase, if this transition connects the case with a purchase."""
    seller_id: str | None = None
    due_in: float | None = None
    """Seconds until the sweep gives the case to a worker. Until then, the message of the new state is not published.

    None means the normal course: the message is published immediately. If the case is still in the same state after the
    timeout of this state, the sweep publishes the message again.
    """
    lease: float | None = None
    """Seconds for which the worker that records this transition leases the case. Writes with an older fence are then refused."""
    continued: bool = False
    """True if the caller itself processes the case next, so that no message is published.

    If the caller crashes, the sweep finds the case.
    """
    notify: bool = True
    """True if the customer gets the e-mail about the state that the case reaches."""

    @property
    def seq(self) -> int:
        """The number of this row in the history of the case."""
        return self.case.seq + 1

    @property
    def decided_seq(self) -> int:
        """The case's ``decided_seq`` after this transition."""
        return self.seq if self.event in DECISION_EVENTS else self.case.decided_seq

    def case_after(self, at: datetime) -> Case:
        """Return the case with this transition applied. The transition was recorded at the instant ``at``."""
        fence = self.case.fence + (self.lease is not None)
        return replace(
            self.case,
            state=self.to_state,
            seq=self.seq,
            head_hash=self.digest(at),
            fence=fence,
            decided_seq=self.decided_seq,
        )

    def digest(self, at: datetime) -> bytes:
        """Return the hash of this row. The hash of the previous row is one of the hashed values."""
        return chain_hash(
            self.case.head_hash, self.case.id, self.seq, at, self.case.state, self.event, self.to_state, self.actor, self.why,
            self.evidence,
        )  # fmt: skip


def chain_hash(
    previous: bytes,
    case_id: UUID,
    seq: int,
    created_at: datetime,
    from_state: str,
    event: str,
    to_state: str,
    actor: str,
    why: str,
    evidence: Evidence,
) -> bytes:
    """Write the previous hash and all fields of the row as a JSON list. Return the SHA-256 of this list."""
    row = [
        previous.hex(),
        str(case_id),
        seq,
        int(created_at.timestamp() * 1_000_000),
        from_state,
        event,
        to_state,
        actor,
        why,
        evidence,
    ]
    return hashlib.sha256(json.dumps(row, sort_keys=True, separators=(",", ":")).encode()).digest()


GENESIS = b""
"""The first row of a history has no previous row. This value is used instead of the hash of a previous row."""
