"""Alembic's way in; `moneyback migrate` hands it an open connection."""

from alembic import context

from records.metadata import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
