"""Alembic's way in; `moneyback migrate` hands it an open connection."""

from alembic import context

from records import correspondence, queues, tables

assert queues.outbox.metadata is correspondence.notes.metadata is tables.cases.metadata, "one description of all tables"

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=tables.cases.metadata,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
