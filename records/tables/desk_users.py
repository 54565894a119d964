"""Define the tables of the desk's users: roles, sessions, recovery codes, sign-in delays, and events."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, UUID

from records.tables.metadata import INSTANT, metadata

desk_users = Table(
    "desk_users",
    metadata,
    Column("id", UUID, primary_key=True),
    Column("email", Text, nullable=False),
    Column("email_key", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("password_hash", Text),
    Column("must_change_password", Boolean, nullable=False, server_default=text("false")),
    Column("invitation_hash", LargeBinary, unique=True),
    Column("invitation_expires_at", INSTANT),
    Column("totp_seed", LargeBinary),
    Column("totp_last_step", BigInteger, nullable=False, server_default=text("0")),
    Column("created_at", INSTANT, nullable=False, server_default=text("now()")),
    Column("removed_at", INSTANT),
    Index("desk_users_email_key", "email_key", unique=True, postgresql_where=text("removed_at is null")),
    CheckConstraint("(invitation_hash is null) = (invitation_expires_at is null)", name="complete_invitation"),
)
"""The users of the desk. A removed user keeps the row, because events name the user.

``totp_seed`` is no secret of its own: the key of the codes is derived from the seed and from the secret key of the settings.
"""

desk_user_roles = Table(
    "desk_user_roles",
    metadata,
    Column("user_id", UUID, ForeignKey("desk_users.id"), nullable=False),
    Column("role", Text, nullable=False),
    Column("seller_id", Text, ForeignKey("sellers.id")),
    Index("desk_user_roles_key", "user_id", "role", text("coalesce(seller_id, '')"), unique=True),
)
"""The roles of each user. A role without a seller is for all sellers."""

desk_recovery_codes = Table(
    "desk_recovery_codes",
    metadata,
    Column("user_id", UUID, ForeignKey("desk_users.id"), primary_key=True),
    Column("hash", LargeBinary, primary_key=True),
)

desk_sessions = Table(
    "desk_sessions",
    metadata,
    Column("id", UUID, primary_key=True),
    Column("hash", LargeBinary, nullable=False, unique=True),
    Column("user_id", UUID, ForeignKey("desk_users.id"), nullable=False),
    Column("created_at", INSTANT, nullable=False, server_default=text("now()")),
    Column("last_seen_at", INSTANT, nullable=False, server_default=text("now()")),
    Column("expires_at", INSTANT, nullable=False),
    Column("user_agent", Text, nullable=False),
    Column("network", Text, nullable=False),
    Column("by_provider", Boolean, nullable=False, server_default=text("false")),
    Index(None, "user_id"),
)
"""The sessions. ``hash`` is of the token in the cookie. ``by_provider``: an OpenID provider signed the user in."""

desk_sign_in_delays = Table(
    "desk_sign_in_delays",
    metadata,
    Column("key", LargeBinary, primary_key=True),
    Column("failures", Integer, nullable=False),
    Column("failed_at", INSTANT, nullable=False),
    Column("blocked_until", INSTANT, nullable=False),
    Index(None, "failed_at"),
)
"""Failed sign-ins of an address or of a network. ``key`` is a keyed hash, because strangers type addresses and passwords."""

desk_events = Table(
    "desk_events",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("created_at", INSTANT, nullable=False, server_default=text("now()")),
    Column("event", Text, nullable=False),
    Column("actor_id", UUID, ForeignKey("desk_users.id")),
    Column("user_id", UUID, ForeignKey("desk_users.id")),
    Column("evidence", JSONB, nullable=False, server_default=text("'{}'")),
    Index(None, "user_id", "created_at"),
)
"""What desk users did. The table is append-only. An event without an actor is of the command line or of a stranger."""
