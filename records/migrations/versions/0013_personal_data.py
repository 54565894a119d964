"""Let the personal data of closed cases be removed, while the history stays provable.

Revision ID: 0013
Revises: 0012
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

INSTANT = postgresql.TIMESTAMP(timezone=True)

_CLOSED = "('cancelled', 'closed', 'declined', 'duplicate', 'expired', 'refunded', 'unmatched')"

_REDACTED_EVIDENCE = """
create function redacted_evidence(evidence jsonb) returns jsonb language sql stable as $$
  select (evidence #- '{purchase,address}') - 'digest'
         || case when jsonb_typeof(evidence -> 'reasons') = 'array' then jsonb_build_object('reasons', (
              select coalesce(jsonb_agg(case when reason ? 'detail' then reason || '{"detail": ""}' else reason end
                                        order by position), '[]')
                from jsonb_array_elements(evidence -> 'reasons') with ordinality as r(reason, position)))
            else '{}' end
$$
"""
"""The evidence without personal data: no hash of the address, no hash of a written text, and no details of reasons."""

_REDACTION_HASH = """
create function redaction_hash(
  row_hash bytea, case_id uuid, seq int, created_at timestamptz, from_state text, event text, to_state text, actor text,
  evidence jsonb, redacted_at timestamptz, redacted_by text
) returns bytea language sql stable as $$
  select sha256(row_hash || convert_to(jsonb_build_array(
    case_id, seq, (extract(epoch from created_at) * 1000000)::bigint, from_state, event, to_state, actor, evidence,
    (extract(epoch from redacted_at) * 1000000)::bigint, redacted_by)::text, 'UTF8'))
$$
"""
"""A hash of what is left of a row, of the row's first hash, and of the redaction. The audit compares the row with this hash."""

_ONLY_REDACTION = """
create function refuse_change_except_redaction() returns trigger language plpgsql as $$
begin
  if (new.case_id, new.seq, new.created_at, new.from_state, new.event, new.to_state, new.actor, new.hash)
       is not distinct from
     (old.case_id, old.seq, old.created_at, old.from_state, old.event, old.to_state, old.actor, old.hash)
     and new.why = '' and new.evidence = redacted_evidence(old.evidence)
     and exists (
       select from transition_redactions r
        where r.case_id = new.case_id and r.seq = new.seq
          and r.hash = redaction_hash(new.hash, new.case_id, new.seq, new.created_at, new.from_state, new.event, new.to_state,
                                      new.actor, new.evidence, r.redacted_at, r.redacted_by))
  then
    return new;
  end if;
  raise exception '% is append-only: a row is never changed or removed.', tg_table_name using errcode = 'restrict_violation';
end $$
"""

_REDACT_CASES = f"""
create function redact_cases(ids uuid[], who text) returns void
language plpgsql security definer set search_path = public, pg_temp as $$
begin
  if exists (select from cases c where c.id = any(ids) and c.state not in {_CLOSED}) then
    raise exception 'The personal data of an open case is not removed.' using errcode = 'restrict_violation';
  end if;
  insert into transition_redactions (case_id, seq, hash, redacted_at, redacted_by)
  select t.case_id, t.seq,
         redaction_hash(t.hash, t.case_id, t.seq, t.created_at, t.from_state, t.event, t.to_state, t.actor,
                        redacted_evidence(t.evidence), now(), who),
         now(), who
    from transitions t
   where t.case_id = any(ids) and (t.why <> '' or t.evidence <> redacted_evidence(t.evidence));
  update transitions t set why = '', evidence = redacted_evidence(t.evidence)
   where t.case_id = any(ids) and (t.why <> '' or t.evidence <> redacted_evidence(t.evidence));
  update case_notes set text = '' where case_id = any(ids);
  update customer_answers set text = '', key = id::text where case_id = any(ids);
end $$
"""
"""The only way in which the services change these append-only tables. The function runs with the rights of the owner."""

_KEY_OF_FORGOTTEN = """
create function key_of_forgotten(purchase_id uuid, email_key text) returns text language sql stable as $$
  select 'forgotten:' || encode(sha256(convert_to(purchase_id::text || email_key, 'UTF8')), 'hex')
$$
"""
"""What replaces the e-mail key of a purchase: a hash that is salted with the id of the purchase."""


def upgrade() -> None:
    """Add the redactions and the functions, and the columns and indexes that find what to remove."""
    for table in ("cases", "purchases", "inbound_mails"):
        op.add_column(table, sa.Column("forgotten_at", INSTANT))
    op.create_index(op.f("cases_seller_id_received_at_idx"), "cases", ["seller_id", "received_at"])  # for the reports
    op.create_index(
        "refund_operations_paid", "refund_operations", ["paid_at"], postgresql_where=sa.text("status = 'paid'")
    )
    op.create_index(
        "cases_not_forgotten",
        "cases",
        ["received_at"],
        postgresql_where=sa.text(f"forgotten_at is null and state in {_CLOSED}"),
    )
    op.create_index(op.f("payment_ids_provider_charge_idx"), "payment_ids", ["provider", "charge"])
    op.create_index("inbound_mails_of_case", "inbound_mails", ["case_ids"], postgresql_using="gin")
    op.create_index(
        "inbound_mails_not_forgotten",
        "inbound_mails",
        ["received_at"],
        postgresql_where=sa.text("forgotten_at is null"),
    )
    op.create_index(
        "support_tasks_with_comment",
        "support_tasks",
        [sa.text("(evidence ->> 'charge')")],
        postgresql_where=sa.text("comment is not null"),
    )
    op.create_index(op.f("inquiry_emails_created_at_idx"), "inquiry_emails", ["created_at"])
    op.create_index(op.f("dead_letters_created_at_idx"), "dead_letters", ["created_at"])
    op.create_index(
        "helpdesk_events_with_body", "helpdesk_events", ["received_at"], postgresql_where=sa.text("body <> ''::bytea")
    )
    op.create_table(
        "transition_redactions",
        sa.Column("case_id", sa.UUID(), nullable=False),
        sa.Column("seq", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("redacted_at", INSTANT, nullable=False),
        sa.Column("redacted_by", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["case_id", "seq"],
            ["transitions.case_id", "transitions.seq"],
            name=op.f("transition_redactions_case_id_seq_fkey"),
        ),
        sa.PrimaryKeyConstraint("case_id", "seq", name=op.f("transition_redactions_pkey")),
    )
    op.execute("grant select on transition_redactions to moneyback_app")
    op.execute("revoke insert, update, delete, truncate on transition_redactions from moneyback_app")
    op.execute("""
        create trigger append_only before update or delete or truncate on transition_redactions
        for each statement execute function refuse_change()
    """)
    for function in (_REDACTED_EVIDENCE, _REDACTION_HASH, _ONLY_REDACTION, _REDACT_CASES, _KEY_OF_FORGOTTEN):
        op.execute(function)
    op.execute("drop trigger append_only on transitions")
    op.execute("""
        create trigger append_only before delete or truncate on transitions
        for each statement execute function refuse_change()
    """)
    op.execute("""
        create trigger only_redaction before update on transitions
        for each row execute function refuse_change_except_redaction()
    """)
    op.execute("revoke execute on function redact_cases(uuid[], text) from public")
    op.execute("grant execute on function redact_cases(uuid[], text) to moneyback_app")


def downgrade() -> None:
    """Refuse, because the audit of an earlier version would call every redacted row a fault."""
    raise NotImplementedError("Restore the backup that was made before the migration.")
