"""Define the tables of the desk: drafts, notes, macros, opinions about rules, and batches of decisions.

The migrations create these tables. A test compares the migrations with these definitions.
"""

from sqlalchemy import Boolean, CheckConstraint, Column, ForeignKey, Index, Integer, Table, Text, text
from sqlalchemy.dialects.postgresql import JSONB, UUID

from records.tables.metadata import INSTANT, metadata

decision_drafts = Table(
    "decision_drafts",
    metadata,
    Column("agent", Text, primary_key=True),
    Column("case_id", UUID, ForeignKey("cases.id"), primary_key=True),
    Column("fields", JSONB, nullable=False),
    Column("updated_at", INSTANT, nullable=False, server_default=text("now()")),
)

case_notes = Table(
    "case_notes",
    metadata,
    Column("id", UUID, primary_key=True),
    Column("case_id", UUID, ForeignKey("cases.id"), nullable=False),
    Column("agent", Text, nullable=False),
    Column("agent_name", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("created_at", INSTANT, nullable=False, server_default=text("now()")),
    Index(None, "case_id", "created_at"),
)

macros = Table(
    "macros",
    metadata,
    Column("id", UUID, primary_key=True),
    Column("seller_id", Text, ForeignKey("sellers.id")),
    Column("name", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("fields", JSONB, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("created_at", INSTANT, nullable=False, server_default=text("now()")),
    Column("retired_at", INSTANT),
    Index(
        "macros_one_version_in_use",
        text("coalesce(seller_id, '')"),
        "name",
        unique=True,
        postgresql_where=text("retired_at is null"),
    ),
)

rule_opinions = Table(
    "rule_opinions",
    metadata,
    Column("case_id", UUID, ForeignKey("cases.id"), primary_key=True),
    Column("code", Text, primary_key=True),
    Column("was_right", Boolean, nullable=False),
    Column("agent", Text, nullable=False),
    Column("created_at", INSTANT, nullable=False, server_default=text("now()")),
)

decision_batches = Table(
    "decision_batches",
    metadata,
    Column("id", UUID, primary_key=True),
    Column("seller_id", Text, ForeignKey("sellers.id"), nullable=False),
    Column("agent", Text, nullable=False),
    Column("agent_name", Text, nullable=False),
    Column("decision", JSONB, nullable=False),
    Column("status", Text, nullable=False),
    Column("counted", JSONB),
    Column("confirmed_by", Text),
    Column("created_at", INSTANT, nullable=False, server_default=text("now()")),
    Column("ended_at", INSTANT),
    CheckConstraint("status in ('preview', 'proposed', 'running', 'stopped', 'finished')", name="known_status"),
)

decision_batch_items = Table(
    "decision_batch_items",
    metadata,
    Column("id", UUID, primary_key=True),
    Column("batch_id", UUID, ForeignKey("decision_batches.id"), nullable=False),
    Column("case_id", UUID, ForeignKey("cases.id"), nullable=False),
    Column("revision", Text, nullable=False),
    Column("amount", JSONB),
    Column("created_at", INSTANT, nullable=False, server_default=text("now()")),
    Column("claimed_until", INSTANT, nullable=False, server_default=text("'epoch'")),
    Column("done_at", INSTANT),
    Column("outcome", Text),
    Index(None, "batch_id", "case_id", unique=True),
    Index("decision_batch_items_open", "created_at", postgresql_where=text("done_at is null")),
)
