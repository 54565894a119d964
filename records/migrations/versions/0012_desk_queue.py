"""Let agents filter and search the queue of the desk, and snooze tasks.

Revision ID: 0012
Revises: 0011
"""

import json
from uuid import UUID, uuid5

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

_OPEN = sa.text("closed_at is null")
_FILTERED = (
    *("seller_id", "kind", "language", "amount", "currency", "created_at", "assigned_to", "assigned_until"),
    *("snoozed_until", "reason_codes"),
)
_TASKS_OF_PROBLEMS = UUID("6d6f6e65-7962-4163-8b00-7461736b7321")
_FLAGGED_MAIL = "An email of a customer was not answered, or says more than its request. Read the email on the desk."


def upgrade() -> None:
    """Add the columns and the indexes of the queue and of the search. Each flagged e-mail gets a task."""
    for column in (
        sa.Column("snoozed_until", sa.DateTime(timezone=True)),
        sa.Column("snoozed_for", sa.Text()),
        sa.Column("snoozed_by", sa.Text()),
        sa.Column("snoozed_revision", sa.Text()),
        sa.Column("words", postgresql.TSVECTOR(), nullable=False, server_default=sa.text("''")),
        sa.Column(
            "reason_codes",
            postgresql.ARRAY(sa.Text()),
            sa.Computed(
                """string_to_array(translate(jsonb_path_query_array(reasons, '$[*].code')::text, '[]" ', ''), ',')""",
                persisted=True,
            ),
        ),
    ):
        op.add_column("support_tasks", column)
    op.create_check_constraint(
        op.f("support_tasks_complete_snooze_check"),
        "support_tasks",
        "(snoozed_until is null) = (snoozed_for is null) and (snoozed_until is null) = (snoozed_by is null)",
    )
    op.execute(
        "alter table support_tasks set (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.02)"
    )
    _add_tasks_of_flagged_mails()
    _fill_words()
    for name in ("support_tasks_open", "support_tasks_open_of_seller", "support_tasks_open_of_kind"):
        op.drop_index(name, "support_tasks")
    _create_indexes()


def _add_tasks_of_flagged_mails() -> None:
    """Create a task for each e-mail that was flagged in the last days without one. Older e-mails were answered in the mailbox."""
    connection = op.get_bind()
    mails = connection.execute(
        sa.text("""
            select m.id, m.kind, m.flagged_at, c.id as case_id, c.seller_id, c.locale
              from inbound_mails m left join cases c on c.id = m.case_ids[1]
             where m.flagged_at > now() - interval '14 days'
               and not exists (select from support_tasks t where t.kind = 'flagged_mail' and t.subject = m.id::text)
            """)
    ).all()
    for mail in mails:
        values = {
            "id": uuid5(_TASKS_OF_PROBLEMS, f"flagged_mail\n{mail.id}"),
            "subject": str(mail.id),
            "reasons": json.dumps([{"code": "flagged_mail", "sentence": _FLAGGED_MAIL, "detail": ""}]),
            "evidence": json.dumps({"mail_id": str(mail.id), "mail_kind": mail.kind}),
            **{name: getattr(mail, name) for name in ("flagged_at", "case_id", "seller_id", "locale")},
        }
        connection.execute(
            sa.text("""
                insert into support_tasks (id, kind, subject, case_id, seller_id, language, reasons, evidence, created_at, due_at)
                values (:id, 'flagged_mail', :subject, :case_id, :seller_id, :locale, cast(:reasons as jsonb),
                        cast(:evidence as jsonb), :flagged_at, cast(:flagged_at as timestamptz) + interval '3 days')
                """),
            values,
        )
        connection.execute(
            sa.text("insert into support_task_events (task_id, change) values (:id, 'opened') on conflict do nothing"),
            {"id": values["id"]},
        )


def _fill_words() -> None:
    """Let a search find the open tasks by what was written about them."""
    op.execute("""
        update support_tasks t set words = to_tsvector('simple', left(concat_ws(' ',
                 c.comment, p.product, (select string_agg(value, ' ') from jsonb_each_text(c.answers)),
                 (select string_agg(a.text, ' ') from customer_answers a where a.case_id = c.id),
                 (select string_agg(n.text, ' ') from case_notes n where n.case_id = c.id)), 100000))
          from cases c left join purchases p on p.id = c.purchase_id
         where t.closed_at is null and t.kind = 'case' and c.id = t.case_id
        """)
    op.execute("""
        update support_tasks t set words = to_tsvector('simple', left(concat_ws(' ', m.subject, m.text), 100000))
          from inbound_mails m where t.closed_at is null and t.kind = 'flagged_mail' and m.id::text = t.subject
        """)


def _create_indexes() -> None:
    op.create_index(
        "support_tasks_open",
        "support_tasks",
        ["due_at", "id"],
        postgresql_include=_FILTERED,
        postgresql_where=_OPEN,
    )
    op.create_index(
        "support_tasks_open_of_seller",
        "support_tasks",
        ["seller_id", "due_at", "id"],
        postgresql_include=_FILTERED[1:],
        postgresql_where=_OPEN,
    )
    op.create_index(
        "support_tasks_assigned",
        "support_tasks",
        ["assigned_to", "due_at", "id"],
        postgresql_where=sa.text("closed_at is null and assigned_to is not null"),
    )
    op.create_index(
        "support_tasks_snoozed",
        "support_tasks",
        ["due_at", "id"],
        postgresql_include=("seller_id", "snoozed_until"),
        postgresql_where=sa.text("closed_at is null and snoozed_until is not null"),
    )
    op.create_index("support_tasks_created", "support_tasks", ["created_at"], postgresql_where=_OPEN)
    op.create_index("support_tasks_amount", "support_tasks", ["currency", "amount"], postgresql_where=_OPEN)
    op.create_index(
        "support_tasks_language",
        "support_tasks",
        [sa.text("split_part(lower(language), '-', 1)"), "due_at", "id"],
        postgresql_include=("language", "seller_id", "assigned_until", "snoozed_until"),
        postgresql_where=_OPEN,
    )
    for column in ("reason_codes", "words"):
        op.create_index(
            f"support_tasks_{column}", "support_tasks", [column], postgresql_using="gin", postgresql_where=_OPEN
        )
    for table, column in (
        ("cases", "reference_key"),
        ("cases", "purchase_id"),
        ("purchase_payments", "charge"),
        ("payment_ids", "id"),
        ("refund_operations", "charge"),
        ("refund_operations", "refund_id"),
        ("external_refunds", "refund_id"),
    ):
        op.create_index(op.f(f"{table}_{column}_idx"), table, [column])


def downgrade() -> None:
    """Refuse, because tasks may be snoozed."""
    raise NotImplementedError("Restore the backup that was made before the migration.")
