"""Store drafts, notes, macros and opinions of agents, and batches of decisions.

Revision ID: 0011
Revises: 0009
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0011"
down_revision = "0009"
branch_labels = None
depends_on = None

INSTANT = postgresql.TIMESTAMP(timezone=True)
_NOW = sa.text("now()")


def _created_at() -> sa.Column[object]:
    return sa.Column("created_at", INSTANT, server_default=_NOW, nullable=False)


def upgrade() -> None:
    """Create the tables of the desk."""
    op.create_table(
        "decision_drafts",
        sa.Column("agent", sa.Text(), nullable=False),
        sa.Column("case_id", sa.UUID(), nullable=False),
        sa.Column("fields", postgresql.JSONB(), nullable=False),
        sa.Column("updated_at", INSTANT, server_default=_NOW, nullable=False),
        sa.ForeignKeyConstraint(["case_id"], ["cases.id"], name=op.f("decision_drafts_case_id_fkey")),
        sa.PrimaryKeyConstraint("agent", "case_id", name=op.f("decision_drafts_pkey")),
    )
    op.create_table(
        "case_notes",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("case_id", sa.UUID(), nullable=False),
        sa.Column("agent", sa.Text(), nullable=False),
        sa.Column("agent_name", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        _created_at(),
        sa.ForeignKeyConstraint(["case_id"], ["cases.id"], name=op.f("case_notes_case_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("case_notes_pkey")),
    )
    op.create_index(op.f("case_notes_case_id_created_at_idx"), "case_notes", ["case_id", "created_at"])
    op.create_table(
        "macros",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("seller_id", sa.Text()),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("fields", postgresql.JSONB(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        _created_at(),
        sa.Column("retired_at", INSTANT),
        sa.ForeignKeyConstraint(["seller_id"], ["sellers.id"], name=op.f("macros_seller_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("macros_pkey")),
    )
    op.create_index(
        "macros_one_version_in_use",
        "macros",
        [sa.text("coalesce(seller_id, '')"), "name"],
        unique=True,
        postgresql_where=sa.text("retired_at is null"),
    )
    op.create_table(
        "rule_opinions",
        sa.Column("case_id", sa.UUID(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("was_right", sa.Boolean(), nullable=False),
        sa.Column("agent", sa.Text(), nullable=False),
        _created_at(),
        sa.ForeignKeyConstraint(["case_id"], ["cases.id"], name=op.f("rule_opinions_case_id_fkey")),
        sa.PrimaryKeyConstraint("case_id", "code", name=op.f("rule_opinions_pkey")),
    )
    op.create_table(
        "decision_batches",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("seller_id", sa.Text(), nullable=False),
        sa.Column("agent", sa.Text(), nullable=False),
        sa.Column("agent_name", sa.Text(), nullable=False),
        sa.Column("decision", postgresql.JSONB(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("counted", postgresql.JSONB()),
        sa.Column("confirmed_by", sa.Text()),
        _created_at(),
        sa.Column("ended_at", INSTANT),
        sa.CheckConstraint(
            "status in ('preview', 'proposed', 'running', 'stopped', 'finished')",
            name=op.f("decision_batches_known_status_check"),
        ),
        sa.ForeignKeyConstraint(["seller_id"], ["sellers.id"], name=op.f("decision_batches_seller_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("decision_batches_pkey")),
    )
    op.create_table(
        "decision_batch_items",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("batch_id", sa.UUID(), nullable=False),
        sa.Column("case_id", sa.UUID(), nullable=False),
        sa.Column("revision", sa.Text(), nullable=False),
        sa.Column("amount", postgresql.JSONB()),
        _created_at(),
        sa.Column("claimed_until", INSTANT, server_default=sa.text("'epoch'"), nullable=False),
        sa.Column("done_at", INSTANT),
        sa.Column("outcome", sa.Text()),
        sa.ForeignKeyConstraint(["batch_id"], ["decision_batches.id"], name=op.f("decision_batch_items_batch_id_fkey")),
        sa.ForeignKeyConstraint(["case_id"], ["cases.id"], name=op.f("decision_batch_items_case_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("decision_batch_items_pkey")),
    )
    op.create_index(
        op.f("decision_batch_items_batch_id_case_id_idx"), "decision_batch_items", ["batch_id", "case_id"], unique=True
    )
    op.create_index(
        "decision_batch_items_open",
        "decision_batch_items",
        ["created_at"],
        postgresql_where=sa.text("done_at is null"),
    )
    op.execute("grant select, insert, update, delete on decision_drafts to moneyback_app")
    op.execute("grant select, insert on case_notes to moneyback_app")
    for table in ("macros", "rule_opinions", "decision_batches", "decision_batch_items"):
        op.execute(f"grant select, insert, update on {table} to moneyback_app")


def downgrade() -> None:
    """Refuse, because notes and drafts would be lost."""
    raise NotImplementedError("Restore the backup that was made before the migration.")
