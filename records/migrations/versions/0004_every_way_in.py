"""What customers meet: a seller's own front, what a purchase holds in private, letters that belong to no case, mails read."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"

INSTANT = postgresql.TIMESTAMP(timezone=True)
NOW = sa.text("now()")
LONG_AGO = sa.text("'epoch'")


def upgrade() -> None:
    op.add_column("cases", sa.Column("answers", postgresql.JSONB(), nullable=False, server_default=sa.text("'{}'")))
    op.add_column("cases", sa.Column("thread", sa.Text()))
    op.add_column("letters", sa.Column("bounced_at", INSTANT))
    op.add_column("notices", sa.Column("falls", sa.Integer(), nullable=False, server_default=sa.text("0")))

    op.add_column("api_keys", sa.Column("name", sa.Text(), nullable=False, server_default=sa.text("''")))
    op.add_column(
        "api_keys", sa.Column("scopes", postgresql.ARRAY(sa.Text()), nullable=False, server_default=sa.text("'{}'"))
    )
    op.execute(
        "update api_keys set scopes = array['requests:write', 'requests:read', 'purchases:write']"
        " || case when trusted then array['trusted'] else array[]::text[] end"
    )
    op.drop_column("api_keys", "trusted")
    op.add_column("api_keys", sa.Column("last_used_at", INSTANT))
    op.add_column("api_keys", sa.Column("ends_at", INSTANT, nullable=False, server_default=sa.text("'infinity'")))

    op.create_table(
        "shopfronts",
        sa.Column("seller", sa.Text(), sa.ForeignKey("sellers.id", name="shopfronts_seller_fkey"), primary_key=True),
        sa.Column("colour", sa.Text()),
        sa.Column("website", sa.Text()),
        sa.Column("technical_support", sa.Text()),
    )
    op.create_table(
        "purchase_details",
        sa.Column(
            "purchase", sa.UUID(), sa.ForeignKey("purchases.id", name="purchase_details_purchase_fkey"), primary_key=True
        ),
        sa.Column("licence_key", sa.Text()),
        sa.Column("activation_code", sa.Text()),
        sa.Column("download_url", sa.Text()),
        sa.Column("invoice_number", sa.Text()),
        sa.Column("invoice_url", sa.Text()),
        sa.Column("technical_support", sa.Text()),
        sa.Column("subscription", sa.Boolean(), nullable=False, server_default=sa.text("false")),
    )
    op.create_index("cases_duplicates", "cases", ["purchase"], postgresql_where=sa.text("state = 'duplicate'"))
    op.create_index("cases_unmatched", "cases", ["email_key"], postgresql_where=sa.text("state = 'unmatched'"))
    op.create_index("purchases_email_key_idx", "purchases", ["email_key"])
    op.create_table(
        "withdrawals",
        sa.Column("case_id", sa.UUID(), sa.ForeignKey("cases.id", name="withdrawals_case_id_fkey"), primary_key=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("statement", sa.Text(), nullable=False),
        sa.Column("declared_at", INSTANT, nullable=False),
    )
    op.create_table(
        "notes",
        sa.Column("id", sa.UUID(), primary_key=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("email_key", sa.Text(), nullable=False),
        sa.Column("reference_key", sa.Text()),
        sa.Column("locale", sa.Text(), nullable=False),
        sa.Column("thread", sa.Text()),
        sa.Column("purchases", postgresql.ARRAY(sa.UUID()), nullable=False, server_default=sa.text("'{}'")),
        sa.Column("created_at", INSTANT, nullable=False, server_default=NOW),
        sa.Column("claimed_until", INSTANT, nullable=False, server_default=LONG_AGO),
        sa.Column("sent_at", INSTANT),
        sa.Column("ends_at", INSTANT),
        sa.Column("opened_at", INSTANT),
    )
    op.create_index("notes_email_key_sent_at_idx", "notes", ["email_key", "sent_at"])
    op.create_index("notes_unsent", "notes", ["created_at"], postgresql_where=sa.text("sent_at is null"))
    op.create_table(
        "mails",
        sa.Column("id", sa.UUID(), primary_key=True),
        sa.Column("message_id", sa.Text(), nullable=False),
        sa.Column("thread", sa.Text(), nullable=False),
        sa.Column("sender_key", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("evidence", postgresql.JSONB(), nullable=False, server_default=sa.text("'{}'")),
        sa.Column("cases", postgresql.ARRAY(sa.UUID()), nullable=False, server_default=sa.text("'{}'")),
        sa.Column("note", sa.UUID()),
        sa.Column("received_at", INSTANT, nullable=False, server_default=NOW),
        sa.UniqueConstraint("message_id", name="mails_message_id_key"),
    )
    op.create_index("mails_thread_idx", "mails", ["thread"])
    op.create_index("mails_sender_key_received_at_idx", "mails", ["sender_key", "received_at"])
    for table in ("shopfronts", "purchase_details", "withdrawals", "notes", "mails"):
        op.execute(f"grant select, insert, update, delete on {table} to moneyback_app")
