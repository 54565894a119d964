"""The behaviours of charges in the sandbox. The prefix of a charge's id, up to the first underscore, selects the behaviour."""

from collections.abc import Mapping
from dataclasses import dataclass, field
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

Status = Literal["succeeded", "pending", "failed", "canceled", "requires_action", "requires_approval"]
"""The statuses of a refund, in Stripe's words. With ``requires_approval``, no refund is made until a person approves it."""

DisputeStatus = Literal["inquiry", "open", "won", "lost"]
"""The statuses of a dispute. ``won`` and ``lost`` are from the seller's point of view."""


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
    external_percent: int = 0
    """The share of the payment that was refunded outside of this API. This refund exists from the first call about the charge on.

    If the payment is not registered, its amount is unknown. Then the refund exists from the first refund call on.
    """
    dispute: DisputeStatus | None = None
    """The status of the dispute that the charge has from the first call about the charge on."""
    disputed: bool = False
    """True if a dispute opens with the first refund call, that is, after the payment was shown without a dispute."""
    crossed: bool = False
    """True if a dispute opens ``Times.turn`` after the refund was made."""
    expires: bool = False
    """True if the key expires after ``Times.memory``."""
    webhook_mode: WebhookMode = WebhookMode.ONCE
    exists: bool = True
    """False if the sandbox knows no payment with this charge."""
    payment: Mapping[str, object] = field(default_factory=dict)
    """The fields of the payment that are shown with another value than the registered value."""
    row: Mapping[str, object] = field(default_factory=dict)
    """The fields of each refund of the charge that are shown with another value, as real lists contain such rows."""


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
    "chargeback": Behaviour(dispute="open"),
    "lost": Behaviour(dispute="lost"),
    "won": Behaviour(dispute="won"),
    "inquiry": Behaviour(dispute="inquiry"),
    "elsewhere": Behaviour(external_percent=100),
    "part": Behaviour(external_percent=20),
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
    "approval": Behaviour(status="requires_approval", becomes="succeeded"),
    "denied": Behaviour(status="requires_approval", becomes="canceled"),
    "canceled": Behaviour(status="pending", becomes="canceled"),
    "action": Behaviour(status="requires_action", becomes="succeeded"),
    "missing": Behaviour(exists=False),
    "authorized": Behaviour(payment={"status": "authorized"}),
    "voided": Behaviour(payment={"status": "voided"}),
    "unpaid": Behaviour(payment={"status": "failed"}),
    "otheramount": Behaviour(payment={"amount": 99_999_999, "currency": "EUR"}),
    "othercurrency": Behaviour(payment={"amount": 4_900, "currency": "ISK"}, row={"currency": "ISK"}),
    "otherseller": Behaviour(payment={"metadata": {"seller": "another-seller"}}),
    "nullcharge": Behaviour(row={"charge": None}),
    "nullstatus": Behaviour(row={"status": None}),
    "oldcurrency": Behaviour(row={"currency": "bgn"}),
}
ORDINARY = BEHAVIOURS["ok"]


def behaviour_of(charge: str) -> Behaviour:
    """Return the behaviour of a charge. The refund of a charge with an unknown prefix succeeds."""
    return BEHAVIOURS.get(charge.partition("_")[0], ORDINARY)
