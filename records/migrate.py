"""The migrations: bringing a database to this version, and telling whether it is there."""

from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, text

_MIGRATIONS = Path(__file__).with_name("migrations")
_ONE_AT_A_TIME = 0x6D6F6E6579  # "money": two migrators wait for each other


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.attributes["connection"] = connection
    return config


def migrate(engine: Engine) -> str:
    """Brings the database to the newest version, in one transaction, and returns that version's name."""
    with engine.begin() as connection:
        connection.execute(text("select pg_advisory_xact_lock(:lock)"), {"lock": _ONE_AT_A_TIME})
        command.upgrade(_config(connection), "head")
    return latest_revision()


def analyze(engine: Engine) -> None:
    """Has the planner look how large the tables are: autovacuum does so by itself, up to a minute after they grew."""
    with engine.begin() as connection:
        connection.execute(text("analyze"))


def latest_revision() -> str:
    """The version this code was written for."""
    head = ScriptDirectory.from_config(_config()).get_current_head()
    assert head, "there is always a first migration"
    return head


@cache
def _earlier() -> frozenset[str]:
    versions = {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}
    return frozenset(versions - {latest_revision()})


def is_compatible(version: str | None) -> bool:
    """Whether this code can work on a database at this version: its own, or a later one, which has only added to it."""
    return version is not None and version not in _earlier()


def current_revision(engine: Engine) -> str | None:
    """The version the database is at; None where no migration ran."""
    with engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()
