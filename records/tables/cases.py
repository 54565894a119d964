"""Define the tables of sellers and policies, and of cases with their history and refund operations.

The migrations create these tables. A test compares the migrations with these definitions.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, UUID

from domain.case_numbers import MAX_SERIAL
from domain.refund_operations import OPEN_STATUSES, UNRESOLVED_STATUSES
from domain.states import ENDED_BY_SUPPORT, FINAL_STATES, OPEN_STATES, WORKER_STATES
from records.tables.metadata import INSTANT, metadata, quoted_list

ENDED_STATE_NAMES = quoted_list(ENDED_BY_SUPPORT)
FINAL_STATE_NAMES = quoted_list(FINAL_STATES)
OPEN_STATE_NAMES = quoted_list(OPEN_STATES)
WORKER_STATE_NAMES = quoted_list(WORKER_STATES)

OPEN_STATUS_NAMES = quoted_list(OPEN_STATUSES)
UNRESOLVED_STATUS_NAMES = quoted_list(UNRESOLVED_STATUSES)

sellers = Table(
    "sellers",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("time_zone", Text, nullable=False),
    Column("support_email", Text, nullable=False),
    Column("self_service", Boolean, nullable=False, server_default=text("true")),
    Column("ceiling_minor", BigInteger),
    Column("ceiling_currency", Text),
    Column("serial_count", Integer),
    Column("serial_days", Integer),
    Column("reference_field", Text),
    Column("four_eyes_minor", BigInteger),
    Column("four_eyes_currency", Text),
    Column("undo_minor", BigInteger),
    Column("undo_currency", Text),
    CheckConstraint("(four_eyes_minor is null) = (four_eyes_currency is null)", name="complete_four_eyes_limit"),
    CheckConstraint("(undo_minor is null) = (undo_currency is null)", name="complete_undo_limit"),
    Column("answer_hours", Integer),
    CheckConstraint("(ceiling_minor is null) = (ceiling_currency is null)", name="complete_ceiling"),
    CheckConstraint("(serial_count is null) = (serial_days is null)", name="complete_serial_limit"),
    CheckConstraint("answer_hours > 0", name="positive_answer_hours"),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", UUID, primary_key=True),
    Column("seller_id", Text, ForeignKey("sellers.id"), nullable=False),
    Column("hash", LargeBinary, nullable=False, unique=True),
    Column("name", Text, nullable=False, server_default=text("''")),
    Column("scopes", ARRAY(Text), nullable=False, server_default=text("'{}'")),
    Column("created_at", INSTANT, nullable=False, server_default=text("now()")),
    Column("last_used_at", INSTANT),
    Column("expires_at", INSTANT, nullable=False, server_default=text("'infinity'")),
)

storefronts = Table(
    "storefronts",
    metadata,
    Column("seller_id", Text, ForeignKey("sellers.id"), primary_key=True),
    Column("colour", Text),
    Column("website", Text),
    Column("technical_support", Text),
)

policies = Table(
    "policies",
    metadata,
    Column("seller_id", Text, ForeignKey("sellers.id"), primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("in_force_from", INSTANT, nullable=False),
    Column("category", Text, nullable=False),
    Column("days", Integer),
    Column("methods", ARRAY(Text), nullable=False, server_default=text("'{}'")),
    Column("excluded_products", ARRAY(Text), nullable=False, server_default=text("'{}'")),
    Column("renewals_excluded", Boolean, nullable=False, server_default=text("false")),
    Column("refunds_inquiries", Boolean, nullable=False, server_default=text("false")),
)

cases = Table(
    "cases",
    metadata,
    Column("id", UUID, primary_key=True),
    Column("number", BigInteger, Identity(always=True, maxvalue=MAX_SERIAL), nullable=False, unique=True),
    Column("seller_id", Text, ForeignKey("sellers.id")),
    Column("purchase_id", UUID, ForeignKey("purchases.id")),
    Column("channel", Text, nullable=False),
    Column("intake_source", Text, nullable=False),
    Column("intake_key", Text, nullable=False),
    Column("intake_digest", LargeBinary, nullable=False),
    Column("email", Text, nullable=False),
    Column("email_key", Text, nullable=False),
    Column("reference", Text, nullable=False),
    Column("reference_key", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("refund_scope", Text, nullable=False),
    Column("comment", Text, nullable=False),
    Column("answers", JSONB, nullable=False, server_default=text("'{}'")),
    Column("locale", Text, nullable=False),
    Column("thread", Text),
    Column("trusted", Boolean, nullable=False),
    Column("bulk", Boolean, nullable=False, server_default=text("false")),
    Column("for_any_seller", Boolean, nullable=False, server_default=text("false")),
    Column("received_at", INSTANT, nullable=False),
    Column("state", Text, nullable=False),
    Column("seq", Integer, nullable=False),
    Column("head_hash", LargeBinary, nullable=False),
    Column("fence", Integer, nullable=False, server_default=text("0")),
    Column("lease_until", INSTANT, nullable=False, server_default=text("'epoch'")),
    Column("next_action_at", INSTANT),
    Column("not_before", INSTANT, nullable=False, server_default=text("'epoch'")),
    Column("deliveries", Integer, nullable=False, server_default=text("0")),
    Column("delivered_at", INSTANT, nullable=False, server_default=text("'epoch'")),
    Column("decided_seq", Integer, nullable=False, server_default=text("0")),
    Column("forgotten_at", INSTANT),
    UniqueConstraint("intake_source", "intake_key"),
    Index(None, "seller_id", "received_at"),
    Index(
        "cases_not_forgotten",
        "received_at",
        postgresql_where=text(f"forgotten_at is null and state in ({FINAL_STATE_NAMES})"),
    ),
    Index(
        "cases_one_open_case_per_purchase",
        "purchase_id",
        unique=True,
        postgresql_where=text(f"state in ({OPEN_STATE_NAMES})"),
    ),
    Index(
        "cases_due",
        text("coalesce(seller_id, '')"),
        "next_action_at",
        postgresql_where=text("next_action_at is not null"),
    ),
    Index(None, "email_key", "received_at"),
    Index(None, "reference_key"),
    Index(None, "purchase_id"),
    Index("cases_duplicates", "purchase_id", postgresql_where=text("state = 'duplicate'")),
    Index("cases_unmatched", "email_key", postgresql_where=text("state = 'unmatched'")),
    Index("cases_unmatched_received", "received_at", postgresql_where=text("state = 'unmatched'")),
    Index(
        "cases_without_purchase", "email_key", postgresql_where=text("state = 'with_support' and purchase_id is null")
    ),
    Index("cases_for_any_seller", "email_key", postgresql_where=text("for_any_seller")),
    Index("cases_for_any_seller_received", "received_at", postgresql_where=text("for_any_seller")),
    CheckConstraint(f"state not in ({WORKER_STATE_NAMES}) or next_action_at is not null", name="scheduled"),
    postgresql_with={"fillfactor": "70"},
)

transitions = Table(
    "transitions",
    metadata,
    Column("case_id", UUID, ForeignKey("cases.id"), primary_key=True),
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("created_at", INSTANT, nullable=False),
    Column("from_state", Text, nullable=False),
    Column("event", Text, nullable=False),
    Column("to_state", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("why", Text, nullable=False),
    Column("evidence", JSONB, nullable=False),
    Column("hash", LargeBinary, nullable=False),
)

transition_redactions = Table(
    "transition_redactions",
    metadata,
    Column("case_id", UUID, primary_key=True),
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("hash", LargeBinary, nullable=False),
    Column("redacted_at", INSTANT, nullable=False),
    Column("redacted_by", Text, nullable=False),
    ForeignKeyConstraint(["case_id", "seq"], ["transitions.case_id", "transitions.seq"]),
)
"""The rows of the history whose personal data was removed, each with a hash of what is left of the row. It is append-only."""

refund_operations = Table(
    "refund_operations",
    metadata,
    Column("case_id", UUID, ForeignKey("cases.id"), primary_key=True),
    Column("attempt", Integer, primary_key=True, autoincrement=False, server_default=text("1")),
    Column("provider", Text, nullable=False),
    Column("charge", Text, nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("currency", Text, nullable=False),
    Column("key", Text, nullable=False, unique=True),
    Column("payload_hash", LargeBinary, nullable=False),
    Column("first_sent_at", INSTANT, nullable=False),
    Column("last_sent_at", INSTANT, nullable=False),
    Column("sends", Integer, nullable=False, server_default=text("1")),
    Column("polls", Integer, nullable=False, server_default=text("0")),
    Column("status", Text, nullable=False),
    Column("refund_id", Text),
    Column("code", Text),
    Column("paid_at", INSTANT),
    Column("replayed", Boolean, nullable=False, server_default=text("false")),
    Column("empty_lookups", Integer, nullable=False, server_default=text("0")),
    Column("looked_up_at", INSTANT),
    Column("reconciled_at", INSTANT),
    Column("is_last", Boolean, nullable=False, server_default=text("true")),
    Column("refunds_inquiry", Boolean, nullable=False, server_default=text("false")),
    Column("customer_must_act", Boolean, nullable=False, server_default=text("false")),
    Column("paid_amount", BigInteger, nullable=False, server_default=text("0")),
    Column("decision_id", UUID),
    UniqueConstraint("provider", "refund_id"),
    Index(None, "provider", "charge"),
    Index(None, "charge"),
    Index(None, "refund_id"),
    Index("refund_operations_paid", "paid_at", postgresql_where=text("status = 'paid'")),
    Index(
        "refund_operations_one_unresolved_per_payment",
        "provider",
        "charge",
        unique=True,
        postgresql_where=text(f"status in ({UNRESOLVED_STATUS_NAMES})"),
    ),
    CheckConstraint("amount > 0", name="positive_amount"),
)
