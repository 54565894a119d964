"""Migrate a database to the version that this code needs, and check the version of a database."""

from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, text

from records.database_rights import require_migration_rights

_MIGRATIONS = Path(__file__).with_name("migrations")
_LOCK_NUMBER = 0x6D6F6E6579  # the word "money" in ASCII


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.attributes["connection"] = connection
    return config


def migrate(engine: Engine) -> str:
    """Migrate the database to the newest version in one transaction, and return the version.

    A lock prevents two migrations of one database at the same time. Raise RefusedError if the user lacks a right.
    """
    with engine.begin() as connection:
        if _revision(connection) != latest_revision():
            require_migration_rights(connection)
        connection.execute(text("select pg_advisory_xact_lock(:lock)"), {"lock": _LOCK_NUMBER})
        connection.execute(text("set local statement_timeout = 0"))  # moving a million rows takes minutes
        command.upgrade(_config(connection), "head")
    return latest_revision()


def analyze(engine: Engine) -> None:
    """Update the query planner's statistics now. After a table has grown, autovacuum may wait a minute before it updates them."""
    with engine.begin() as connection:
        connection.execute(text("analyze"))


def latest_revision() -> str:
    """Return the version that this code needs."""
    head = ScriptDirectory.from_config(_config()).get_current_head()
    assert head, "no migration exists"
    return head


@cache
def _earlier_revisions() -> frozenset[str]:
    revisions = {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}
    return frozenset(revisions - {latest_revision()})


def is_compatible(revision: str | None) -> bool:
    """Return whether this code works with a database of this version. The version must not be earlier than the code's version.

    A later version is compatible because a migration only adds to the tables.
    """
    return revision is not None and revision not in _earlier_revisions()


def current_revision(engine: Engine) -> str | None:
    """Return the version of the database, or None if no migration has run."""
    with engine.connect() as connection:
        return _revision(connection)


def _revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()
