"""Let support take, close and order support tasks, and keep the newest event of each task for version 2 of the queue.

Revision ID: 0008
Revises: 0007
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Close the tasks whose case has left support. The open tasks are published in version 2."""
    op.add_column("sellers", sa.Column("answer_hours", sa.Integer()))
    op.create_check_constraint(op.f("sellers_positive_answer_hours_check"), "sellers", "answer_hours > 0")
    for column in (
        sa.Column("language", sa.Text()),
        sa.Column("amount", sa.BigInteger()),
        sa.Column("currency", sa.Text()),
        sa.Column("due_at", _INSTANT, nullable=False, server_default=sa.text("now() + interval '3 days'")),
        sa.Column("clocks", postgresql.JSONB(), nullable=False, server_default=sa.text("'[]'")),
        sa.Column("assigned_to", sa.Text()),
        sa.Column("assigned_until", _INSTANT),
        sa.Column("closed_at", _INSTANT),
        sa.Column("closed_by", sa.Text()),
        sa.Column("outcome", sa.Text()),
        sa.Column("comment", sa.Text()),
    ):
        op.add_column("support_tasks", column)
    op.create_check_constraint(
        op.f("support_tasks_complete_assignment_check"),
        "support_tasks",
        "(assigned_to is null) = (assigned_until is null)",
    )
    op.create_check_constraint(
        op.f("support_tasks_complete_closing_check"),
        "support_tasks",
        "(closed_at is null) = (closed_by is null) and (closed_at is null) = (outcome is null)",
    )
    op.execute("""
        update support_tasks t
           set due_at = t.created_at + interval '3 days', seller_id = coalesce(t.seller_id, c.seller_id), language = c.locale
          from cases c where c.id = t.case_id
        """)
    op.execute("update support_tasks set due_at = created_at + interval '3 days' where case_id is null")
    op.execute("""
        update support_tasks t set closed_at = n.created_at, closed_by = n.actor, outcome = n.event
          from transitions n where t.kind = 'case' and n.case_id = t.case_id and n.seq = t.seq + 1
        """)
    op.create_index(
        "support_tasks_open", "support_tasks", ["due_at", "id"], postgresql_where=sa.text("closed_at is null")
    )
    op.create_index(
        "support_tasks_open_of_seller",
        "support_tasks",
        ["seller_id", "due_at", "id"],
        postgresql_where=sa.text("closed_at is null"),
    )
    op.create_index(
        "support_tasks_open_of_kind",
        "support_tasks",
        ["kind", "due_at", "id"],
        postgresql_where=sa.text("closed_at is null"),
    )
    op.create_table(
        "support_task_events",
        sa.Column("task_id", sa.UUID(), nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False, server_default=sa.text("1")),
        sa.Column("change", sa.Text(), nullable=False),
        sa.Column("created_at", _INSTANT, nullable=False, server_default=sa.text("now()")),
        sa.Column("claimed_until", _INSTANT, nullable=False, server_default=sa.text("'epoch'")),
        sa.Column("published_at", _INSTANT),
        sa.PrimaryKeyConstraint("task_id", name=op.f("support_task_events_pkey")),
    )
    op.execute("grant select, insert, update, delete on support_task_events to moneyback_app")
    op.create_index(
        "support_task_events_unpublished",
        "support_task_events",
        ["created_at"],
        postgresql_where=sa.text("published_at is null"),
    )
    op.execute("""
        insert into support_task_events (task_id, change)
        select id, 'opened' from support_tasks
         where closed_at is null and (kind <> 'flagged_mail' or created_at > now() - interval '14 days')
        """)


def downgrade() -> None:
    """Refuse, because support may have closed tasks."""
    raise NotImplementedError("Restore the backup that was made before the migration.")
