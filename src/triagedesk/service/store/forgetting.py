"""Forgets rows by bites: on SQLite one writes at a time, and whoever writes meanwhile waits for a bite at most."""

from __future__ import annotations

import anyio
from sqlalchemy import ColumnElement, Connection, bindparam, delete, select

from triagedesk.service.store.tables import Table
from triagedesk.service.store.transactions import Database

BITE = 500
"""So many rows go in one transaction, with all that hangs on them."""

PAUSE_S = 0.05
"""Between bites: another process that waits for SQLite's lock looks for it again and again, and must find it free."""


async def forget(database: Database, table: type[Table], which: ColumnElement[bool]) -> int:
    """Delete rows, each bite in a transaction of its own. Returns how many went. Raises StoreUnavailable."""
    key = tuple(table.__table__.primary_key)
    names = [f"its_{column.name}" for column in key]
    some = select(*key).where(which).limit(BITE)
    one = delete(table).where(*(column == bindparam(name) for column, name in zip(key, names, strict=True)))

    def bite(connection: Connection) -> int:
        found = [dict(zip(names, row, strict=True)) for row in connection.execute(some)]
        if found:
            connection.execute(one, found)  # row by row: SQLite has no index for a list of keys with two parts
        return len(found)

    gone = went = await database.write(bite)
    while went == BITE:
        await anyio.sleep(PAUSE_S)
        gone += (went := await database.write(bite))
    return gone
