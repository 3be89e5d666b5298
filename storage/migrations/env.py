"""Alembic's way in: on the connection that ``storage.migrations`` gives it, inside that transaction."""

from alembic import context

from storage.catalog.models import Base

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=Base.metadata,
    render_as_batch=True,  # SQLite changes a table by making it anew
)
with context.begin_transaction():
    context.run_migrations()
