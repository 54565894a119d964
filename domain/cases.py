"""A case: one request on its way, and the steps that move it."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import UUID

from domain.requests import SubmittedRequest
from domain.states import Event, State, next_state

Evidence = Mapping[str, object]
"""What a step was based on, as JSON without floats: it is hashed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A case as a worker holds it: locked, or leased under ``fence``."""

    id: UUID
    state: State
    seq: int
    head_hash: bytes
    fence: int
    request: SubmittedRequest
    purchase_id: UUID | None = None
    seller_id: str | None = None

    def after(self, event: Event, *, actor: str, why: str = "", evidence: Evidence | None = None) -> "Transition":
        """The step this event makes of the case; an OutOfStepError where the table has none."""
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
    """One row of a case's history, before it is recorded."""

    case: Case
    event: Event
    to_state: State
    actor: str
    why: str = ""
    evidence: Evidence = field(default_factory=dict)
    purchase_id: UUID | None = None
    """Set by the step that finds it."""
    seller_id: str | None = None
    due_in: float | None = None
    """Seconds for which nobody touches the case; None: it goes on at once, and again when this state's patience ends."""
    lease: float | None = None
    """Seconds for which whoever records this step holds the case; everybody before is fenced out."""
    continued: bool = False
    """The caller goes straight on with the case: no message is needed, the sweep covers it."""

    quiet: bool = False
    """No letter goes out: whoever would read it was told the same often enough today."""

    @property
    def seq(self) -> int:
        return self.case.seq + 1

    def case_after(self, at: datetime) -> Case:
        """The case as it stands once this step was recorded at this instant."""
        fence = self.case.fence + (self.lease is not None)
        return replace(self.case, state=self.to_state, seq=self.seq, head_hash=self.digest(at), fence=fence)

    def digest(self, at: datetime) -> bytes:
        """This row's link of the hash chain."""
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
    """SHA-256 over the link before and everything this row says, as JSON with sorted keys."""
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
"""What the first link of every case follows."""
