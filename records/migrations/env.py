"""Run the migrations. ``moneyback migrate`` passes an open connection."""

from alembic import context

from records.tables import cases, desk_users, mail, purchases, queues

assert all(module.metadata is cases.metadata for module in (desk_users, mail, purchases, queues)), (
    "All tables must share one MetaData object."
)

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=cases.cases.metadata,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
