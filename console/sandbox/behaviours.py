"""The behaviours of charges in the sandbox. The prefix of a charge's id, up to the first underscore, selects the behaviour."""

from dataclasses import dataclass
from enum import Enum
from typing import Literal

from console.sandbox.errors import (
    BROKEN,
    BUSY,
    CLOSED,
    DECLINED,
    INSUFFICIENT_BALANCE,
    NOT_SETTLED,
    ErrorResponse,
)

Status = Literal["succeeded", "pending", "failed"]


@dataclass(frozen=True, slots=True)
class Times:
    """Delays, in seconds."""

    latency: float = 0.0
    """The delay of every response."""
    late: float = 1.5
    """The delay of the response for a ``slow`` charge, and of the refund of a ``tardy`` charge."""
    turn: float = 3.0
    """The time from the refund until its status changes, until it is no longer hidden, or until a dispute opens."""
    hold: float = 120.0
    """If a call gets no response, the time after which its connection is closed. This time exceeds the timeout of any client."""
    drip: float = 1.0
    """The pause between two bytes of a response in the mode ``DRIPPING``."""
    memory: float = 60.0
    """The time after which the idempotency key of an ``expires`` charge expires.

    Real providers store keys for one hour to 45 days.
    """
    again: float = 1.0
    """If a webhook did not arrive, the pause before it is sent again. Each pause is twice as long as the pause before it."""


class ResponseMode(Enum):
    """The ways in which a call is answered. A repeated call with the same key is answered immediately."""

    IMMEDIATE = "immediately"
    LATE = "late"
    NEVER = "never"
    BROKEN = "with a 500, although the refund was made"
    BUSY = "with a 429"
    DROPPED = "by closing the connection"
    DRIPPING = "byte by byte"
    GARBLED = "with a 200 and a page of HTML"
    WRONG = "with a 200 about another amount"


class WebhookMode(Enum):
    """The ways in which the events of a charge are sent as webhooks."""

    ONCE = "once; again only if the webhook did not arrive"
    THRICE = "three times"
    LAST_FIRST = "in the wrong order: the first event after the last event"
    INVALID_SIGNATURE = "after webhooks with invalid signatures"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class Behaviour:
    status: Status = "succeeded"
    becomes: Status | None = None
    """The status that the refund gets after ``Times.turn``."""
    response_mode: ResponseMode = ResponseMode.IMMEDIATE
    refusal: ErrorResponse | None = None
    first_error: ErrorResponse | None = None
    """The error of the first calls about the charge. A call with this error is not carried out."""
    failing_calls: int = 0
    """The number of calls that get ``first_error``."""
    stored: bool = False
    """True if ``first_error`` is stored for the key of the call. In this case, only a call with a new key can succeed."""
    deferred: bool = False
    """True if the refund is made ``Times.late`` after the call. Before that, the refund is invisible, and its key is in use."""
    hidden: bool = False
    """True if the refund is made immediately, but is invisible until ``Times.turn`` has passed."""
    external: bool = False
    """True if the charge was refunded outside of this API. This refund exists from the first call about the charge on."""
    disputed: bool = False
    """True if the charge has an open dispute. This dispute exists from the first call about the charge on."""
    crossed: bool = False
    """True if a dispute opens ``Times.turn`` after the refund was made."""
    expires: bool = False
    """True if the key expires after ``Times.memory``."""
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
    "elsewhere": Behaviour(external=True),
    "hang": Behaviour(response_mode=ResponseMode.NEVER),
    "blind": Behaviour(response_mode=ResponseMode.NEVER, hidden=True),
    "tardy": Behaviour(response_mode=ResponseMode.DROPPED, deferred=True),
    "drip": Behaviour(response_mode=ResponseMode.DRIPPING),
    "garbage": Behaviour(response_mode=ResponseMode.GARBLED),
    "wrong": Behaviour(response_mode=ResponseMode.WRONG),
    "fail500": Behaviour(response_mode=ResponseMode.BROKEN),
    "lost500": Behaviour(first_error=BROKEN, failing_calls=1),
    "stored500": Behaviour(first_error=BROKEN, failing_calls=1, stored=True),
    "busy": Behaviour(first_error=BUSY, failing_calls=2),
    "broke": Behaviour(first_error=INSUFFICIENT_BALANCE, failing_calls=2, stored=True),
    "early": Behaviour(first_error=NOT_SETTLED, failing_calls=2, stored=True),
    "expires": Behaviour(expires=True),
    "dupes": Behaviour(status="pending", becomes="succeeded", webhook_mode=WebhookMode.THRICE),
    "shuffle": Behaviour(status="pending", becomes="succeeded", webhook_mode=WebhookMode.LAST_FIRST),
    "mute": Behaviour(status="pending", becomes="succeeded", webhook_mode=WebhookMode.NEVER),
    "forge": Behaviour(webhook_mode=WebhookMode.INVALID_SIGNATURE),
}
ORDINARY = BEHAVIOURS["ok"]


def behaviour_of(charge: str) -> Behaviour:
    """Return the behaviour of a charge. The refund of a charge with an unknown prefix succeeds."""
    return BEHAVIOURS.get(charge.partition("_")[0], ORDINARY)
