"""What is remembered. The migrations make these tables; a test holds the two against each other."""

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
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, TIMESTAMP, UUID

from domain.states import LIVE, MOVING

metadata = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
        "ix": "%(table_name)s_%(column_0_N_name)s_idx",
        "ck": "%(table_name)s_%(constraint_name)s_check",
    },
)

INSTANT = TIMESTAMP(timezone=True)


def _words(states: frozenset[str]) -> str:
    return ", ".join(f"'{state}'" for state in sorted(states))


LIVE_STATES = _words(LIVE)
MOVING_STATES = _words(MOVING)

sellers = Table(
    "sellers",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("time_zone", Text, nullable=False),
    Column("support_email", Text, nullable=False),
    Column("self_service", Boolean, nullable=False, server_default=text("true")),
    Column("ceiling_minor", BigInteger),
    Column("ceiling_currency", Text),
    Column("serial_count", Integer),
    Column("serial_days", Integer),
    CheckConstraint("(ceiling_minor is null) = (ceiling_currency is null)", name="whole_ceiling"),
    CheckConstraint("(serial_count is null) = (serial_days is null)", name="whole_serial_limit"),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", UUID, primary_key=True),
    Column("seller", Text, ForeignKey("sellers.id"), nullable=False),
    Column("hash", LargeBinary, nullable=False, unique=True),
    Column("trusted", Boolean, nullable=False, server_default=text("false")),
    Column("created_at", INSTANT, nullable=False, server_default=text("now()")),
)

policies = Table(
    "policies",
    metadata,
    Column("seller", Text, ForeignKey("sellers.id"), primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("in_force_from", INSTANT, nullable=False),
    Column("category", Text, nullable=False),
    Column("days", Integer),
    Column("methods", ARRAY(Text), nullable=False, server_default=text("'{}'")),
    Column("excepted_products", ARRAY(Text), nullable=False, server_default=text("'{}'")),
    Column("renewals_excepted", Boolean, nullable=False, server_default=text("false")),
)

purchases = Table(
    "purchases",
    metadata,
    Column("id", UUID, primary_key=True),
    Column("seller", Text, ForeignKey("sellers.id"), nullable=False),
    Column("reference", Text, nullable=False),
    Column("reference_key", Text, nullable=False),
    Column("email", Text, nullable=False),
    Column("email_key", Text, nullable=False),
    Column("product", Text, nullable=False),
    Column("amount", BigInteger),
    Column("currency", Text),
    Column("refunded", BigInteger, nullable=False, server_default=text("0")),
    Column("method", Text, nullable=False),
    Column("provider", Text, nullable=False),
    Column("charge", Text, nullable=False),
    Column("instrument", Text),
    Column("purchased_at", INSTANT, nullable=False),
    Column("charged_at", INSTANT, nullable=False),
    Column("renewal", Boolean, nullable=False, server_default=text("false")),
    Column("consumer", Boolean, nullable=False, server_default=text("true")),
    Column("dispute", Text, nullable=False, server_default=text("'none'")),
    UniqueConstraint("seller", "reference_key"),
    Index(None, "reference_key", "email_key"),
    Index(None, "seller", "email_key"),
)

cases = Table(
    "cases",
    metadata,
    Column("id", UUID, primary_key=True),
    Column("seller", Text, ForeignKey("sellers.id")),
    Column("purchase", UUID, ForeignKey("purchases.id")),
    Column("channel", Text, nullable=False),
    Column("intake_source", Text, nullable=False),
    Column("intake_key", Text, nullable=False),
    Column("intake_digest", LargeBinary, nullable=False),
    Column("email", Text, nullable=False),
    Column("email_key", Text, nullable=False),
    Column("reference", Text, nullable=False),
    Column("reference_key", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("wish", Text, nullable=False),
    Column("comment", Text, nullable=False),
    Column("locale", Text, nullable=False),
    Column("trusted", Boolean, nullable=False),
    Column("bulk", Boolean, nullable=False, server_default=text("false")),
    Column("received_at", INSTANT, nullable=False),
    Column("state", Text, nullable=False),
    Column("seq", Integer, nullable=False),
    Column("head", LargeBinary, nullable=False),
    Column("fence", Integer, nullable=False, server_default=text("0")),
    Column("lease_until", INSTANT, nullable=False, server_default=text("'epoch'")),
    Column("next_action_at", INSTANT),
    UniqueConstraint("intake_source", "intake_key"),
    Index(
        "cases_one_live_case_a_purchase", "purchase", unique=True, postgresql_where=text(f"state in ({LIVE_STATES})")
    ),
    Index("cases_due", "next_action_at", postgresql_where=text("next_action_at is not null")),
    CheckConstraint(f"state not in ({MOVING_STATES}) or next_action_at is not null", name="owned"),
    postgresql_with={"fillfactor": "70"},
)

transitions = Table(
    "transitions",
    metadata,
    Column("case_id", UUID, ForeignKey("cases.id"), primary_key=True),
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("at", INSTANT, nullable=False),
    Column("here", Text, nullable=False),
    Column("event", Text, nullable=False),
    Column("there", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("why", Text, nullable=False),
    Column("evidence", JSONB, nullable=False),
    Column("hash", LargeBinary, nullable=False),
)

payment_claims = Table(
    "payment_claims",
    metadata,
    Column("provider", Text, primary_key=True),
    Column("charge", Text, primary_key=True),
    Column("case_id", UUID, ForeignKey("cases.id"), nullable=False),
)

operations = Table(
    "operations",
    metadata,
    Column("case_id", UUID, ForeignKey("cases.id"), primary_key=True),
    Column("provider", Text, nullable=False),
    Column("charge", Text, nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("currency", Text, nullable=False),
    Column("key", Text, nullable=False, unique=True),
    Column("payload_hash", LargeBinary, nullable=False),
    Column("first_sent_at", INSTANT, nullable=False),
    Column("last_sent_at", INSTANT, nullable=False),
    Column("sends", Integer, nullable=False, server_default=text("1")),
    Column("asks", Integer, nullable=False, server_default=text("0")),
    Column("status", Text, nullable=False),
    Column("refund_id", Text),
    Column("code", Text),
    Column("paid_at", INSTANT),
    UniqueConstraint("provider", "refund_id"),
    CheckConstraint("amount > 0", name="some_money"),
)

outbox = Table(
    "outbox",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("lane", Text, nullable=False),
    Column("bulk", Boolean, nullable=False),
    Column("seller", Text, nullable=False),
    Column("case_id", UUID, nullable=False),
    Column("at", INSTANT, nullable=False, server_default=text("now()")),
    Index("outbox_round_robin", "lane", "bulk", "seller", "id"),
    Index(None, "case_id", "lane"),
)

support_tasks = Table(
    "support_tasks",
    metadata,
    Column("id", UUID, primary_key=True),
    Column("case_id", UUID, nullable=False),
    Column("seq", Integer, nullable=False),
    Column("reasons", JSONB, nullable=False),
    Column("created_at", INSTANT, nullable=False, server_default=text("now()")),
    Column("claimed_until", INSTANT, nullable=False, server_default=text("'epoch'")),
    Column("published_at", INSTANT),
    UniqueConstraint("case_id", "seq"),
    Index("support_tasks_unpublished", "created_at", postgresql_where=text("published_at is null")),
)

letters = Table(
    "letters",
    metadata,
    Column("case_id", UUID, primary_key=True),
    Column("stage", Text, primary_key=True),
    Column("created_at", INSTANT, nullable=False, server_default=text("now()")),
    Column("claimed_until", INSTANT, nullable=False, server_default=text("'epoch'")),
    Column("sent_at", INSTANT),
    Index("letters_unsent", "created_at", postgresql_where=text("sent_at is null")),
)

dead = Table(
    "dead",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("queue", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("why", Text, nullable=False),
    Column("at", INSTANT, nullable=False, server_default=text("now()")),
    Column("redriven_at", INSTANT),
)
