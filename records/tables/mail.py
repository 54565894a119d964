"""What is written to and fro beside the letters of cases: mails that came, letters that belong to none, declarations."""

from sqlalchemy import Column, ForeignKey, Index, Table, Text, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, UUID

from records.tables.metadata import INSTANT, metadata

withdrawals = Table(
    "withdrawals",
    metadata,
    Column("case_id", UUID, ForeignKey("cases.id"), primary_key=True),
    Column("name", Text, nullable=False),
    Column("statement", Text, nullable=False),
    Column("declared_at", INSTANT, nullable=False),
)

notes = Table(
    "notes",
    metadata,
    Column("id", UUID, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("email", Text, nullable=False),
    Column("email_key", Text, nullable=False),
    Column("reference_key", Text),
    Column("locale", Text, nullable=False),
    Column("thread", Text),
    Column("purchases", ARRAY(UUID), nullable=False, server_default=text("'{}'")),
    Column("created_at", INSTANT, nullable=False, server_default=text("now()")),
    Column("claimed_until", INSTANT, nullable=False, server_default=text("'epoch'")),
    Column("sent_at", INSTANT),
    Column("ends_at", INSTANT),
    Column("opened_at", INSTANT),
    Index("notes_unsent", "created_at", postgresql_where=text("sent_at is null")),
    Index(None, "email_key", "sent_at"),
)

mails = Table(
    "mails",
    metadata,
    Column("id", UUID, primary_key=True),
    Column("message_id", Text, nullable=False, unique=True),
    Column("thread", Text, nullable=False),
    Column("sender_key", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("evidence", JSONB, nullable=False, server_default=text("'{}'")),
    Column("cases", ARRAY(UUID), nullable=False, server_default=text("'{}'")),
    Column("note", UUID),
    Column("received_at", INSTANT, nullable=False, server_default=text("now()")),
    Index(None, "thread"),
    Index(None, "sender_key", "received_at"),
)
