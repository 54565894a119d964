"""Run the migrations. ``moneyback migrate`` passes an open connection."""

from alembic import context

from records.tables import cases, helpdesks, mail, purchases, queues

assert (
    queues.outbox.metadata
    is mail.inquiry_emails.metadata
    is purchases.purchases.metadata
    is helpdesks.helpdesk_tickets.metadata
    is cases.cases.metadata
), "All tables must share one MetaData object."

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=cases.cases.metadata,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
