"""The behaviour of each charge: the prefix of its id, up to the first underscore, selects it."""

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
    ErrorResponse,
)

Status = Literal["succeeded", "pending", "failed"]


@dataclass(frozen=True, slots=True)
class Times:
    """Delays, in seconds."""

    latency: float = 0.0
    """Before every answer."""
    late: float = 1.5
    """Before the answer to the call that refunds a ``slow`` charge, and before a ``tardy`` one is refunded."""
    turn: float = 3.0
    """Before a refund changes its status, a hidden refund becomes visible, or a dispute opens."""
    hold: float = 120.0
    """How long a call without an answer stays open at most: longer than the timeout of any client."""
    drip: float = 1.0
    """Between two bytes of a slow answer."""
    memory: float = 60.0
    """Until the key of a ``forgets`` charge expires. Real providers keep keys for a day, or for 45."""
    again: float = 1.0
    """Before a webhook that did not arrive is sent again; the pauses double."""


class ResponseMode(Enum):
    """How a call is answered. A repeat with the same key is answered immediately."""

    AT_ONCE = "at once"
    LATE = "late"
    NEVER = "never"
    BROKEN = "with a 500, although the money left"
    BUSY = "with a 429"
    DROPPED = "by hanging up"
    DRIPPING = "byte by byte"
    GARBLED = "with a 200 and a page of HTML"
    WRONG = "with a 200 about another amount"


class WebhookMode(Enum):
    """How the events of a charge are sent as webhooks."""

    ONCE = "once, until it arrived"
    THRICE = "three times"
    LAST_FIRST = "the beginning after the end"
    FORGED = "after badly signed lies about it"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class Behaviour:
    status: Status = "succeeded"
    becomes: Status | None = None
    """The status after ``Times.turn``."""
    response_mode: ResponseMode = ResponseMode.AT_ONCE
    refusal: ErrorResponse | None = None
    stumble: ErrorResponse | None = None
    """The error of the first calls of the charge; they are not carried out."""
    stumbles: int = 0
    stored: bool = False
    """The error is the stored response of its key; only a new key helps."""
    deferred: bool = False
    """The refund is made ``Times.late`` after its call. Until then it is invisible, and its key is in use."""
    hidden: bool = False
    """The refund is made, but invisible until ``Times.turn``."""
    elsewhere: bool = False
    """Somebody else refunded the charge; the first call finds that refund."""
    disputed: bool = False
    """The charge has an open dispute; the first call finds it."""
    crossed: bool = False
    """A dispute opens ``Times.turn`` after the refund was made."""
    forgets: bool = False
    """The key expires after ``Times.memory``."""
    webhook_mode: WebhookMode = WebhookMode.ONCE


BEHAVIOURS = {
    "ok": Behaviour(),
    "slow": Behaviour(response_mode=ResponseMode.LATE),
    "pending": Behaviour(status="pending", becomes="succeeded"),
    "latefail": Behaviour(becomes="failed"),
    "pendingfail": Behaviour(status="pending", becomes="failed"),
    "declined": Behaviour(refusal=DECLINED),
    "disputed": Behaviour(disputed=True),
    "crossing": Behaviour(crossed=True),
    "closed": Behaviour(refusal=CLOSED),
    "elsewhere": Behaviour(elsewhere=True),
    "hang": Behaviour(response_mode=ResponseMode.NEVER),
    "blind": Behaviour(response_mode=ResponseMode.NEVER, hidden=True),
    "tardy": Behaviour(response_mode=ResponseMode.DROPPED, deferred=True),
    "drip": Behaviour(response_mode=ResponseMode.DRIPPING),
    "garbage": Behaviour(response_mode=ResponseMode.GARBLED),
    "wrong": Behaviour(response_mode=ResponseMode.WRONG),
    "fail500": Behaviour(response_mode=ResponseMode.BROKEN),
    "lost500": Behaviour(stumble=BROKEN, stumbles=1),
    "stored500": Behaviour(stumble=BROKEN, stumbles=1, stored=True),
    "busy": Behaviour(stumble=BUSY, stumbles=2),
    "broke": Behaviour(stumble=SHORT_OF_MONEY, stumbles=2, stored=True),
    "early": Behaviour(stumble=NOT_SETTLED, stumbles=2, stored=True),
    "forgets": Behaviour(forgets=True),
    "dupes": Behaviour(status="pending", becomes="succeeded", webhook_mode=WebhookMode.THRICE),
    "shuffle": Behaviour(status="pending", becomes="succeeded", webhook_mode=WebhookMode.LAST_FIRST),
    "mute": Behaviour(status="pending", becomes="succeeded", webhook_mode=WebhookMode.NEVER),
    "forge": Behaviour(webhook_mode=WebhookMode.FORGED),
}
ORDINARY = BEHAVIOURS["ok"]


def behaviour_of(charge: str) -> Behaviour:
    """Returns the behaviour of a charge; one with an unknown prefix succeeds."""
    return BEHAVIOURS.get(charge.partition("_")[0], ORDINARY)
