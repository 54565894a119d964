"""Create the tables, the append-only trigger, and the role of the services."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None

INSTANT = postgresql.TIMESTAMP(timezone=True)
NOW = sa.text("now()")
EPOCH = sa.text("'epoch'")

_APPEND_ONLY = ("transitions", "policies")


def upgrade() -> None:
    _create_tables()
    _refuse_changes_of_history()
    _grant_role()


def _create_tables() -> None:
    op.create_table(
        "case_emails",
        sa.Column("case_id", sa.UUID(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("created_at", INSTANT, server_default=NOW, nullable=False),
        sa.Column("claimed_until", INSTANT, server_default=EPOCH, nullable=False),
        sa.Column("sent_at", INSTANT),
        sa.Column("bounced_at", INSTANT),
        sa.PrimaryKeyConstraint("case_id", "kind", name=op.f("case_emails_pkey")),
    )
    op.create_index(
        "case_emails_unsent", "case_emails", ["created_at"], unique=False, postgresql_where=sa.text("sent_at is null")
    )
    op.create_table(
        "dead_letters",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("queue", sa.Text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("created_at", INSTANT, server_default=NOW, nullable=False),
        sa.Column("redriven_at", INSTANT),
        sa.PrimaryKeyConstraint("id", name=op.f("dead_letters_pkey")),
    )
    op.create_table(
        "inbound_mails",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("message_id", sa.Text(), nullable=False),
        sa.Column("thread", sa.Text(), nullable=False),
        sa.Column("sender_key", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("evidence", postgresql.JSONB(), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("case_ids", postgresql.ARRAY(sa.UUID()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("inquiry_email_id", sa.UUID()),
        sa.Column("received_at", INSTANT, server_default=NOW, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("inbound_mails_pkey")),
        sa.UniqueConstraint("message_id", name=op.f("inbound_mails_message_id_key")),
    )
    op.create_index(
        op.f("inbound_mails_sender_key_received_at_idx"), "inbound_mails", ["sender_key", "received_at"], unique=False
    )
    op.create_index(op.f("inbound_mails_thread_idx"), "inbound_mails", ["thread"], unique=False)
    op.create_table(
        "inquiry_emails",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("email_key", sa.Text(), nullable=False),
        sa.Column("reference_key", sa.Text()),
        sa.Column("locale", sa.Text(), nullable=False),
        sa.Column("thread", sa.Text()),
        sa.Column("purchase_ids", postgresql.ARRAY(sa.UUID()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("created_at", INSTANT, server_default=NOW, nullable=False),
        sa.Column("claimed_until", INSTANT, server_default=EPOCH, nullable=False),
        sa.Column("sent_at", INSTANT),
        sa.Column("expires_at", INSTANT),
        sa.Column("opened_at", INSTANT),
        sa.PrimaryKeyConstraint("id", name=op.f("inquiry_emails_pkey")),
    )
    op.create_index(
        op.f("inquiry_emails_email_key_sent_at_idx"), "inquiry_emails", ["email_key", "sent_at"], unique=False
    )
    op.create_index(
        "inquiry_emails_unsent",
        "inquiry_emails",
        ["created_at"],
        unique=False,
        postgresql_where=sa.text("sent_at is null"),
    )
    op.create_table(
        "outbox",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("queue", sa.Text(), nullable=False),
        sa.Column("bulk", sa.Boolean(), nullable=False),
        sa.Column("seller_id", sa.Text(), nullable=False),
        sa.Column("item_id", sa.UUID(), nullable=False),
        sa.Column("created_at", INSTANT, server_default=NOW, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("outbox_pkey")),
    )
    op.create_index(op.f("outbox_item_id_queue_idx"), "outbox", ["item_id", "queue"], unique=False)
    op.create_index("outbox_round_robin", "outbox", ["queue", "bulk", "seller_id", "id"], unique=False)
    op.create_table(
        "sellers",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("time_zone", sa.Text(), nullable=False),
        sa.Column("support_email", sa.Text(), nullable=False),
        sa.Column("self_service", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("ceiling_minor", sa.BigInteger()),
        sa.Column("ceiling_currency", sa.Text()),
        sa.Column("serial_count", sa.Integer()),
        sa.Column("serial_days", sa.Integer()),
        sa.CheckConstraint(
            "(ceiling_minor is null) = (ceiling_currency is null)", name=op.f("sellers_complete_ceiling_check")
        ),
        sa.CheckConstraint(
            "(serial_count is null) = (serial_days is null)", name=op.f("sellers_complete_serial_limit_check")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("sellers_pkey")),
    )
    op.create_table(
        "support_tasks",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("kind", sa.Text(), server_default=sa.text("'case'"), nullable=False),
        sa.Column("case_id", sa.UUID()),
        sa.Column("seq", sa.Integer()),
        sa.Column("subject", sa.Text()),
        sa.Column("seller_id", sa.Text()),
        sa.Column("reasons", postgresql.JSONB(), nullable=False),
        sa.Column("evidence", postgresql.JSONB(), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("created_at", INSTANT, server_default=NOW, nullable=False),
        sa.Column("claimed_until", INSTANT, server_default=EPOCH, nullable=False),
        sa.Column("published_at", INSTANT),
        sa.CheckConstraint(
            "(kind = 'case') = (seq is not null) and (kind = 'case') = (subject is null)",
            name=op.f("support_tasks_one_subject_check"),
        ),
        sa.CheckConstraint("kind <> 'case' or case_id is not null", name=op.f("support_tasks_has_case_check")),
        sa.PrimaryKeyConstraint("id", name=op.f("support_tasks_pkey")),
        sa.UniqueConstraint("case_id", "seq", name=op.f("support_tasks_case_id_seq_key")),
        sa.UniqueConstraint("kind", "subject", name=op.f("support_tasks_kind_subject_key")),
    )
    op.create_index(
        "support_tasks_unpublished",
        "support_tasks",
        ["created_at"],
        unique=False,
        postgresql_where=sa.text("published_at is null"),
    )
    op.create_table(
        "webhook_events",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("charge", sa.Text()),
        sa.Column("refund_id", sa.Text()),
        sa.Column("reported", postgresql.JSONB()),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("received_at", INSTANT, server_default=NOW, nullable=False),
        sa.Column("deliveries", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("crashes", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("claimed_until", INSTANT, server_default=EPOCH, nullable=False),
        sa.Column("next_action_at", INSTANT),
        sa.Column("outcome", sa.Text()),
        sa.PrimaryKeyConstraint("id", name=op.f("webhook_events_pkey")),
        sa.UniqueConstraint("provider", "event_id", name=op.f("webhook_events_provider_event_id_key")),
    )
    op.create_index(
        "webhook_events_due",
        "webhook_events",
        ["next_action_at"],
        unique=False,
        postgresql_where=sa.text("next_action_at is not null"),
    )
    op.create_index(op.f("webhook_events_provider_charge_idx"), "webhook_events", ["provider", "charge"], unique=False)
    op.create_table(
        "api_keys",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("seller_id", sa.Text(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("name", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("scopes", postgresql.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("created_at", INSTANT, server_default=NOW, nullable=False),
        sa.Column("last_used_at", INSTANT),
        sa.Column("expires_at", INSTANT, server_default=sa.text("'infinity'"), nullable=False),
        sa.ForeignKeyConstraint(["seller_id"], ["sellers.id"], name=op.f("api_keys_seller_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("api_keys_pkey")),
        sa.UniqueConstraint("hash", name=op.f("api_keys_hash_key")),
    )
    op.create_table(
        "policies",
        sa.Column("seller_id", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("in_force_from", INSTANT, nullable=False),
        sa.Column("category", sa.Text(), nullable=False),
        sa.Column("days", sa.Integer()),
        sa.Column("methods", postgresql.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("excluded_products", postgresql.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("renewals_excluded", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.ForeignKeyConstraint(["seller_id"], ["sellers.id"], name=op.f("policies_seller_id_fkey")),
        sa.PrimaryKeyConstraint("seller_id", "version", name=op.f("policies_pkey")),
    )
    op.create_table(
        "purchases",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("seller_id", sa.Text(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("reference_key", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("email_key", sa.Text(), nullable=False),
        sa.Column("product", sa.Text(), nullable=False),
        sa.Column("amount", sa.BigInteger()),
        sa.Column("currency", sa.Text()),
        sa.Column("refunded", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("charge", sa.Text(), nullable=False),
        sa.Column("instrument", sa.Text()),
        sa.Column("purchased_at", INSTANT, nullable=False),
        sa.Column("charged_at", INSTANT, nullable=False),
        sa.Column("renewal", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("consumer", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("dispute", sa.Text(), server_default=sa.text("'none'"), nullable=False),
        sa.Column("provider_dispute", sa.Text()),
        sa.ForeignKeyConstraint(["seller_id"], ["sellers.id"], name=op.f("purchases_seller_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("purchases_pkey")),
        sa.UniqueConstraint("seller_id", "reference_key", name=op.f("purchases_seller_id_reference_key_key")),
    )
    op.create_index(op.f("purchases_email_key_idx"), "purchases", ["email_key"], unique=False)
    op.create_index(op.f("purchases_provider_charge_idx"), "purchases", ["provider", "charge"], unique=False)
    op.create_index(
        op.f("purchases_reference_key_email_key_idx"), "purchases", ["reference_key", "email_key"], unique=False
    )
    op.create_index(op.f("purchases_seller_id_email_key_idx"), "purchases", ["seller_id", "email_key"], unique=False)
    op.create_table(
        "storefronts",
        sa.Column("seller_id", sa.Text(), nullable=False),
        sa.Column("colour", sa.Text()),
        sa.Column("website", sa.Text()),
        sa.Column("technical_support", sa.Text()),
        sa.ForeignKeyConstraint(["seller_id"], ["sellers.id"], name=op.f("storefronts_seller_id_fkey")),
        sa.PrimaryKeyConstraint("seller_id", name=op.f("storefronts_pkey")),
    )
    op.create_table(
        "cases",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("seller_id", sa.Text()),
        sa.Column("purchase_id", sa.UUID()),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("intake_source", sa.Text(), nullable=False),
        sa.Column("intake_key", sa.Text(), nullable=False),
        sa.Column("intake_digest", sa.LargeBinary(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("email_key", sa.Text(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("reference_key", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("refund_scope", sa.Text(), nullable=False),
        sa.Column("comment", sa.Text(), nullable=False),
        sa.Column("answers", postgresql.JSONB(), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("locale", sa.Text(), nullable=False),
        sa.Column("thread", sa.Text()),
        sa.Column("trusted", sa.Boolean(), nullable=False),
        sa.Column("bulk", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("received_at", INSTANT, nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("head_hash", sa.LargeBinary(), nullable=False),
        sa.Column("fence", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("lease_until", INSTANT, server_default=EPOCH, nullable=False),
        sa.Column("next_action_at", INSTANT),
        sa.Column("not_before", INSTANT, server_default=EPOCH, nullable=False),
        sa.Column("deliveries", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("delivered_at", INSTANT, server_default=EPOCH, nullable=False),
        sa.CheckConstraint(
            "state not in ('approved', 'received', 'refund_pending', 'refunding') or next_action_at is not null",
            name=op.f("cases_scheduled_check"),
        ),
        sa.ForeignKeyConstraint(["purchase_id"], ["purchases.id"], name=op.f("cases_purchase_id_fkey")),
        sa.ForeignKeyConstraint(["seller_id"], ["sellers.id"], name=op.f("cases_seller_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("cases_pkey")),
        sa.UniqueConstraint("intake_source", "intake_key", name=op.f("cases_intake_source_intake_key_key")),
        postgresql_with={"fillfactor": "70"},
    )
    op.create_index(
        "cases_due",
        "cases",
        [sa.literal_column("coalesce(seller_id, '')"), "next_action_at"],
        unique=False,
        postgresql_where=sa.text("next_action_at is not null"),
    )
    op.create_index(
        "cases_duplicates", "cases", ["purchase_id"], unique=False, postgresql_where=sa.text("state = 'duplicate'")
    )
    op.create_index(
        "cases_one_open_case_per_purchase",
        "cases",
        ["purchase_id"],
        unique=True,
        postgresql_where=sa.text(
            "state in ('approved', 'awaiting_confirmation', 'refund_pending', 'refunded', 'refunding', 'with_support')"
        ),
    )
    op.create_index(
        "cases_unmatched", "cases", ["email_key"], unique=False, postgresql_where=sa.text("state = 'unmatched'")
    )
    op.create_table(
        "purchase_details",
        sa.Column("purchase_id", sa.UUID(), nullable=False),
        sa.Column("licence_key", sa.Text()),
        sa.Column("activation_code", sa.Text()),
        sa.Column("download_url", sa.Text()),
        sa.Column("invoice_number", sa.Text()),
        sa.Column("invoice_url", sa.Text()),
        sa.Column("technical_support", sa.Text()),
        sa.Column("subscription", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.ForeignKeyConstraint(["purchase_id"], ["purchases.id"], name=op.f("purchase_details_purchase_id_fkey")),
        sa.PrimaryKeyConstraint("purchase_id", name=op.f("purchase_details_pkey")),
    )
    op.create_table(
        "payment_claims",
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("charge", sa.Text(), nullable=False),
        sa.Column("case_id", sa.UUID(), nullable=False),
        sa.ForeignKeyConstraint(["case_id"], ["cases.id"], name=op.f("payment_claims_case_id_fkey")),
        sa.PrimaryKeyConstraint("provider", "charge", name=op.f("payment_claims_pkey")),
    )
    op.create_table(
        "refund_operations",
        sa.Column("case_id", sa.UUID(), nullable=False),
        sa.Column("attempt", sa.Integer(), server_default=sa.text("1"), autoincrement=False, nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("charge", sa.Text(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("payload_hash", sa.LargeBinary(), nullable=False),
        sa.Column("first_sent_at", INSTANT, nullable=False),
        sa.Column("last_sent_at", INSTANT, nullable=False),
        sa.Column("sends", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("polls", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("refund_id", sa.Text()),
        sa.Column("code", sa.Text()),
        sa.Column("paid_at", INSTANT),
        sa.Column("replayed", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("empty_lookups", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("looked_up_at", INSTANT),
        sa.Column("reconciled_at", INSTANT),
        sa.CheckConstraint("amount > 0", name=op.f("refund_operations_positive_amount_check")),
        sa.ForeignKeyConstraint(["case_id"], ["cases.id"], name=op.f("refund_operations_case_id_fkey")),
        sa.PrimaryKeyConstraint("case_id", "attempt", name=op.f("refund_operations_pkey")),
        sa.UniqueConstraint("key", name=op.f("refund_operations_key_key")),
        sa.UniqueConstraint("provider", "refund_id", name=op.f("refund_operations_provider_refund_id_key")),
    )
    op.create_index(
        "refund_operations_one_open_per_payment",
        "refund_operations",
        ["provider", "charge"],
        unique=True,
        postgresql_where=sa.text("status in ('paid', 'pending', 'sent', 'unknown')"),
    )
    op.create_table(
        "statutory_withdrawals",
        sa.Column("case_id", sa.UUID(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("statement", sa.Text(), nullable=False),
        sa.Column("declared_at", INSTANT, nullable=False),
        sa.ForeignKeyConstraint(["case_id"], ["cases.id"], name=op.f("statutory_withdrawals_case_id_fkey")),
        sa.PrimaryKeyConstraint("case_id", name=op.f("statutory_withdrawals_pkey")),
    )
    op.create_table(
        "transitions",
        sa.Column("case_id", sa.UUID(), nullable=False),
        sa.Column("seq", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("from_state", sa.Text(), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("to_state", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("evidence", postgresql.JSONB(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["case_id"], ["cases.id"], name=op.f("transitions_case_id_fkey")),
        sa.PrimaryKeyConstraint("case_id", "seq", name=op.f("transitions_pkey")),
    )


def _refuse_changes_of_history() -> None:
    op.execute("""
        create function refuse_change() returns trigger language plpgsql as $$
        begin
          raise exception '% is append-only: a row is never changed or removed.', tg_table_name
            using errcode = 'restrict_violation';
        end $$
    """)
    for table in _APPEND_ONLY:
        op.execute(f"""
            create trigger append_only before update or delete or truncate on {table}
            for each statement execute function refuse_change()
        """)


def _grant_role() -> None:
    """Create the role of the services, and grant it rights.

    The role cannot change or delete rows of the history and of the policies. It cannot change the stored schema version. The
    services log in as a database user that is a member of this role. If the owner of the database cannot create roles, a
    database administrator must create the role before the migration.
    """
    op.execute("""
        do $$ begin
          if not exists (select from pg_roles where rolname = 'moneyback_app') then
            create role moneyback_app nologin;
          end if;
        end $$
    """)
    op.execute("grant usage on schema public to moneyback_app")
    op.execute("grant select, insert, update, delete on all tables in schema public to moneyback_app")
    op.execute("grant usage on all sequences in schema public to moneyback_app")
    op.execute(f"revoke update, delete, truncate on {', '.join(_APPEND_ONLY)} from moneyback_app")
    op.execute("revoke insert, update, delete on alembic_version from moneyback_app")
