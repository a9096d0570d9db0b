"""Suggestions as they went out; what is written stays as it is."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, Text, func, select, type_coerce

from triagedesk.service.store.forgetting import forget
from triagedesk.service.store.records import StoredSuggestion
from triagedesk.service.store.tables import SuggestionRow
from triagedesk.service.store.transactions import Database

SEARCHED = 100_000
"""A search by words looks at so many suggestions, the newest: some 500 MB of text."""

_FIELDS = tuple(field.name for field in dataclasses.fields(StoredSuggestion))


class Suggestions:
    """The table of suggestions; ids sort by time, so an id is also a place to go on from."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, *stored: StoredSuggestion) -> None:
        """Keep suggestions, all or none; one whose id is there already stays as it was."""
        if not stored:
            return

        await self._database.write(lambda connection: add_suggestions(self._database, connection, *stored))

    async def get(self, suggestion_id: str) -> StoredSuggestion | None:
        """Return one, or None."""

        def work(connection: Connection) -> StoredSuggestion | None:
            found = connection.execute(select(SuggestionRow).where(SuggestionRow.id == suggestion_id))
            row = found.first()
            return None if row is None else stored_suggestion(row)

        return await self._database.glance(work)

    async def newest(
        self, ticket_id: str, *, key_id: str | None = None, source_desk: str | None = None
    ) -> StoredSuggestion | None:
        """Return the newest of a ticket (of this key, from this desk), or None."""
        wanted = select(SuggestionRow).where(SuggestionRow.ticket_id == ticket_id)
        if key_id is not None:
            wanted = wanted.where(SuggestionRow.key_id == key_id)
        if source_desk is not None:
            wanted = wanted.where(SuggestionRow.source_desk == source_desk)

        def work(connection: Connection) -> StoredSuggestion | None:
            row = connection.execute(wanted.order_by(SuggestionRow.id.desc()).limit(1)).first()
            return None if row is None else stored_suggestion(row)

        return await self._database.glance(work)

    async def between(
        self,
        since: datetime | None = None,
        until: datetime | None = None,
        *,
        ticket_id: str | None = None,
        before_id: str | None = None,
        limit: int = 1000,
    ) -> list[StoredSuggestion]:
        """Return the newest first, from `since` to before `until`; `before_id` goes on after a page's last id."""
        wanted = select(SuggestionRow)
        if since is not None:
            wanted = wanted.where(SuggestionRow.created_at >= since)
        if until is not None:
            wanted = wanted.where(SuggestionRow.created_at < until)
        if ticket_id is not None:
            wanted = wanted.where(SuggestionRow.ticket_id == ticket_id)
        return await self._page(wanted, before_id, limit)

    async def holding(
        self, words: Sequence[str], *, before_id: str | None = None, limit: int = 1000
    ) -> list[StoredSuggestion]:
        """Return the newest first, of the newest `SEARCHED`, whose row may hold all of these words.

        More rows may come than hold them in the right place: the row's own writing is looked through, and words beyond
        ASCII, or with signs that JSON escapes, are not looked for.
        """
        oldest = select(SuggestionRow.id).order_by(SuggestionRow.id.desc()).offset(SEARCHED - 1).limit(1)
        wanted = select(SuggestionRow).where(SuggestionRow.id >= func.coalesce(oldest.scalar_subquery(), ""))
        written = type_coerce(SuggestionRow.suggestion, Text)
        for word in words:
            if word.isascii() and not set(word) & set('"\\/'):
                ticket_id = type_coerce(SuggestionRow.ticket_id, Text)
                wanted = wanted.where(
                    written.icontains(word, autoescape=True) | ticket_id.icontains(word, autoescape=True)
                )
        return await self._page(wanted, before_id, limit)

    async def _page(self, wanted: Select[SuggestionRow], before_id: str | None, limit: int) -> list[StoredSuggestion]:
        if before_id is not None:
            wanted = wanted.where(SuggestionRow.id < before_id)

        def work(connection: Connection) -> list[StoredSuggestion]:
            found = connection.execute(wanted.order_by(SuggestionRow.id.desc()).limit(limit))
            return [stored_suggestion(row) for row in found]

        return await self._database.read(work)

    async def forget(self, before: datetime) -> int:
        """Delete what is older, with its feedback and steps. Returns how many suggestions went."""
        return await forget(self._database, SuggestionRow, SuggestionRow.created_at < before)


def stored_suggestion(row: Row[Any]) -> StoredSuggestion:
    """Read a row of the table (or a wider one that holds its columns)."""
    return StoredSuggestion(**{name: getattr(row, name) for name in _FIELDS})


def add_suggestions(database: Database, connection: Connection, *stored: StoredSuggestion) -> None:
    """Keep suggestions within the caller's transaction; one whose id is there already stays as it was."""
    connection.execute(database.insert_new(SuggestionRow), _rows(stored))


def add_new_suggestions(database: Database, connection: Connection, *stored: StoredSuggestion) -> set[str]:
    """Keep suggestions likewise, and return the ids of those that were not there."""
    insert = database.insert_new(SuggestionRow).returning(SuggestionRow.id)
    return set(connection.execute(insert, _rows(stored)).scalars())


def _rows(stored: Sequence[StoredSuggestion]) -> list[dict[str, Any]]:
    return [{name: getattr(one, name) for name in _FIELDS} for one in stored]
