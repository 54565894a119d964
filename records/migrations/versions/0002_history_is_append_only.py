"""History is append-only, and the role that the services use may not change that."""

from alembic import op

revision = "0002"
down_revision = "0001"

_APPEND_ONLY = ("transitions", "policies")


def upgrade() -> None:
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
    # The services' login is a member of this role. Who may not create roles has it made by the database's keeper.
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
