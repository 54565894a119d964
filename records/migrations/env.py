"""Alembic's way in; `moneyback migrate` hands it an open connection."""

from alembic import context

from records import queues, tables

assert queues.outbox.metadata is tables.cases.metadata, "one description of all tables, in two files"

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=tables.cases.metadata,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
