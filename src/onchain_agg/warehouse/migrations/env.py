"""What Alembic runs: the migrations, on the connection that `schema.migrate` opened."""

from alembic import context

from onchain_agg.warehouse.schema import comparison_options

connection = context.config.attributes["connection"]
context.configure(connection=connection, **comparison_options(connection))
with context.begin_transaction():
    context.run_migrations()
