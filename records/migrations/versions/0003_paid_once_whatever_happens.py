"""A case may have several operations, one of them open; deliveries are counted; webhooks and tasks about payments are kept."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"

INSTANT = postgresql.TIMESTAMP(timezone=True)


def upgrade() -> None:
    op.add_column("cases", sa.Column("deliveries", sa.Integer(), nullable=False, server_default=sa.text("0")))
    op.add_column("cases", sa.Column("not_before", INSTANT, nullable=False, server_default=sa.text("'epoch'")))
    op.add_column("cases", sa.Column("delivered_at", INSTANT, nullable=False, server_default=sa.text("'epoch'")))
    op.drop_index("cases_due", table_name="cases")
    op.create_index(
        "cases_due",
        "cases",
        [sa.text("coalesce(seller, '')"), "next_action_at"],
        postgresql_where=sa.text("next_action_at is not null"),
    )

    op.add_column("operations", sa.Column("attempt", sa.Integer(), nullable=False, server_default=sa.text("1")))
    op.drop_constraint("operations_pkey", "operations")
    op.create_primary_key("operations_pkey", "operations", ["case_id", "attempt"])
    op.add_column("operations", sa.Column("replayed", sa.Boolean(), nullable=False, server_default=sa.text("false")))
    op.add_column("operations", sa.Column("empty_look_ups", sa.Integer(), nullable=False, server_default=sa.text("0")))
    op.add_column("operations", sa.Column("looked_up_at", INSTANT))
    op.add_column("operations", sa.Column("reconciled_at", INSTANT))
    op.create_index(
        "operations_one_open_a_payment",
        "operations",
        ["provider", "charge"],
        unique=True,
        postgresql_where=sa.text("status in ('paid', 'pending', 'sent', 'unknown')"),
    )

    op.alter_column("support_tasks", "case_id", nullable=True)
    op.alter_column("support_tasks", "seq", nullable=True)
    op.add_column("support_tasks", sa.Column("kind", sa.Text(), nullable=False, server_default=sa.text("'case'")))
    op.add_column("support_tasks", sa.Column("subject", sa.Text()))
    op.add_column("support_tasks", sa.Column("seller", sa.Text()))
    op.add_column(
        "support_tasks",
        sa.Column("evidence", postgresql.JSONB(), nullable=False, server_default=sa.text("'{}'")),
    )
    op.create_unique_constraint("support_tasks_kind_subject_key", "support_tasks", ["kind", "subject"])
    op.create_check_constraint(
        op.f("support_tasks_about_one_thing_check"),
        "support_tasks",
        "(kind = 'case') = (seq is not null) and (kind = 'case') = (subject is null)",
    )
    op.create_check_constraint(
        op.f("support_tasks_of_a_case_check"), "support_tasks", "kind <> 'case' or case_id is not null"
    )

    op.create_table(
        "notices",
        sa.Column("id", sa.UUID(), primary_key=True),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("about", sa.Text(), nullable=False),
        sa.Column("charge", sa.Text()),
        sa.Column("refund_id", sa.Text()),
        sa.Column("said", postgresql.JSONB()),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("received_at", INSTANT, nullable=False, server_default=sa.text("now()")),
        sa.Column("arrivals", sa.Integer(), nullable=False, server_default=sa.text("1")),
        sa.Column("hearings", sa.Integer(), nullable=False, server_default=sa.text("0")),
        sa.Column("claimed_until", INSTANT, nullable=False, server_default=sa.text("'epoch'")),
        sa.Column("next_action_at", INSTANT),
        sa.Column("outcome", sa.Text()),
        sa.UniqueConstraint("provider", "event", name="notices_provider_event_key"),
    )
    op.create_index(
        "notices_due", "notices", ["next_action_at"], postgresql_where=sa.text("next_action_at is not null")
    )
    op.create_index("notices_provider_charge_idx", "notices", ["provider", "charge"])
    op.add_column("purchases", sa.Column("disputed", sa.Text()))
    op.create_index("purchases_provider_charge_idx", "purchases", ["provider", "charge"])
    op.execute("grant select, insert, update, delete on notices to moneyback_app")
