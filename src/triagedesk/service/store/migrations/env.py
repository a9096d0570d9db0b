"""Runs migrations on the connection (and within the transaction) that `migrate` opened."""

from __future__ import annotations

from alembic import context

from triagedesk.service.store.tables import Table

context.configure(connection=context.config.attributes["connection"], target_metadata=Table.metadata)
with context.begin_transaction():
    context.run_migrations()
