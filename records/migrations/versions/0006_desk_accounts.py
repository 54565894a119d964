"""Add the users of the desk with their roles, sessions and recovery codes, the delays of sign-ins, and the desk's events.

Revision ID: 0006
Revises: 0005
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

INSTANT = postgresql.TIMESTAMP(timezone=True)
NOW = sa.text("now()")
FALSE = sa.text("false")

_TABLES = ("desk_users", "desk_user_roles", "desk_recovery_codes", "desk_sessions", "desk_sign_in_delays")


def upgrade() -> None:
    """Create the tables, and grant the role of the services rights. The services cannot change or delete an event."""
    _create_users()
    _create_sessions()
    _create_events()
    for table in _TABLES:
        op.execute(f"grant select, insert, update, delete on {table} to moneyback_app")
    op.execute("grant select, insert on desk_events to moneyback_app")
    op.execute("grant usage on sequence desk_events_id_seq to moneyback_app")
    op.execute("""
        create trigger append_only before update or delete or truncate on desk_events
        for each statement execute function refuse_change()
    """)


def _create_users() -> None:
    op.create_table(
        "desk_users",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("email_key", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("password_hash", sa.Text()),
        sa.Column("must_change_password", sa.Boolean(), server_default=FALSE, nullable=False),
        sa.Column("invitation_hash", sa.LargeBinary()),
        sa.Column("invitation_expires_at", INSTANT),
        sa.Column("totp_seed", sa.LargeBinary()),
        sa.Column("totp_last_step", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("created_at", INSTANT, server_default=NOW, nullable=False),
        sa.Column("removed_at", INSTANT),
        sa.PrimaryKeyConstraint("id", name=op.f("desk_users_pkey")),
        sa.UniqueConstraint("invitation_hash", name=op.f("desk_users_invitation_hash_key")),
        sa.CheckConstraint(
            "(invitation_hash is null) = (invitation_expires_at is null)",
            name=op.f("desk_users_complete_invitation_check"),
        ),
    )
    op.create_index(
        "desk_users_email_key", "desk_users", ["email_key"], unique=True, postgresql_where=sa.text("removed_at is null")
    )
    op.create_table(
        "desk_user_roles",
        sa.Column("user_id", sa.UUID(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("seller_id", sa.Text()),
        sa.ForeignKeyConstraint(["user_id"], ["desk_users.id"], name=op.f("desk_user_roles_user_id_fkey")),
        sa.ForeignKeyConstraint(["seller_id"], ["sellers.id"], name=op.f("desk_user_roles_seller_id_fkey")),
    )
    op.create_index(
        "desk_user_roles_key",
        "desk_user_roles",
        ["user_id", "role", sa.text("coalesce(seller_id, '')")],
        unique=True,
    )
    op.create_table(
        "desk_recovery_codes",
        sa.Column("user_id", sa.UUID(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["desk_users.id"], name=op.f("desk_recovery_codes_user_id_fkey")),
        sa.PrimaryKeyConstraint("user_id", "hash", name=op.f("desk_recovery_codes_pkey")),
    )


def _create_sessions() -> None:
    op.create_table(
        "desk_sessions",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("user_id", sa.UUID(), nullable=False),
        sa.Column("created_at", INSTANT, server_default=NOW, nullable=False),
        sa.Column("last_seen_at", INSTANT, server_default=NOW, nullable=False),
        sa.Column("expires_at", INSTANT, nullable=False),
        sa.Column("user_agent", sa.Text(), nullable=False),
        sa.Column("network", sa.Text(), nullable=False),
        sa.Column("by_provider", sa.Boolean(), server_default=FALSE, nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["desk_users.id"], name=op.f("desk_sessions_user_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("desk_sessions_pkey")),
        sa.UniqueConstraint("hash", name=op.f("desk_sessions_hash_key")),
    )
    op.create_index(op.f("desk_sessions_user_id_idx"), "desk_sessions", ["user_id"])
    op.create_table(
        "desk_sign_in_delays",
        sa.Column("key", sa.LargeBinary(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("failed_at", INSTANT, nullable=False),
        sa.Column("blocked_until", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("desk_sign_in_delays_pkey")),
    )
    op.create_index(op.f("desk_sign_in_delays_failed_at_idx"), "desk_sign_in_delays", ["failed_at"])


def _create_events() -> None:
    op.create_table(
        "desk_events",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("created_at", INSTANT, server_default=NOW, nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("actor_id", sa.UUID()),
        sa.Column("user_id", sa.UUID()),
        sa.Column("evidence", postgresql.JSONB(), server_default=sa.text("'{}'"), nullable=False),
        sa.ForeignKeyConstraint(["actor_id"], ["desk_users.id"], name=op.f("desk_events_actor_id_fkey")),
        sa.ForeignKeyConstraint(["user_id"], ["desk_users.id"], name=op.f("desk_events_user_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("desk_events_pkey")),
    )
    op.create_index(op.f("desk_events_user_id_created_at_idx"), "desk_events", ["user_id", "created_at"])


def downgrade() -> None:
    """Refuse, because the events of the desk are never removed."""
    raise NotImplementedError("Restore the backup that was made before the migration.")
