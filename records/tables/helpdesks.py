"""Define the tables of the tickets in other helpdesks: the tickets, the limits of each helpdesk, and the webhooks received."""

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, UUID

from records.tables.metadata import INSTANT, metadata

helpdesk_tickets = Table(
    "helpdesk_tickets",
    metadata,
    Column("id", UUID, primary_key=True),
    Column("task_id", UUID, nullable=False),
    Column("target", Text, nullable=False),
    Column("status", Text, nullable=False, server_default=text("'creating'")),
    Column("ref", Text),
    Column("round", Integer, nullable=False, server_default=text("1")),
    Column("follows", Text),
    Column("sent_sequence", Integer, nullable=False, server_default=text("0")),
    Column("revision", Text),
    Column("digest", LargeBinary),
    Column("sent_at", INSTANT),
    Column("first_sent_at", INSTANT),
    Column("lookups", Integer, nullable=False, server_default=text("0")),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("refused", Text),
    Column("why", Text),
    Column("created_at", INSTANT, nullable=False),
    Column("called_at", INSTANT),
    Column("claimed_until", INSTANT, nullable=False, server_default=text("'epoch'")),
    Column("next_action_at", INSTANT),
    UniqueConstraint("task_id", "target"),
    CheckConstraint("status in ('creating', 'unknown', 'live', 'closed')", name="known_status"),
    CheckConstraint("status <> 'live' or ref is not null", name="live_with_ref"),
    CheckConstraint("status <> 'unknown' or sent_at is not null", name="unknown_was_sent"),
    Index("helpdesk_tickets_due", "next_action_at", postgresql_where=text("next_action_at is not null")),
    Index("helpdesk_tickets_target_ref", "target", "ref", postgresql_where=text("ref is not null")),
)

helpdesk_targets = Table(
    "helpdesk_targets",
    metadata,
    Column("target", Text, primary_key=True),
    Column("buckets", JSONB, nullable=False, server_default=text("'{}'")),
    Column("paused_until", INSTANT, nullable=False, server_default=text("'epoch'")),
    Column("is_slow", Boolean, nullable=False, server_default=text("false")),
    Column("refusals", JSONB, nullable=False, server_default=text("'{}'")),
)

helpdesk_events = Table(
    "helpdesk_events",
    metadata,
    Column("id", UUID, primary_key=True),
    Column("target", Text, nullable=False),
    Column("delivery_id", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("received_at", INSTANT, nullable=False, server_default=text("now()")),
    Column("deliveries", Integer, nullable=False, server_default=text("1")),
    Column("outcome", Text),
    UniqueConstraint("target", "delivery_id"),
    Index("helpdesk_events_with_body", "received_at", postgresql_where=text("body <> ''::bytea")),
)
