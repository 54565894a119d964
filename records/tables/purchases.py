"""Define the tables of purchases, their payments, refunds that were made elsewhere, and synchronisations with providers.

The migrations create these tables. A test compares the migrations with these definitions.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, UUID

from records.tables.metadata import INSTANT, metadata

purchases = Table(
    "purchases",
    metadata,
    Column("id", UUID, primary_key=True),
    Column("seller_id", Text, ForeignKey("sellers.id"), nullable=False),
    Column("reference", Text, nullable=False),
    Column("literal_reference", Text, nullable=False),
    Column("reference_key", Text, nullable=False),
    Column("email", Text, nullable=False),
    Column("email_key", Text, nullable=False),
    Column("product", Text, nullable=False),
    Column("purchased_at", INSTANT, nullable=False),
    Column("renewal", Boolean, nullable=False, server_default=text("false")),
    Column("consumer", Boolean, nullable=False, server_default=text("true")),
    Column("tax", BigInteger),
    Column("items", JSONB, nullable=False, server_default=text("'[]'")),
    Column("reported_refunded", BigInteger, nullable=False, server_default=text("0")),
    Column("reported_dispute", Text, nullable=False, server_default=text("'none'")),
    Column("from_provider", Boolean, nullable=False, server_default=text("false")),
    Column("forgotten_at", INSTANT),
    Column("refunded_another_way", BigInteger, nullable=False, server_default=text("0")),
    UniqueConstraint("seller_id", "literal_reference"),
    Index(None, "reference_key", "email_key"),
    Index(None, "seller_id", "email_key"),
    Index(None, "email_key"),
)

payments = Table(
    "payments",
    metadata,
    Column("provider", Text, primary_key=True),
    Column("charge", Text, primary_key=True),
    Column("seller_id", Text, ForeignKey("sellers.id"), nullable=False),
    Column("case_id", UUID, ForeignKey("cases.id")),
    Column("captured", BigInteger),
    Column("reserved", BigInteger, nullable=False, server_default=text("0")),
    Column("refunded", BigInteger, nullable=False, server_default=text("0")),
    Column("refunded_elsewhere", BigInteger, nullable=False, server_default=text("0")),
    Column("dispute", Text, nullable=False, server_default=text("'none'")),
    Column("dispute_respond_by", INSTANT),
    Index("payments_disputed", "provider", "charge", postgresql_where=text("dispute in ('open', 'inquiry')")),
    CheckConstraint("refunded >= 0 and refunded_elsewhere >= 0", name="no_negative_refund"),
    CheckConstraint("reserved between 0 and coalesce(captured, 0)", name="reserved_within_captured"),
)
"""The payments. A payment belongs to the first seller that reports it, and one case may refund it: the case that claims it.

``reserved`` is the sum of the refunds that Moneyback has made or may still make. ``captured`` is what the customer paid,
as it was known at the last reservation: the sum of the payment's parts of all purchases.
"""

payment_ids = Table(
    "payment_ids",
    metadata,
    Column("provider", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("charge", Text, nullable=False),
    ForeignKeyConstraint(["provider", "charge"], ["payments.provider", "payments.charge"]),
    Index(None, "id"),
    Index(None, "provider", "charge"),
)
"""Other ids of payments. Stripe's PaymentIntent and its charge are one payment, and a seller may report either id."""

purchase_payments = Table(
    "purchase_payments",
    metadata,
    Column("purchase_id", UUID, ForeignKey("purchases.id"), primary_key=True),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("provider", Text, nullable=False),
    Column("charge", Text, nullable=False),
    Column("amount", BigInteger),
    Column("currency", Text),
    Column("method", Text, nullable=False),
    Column("instrument", Text),
    Column("charged_at", INSTANT, nullable=False),
    Column("duplicate", Boolean, nullable=False, server_default=text("false")),
    ForeignKeyConstraint(["provider", "charge"], ["payments.provider", "payments.charge"]),
    UniqueConstraint("provider", "charge", "purchase_id"),
    Index(None, "charge"),
    Index(None, "instrument", postgresql_where=text("instrument is not null")),
)
"""The payments of each purchase. A purchase may have several payments, and a payment may pay several purchases (a cart)."""

external_refunds = Table(
    "external_refunds",
    metadata,
    Column("provider", Text, primary_key=True),
    Column("refund_id", Text, primary_key=True),
    Column("charge", Text, nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("currency", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("recorded_at", INSTANT, nullable=False, server_default=text("now()")),
    Index(None, "provider", "charge"),
    Index(None, "refund_id"),
    CheckConstraint("amount > 0", name="positive_amount"),
)
"""The refunds that Moneyback did not make, as the providers show them."""

purchase_syncs = Table(
    "purchase_syncs",
    metadata,
    Column("provider", Text, primary_key=True),
    Column("since", INSTANT, nullable=False),
    Column("started_at", INSTANT, nullable=False),
    Column("cursor", Text),
    Column("updated_at", INSTANT, nullable=False, server_default=text("now()")),
    Column("complete_until", INSTANT),
)
"""The progress of the newest synchronisation with each provider, so that an interrupted synchronisation continues."""

purchase_details = Table(
    "purchase_details",
    metadata,
    Column("purchase_id", UUID, ForeignKey("purchases.id"), primary_key=True),
    Column("licence_key", Text),
    Column("activation_code", Text),
    Column("download_url", Text),
    Column("invoice_number", Text),
    Column("invoice_url", Text),
    Column("technical_support", Text),
    Column("subscription", Boolean, nullable=False, server_default=text("false")),
)
