"""Store the tickets in other helpdesks, the limits of each helpdesk, and the webhooks of helpdesks.

Revision ID: 0009
Revises: 0008
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Create three empty tables. The tickets of open tasks are created with the next change of each task."""
    op.create_table(
        "helpdesk_tickets",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("task_id", sa.UUID(), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False, server_default=sa.text("'creating'")),
        sa.Column("ref", sa.Text()),
        sa.Column("round", sa.Integer(), nullable=False, server_default=sa.text("1")),
        sa.Column("follows", sa.Text()),
        sa.Column("sent_sequence", sa.Integer(), nullable=False, server_default=sa.text("0")),
        sa.Column("revision", sa.Text()),
        sa.Column("digest", sa.LargeBinary()),
        sa.Column("sent_at", _INSTANT),
        sa.Column("first_sent_at", _INSTANT),
        sa.Column("lookups", sa.Integer(), nullable=False, server_default=sa.text("0")),
        sa.Column("attempts", sa.Integer(), nullable=False, server_default=sa.text("0")),
        sa.Column("refused", sa.Text()),
        sa.Column("why", sa.Text()),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.Column("called_at", _INSTANT),
        sa.Column("claimed_until", _INSTANT, nullable=False, server_default=sa.text("'epoch'")),
        sa.Column("next_action_at", _INSTANT),
        sa.PrimaryKeyConstraint("id", name=op.f("helpdesk_tickets_pkey")),
        sa.UniqueConstraint("task_id", "target", name=op.f("helpdesk_tickets_task_id_target_key")),
        sa.CheckConstraint(
            "status in ('creating', 'unknown', 'live', 'closed')", name=op.f("helpdesk_tickets_known_status_check")
        ),
        sa.CheckConstraint("status <> 'live' or ref is not null", name=op.f("helpdesk_tickets_live_with_ref_check")),
        sa.CheckConstraint(
            "status <> 'unknown' or sent_at is not null", name=op.f("helpdesk_tickets_unknown_was_sent_check")
        ),
    )
    op.create_index(
        "helpdesk_tickets_due",
        "helpdesk_tickets",
        ["next_action_at"],
        postgresql_where=sa.text("next_action_at is not null"),
    )
    op.create_index(
        "helpdesk_tickets_target_ref",
        "helpdesk_tickets",
        ["target", "ref"],
        postgresql_where=sa.text("ref is not null"),
    )
    op.create_table(
        "helpdesk_targets",
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("buckets", postgresql.JSONB(), nullable=False, server_default=sa.text("'{}'")),
        sa.Column("paused_until", _INSTANT, nullable=False, server_default=sa.text("'epoch'")),
        sa.Column("is_slow", sa.Boolean(), nullable=False, server_default=sa.text("false")),
        sa.Column("refusals", postgresql.JSONB(), nullable=False, server_default=sa.text("'{}'")),
        sa.PrimaryKeyConstraint("target", name=op.f("helpdesk_targets_pkey")),
    )
    op.create_table(
        "helpdesk_events",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("delivery_id", sa.Text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("received_at", _INSTANT, nullable=False, server_default=sa.text("now()")),
        sa.Column("deliveries", sa.Integer(), nullable=False, server_default=sa.text("1")),
        sa.Column("outcome", sa.Text()),
        sa.PrimaryKeyConstraint("id", name=op.f("helpdesk_events_pkey")),
        sa.UniqueConstraint("target", "delivery_id", name=op.f("helpdesk_events_target_delivery_id_key")),
    )
    for table in ("helpdesk_tickets", "helpdesk_targets", "helpdesk_events"):
        op.execute(f"grant select, insert, update, delete on {table} to moneyback_app")


def downgrade() -> None:
    """Drop the tables. The tickets stay in the helpdesks."""
    for table in ("helpdesk_events", "helpdesk_targets", "helpdesk_tickets"):
        op.drop_table(table)
