"""How a charge's refund goes: the word before the first underscore of the charge's id says it."""

from dataclasses import dataclass
from enum import Enum
from typing import Literal

from worker.sandbox.refusals import BROKEN, BUSY, CLOSED, DECLINED, DISPUTED, Refused

Status = Literal["succeeded", "pending", "failed"]


@dataclass(frozen=True, slots=True)
class Times:
    """How long things take, in seconds."""

    latency: float = 0.0
    """Before every answer."""
    late: float = 1.5
    """Before the answer to the call that refunds a ``slow`` charge."""
    turn: float = 3.0
    """Until a refund's status changes, where it does."""
    hold: float = 120.0
    """A call that is never answered is held this long at the most: longer than any client's patience."""


class Manner(Enum):
    """How the call that makes the refund is answered. A repeat with the same key is always answered at once."""

    AT_ONCE = "at once"
    LATE = "late"
    NEVER = "never"
    BROKEN = "with a 500, although the money left"


@dataclass(frozen=True, slots=True)
class Behaviour:
    status: Status = "succeeded"
    becomes: Status | None = None
    """What a look-up shows from ``Times.turn`` on."""
    manner: Manner = Manner.AT_ONCE
    refusal: Refused | None = None
    stumble: Refused | None = None
    """What the first calls of the charge get, without anything being carried out."""
    stumbles: int = 0


BEHAVIOURS = {
    "ok": Behaviour(),
    "slow": Behaviour(manner=Manner.LATE),
    "pending": Behaviour(status="pending", becomes="succeeded"),
    "latefail": Behaviour(becomes="failed"),
    "pendingfail": Behaviour(status="pending", becomes="failed"),
    "declined": Behaviour(refusal=DECLINED),
    "disputed": Behaviour(refusal=DISPUTED),
    "closed": Behaviour(refusal=CLOSED),
    "hang": Behaviour(manner=Manner.NEVER),
    "fail500": Behaviour(manner=Manner.BROKEN),
    "lost500": Behaviour(stumble=BROKEN, stumbles=1),
    "busy": Behaviour(stumble=BUSY, stumbles=2),
}
ORDINARY = BEHAVIOURS["ok"]


def behaviour_of(charge: str) -> Behaviour:
    """A charge whose first word is not in the table is an ordinary one."""
    return BEHAVIOURS.get(charge.partition("_")[0], ORDINARY)
