"""Run the migrations. ``moneyback migrate`` passes an open connection."""

from alembic import context

from records.tables import cases, desk_users, mail, purchases, queues
from records.tables.metadata import metadata

assert all(module.metadata is metadata for module in (cases, desk_users, mail, purchases, queues)), (
    "All tables must share one MetaData object."
)

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
