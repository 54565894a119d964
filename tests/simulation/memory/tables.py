"""The tables in memory. They have the columns and the defaults of the tables in PostgreSQL."""

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
    reference_field: str | None
    four_eyes_minor: int | None = None
    four_eyes_currency: str | None = None
    undo_minor: int | None = None
    undo_currency: str | None = None
    answer_hours: int | None = None


class PolicyRow(NamedTuple):
    version: int
    in_force_from: datetime
    category: str
    days: int | None
    methods: list[str]
    excluded_products: list[str]
    renewals_excluded: bool
    refunds_inquiries: bool


@dataclass(slots=True, eq=False)
class PurchaseRow:
    id: UUID
    seller_id: str
    reference: str
    email: str
    product: str
    purchased_at: datetime
    renewal: bool
    consumer: bool
    tax: int | None
    items: str
    reported_refunded: int
    reported_dispute: str
    from_provider: bool
    literal_reference: str
    reference_key: str
    email_key: str
    transaction: int
    """The identity of the transaction that created the row, as PostgreSQL's xmin."""
    refunded_another_way: int = 0


@dataclass(slots=True, eq=False)
class PaymentRow:
    provider: str
    charge: str
    seller_id: str
    case_id: UUID | None = None
    captured: int | None = None
    reserved: int = 0
    refunded: int = 0
    refunded_elsewhere: int = 0
    dispute: str = "none"
    dispute_respond_by: datetime | None = None


@dataclass(slots=True, eq=False)
class PurchasePaymentRow:
    purchase_id: UUID
    position: int
    provider: str
    charge: str
    amount: int | None
    currency: str | None
    method: str
    instrument: str | None
    charged_at: datetime
    duplicate: bool


@dataclass(slots=True, eq=False)
class ExternalRefundRow:
    provider: str
    refund_id: str
    charge: str
    amount: int
    currency: str
    status: str
    recorded_at: datetime


@dataclass(slots=True, eq=False)
class CaseRow:
    id: UUID
    number: int
    seller_id: str | None
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
    for_any_seller: bool
    received_at: datetime
    state: str
    seq: int
    head_hash: bytes
    next_action_at: datetime | None
    purchase_id: UUID | None = None
    fence: int = 0
    lease_until: datetime = EPOCH
    not_before: datetime = EPOCH
    deliveries: int = 0
    delivered_at: datetime = EPOCH
    decided_seq: int = 0


class TransitionRow(NamedTuple):
    case_id: UUID
    seq: int
    created_at: datetime
    from_state: str
    event: str
    to_state: str
    actor: str
    why: str
    evidence: str
    hash: bytes


@dataclass(slots=True, eq=False)
class RefundOperationRow:
    case_id: UUID
    attempt: int
    provider: str
    charge: str
    amount: int
    currency: str
    key: str
    payload_hash: bytes
    is_last: bool
    refunds_inquiry: bool
    decision_id: UUID | None
    first_sent_at: datetime
    last_sent_at: datetime
    status: str = "sent"
    sends: int = 1
    polls: int = 0
    refund_id: str | None = None
    code: str | None = None
    paid_at: datetime | None = None
    replayed: bool = False
    customer_must_act: bool = False
    empty_lookups: int = 0
    looked_up_at: datetime | None = None
    reconciled_at: datetime | None = None
    paid_amount: int = 0


@dataclass(slots=True, eq=False)
class OutboxRow:
    id: int
    queue: str
    bulk: bool
    seller_id: str
    item_id: UUID
    created_at: datetime


@dataclass(slots=True, eq=False)
class SupportTaskRow:
    id: UUID
    kind: str
    case_id: UUID | None
    seq: int | None
    subject: str | None
    seller_id: str | None
    reasons: str
    evidence: str
    created_at: datetime
    claimed_until: datetime = EPOCH
    published_at: datetime | None = None
    closed_at: datetime | None = None
    closed_by: str | None = None
    outcome: str | None = None


@dataclass(slots=True, eq=False)
class WebhookEventRow:
    id: UUID
    provider: str
    event_id: str
    subject: str
    charge: str | None
    refund_id: str | None
    dispute_id: str | None
    reported: str | None
    received_at: datetime
    next_action_at: datetime | None
    anonymous: bool = False
    deliveries: int = 1
    attempts: int = 0
    crashes: int = 0
    claimed_until: datetime = EPOCH
    processed_at: datetime | None = None
    outcome: str | None = None


@dataclass(slots=True, eq=False)
class CaseEmailRow:
    case_id: UUID
    kind: str
    decided_seq: int
    created_at: datetime
    claimed_until: datetime = EPOCH
    sent_at: datetime | None = None
    omitted: bool = False
    bounced_at: datetime | None = None


@dataclass(slots=True)
class Database:
    """All tables. The tables need no indexes, because a simulated world is small."""

    sellers: dict[str, SellerRow] = field(default_factory=dict)
    policies: dict[tuple[str, int], PolicyRow] = field(default_factory=dict)
    purchases: dict[UUID, PurchaseRow] = field(default_factory=dict)
    cases: dict[UUID, CaseRow] = field(default_factory=dict)
    transitions: dict[tuple[UUID, int], TransitionRow] = field(default_factory=dict)
    payments: dict[tuple[str, str], PaymentRow] = field(default_factory=dict)
    purchase_payments: dict[tuple[UUID, int], PurchasePaymentRow] = field(default_factory=dict)
    external_refunds: dict[tuple[str, str], ExternalRefundRow] = field(default_factory=dict)
    refund_operations: dict[str, RefundOperationRow] = field(default_factory=dict)
    outbox: dict[int, OutboxRow] = field(default_factory=dict)
    support_tasks: dict[UUID, SupportTaskRow] = field(default_factory=dict)
    webhook_events: dict[UUID, WebhookEventRow] = field(default_factory=dict)
    case_emails: dict[tuple[UUID, str, int], CaseEmailRow] = field(default_factory=dict)
    dead_letters: list[tuple[Any, ...]] = field(default_factory=list)
    last_outbox_id: int = 0
    """The last id that an outbox row got. A rollback does not reset this id, as with a sequence of PostgreSQL."""
    last_case_number: int = 0
    """The last serial number that a case got. A rollback does not reset this number either."""


def after(start: datetime, seconds: float) -> datetime:
    """Return the time ``seconds`` after ``start``, as PostgreSQL computes it with ``make_interval``."""
    return start + timedelta(seconds=seconds)
