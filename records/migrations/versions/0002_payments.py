"""Give a purchase several payments, and a payment one seller; keep refunds that were made elsewhere as rows.

A refund that waits for an approval gets its own state. Policies get a rule about inquiries. Sellers say which field of a
provider's payment contains the reference, and the progress of each synchronisation with a provider is stored.

Revision ID: 0002
Revises: 0001
"""

import unicodedata

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

INSTANT = postgresql.TIMESTAMP(timezone=True)
_OPEN_STATES = (
    "state in ('approved', 'awaiting_confirmation', 'refund_pending', 'refunded', 'refunding', 'waiting_for_approval', "
    "'with_support')"
)
_WORKER_STATES = "state not in ('approved', 'received', 'refund_pending', 'refunding', 'waiting_for_approval')"
_OPEN_STATUSES = "status in ('paid', 'pending', 'sent', 'unknown', 'waiting_for_approval')"


def upgrade() -> None:
    """Add the state ``waiting_for_approval`` to the rules of the database, and the rule about inquiries to policies."""
    op.drop_constraint("cases_scheduled_check", "cases")
    op.create_check_constraint(op.f("cases_scheduled_check"), "cases", f"{_WORKER_STATES} or next_action_at is not null")
    op.drop_index("cases_one_open_case_per_purchase", "cases")
    op.create_index(
        "cases_one_open_case_per_purchase", "cases", ["purchase_id"], unique=True, postgresql_where=sa.text(_OPEN_STATES)
    )
    op.create_index(
        "cases_unmatched_received", "cases", ["received_at"], postgresql_where=sa.text("state = 'unmatched'")
    )
    op.create_index(
        "cases_without_purchase",
        "cases",
        ["email_key"],
        postgresql_where=sa.text("state = 'with_support' and purchase_id is null"),
    )
    op.add_column("cases", sa.Column("for_any_seller", sa.Boolean(), server_default=sa.text("false"), nullable=False))
    op.execute("update cases set for_any_seller = true where seller_id is null")
    for name, indexed in (("cases_for_any_seller", "email_key"), ("cases_for_any_seller_received", "received_at")):
        op.create_index(name, "cases", [indexed], postgresql_where=sa.text("for_any_seller"))
    op.create_index(op.f("refund_operations_provider_charge_idx"), "refund_operations", ["provider", "charge"])
    op.drop_index("refund_operations_one_open_per_payment", "refund_operations")
    op.create_index(
        "refund_operations_one_open_per_payment",
        "refund_operations",
        ["provider", "charge"],
        unique=True,
        postgresql_where=sa.text(_OPEN_STATUSES),
    )
    op.add_column(
        "policies", sa.Column("refunds_inquiries", sa.Boolean(), server_default=sa.text("false"), nullable=False)
    )
    op.add_column(
        "refund_operations", sa.Column("is_last", sa.Boolean(), server_default=sa.text("true"), nullable=False)
    )
    op.add_column(
        "refund_operations", sa.Column("refunds_inquiry", sa.Boolean(), server_default=sa.text("false"), nullable=False)
    )
    op.add_column(
        "refund_operations",
        sa.Column("customer_must_act", sa.Boolean(), server_default=sa.text("false"), nullable=False),
    )
    op.add_column(
        "refund_operations", sa.Column("paid_amount", sa.BigInteger(), server_default=sa.text("0"), nullable=False)
    )
    op.execute("update refund_operations set paid_amount = amount where status = 'paid'")
    op.add_column("sellers", sa.Column("reference_field", sa.Text()))
    op.add_column(
        "purchases", sa.Column("from_provider", sa.Boolean(), server_default=sa.text("false"), nullable=False)
    )
    op.add_column("webhook_events", sa.Column("dispute_id", sa.Text()))
    op.add_column("webhook_events", sa.Column("processed_at", INSTANT))
    op.add_column(
        "webhook_events", sa.Column("anonymous", sa.Boolean(), server_default=sa.text("false"), nullable=False)
    )
    op.create_index(
        op.f("webhook_events_provider_dispute_id_idx"),
        "webhook_events",
        ["provider", "dispute_id"],
        postgresql_where=sa.text("dispute_id is not null"),
    )
    for column in (sa.Column("subject", sa.Text()), sa.Column("text", sa.Text()), sa.Column("flagged_at", INSTANT)):
        op.add_column("inbound_mails", column)
    op.create_index(
        "inbound_mails_flagged", "inbound_mails", ["flagged_at"], postgresql_where=sa.text("flagged_at is not null")
    )
    _create_payments()
    _create_purchase_syncs()
    _move_payments()
    _identify_purchases_literally()


def _create_payments() -> None:
    op.create_table(
        "payments",
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("charge", sa.Text(), nullable=False),
        sa.Column("seller_id", sa.Text(), nullable=False),
        sa.Column("case_id", sa.UUID()),
        sa.Column("refunded", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("refunded_elsewhere", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("dispute", sa.Text(), server_default=sa.text("'none'"), nullable=False),
        sa.CheckConstraint("refunded >= 0 and refunded_elsewhere >= 0", name=op.f("payments_no_negative_refund_check")),
        sa.ForeignKeyConstraint(["case_id"], ["cases.id"], name=op.f("payments_case_id_fkey")),
        sa.ForeignKeyConstraint(["seller_id"], ["sellers.id"], name=op.f("payments_seller_id_fkey")),
        sa.PrimaryKeyConstraint("provider", "charge", name=op.f("payments_pkey")),
    )
    op.create_index(
        "payments_disputed",
        "payments",
        ["provider", "charge"],
        unique=False,
        postgresql_where=sa.text("dispute in ('open', 'inquiry')"),
    )
    op.create_table(
        "payment_ids",
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("charge", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["provider", "charge"], ["payments.provider", "payments.charge"], name=op.f("payment_ids_provider_charge_fkey")
        ),
        sa.PrimaryKeyConstraint("provider", "id", name=op.f("payment_ids_pkey")),
    )
    op.create_table(
        "purchase_payments",
        sa.Column("purchase_id", sa.UUID(), nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("charge", sa.Text(), nullable=False),
        sa.Column("amount", sa.BigInteger()),
        sa.Column("currency", sa.Text()),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("instrument", sa.Text()),
        sa.Column("charged_at", INSTANT, nullable=False),
        sa.Column("duplicate", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.ForeignKeyConstraint(
            ["provider", "charge"],
            ["payments.provider", "payments.charge"],
            name=op.f("purchase_payments_provider_charge_fkey"),
        ),
        sa.ForeignKeyConstraint(["purchase_id"], ["purchases.id"], name=op.f("purchase_payments_purchase_id_fkey")),
        sa.PrimaryKeyConstraint("purchase_id", "position", name=op.f("purchase_payments_pkey")),
        sa.UniqueConstraint(
            "provider", "charge", "purchase_id", name=op.f("purchase_payments_provider_charge_purchase_id_key")
        ),
    )
    op.create_index(
        op.f("purchase_payments_instrument_idx"),
        "purchase_payments",
        ["instrument"],
        unique=False,
        postgresql_where=sa.text("instrument is not null"),
    )
    op.create_table(
        "external_refunds",
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("refund_id", sa.Text(), nullable=False),
        sa.Column("charge", sa.Text(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("recorded_at", INSTANT, server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("amount > 0", name=op.f("external_refunds_positive_amount_check")),
        sa.PrimaryKeyConstraint("provider", "refund_id", name=op.f("external_refunds_pkey")),
    )
    op.create_index(
        op.f("external_refunds_provider_charge_idx"), "external_refunds", ["provider", "charge"], unique=False
    )
    for table in ("payments", "payment_ids", "purchase_payments", "external_refunds"):
        op.execute(f"grant select, insert, update, delete on {table} to moneyback_app")


def _create_purchase_syncs() -> None:
    op.create_table(
        "purchase_syncs",
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("since", INSTANT, nullable=False),
        sa.Column("started_at", INSTANT, nullable=False),
        sa.Column("cursor", sa.Text()),
        sa.Column("updated_at", INSTANT, server_default=sa.text("now()"), nullable=False),
        sa.Column("complete_until", INSTANT),
        sa.PrimaryKeyConstraint("provider", name=op.f("purchase_syncs_pkey")),
    )
    op.execute("grant select, insert, update, delete on purchase_syncs to moneyback_app")


def _move_payments() -> None:
    """Give each purchase its payment. A charge that several sellers report belongs to the seller of the oldest purchase."""
    op.execute("""
        insert into payments (provider, charge, seller_id, case_id, refunded, dispute)
        select distinct on (p.provider, p.charge) p.provider, p.charge, p.seller_id, c.case_id,
               coalesce((select sum(o.paid_amount) from refund_operations o
                          where o.provider = p.provider and o.charge = p.charge), 0),
               coalesce(p.provider_dispute, 'none')
          from purchases p left join payment_claims c on c.provider = p.provider and c.charge = p.charge
         order by p.provider, p.charge, p.purchased_at, p.id
    """)
    op.execute("""
        insert into purchase_payments (purchase_id, position, provider, charge, amount, currency, method, instrument, charged_at)
        select id, 1, provider, charge, amount, currency, method, instrument, charged_at from purchases
    """)
    op.drop_table("payment_claims")
    op.drop_index("purchases_provider_charge_idx", "purchases")
    for column in ("amount", "currency", "method", "provider", "charge", "instrument", "charged_at", "provider_dispute"):
        op.drop_column("purchases", column)
    op.alter_column("purchases", "refunded", new_column_name="reported_refunded")
    op.alter_column("purchases", "dispute", new_column_name="reported_dispute")


def _identify_purchases_literally() -> None:
    op.add_column("purchases", sa.Column("tax", sa.BigInteger()))
    op.add_column("purchases", sa.Column("literal_reference", sa.Text()))
    op.execute("update purchases set literal_reference = lower(trim(reference))")
    connection = op.get_bind()  # PostgreSQL 17 and earlier cannot fold the case of letters that are not ASCII, such as ß
    rows = connection.execute(
        sa.text(
            "select id, reference from purchases where octet_length(reference) <> length(reference) or reference ~ '[[:cntrl:]]'"
        )
    )
    if literals := [{"id": row.id, "literal": _literal_reference(row.reference)} for row in rows]:
        connection.execute(sa.text("update purchases set literal_reference = :literal where id = :id"), literals)
    op.alter_column("purchases", "literal_reference", nullable=False)
    op.drop_constraint("purchases_seller_id_reference_key_key", "purchases")
    op.create_unique_constraint(
        op.f("purchases_seller_id_literal_reference_key"), "purchases", ["seller_id", "literal_reference"]
    )


def _literal_reference(reference: str) -> str:
    """Return the key that identifies a purchase. A copy of the code, because a migration does not change with the code."""
    characters = unicodedata.normalize("NFKC", reference)
    visible = "".join(char for char in characters if unicodedata.category(char) not in {"Cf", "Cc"})
    return unicodedata.normalize("NFKC", visible.strip().casefold())


def downgrade() -> None:
    """Refuse, because a case may wait for an approval."""
    raise NotImplementedError("Restore the backup that was made before the migration.")
