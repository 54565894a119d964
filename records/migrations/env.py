"""Run the migrations. ``moneyback migrate`` passes an open connection."""

from alembic import context

from records.tables import cases, decisions, desk, desk_users, helpdesks, mail, purchases, queues

_MODULES = (cases, decisions, desk, desk_users, helpdesks, mail, purchases, queues)
assert len({module.metadata for module in _MODULES}) == 1, "All tables must share one MetaData object."

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=cases.cases.metadata,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
