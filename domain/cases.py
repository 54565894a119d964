"""A case: one request on its way, and the steps that move it."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import UUID

from domain.requests import Asked
from domain.states import Event, State, move

Evidence = Mapping[str, object]
"""What a step was based on, as JSON without floats: it is hashed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A case as a worker holds it: locked, or leased under ``fence``."""

    id: UUID
    state: State
    seq: int
    head: bytes
    fence: int
    asked: Asked
    purchase: UUID | None = None
    seller: str | None = None

    def after(self, event: Event, *, actor: str, why: str = "", evidence: Evidence | None = None) -> "Step":
        """The step this event makes of the case; an OutOfStepError where the table has none."""
        return Step(
            case=self, event=event, there=move(self.state, event), actor=actor, why=why, evidence=evidence or {}
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One row of a case's history, before it is recorded."""

    case: Case
    event: Event
    there: State
    actor: str
    why: str = ""
    evidence: Evidence = field(default_factory=dict)
    purchase: UUID | None = None
    """Set by the step that finds it."""
    seller: str | None = None
    due_in: float | None = None
    """Seconds for which nobody touches the case; None: it goes on at once, and again when this state's patience ends."""
    lease: float | None = None
    """Seconds for which whoever records this step holds the case; everybody before is fenced out."""
    handed_on: bool = False
    """The caller goes straight on with the case: no message is needed, the sweep covers it."""

    quiet: bool = False
    """No letter goes out: whoever would read it was told the same often enough today."""

    @property
    def seq(self) -> int:
        return self.case.seq + 1

    def case_after(self, at: datetime) -> Case:
        """The case as it stands once this step was recorded at this instant."""
        fence = self.case.fence + (self.lease is not None)
        return replace(self.case, state=self.there, seq=self.seq, head=self.digest(at), fence=fence)

    def digest(self, at: datetime) -> bytes:
        """This row's link of the hash chain."""
        return link(
            self.case.head, self.case.id, self.seq, at, self.case.state, self.event, self.there, self.actor, self.why,
            self.evidence,
        )  # fmt: skip


def link(
    before: bytes,
    case_id: UUID,
    seq: int,
    at: datetime,
    here: str,
    event: str,
    there: str,
    actor: str,
    why: str,
    evidence: Evidence,
) -> bytes:
    """SHA-256 over the link before and everything this row says, as JSON with sorted keys."""
    row = [
        before.hex(),
        str(case_id),
        seq,
        int(at.timestamp() * 1_000_000),
        here,
        event,
        there,
        actor,
        why,
        evidence,
    ]
    return hashlib.sha256(json.dumps(row, sort_keys=True, separators=(",", ":")).encode()).digest()


GENESIS = b""
"""What the first link of every case follows."""
