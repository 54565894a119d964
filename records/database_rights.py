"""Checks that a database user has the rights that Moneyback needs. Each error names the statement that grants the right."""

from sqlalchemy import Connection, Engine, text

from domain.errors import RefusedError

_MIGRATION_RIGHTS = """
select current_user, current_database(), has_schema_privilege('public', 'create') as creates_tables,
       exists (select from pg_roles where rolname = 'moneyback_app')
         or (select rolsuper or rolcreaterole from pg_roles where rolname = current_user) as has_role
"""

_SERVICE_RIGHTS = """
select current_user, has_table_privilege('cases', 'select, insert') as uses_tables
"""


def require_migration_rights(connection: Connection) -> None:
    """Raise RefusedError if the user of this connection may not create the tables, or not the role of the services."""
    rights = connection.execute(text(_MIGRATION_RIGHTS)).one()
    user, database = rights.current_user, rights.current_database
    if not rights.creates_tables:
        raise RefusedError(
            f"The user {user} may not create tables in the database {database}. Run as a superuser in this database: "
            f'GRANT CREATE ON SCHEMA public TO "{user}"'
        )
    if not rights.has_role:
        raise RefusedError(
            f"The role moneyback_app does not exist, and the user {user} may not create roles. Run as a superuser: "
            "CREATE ROLE moneyback_app NOLOGIN"
        )


def require_service_rights(engine: Engine) -> None:
    """Raise RefusedError if the user of the services may not use the tables of Moneyback."""
    with engine.connect() as connection:
        rights = connection.execute(text(_SERVICE_RIGHTS)).one()
    if not rights.uses_tables:
        user = rights.current_user
        raise RefusedError(
            f"The tables are ready, but the user {user} in MONEYBACK_DATABASE_URL may not use them. "
            f'Run as a superuser: GRANT moneyback_app TO "{user}"'
        )
