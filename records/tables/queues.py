"""Define the tables of due work (the outbox, support tasks, webhook events, case e-mails) and the table of dead letters."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Computed,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, TSVECTOR, UUID

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

_FILTERED = (
    *("seller_id", "kind", "language", "amount", "currency", "created_at", "assigned_to", "assigned_until"),
    *("snoozed_until", "reason_codes"),
)
"""The columns by which agents filter the queue. The indexes of the queue contain them, so that a filter reads no rows."""

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
    Column("snoozed_until", INSTANT),
    Column("snoozed_for", Text),
    Column("snoozed_by", Text),
    Column("snoozed_revision", Text),
    Column("words", TSVECTOR, nullable=False, server_default=text("''")),
    Column(
        "reason_codes",
        ARRAY(Text),
        Computed(
            """string_to_array(translate(jsonb_path_query_array(reasons, '$[*].code')::text, '[]" ', ''), ',')""",
            persisted=True,
        ),
    ),
    UniqueConstraint("case_id", "seq"),
    UniqueConstraint("kind", "subject"),
    CheckConstraint("(kind = 'case') = (seq is not null) and (kind = 'case') = (subject is null)", name="one_subject"),
    CheckConstraint("kind <> 'case' or case_id is not null", name="has_case"),
    CheckConstraint("(assigned_to is null) = (assigned_until is null)", name="complete_assignment"),
    CheckConstraint(
        "(closed_at is null) = (closed_by is null) and (closed_at is null) = (outcome is null)", name="complete_closing"
    ),
    CheckConstraint(
        "(snoozed_until is null) = (snoozed_for is null) and (snoozed_until is null) = (snoozed_by is null)",
        name="complete_snooze",
    ),
    Index("support_tasks_unpublished", "created_at", postgresql_where=text("published_at is null")),
    Index(
        "support_tasks_open",
        "due_at",
        "id",
        postgresql_include=_FILTERED,
        postgresql_where=text("closed_at is null"),
    ),
    Index(
        "support_tasks_open_of_seller",
        "seller_id",
        "due_at",
        "id",
        postgresql_include=_FILTERED[1:],
        postgresql_where=text("closed_at is null"),
    ),
    Index(
        "support_tasks_assigned",
        "assigned_to",
        "due_at",
        "id",
        postgresql_where=text("closed_at is null and assigned_to is not null"),
    ),
    Index(
        "support_tasks_snoozed",
        "due_at",
        "id",
        postgresql_include=("seller_id", "snoozed_until"),
        postgresql_where=text("closed_at is null and snoozed_until is not null"),
    ),
    Index("support_tasks_created", "created_at", postgresql_where=text("closed_at is null")),
    Index("support_tasks_amount", "currency", "amount", postgresql_where=text("closed_at is null")),
    Index(
        "support_tasks_language",
        text("split_part(lower(language), '-', 1)"),
        "due_at",
        "id",
        postgresql_include=("language", "seller_id", "assigned_until", "snoozed_until"),
        postgresql_where=text("closed_at is null"),
    ),
    Index(
        "support_tasks_reason_codes",
        "reason_codes",
        postgresql_using="gin",
        postgresql_where=text("closed_at is null"),
    ),
    Index("support_tasks_words", "words", postgresql_using="gin", postgresql_where=text("closed_at is null")),
    Index("support_tasks_with_comment", text("(evidence ->> 'charge')"), postgresql_where=text("comment is not null")),
    postgresql_with={"autovacuum_vacuum_scale_factor": "0.02", "autovacuum_vacuum_insert_scale_factor": "0.02"},
)
"""The tasks of support. The table is vacuumed often, because an index answers alone only for pages without recent changes.

``words`` is what a search finds the task by.
"""

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
    Column("omitted", Boolean, nullable=False, server_default=text("false")),
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
