"""The tables in memory: rows that a journal can put back, and the constraints of the real ones, by their names."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy.exc import IntegrityError

from domain.states import LIVE, MOVING

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
OPEN = frozenset({"sent", "unknown", "pending", "paid"})
"""What records.tables calls OPEN_STATUSES; the contract tests hold the two against each other."""


class RefusedRowError(Exception):
    """What a database says that refuses a row."""


def refuse(constraint: str) -> IntegrityError:
    """The error that the real database raises for this constraint."""
    return IntegrityError(constraint, None, RefusedRowError(f'The row violates the constraint "{constraint}".'))


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
    excepted_products: list[str]
    renewals_excepted: bool


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
    wish: str
    comment: str
    locale: str
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
    empty_look_ups: int = 0
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
    hearings: int = 0
    claimed_until: datetime = EPOCH
    outcome: str | None = None


@dataclass(slots=True, eq=False)
class LetterRow:
    case_id: UUID
    stage: str
    created_at: datetime
    claimed_until: datetime = EPOCH
    sent_at: datetime | None = None


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


class Journal:
    """What one transaction changed, so that it can be put back, and looked at."""

    def __init__(self, tables: Database) -> None:
        self.tables = tables
        self.changed: list[tuple[Any, dict[str, Any]]] = []
        self._undo: list[Callable[[], object]] = []

    def insert(self, table: dict[Any, Any], key: object, row: Any, constraint: str) -> None:
        """Adds a row, unless its key is taken."""
        if key in table:
            raise refuse(constraint)
        table[key] = row
        self._undo.append(lambda: table.pop(key))
        self.changed.append((row, {}))

    def append(self, table: list[Any], row: object) -> None:
        """Adds a row to a table without a key."""
        table.append(row)
        self._undo.append(table.pop)

    def delete(self, table: dict[Any, Any], key: object) -> None:
        """Removes a row."""
        row = table.pop(key)
        self._undo.append(lambda: table.__setitem__(key, row))

    def change(self, row: Any, **values: Any) -> None:
        """Gives a row other values."""
        old = {name: getattr(row, name) for name in values}
        _set(row, values)
        self._undo.append(lambda: _set(row, old))
        self.changed.append((row, old))

    def roll_back(self) -> None:
        """Puts everything back."""
        for undo in reversed(self._undo):
            undo()

    def check_case(self, row: CaseRow) -> None:
        """The constraints of a case that was changed."""
        tables = self.tables
        if row.state in MOVING and row.next_action_at is None:
            raise refuse("cases_owned_check")
        if row.purchase is not None and row.purchase not in tables.purchases:
            raise refuse("cases_purchase_fkey")
        if row.seller is not None and row.seller not in tables.sellers:
            raise refuse("cases_seller_fkey")
        if ONE_LIVE_CASE in enforced and row.purchase is not None and row.state in LIVE:
            for other in tables.cases.values():
                if other is not row and other.purchase == row.purchase and other.state in LIVE:
                    raise refuse(ONE_LIVE_CASE)

    def check_operation(self, row: OperationRow) -> None:
        """The constraints of an operation that was changed."""
        for other in self.tables.operations.values():
            if other is row or other.provider != row.provider:
                continue
            if other.charge == row.charge and ONE_OPEN in enforced and {other.status, row.status} <= OPEN:
                raise refuse(ONE_OPEN)
            if row.refund_id is not None and other.refund_id == row.refund_id:
                raise refuse("operations_provider_refund_id_key")


def _set(row: Any, values: dict[str, Any]) -> None:
    for name, value in values.items():
        setattr(row, name, value)


ONE_LIVE_CASE = "cases_one_live_case_a_purchase"
ONE_OPEN = "operations_one_open_a_payment"

enforced = {ONE_LIVE_CASE, ONE_OPEN}
"""The indexes that a planted mistake may leave out."""


def after(at: datetime, seconds: float) -> datetime:
    """`at + make_interval(secs => seconds)`."""
    return at + timedelta(seconds=seconds)
