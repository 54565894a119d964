"""What waits to be carried somewhere: messages, tasks, letters, notices; and what could not be read."""

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
    Column("lane", Text, nullable=False),
    Column("bulk", Boolean, nullable=False),
    Column("seller", Text, nullable=False),
    Column("case_id", UUID, nullable=False),
    Column("at", INSTANT, nullable=False, server_default=text("now()")),
    Index("outbox_round_robin", "lane", "bulk", "seller", "id"),
    Index(None, "case_id", "lane"),
)

support_tasks = Table(
    "support_tasks",
    metadata,
    Column("id", UUID, primary_key=True),
    Column("kind", Text, nullable=False, server_default=text("'case'")),
    Column("case_id", UUID),
    Column("seq", Integer),
    Column("subject", Text),
    Column("seller", Text),
    Column("reasons", JSONB, nullable=False),
    Column("evidence", JSONB, nullable=False, server_default=text("'{}'")),
    Column("created_at", INSTANT, nullable=False, server_default=text("now()")),
    Column("claimed_until", INSTANT, nullable=False, server_default=text("'epoch'")),
    Column("published_at", INSTANT),
    UniqueConstraint("case_id", "seq"),
    UniqueConstraint("kind", "subject"),
    CheckConstraint(
        "(kind = 'case') = (seq is not null) and (kind = 'case') = (subject is null)", name="about_one_thing"
    ),
    CheckConstraint("kind <> 'case' or case_id is not null", name="of_a_case"),
    Index("support_tasks_unpublished", "created_at", postgresql_where=text("published_at is null")),
)

notices = Table(
    "notices",
    metadata,
    Column("id", UUID, primary_key=True),
    Column("provider", Text, nullable=False),
    Column("event", Text, nullable=False),
    Column("about", Text, nullable=False),
    Column("charge", Text),
    Column("refund_id", Text),
    Column("said", JSONB),
    Column("body", LargeBinary, nullable=False),
    Column("received_at", INSTANT, nullable=False, server_default=text("now()")),
    Column("arrivals", Integer, nullable=False, server_default=text("1")),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("crashes", Integer, nullable=False, server_default=text("0")),
    Column("claimed_until", INSTANT, nullable=False, server_default=text("'epoch'")),
    Column("next_action_at", INSTANT),
    Column("outcome", Text),
    UniqueConstraint("provider", "event"),
    Index("notices_due", "next_action_at", postgresql_where=text("next_action_at is not null")),
    Index(None, "provider", "charge"),
)

letters = Table(
    "letters",
    metadata,
    Column("case_id", UUID, primary_key=True),
    Column("stage", Text, primary_key=True),
    Column("created_at", INSTANT, nullable=False, server_default=text("now()")),
    Column("claimed_until", INSTANT, nullable=False, server_default=text("'epoch'")),
    Column("sent_at", INSTANT),
    Column("bounced_at", INSTANT),
    Index("letters_unsent", "created_at", postgresql_where=text("sent_at is null")),
)

dead = Table(
    "dead",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("queue", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("why", Text, nullable=False),
    Column("at", INSTANT, nullable=False, server_default=text("now()")),
    Column("redriven_at", INSTANT),
)
