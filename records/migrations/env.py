"""Alembic's way in; `moneyback migrate` hands it an open connection."""

from alembic import context

from records.tables import cases, mail, queues

assert queues.outbox.metadata is mail.notes.metadata is cases.cases.metadata, "one description of all tables"

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=cases.cases.metadata,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
