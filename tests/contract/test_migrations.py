"""The migrations make exactly the tables that the code speaks of."""

from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from config.settings import Settings
from records import migrate
from records.tables import cases, mail, queues
from records.unit_of_work import connect


def test_migrations_are_the_tables(settings: Settings) -> None:
    assert settings.database_owner_url
    metadata = cases.cases.metadata
    assert queues.outbox.metadata is mail.inquiry_emails.metadata is metadata
    engine = connect(settings.database_owner_url.get_secret_value())
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, metadata) == []
    engine.dispose()


def test_migrating_again_changes_nothing(settings: Settings) -> None:
    assert settings.database_owner_url
    engine = connect(settings.database_owner_url.get_secret_value())
    assert migrate.current_revision(engine) == migrate.latest_revision() == migrate.migrate(engine)
    engine.dispose()
