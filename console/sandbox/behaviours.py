"""How a charge's refund goes: the word before the first underscore of the charge's id says it."""

from dataclasses import dataclass
from enum import Enum
from typing import Literal

from console.sandbox.errors import (
    BROKEN,
    BUSY,
    CLOSED,
    DECLINED,
    NOT_SETTLED,
    SHORT_OF_MONEY,
    Refused,
)

Status = Literal["succeeded", "pending", "failed"]


@dataclass(frozen=True, slots=True)
class Times:
    """How long things take, in seconds."""

    latency: float = 0.0
    """Before every answer."""
    late: float = 1.5
    """Before the answer to the call that refunds a ``slow`` charge, and before a ``tardy`` one is refunded."""
    turn: float = 3.0
    """Until things change by themselves: a refund's status, a look-up that was blind, a dispute that opens."""
    hold: float = 120.0
    """A call that is never answered is held this long at the most: longer than any client's patience."""
    drip: float = 1.0
    """Between two bytes of an answer that drips."""
    memory: float = 60.0
    """Until the key of a ``forgets`` charge is forgotten. Real providers remember for a day, or for 45."""
    again: float = 1.0
    """Before a webhook that did not arrive is sent again; the pauses double."""


class Manner(Enum):
    """How a call is answered. A repeat with the same key is answered at once."""

    AT_ONCE = "at once"
    LATE = "late"
    NEVER = "never"
    BROKEN = "with a 500, although the money left"
    BUSY = "with a 429"
    DROPPED = "by hanging up"
    DRIPPING = "byte by byte"
    GARBLED = "with a 200 and a page of HTML"
    WRONG = "with a 200 about another amount"


class Post(Enum):
    """How what happens to a charge is told by webhook."""

    ONCE = "once, until it arrived"
    THRICE = "three times"
    LAST_FIRST = "the beginning after the end"
    FORGED = "after badly signed lies about it"
    NEVER = "never"


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
    stored: bool = False
    """A stumble is the answer to its key for ever: the way on is a new key."""
    deferred: bool = False
    """The refund is made ``Times.late`` after its call; until then nothing shows it, and its key is in use."""
    hidden: bool = False
    """Nothing shows the refund for the first ``Times.turn``, although it was made."""
    elsewhere: bool = False
    """Somebody refunded the charge by hand: the first call brings it to light."""
    disputed: bool = False
    """The bank has a dispute open: the first call brings it to light."""
    crossed: bool = False
    """A dispute opens ``Times.turn`` after the refund was made."""
    forgets: bool = False
    """The key is forgotten after ``Times.memory``."""
    post: Post = Post.ONCE


BEHAVIOURS = {
    "ok": Behaviour(),
    "slow": Behaviour(manner=Manner.LATE),
    "pending": Behaviour(status="pending", becomes="succeeded"),
    "latefail": Behaviour(becomes="failed"),
    "pendingfail": Behaviour(status="pending", becomes="failed"),
    "declined": Behaviour(refusal=DECLINED),
    "disputed": Behaviour(disputed=True),
    "crossing": Behaviour(crossed=True),
    "closed": Behaviour(refusal=CLOSED),
    "elsewhere": Behaviour(elsewhere=True),
    "hang": Behaviour(manner=Manner.NEVER),
    "blind": Behaviour(manner=Manner.NEVER, hidden=True),
    "tardy": Behaviour(manner=Manner.DROPPED, deferred=True),
    "drip": Behaviour(manner=Manner.DRIPPING),
    "garbage": Behaviour(manner=Manner.GARBLED),
    "wrong": Behaviour(manner=Manner.WRONG),
    "fail500": Behaviour(manner=Manner.BROKEN),
    "lost500": Behaviour(stumble=BROKEN, stumbles=1),
    "stored500": Behaviour(stumble=BROKEN, stumbles=1, stored=True),
    "busy": Behaviour(stumble=BUSY, stumbles=2),
    "broke": Behaviour(stumble=SHORT_OF_MONEY, stumbles=2, stored=True),
    "early": Behaviour(stumble=NOT_SETTLED, stumbles=2, stored=True),
    "forgets": Behaviour(forgets=True),
    "dupes": Behaviour(status="pending", becomes="succeeded", post=Post.THRICE),
    "shuffle": Behaviour(status="pending", becomes="succeeded", post=Post.LAST_FIRST),
    "mute": Behaviour(status="pending", becomes="succeeded", post=Post.NEVER),
    "forge": Behaviour(post=Post.FORGED),
}
ORDINARY = BEHAVIOURS["ok"]


def behaviour_of(charge: str) -> Behaviour:
    """A charge whose first word is not in the table is an ordinary one."""
    return BEHAVIOURS.get(charge.partition("_")[0], ORDINARY)
