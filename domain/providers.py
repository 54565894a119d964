"""The provider port: what a payment provider is asked, and what it may answer. Unknown is one of the answers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

from domain.money import Money
from domain.purchases import Dispute


class DeclineReason(StrEnum):
    """Why a provider says no: each class has its own way on."""

    ALREADY_REFUNDED = "already_refunded"  # look up whose refund that is; ours is adopted
    DISPUTED = "disputed"  # never again: the bank decides, a person looks
    INSUFFICIENT_BALANCE = "insufficient_balance"  # the seller's balance is short: wait, and tell finance
    REFUND_WINDOW_EXPIRED = "refund_window_expired"  # another way to pay is needed
    NOT_YET_REFUNDABLE = "not_yet_refundable"  # the charge is not settled: later, as a new operation
    PERMANENT = "permanent"  # a person looks
    INVALID_CREDENTIALS = (
        "invalid_credentials"  # our credentials are refused: a person mends them, and the refund goes on
    )
    NOT_SENT = "not_sent"  # no word of it left us: the provider could not be reached, or there was no time left


@dataclass(frozen=True, slots=True)
class Paid:
    """The provider carried the refund out."""

    refund_id: str
    amount: Money
    bank_reference: str | None = field(default=None, compare=False)
    """The acquirer reference number (ARN), by which the customer's bank finds it. Card networks give it, often days later."""


@dataclass(frozen=True, slots=True)
class Pending:
    """The provider accepted the refund; whether it reaches the customer is known later."""

    refund_id: str
    amount: Money
    insufficient_balance: bool = False
    """It waits there until the seller's balance suffices: finance is told."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The provider made the refund under our key, and it failed or came back. ``code`` is the provider's own word."""

    refund_id: str
    code: str
    reason: DeclineReason = DeclineReason.PERMANENT


@dataclass(frozen=True, slots=True)
class Declined:
    """The provider did not and will not carry this refund out. ``code`` is the provider's own word."""

    reason: DeclineReason
    code: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """The refund may or may not have been carried out: a timeout, a lost connection, a 5xx, an answer nobody can read."""

    why: str
    retry_after: float | None = None
    """Seconds after which the provider wants to be asked again (Retry-After)."""
    replayed: bool = False
    """The provider repeats a stored answer of this kind: the same key will never say more."""
    invalid_credentials: bool = False
    """The provider turned this call away at the door: our credentials are refused."""


@dataclass(frozen=True, slots=True)
class ExternalRefund:
    """The charge has a refund that was not made under our key."""

    refund_id: str
    amount: Money


@dataclass(frozen=True, slots=True)
class NotFound:
    """The provider answered that it knows no refund under this key, and none of this charge."""


RefundResult = Paid | Pending | Failed | Declined | Unknown
"""What a provider may say to a refund that it is asked for."""

LookupResult = Paid | Pending | Failed | ExternalRefund | NotFound | Unknown
"""What a look-up may find."""


@dataclass(frozen=True, slots=True)
class DisputeStatus:
    """How the dispute about a charge stands; ``dispute_id`` is the newest one's, empty where there is none."""

    dispute: Dispute
    dispute_id: str = ""
    stage: int = field(default=0, compare=False)
    """How far this dispute had come when it was told of: words about one dispute may come in any order."""


class RefundStatus(StrEnum):
    """How a refund stands in the provider's own list."""

    PAID = "paid"
    PENDING = "pending"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class ListedRefund:
    """One refund of the provider's own list; ``key`` is ours where we made it."""

    refund_id: str
    charge: str
    amount: Money
    status: RefundStatus
    created_at: datetime
    key: str | None = None


@dataclass(frozen=True, slots=True)
class RefundPage:
    """A piece of the provider's list, and where the next one starts; None after the last."""

    refunds: Sequence[ListedRefund]
    next_cursor: str | None = None


class Lookup(StrEnum):
    """By what a provider finds a refund again."""

    BY_KEY = "by_key"  # by our key, or by metadata that carries it; then by the charge
    NEVER = "never"  # it only tells by webhook; the same key again is the only question


@dataclass(frozen=True, slots=True)
class Route:
    """What a provider can do with payments of one method."""

    window: timedelta | None = None
    """How long after the charge it refunds them; None is no limit that we know."""
    minimum_delay: timedelta = timedelta(0)
    """How long after the charge it begins to."""
    partial: bool = True
    synchronous: bool = True
    """Whether the answer to the call is usually final."""


@dataclass(frozen=True, slots=True)
class PollPlan:
    """How a refund that the provider accepted is asked after."""

    max_delay: timedelta = timedelta(hours=6)
    """The pauses double up to this one."""
    give_up: timedelta = timedelta(days=60)
    """After this a person asks: forty working days is the longest that a bank is known to take (Adyen)."""
    give_up_unknown: timedelta = timedelta(days=2)
    """A refund of which nobody knows for so long whether it was carried out is a person's: an outage of a day is outlived."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a provider can do for us, and until when."""

    idempotency_key_ttl: timedelta
    """How long the provider surely remembers an idempotency key; after it, the same key could pay again."""
    rejects_over_refund: bool = False
    """It refuses to refund more than was captured, whatever the key."""
    lookup: Lookup = Lookup.BY_KEY
    lists_refunds: bool = True
    """It can list its refunds, for reconciliation."""
    calls_per_second: float | None = None
    """The provider's own rate limit, shared by all our workers; None is no limit."""
    poll: PollPlan = PollPlan()
    routes: Mapping[str, Route] = field(default_factory=dict)
    """By payment method; one that is not named goes by ``otherwise``."""
    default_route: Route = Route()

    @property
    def can_look_up(self) -> bool:
        """Whether the provider answers what became of a refund; one that cannot only reports by webhook."""
        return self.lookup is not Lookup.NEVER

    def route(self, method: str) -> Route:
        """Returns what the provider can do with payments of this method."""
        return self.routes.get(method, self.default_route)


_WINDOWS: dict[tuple[str | None, str], timedelta] = {
    (None, "paypal"): timedelta(days=180),  # PayPal: "Issue a refund", 180 days
    ("stripe", "amazon_pay"): timedelta(days=90),  # Stripe: "Amazon Pay payments", refunds
}


def refund_window(capabilities: Capabilities | None, provider: str, method: str) -> timedelta | None:
    """How long after the charge this route refunds this method: what the adapter knows, else what we know of the method."""
    known = capabilities.route(method).window if capabilities else None
    return known or _WINDOWS.get((provider, method)) or _WINDOWS.get((None, method))


class PaymentProvider(Protocol):
    """One provider. Expected trouble is a value; an exception is a bug. Calls are made from several threads at once.

    Every call has one deadline, connecting, sending and reading to the end included.
    """

    capabilities: Capabilities

    def refund(self, charge: str, amount: Money, *, key: str) -> RefundResult:
        """Refunds the whole charge. The same key never pays twice. There is no payee: money goes back where it came from."""
        ...

    def look_up(self, charge: str, *, key: str) -> LookupResult:
        """What became of the refund that was sent with this key, or, where the key is unknown, of this charge."""
        ...

    def dispute(self, charge: str) -> DisputeStatus | Unknown:
        """How the dispute about this charge stands."""
        ...

    def list_refunds(self, since: datetime, after: str | None) -> RefundPage | Unknown:
        """A piece of the provider's refunds since this instant, starting after ``after``."""
        ...
