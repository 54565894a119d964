"""Define the tables of inbound mails, of e-mails that belong to no case, and of statutory withdrawals."""

from sqlalchemy import Column, ForeignKey, Index, Table, Text, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, UUID

from records.tables.metadata import INSTANT, metadata

statutory_withdrawals = Table(
    "statutory_withdrawals",
    metadata,
    Column("case_id", UUID, ForeignKey("cases.id"), primary_key=True),
    Column("name", Text, nullable=False),
    Column("statement", Text, nullable=False),
    Column("declared_at", INSTANT, nullable=False),
)

inquiry_emails = Table(
    "inquiry_emails",
    metadata,
    Column("id", UUID, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("email", Text, nullable=False),
    Column("email_key", Text, nullable=False),
    Column("reference_key", Text),
    Column("locale", Text, nullable=False),
    Column("thread", Text),
    Column("purchase_ids", ARRAY(UUID), nullable=False, server_default=text("'{}'")),
    Column("created_at", INSTANT, nullable=False, server_default=text("now()")),
    Column("claimed_until", INSTANT, nullable=False, server_default=text("'epoch'")),
    Column("sent_at", INSTANT),
    Column("expires_at", INSTANT),
    Column("opened_at", INSTANT),
    Index(None, "created_at"),
    Index("inquiry_emails_unsent", "created_at", postgresql_where=text("sent_at is null")),
    Index(None, "email_key", "sent_at"),
)

inbound_mails = Table(
    "inbound_mails",
    metadata,
    Column("id", UUID, primary_key=True),
    Column("message_id", Text, nullable=False, unique=True),
    Column("thread", Text, nullable=False),
    Column("sender_key", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("evidence", JSONB, nullable=False, server_default=text("'{}'")),
    Column("case_ids", ARRAY(UUID), nullable=False, server_default=text("'{}'")),
    Column("inquiry_email_id", UUID),
    Column("received_at", INSTANT, nullable=False, server_default=text("now()")),
    Column("subject", Text),
    Column("text", Text),
    Column("flagged_at", INSTANT),
    Column("forgotten_at", INSTANT),
    Index("inbound_mails_of_case", "case_ids", postgresql_using="gin"),
    Index("inbound_mails_not_forgotten", "received_at", postgresql_where=text("forgotten_at is null")),
    Index("inbound_mails_flagged", "flagged_at", postgresql_where=text("flagged_at is not null")),
    Index(None, "thread"),
    Index(None, "sender_key", "received_at"),
)
