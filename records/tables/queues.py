"""Define the tables of due work (the outbox, support tasks, webhook events, case e-mails) and the table of dead letters."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Identity,
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

outbox = Table(
    "outbox",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("queue", Text, nullable=False),
    Column("bulk", Boolean, nullable=False),
    Column("seller_id", Text, nullable=False),
    Column("item_id", UUID, nullable=False),
    Column("created_at", INSTANT, nullable=False, server_default=text("now()")),
    Index("outbox_round_robin", "queue", "bulk", "seller_id", "id"),
    Index(None, "item_id", "queue"),
)

support_tasks = Table(
    "support_tasks",
    metadata,
    Column("id", UUID, primary_key=True),
    Column("kind", Text, nullable=False, server_default=text("'case'")),
    Column("case_id", UUID),
    Column("seq", Integer),
    Column("subject", Text),
    Column("seller_id", Text),
    Column("reasons", JSONB, nullable=False),
    Column("evidence", JSONB, nullable=False, server_default=text("'{}'")),
    Column("created_at", INSTANT, nullable=False, server_default=text("now()")),
    Column("claimed_until", INSTANT, nullable=False, server_default=text("'epoch'")),
    Column("published_at", INSTANT),
    Column("language", Text),
    Column("amount", BigInteger),
    Column("currency", Text),
    Column("due_at", INSTANT, nullable=False, server_default=text("now() + interval '3 days'")),
    Column("clocks", JSONB, nullable=False, server_default=text("'[]'")),
    Column("assigned_to", Text),
    Column("assigned_until", INSTANT),
    Column("closed_at", INSTANT),
    Column("closed_by", Text),
    Column("outcome", Text),
    Column("comment", Text),
    UniqueConstraint("case_id", "seq"),
    UniqueConstraint("kind", "subject"),
    CheckConstraint("(kind = 'case') = (seq is not null) and (kind = 'case') = (subject is null)", name="one_subject"),
    CheckConstraint("kind <> 'case' or case_id is not null", name="has_case"),
    CheckConstraint("(assigned_to is null) = (assigned_until is null)", name="complete_assignment"),
    CheckConstraint(
        "(closed_at is null) = (closed_by is null) and (closed_at is null) = (outcome is null)", name="complete_closing"
    ),
    Index("support_tasks_unpublished", "created_at", postgresql_where=text("published_at is null")),
    Index("support_tasks_open", "due_at", "id", postgresql_where=text("closed_at is null")),
    Index("support_tasks_open_of_seller", "seller_id", "due_at", "id", postgresql_where=text("closed_at is null")),
    Index("support_tasks_open_of_kind", "kind", "due_at", "id", postgresql_where=text("closed_at is null")),
    Index("support_tasks_with_comment", text("(evidence ->> 'charge')"), postgresql_where=text("comment is not null")),
)

support_task_events = Table(
    "support_task_events",
    metadata,
    Column("task_id", UUID, primary_key=True),
    Column("sequence", Integer, nullable=False, server_default=text("1")),
    Column("change", Text, nullable=False),
    Column("created_at", INSTANT, nullable=False, server_default=text("now()")),
    Column("claimed_until", INSTANT, nullable=False, server_default=text("'epoch'")),
    Column("published_at", INSTANT),
    Index("support_task_events_unpublished", "created_at", postgresql_where=text("published_at is null")),
)

webhook_events = Table(
    "webhook_events",
    metadata,
    Column("id", UUID, primary_key=True),
    Column("provider", Text, nullable=False),
    Column("event_id", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("charge", Text),
    Column("refund_id", Text),
    Column("dispute_id", Text),
    Column("reported", JSONB),
    Column("anonymous", Boolean, nullable=False, server_default=text("false")),
    Column("body", LargeBinary, nullable=False),
    Column("received_at", INSTANT, nullable=False, server_default=text("now()")),
    Column("deliveries", Integer, nullable=False, server_default=text("1")),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("crashes", Integer, nullable=False, server_default=text("0")),
    Column("claimed_until", INSTANT, nullable=False, server_default=text("'epoch'")),
    Column("next_action_at", INSTANT),
    Column("processed_at", INSTANT),
    Column("outcome", Text),
    UniqueConstraint("provider", "event_id"),
    Index("webhook_events_due", "next_action_at", postgresql_where=text("next_action_at is not null")),
    Index(None, "provider", "charge"),
    Index(None, "provider", "dispute_id", postgresql_where=text("dispute_id is not null")),
)

case_emails = Table(
    "case_emails",
    metadata,
    Column("case_id", UUID, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("decided_seq", Integer, primary_key=True, autoincrement=False, server_default=text("0")),
    Column("created_at", INSTANT, nullable=False, server_default=text("now()")),
    Column("claimed_until", INSTANT, nullable=False, server_default=text("'epoch'")),
    Column("sent_at", INSTANT),
    Column("bounced_at", INSTANT),
    Index("case_emails_unsent", "created_at", postgresql_where=text("sent_at is null")),
)

dead_letters = Table(
    "dead_letters",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("queue", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("why", Text, nullable=False),
    Column("created_at", INSTANT, nullable=False, server_default=text("now()")),
    Column("redriven_at", INSTANT),
    Index(None, "created_at"),
)
