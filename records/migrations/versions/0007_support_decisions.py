"""Store the decisions of support and the answers of customers; let a case have e-mails in each round with support.

Revision ID: 0007
Revises: 0006
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

INSTANT = postgresql.TIMESTAMP(timezone=True)


def upgrade() -> None:
    """Create the tables, and add the limits of support to sellers and the rounds to cases and their e-mails."""
    op.create_table(
        "support_decisions",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("case_id", sa.UUID(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("revision", sa.Text(), nullable=False),
        sa.Column("decision", postgresql.JSONB(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("decided_by", sa.Text(), nullable=False),
        sa.Column("decided_by_name", sa.Text(), nullable=False),
        sa.Column("confirmed_by", sa.Text()),
        sa.Column("confirmed_by_name", sa.Text()),
        sa.Column("batch_id", sa.UUID()),
        sa.Column("applied_seq", sa.Integer()),
        sa.Column("created_at", INSTANT, server_default=sa.text("now()"), nullable=False),
        sa.Column("undo_until", INSTANT),
        sa.ForeignKeyConstraint(["case_id"], ["cases.id"], name=op.f("support_decisions_case_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("support_decisions_pkey")),
        sa.UniqueConstraint("source", "key", name=op.f("support_decisions_source_key_key")),
    )
    op.create_index(op.f("support_decisions_case_id_applied_seq_idx"), "support_decisions", ["case_id", "applied_seq"])
    op.create_index(
        "support_decisions_one_proposed_per_case",
        "support_decisions",
        ["case_id"],
        unique=True,
        postgresql_where=sa.text("status = 'proposed'"),
    )
    op.create_index(
        op.f("support_decisions_batch_id_idx"),
        "support_decisions",
        ["batch_id"],
        postgresql_where=sa.text("batch_id is not null"),
    )
    op.create_table(
        "customer_answers",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("case_id", sa.UUID(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("created_at", INSTANT, server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["case_id"], ["cases.id"], name=op.f("customer_answers_case_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("customer_answers_pkey")),
        sa.UniqueConstraint("source", "key", name=op.f("customer_answers_source_key_key")),
    )
    op.create_index(op.f("customer_answers_case_id_created_at_idx"), "customer_answers", ["case_id", "created_at"])
    op.execute("grant select, insert, update on support_decisions to moneyback_app")
    op.execute("grant select, insert on customer_answers to moneyback_app")
    op.add_column("cases", sa.Column("decided_seq", sa.Integer(), server_default=sa.text("0"), nullable=False))
    op.add_column("case_emails", sa.Column("decided_seq", sa.Integer(), server_default=sa.text("0"), nullable=False))
    op.drop_constraint("case_emails_pkey", "case_emails")
    op.create_primary_key(op.f("case_emails_pkey"), "case_emails", ["case_id", "kind", "decided_seq"])
    for name in ("four_eyes", "undo"):
        op.add_column("sellers", sa.Column(f"{name}_minor", sa.BigInteger()))
        op.add_column("sellers", sa.Column(f"{name}_currency", sa.Text()))
        op.create_check_constraint(
            op.f(f"sellers_complete_{name}_limit_check"), "sellers", f"({name}_minor is null) = ({name}_currency is null)"
        )


def downgrade() -> None:
    """Refuse, because decisions would be lost."""
    raise NotImplementedError("Restore the backup that was made before the migration.")
