"""Define the tables of the decisions of support, and of the answers of customers.

The migrations create these tables. A test compares the migrations with these definitions.
"""

from sqlalchemy import Column, ForeignKey, Index, Integer, LargeBinary, Table, Text, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSONB, UUID

from records.tables.metadata import INSTANT, metadata

support_decisions = Table(
    "support_decisions",
    metadata,
    Column("id", UUID, primary_key=True),
    Column("case_id", UUID, ForeignKey("cases.id"), nullable=False),
    Column("source", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("revision", Text, nullable=False),
    Column("decision", JSONB, nullable=False),
    Column("status", Text, nullable=False),
    Column("decided_by", Text, nullable=False),
    Column("decided_by_name", Text, nullable=False),
    Column("confirmed_by", Text),
    Column("confirmed_by_name", Text),
    Column("batch_id", UUID),
    Column("applied_seq", Integer),
    Column("created_at", INSTANT, nullable=False, server_default=text("now()")),
    Column("undo_until", INSTANT),
    UniqueConstraint("source", "key"),
    Index(None, "case_id", "applied_seq"),
    Index(
        "support_decisions_one_proposed_per_case",
        "case_id",
        unique=True,
        postgresql_where=text("status = 'proposed'"),
    ),
    Index(None, "batch_id", postgresql_where=text("batch_id is not null")),
)

customer_answers = Table(
    "customer_answers",
    metadata,
    Column("id", UUID, primary_key=True),
    Column("case_id", UUID, ForeignKey("cases.id"), nullable=False),
    Column("channel", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("created_at", INSTANT, nullable=False, server_default=text("now()")),
    UniqueConstraint("source", "key"),
    Index(None, "case_id", "created_at"),
)
