"""The tables in memory, with the columns and the defaults of the real ones."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(slots=True, eq=False)
class SellerRow:
    id: str
    name: str
    time_zone: str
    support_email: str
    self_service: bool
    ceiling_minor: int | None
    ceiling_currency: str | None
    serial_count: int | None
    serial_days: int | None


class PolicyRow(NamedTuple):
    version: int
    in_force_from: datetime
    category: str
    days: int | None
    methods: list[str]
    excluded_products: list[str]
    renewals_excluded: bool


@dataclass(slots=True, eq=False)
class PurchaseRow:
    id: UUID
    seller: str
    reference: str
    email: str
    product: str
    amount: int | None
    currency: str | None
    refunded: int
    method: str
    provider: str
    charge: str
    instrument: str | None
    purchased_at: datetime
    charged_at: datetime
    renewal: bool
    consumer: bool
    dispute: str
    reference_key: str
    email_key: str
    disputed: str | None = None


@dataclass(slots=True, eq=False)
class CaseRow:
    id: UUID
    seller: str | None
    channel: str
    intake_source: str
    intake_key: str
    intake_digest: bytes
    email: str
    email_key: str
    reference: str
    reference_key: str
    reason: str
    refund_scope: str
    comment: str
    answers: str
    locale: str
    thread: str | None
    trusted: bool
    bulk: bool
    received_at: datetime
    state: str
    seq: int
    head: bytes
    next_action_at: datetime | None
    purchase: UUID | None = None
    fence: int = 0
    lease_until: datetime = EPOCH
    not_before: datetime = EPOCH
    deliveries: int = 0
    delivered_at: datetime = EPOCH


class TransitionRow(NamedTuple):
    case_id: UUID
    seq: int
    at: datetime
    here: str
    event: str
    there: str
    actor: str
    why: str
    evidence: str
    hash: bytes


@dataclass(slots=True, eq=False)
class ClaimRow:
    provider: str
    charge: str
    case_id: UUID


@dataclass(slots=True, eq=False)
class OperationRow:
    case_id: UUID
    attempt: int
    provider: str
    charge: str
    amount: int
    currency: str
    key: str
    payload_hash: bytes
    first_sent_at: datetime
    last_sent_at: datetime
    status: str = "sent"
    sends: int = 1
    asks: int = 0
    refund_id: str | None = None
    code: str | None = None
    paid_at: datetime | None = None
    replayed: bool = False
    empty_lookups: int = 0
    looked_up_at: datetime | None = None
    reconciled_at: datetime | None = None


@dataclass(slots=True, eq=False)
class OutboxRow:
    id: int
    lane: str
    bulk: bool
    seller: str
    case_id: UUID
    at: datetime


@dataclass(slots=True, eq=False)
class TaskRow:
    id: UUID
    kind: str
    case_id: UUID | None
    seq: int | None
    subject: str | None
    seller: str | None
    reasons: str
    evidence: str
    created_at: datetime
    claimed_until: datetime = EPOCH
    published_at: datetime | None = None


@dataclass(slots=True, eq=False)
class NoticeRow:
    id: UUID
    provider: str
    event: str
    about: str
    charge: str | None
    refund_id: str | None
    said: str | None
    received_at: datetime
    next_action_at: datetime | None
    arrivals: int = 1
    attempts: int = 0
    crashes: int = 0
    claimed_until: datetime = EPOCH
    outcome: str | None = None


@dataclass(slots=True, eq=False)
class LetterRow:
    case_id: UUID
    stage: str
    created_at: datetime
    claimed_until: datetime = EPOCH
    sent_at: datetime | None = None
    bounced_at: datetime | None = None


@dataclass(slots=True)
class Database:
    """Every table. Small worlds: looking through a table costs less than keeping an index right."""

    sellers: dict[str, SellerRow] = field(default_factory=dict)
    policies: dict[tuple[str, int], PolicyRow] = field(default_factory=dict)
    purchases: dict[UUID, PurchaseRow] = field(default_factory=dict)
    cases: dict[UUID, CaseRow] = field(default_factory=dict)
    transitions: dict[tuple[UUID, int], TransitionRow] = field(default_factory=dict)
    claims: dict[tuple[str, str], ClaimRow] = field(default_factory=dict)
    operations: dict[str, OperationRow] = field(default_factory=dict)
    outbox: dict[int, OutboxRow] = field(default_factory=dict)
    tasks: dict[UUID, TaskRow] = field(default_factory=dict)
    notices: dict[UUID, NoticeRow] = field(default_factory=dict)
    letters: dict[tuple[UUID, str], LetterRow] = field(default_factory=dict)
    dead: list[tuple[Any, ...]] = field(default_factory=list)
    numbers: int = 0
    """The outbox's sequence; as a real one it is not rolled back."""


def after(at: datetime, seconds: float) -> datetime:
    """`at + make_interval(secs => seconds)`."""
    return at + timedelta(seconds=seconds)
