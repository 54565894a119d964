"""The tickets that other helpdesks get for support tasks: values, the interface of a bridge, and which call comes next.

A ticket is created once. The row of the ticket is committed before each call, so after a lost answer the ticket is looked up by
its mark before it is created again. Everything here is pure: the caller gives the current time.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from html import escape
from typing import Literal, NamedTuple, Protocol
from uuid import UUID

CALL_SECONDS = 30.0
"""The maximum duration of one call, with all its HTTP requests."""
CALL_LIFETIME = timedelta(seconds=2 * CALL_SECONDS)
"""After this time, a call whose answer was lost has had its effect, or never has one."""
MIN_UPDATE_PAUSE = timedelta(seconds=20)
"""The time between two calls for one ticket. Zendesk allows 30 updates of a ticket in 10 minutes."""
MAX_EMPTY_LOOKUPS = 3
"""After this number of lookups that found nothing, the ticket is created again if that is safe. Otherwise a person looks."""
KEY_MARGIN = timedelta(minutes=10)
"""A key is not used in the last minutes of its documented life, because clocks differ and a call takes time."""


class TicketStatus(StrEnum):
    """The status of a ticket."""

    CREATING = "creating"
    """The ticket is not created yet, or the call that creates it has not been answered yet."""
    UNKNOWN = "unknown"
    """The answer to the call that creates the ticket was lost, so the ticket may exist."""
    LIVE = "live"
    """The ticket exists."""
    CLOSED = "closed"
    """The ticket is closed, because the support task is closed."""


class CallKind(StrEnum):
    """A kind of call to a helpdesk. Helpdesks limit the calls of a kind, and all calls together."""

    CREATE = "create"
    FIND = "find"
    UPDATE = "update"
    CLOSE = "close"


class Section(NamedTuple):
    """A part of a ticket's text: a heading and lines."""

    heading: str
    lines: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """A support task as a helpdesk shows it. ``mark`` identifies the ticket, because the lookup finds the ticket by its mark."""

    task_id: UUID
    mark: str
    sequence: int
    """The number of the event of the task that the ticket shows."""
    revision: str | None
    """The revision of the case that the ticket shows; None if the task has no case."""
    title: str
    sections: Sequence[Section]
    opened_at: datetime
    due_at: datetime
    priority: Literal["normal", "high", "urgent"]
    seller: str
    language: str | None
    url: str | None
    event: Mapping[str, object]
    """The event of version 2, for programs."""
    is_closed: bool
    outcome: str | None
    reopens: bool = False
    """True if the ticket was closed, and the task is open again."""
    follows: str | None = None
    """The ticket before this ticket, which the helpdesk does not open again."""

    @property
    def text(self) -> str:
        """The ticket as plain text."""
        parts = [f"{heading}\n" + "\n".join(lines) if heading else "\n".join(lines) for heading, lines in self.sections]
        return "\n\n".join(parts)

    @property
    def html(self) -> str:
        """The ticket as HTML. Every text is escaped, because customers and sellers wrote parts of it."""
        parts = []
        for heading, lines in self.sections:
            title = f"<h3>{escape(heading)}</h3>" if heading else ""
            parts.append(f"{title}<p>{'<br>'.join(escape(line) for line in lines)}</p>")
        return "".join(parts)


@dataclass(frozen=True, slots=True)
class Exists:
    """The ticket exists. ``ref`` is the helpdesk's id of the ticket."""

    ref: str
    is_complete: bool = True
    """False if the ticket was created without its text, so that an update must follow."""


@dataclass(frozen=True, slots=True)
class NotFound:
    """The lookup found no ticket."""


@dataclass(frozen=True, slots=True)
class Done:
    """The helpdesk has changed the ticket."""


@dataclass(frozen=True, slots=True)
class Gone:
    """The ticket cannot be changed any more. If ``needs_follow_up``, a new ticket must follow it."""

    needs_follow_up: bool = False


@dataclass(frozen=True, slots=True)
class NotSent:
    """The call certainly had no effect, so it may be repeated later."""

    why: str
    retry_after: float | None = None
    """The helpdesk wants no call for this number of seconds (Retry-After)."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The helpdesk refuses the call until an operator has corrected something. The call had no effect."""

    cause: str
    """The HTTP status, or the helpdesk's error code."""
    why: str
    is_for_all: bool
    """True if the helpdesk refuses every call, for example because the credentials are wrong."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """The answer was lost, so it is unknown whether the call had its effect."""

    why: str
    retry_after: float | None = None


Result = Exists | NotFound | Done | Gone | NotSent | Refused | Unknown
CreateResult = Exists | NotSent | Refused | Unknown
FindResult = Exists | NotFound | NotSent | Refused | Unknown
ChangeResult = Done | Gone | NotSent | Refused | Unknown


class RateLimit(NamedTuple):
    """At most ``calls`` in any ``seconds``, as the helpdesk documents it."""

    calls: int
    seconds: float = 60.0


ALL_CALLS = "all"
"""The name of the rate limit that counts every call. The other limits have the name of a ``CallKind``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HelpdeskCapabilities:
    """What the API of a helpdesk documents. Where the documents are silent, less is assumed."""

    key_ttl: timedelta | None = None
    """How long a repeated creation with the same key creates no second ticket. None if there is no key."""
    can_find: bool = True
    """Whether a ticket can be looked up by its mark."""
    index_lag: timedelta = timedelta(minutes=5)
    """The time after which the lookup finds a new ticket."""
    is_consistent: bool = False
    """Whether the lookup finds each ticket at once. Then a ticket that it does not find does not exist."""
    limits: Mapping[str, RateLimit] = field(default_factory=dict)
    requests: Mapping[CallKind, int] = field(default_factory=dict)
    """The maximum number of HTTP requests of a call of a kind. A kind that is not named has one request."""

    def requests_of(self, kind: CallKind) -> int:
        """Return the maximum number of HTTP requests of one call."""
        return self.requests.get(kind, 1)

    @property
    def lookup_pause(self) -> timedelta:
        """The time to wait after a lost answer, and between two lookups."""
        return max(self.index_lag, CALL_LIFETIME)


class Helpdesk(Protocol):
    """A bridge to a helpdesk. Each call is made once, within one deadline, and each answer is a value.

    No call writes to the customer: comments are internal, and the requester is an address of the seller.
    """

    capabilities: HelpdeskCapabilities

    def create(self, ticket: Ticket, mark: str) -> CreateResult:
        """Create a ticket with this mark. The mark is also the idempotency key, if the helpdesk has such keys."""
        ...

    def find(self, mark: str, *, since: datetime) -> FindResult:
        """Look up the ticket with this mark. ``since`` is the instant before which the ticket cannot have been created."""
        ...

    def update(self, ref: str, ticket: Ticket) -> ChangeResult:
        """Show the task as it is now in the ticket."""
        ...

    def close(self, ref: str, ticket: Ticket) -> ChangeResult:
        """Close the ticket, and say how the task was closed."""
        ...

    def check(self) -> Sequence[str]:
        """Read what the bridge needs. Return a sentence for each fault. Nothing is changed."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TicketRow:
    """What the database knows about one ticket."""

    id: UUID
    task_id: UUID
    target: str
    status: TicketStatus
    ref: str | None
    round: int
    """The number of tickets for the task at this helpdesk, with this ticket. A ticket that follows a closed ticket has 2."""
    follows: str | None
    sent_sequence: int
    """The number of the event that the helpdesk shows."""
    sent_at: datetime | None
    """The instant of the last call that creates the ticket, if the answer to this call or to an earlier call was lost."""
    first_sent_at: datetime | None
    """The instant of the first call that creates the ticket. The life of its key starts then."""
    lookups: int
    """The number of lookups that found nothing since the last call that creates the ticket."""
    attempts: int
    """The number of calls in a row that had no effect, or whose effect is unknown."""
    refused: str | None
    """The cause for which the helpdesk refuses the ticket."""
    revision: str | None
    """The revision of the case that the helpdesk shows. A decision from the helpdesk is about this revision."""
    digest: bytes | None
    """The SHA-256 of what the helpdesk shows."""

    @property
    def mark(self) -> str:
        """The mark of the ticket at the helpdesk."""
        return mark_of(self.task_id, self.round)


def mark_of(task_id: UUID, ticket_round: int = 1) -> str:
    """Return the mark by which a ticket is found. The task's id is random enough that no other text contains it."""
    return f"moneyback-{task_id}" + (f"-{ticket_round}" if ticket_round > 1 else "")


def next_call(row: TicketRow, capabilities: HelpdeskCapabilities, now: datetime, *, is_closed: bool) -> CallKind:
    """Return the call that the ticket needs. A ticket whose creation may have had its effect is never created blindly."""
    if row.ref is not None:
        return CallKind.CLOSE if is_closed else CallKind.UPDATE
    if row.sent_at is None or may_create_again(row, capabilities, now):
        return CallKind.CREATE
    return CallKind.FIND


def may_create_again(row: TicketRow, capabilities: HelpdeskCapabilities, now: datetime) -> bool:
    """Return whether a repeated creation cannot create a second ticket, although the answer to the first one was lost."""
    if capabilities.can_find and row.lookups < MAX_EMPTY_LOOKUPS:
        return False
    return capabilities.is_consistent or has_key(row, capabilities, now)


def has_key(row: TicketRow, capabilities: HelpdeskCapabilities, now: datetime) -> bool:
    """Return whether the helpdesk still knows the key of the first call that creates the ticket."""
    if capabilities.key_ttl is None or row.first_sent_at is None:
        return False
    return now - row.first_sent_at < capabilities.key_ttl - KEY_MARGIN


def needs_operator(row: TicketRow, capabilities: HelpdeskCapabilities, now: datetime) -> bool:
    """Return whether a person must look for the ticket at the helpdesk, because it is neither found nor safe to create."""
    if row.ref is not None or row.sent_at is None or may_create_again(row, capabilities, now):
        return False
    return row.lookups >= MAX_EMPTY_LOOKUPS or not capabilities.can_find


LATENESS = 10.0
"""The maximum number of seconds between the permission for a call and the call."""
BURSTS = 6  # the part of a limit that may be used at once; the rest is spread evenly


class Bucket(NamedTuple):
    """A token bucket: the number of calls that are allowed at the instant ``at``, in seconds since the epoch."""

    tokens: float
    at: float


class TokenBucket(NamedTuple):
    """The size of a bucket and its refill. Together they never allow more calls than the limit, even if calls are late."""

    size: float
    per_second: float

    @classmethod
    def of(cls, limit: RateLimit) -> "TokenBucket":
        """Return the bucket for a limit.

        A window of ``seconds`` contains at most the calls that were allowed in ``seconds + LATENESS``.
        """
        size = max(1.0, limit.calls // BURSTS)
        return cls(size, (limit.calls - size) / (limit.seconds + LATENESS))

    def refill(self, bucket: Bucket | None, now: float) -> Bucket:
        """Return the bucket at the instant ``now``. A bucket that was never used is full."""
        if bucket is None:
            return Bucket(self.size, now)
        return Bucket(min(self.size, bucket.tokens + max(0.0, now - bucket.at) * self.per_second), max(now, bucket.at))

    def wait(self, bucket: Bucket, requests: float) -> float:
        """Return the seconds until the bucket allows ``requests``. The bucket may lend, because a call may exceed its size."""
        return max(0.0, (min(requests, self.size) - bucket.tokens) / self.per_second)


class Limiter:
    """The rate limits of one helpdesk at one instant. The caller stores ``buckets`` under a lock that all processes share."""

    def __init__(
        self, capabilities: HelpdeskCapabilities, buckets: Mapping[str, Sequence[float]], now: datetime
    ) -> None:
        self._capabilities = capabilities
        self._sizes = {name: TokenBucket.of(limit) for name, limit in capabilities.limits.items()}
        known = {name: Bucket(*bucket) for name, bucket in buckets.items()}
        self.buckets = {name: size.refill(known.get(name), now.timestamp()) for name, size in self._sizes.items()}

    def take(self, kind: CallKind) -> bool:
        """Take what a call of this kind needs. Return False, and take nothing, if a limit does not allow the call now."""
        requests = self._capabilities.requests_of(kind)
        names = self._names(kind)
        if any(self._sizes[name].wait(self.buckets[name], requests) > 0 for name in names):
            return False
        for name in names:
            bucket = self.buckets[name]
            self.buckets[name] = bucket._replace(tokens=bucket.tokens - requests)
        return True

    def wait(self, kind: CallKind, position: int) -> float:
        """Return the seconds until the call at this position in the line of waiting calls is allowed."""
        requests = self._capabilities.requests_of(kind)
        waits = [
            self._sizes[name].wait(self.buckets[name], requests) + position * requests / self._sizes[name].per_second
            for name in self._names(kind)
        ]
        return max(waits, default=0.0)

    def _names(self, kind: CallKind) -> list[str]:
        """Return the names of the limits that count a call of this kind. A call that closes a ticket is an update."""
        limited = CallKind.UPDATE if kind is CallKind.CLOSE else kind
        return [name for name in (ALL_CALLS, limited.value) if name in self._sizes]
