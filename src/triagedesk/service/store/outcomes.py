"""What became of tickets."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, select

from triagedesk.service.store.forgetting import forget
from triagedesk.service.store.records import Outcome, OutcomeKind
from triagedesk.service.store.tables import OutcomeRow
from triagedesk.service.store.transactions import Database


class Outcomes:
    """The table of outcomes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, outcome: Outcome) -> bool:
        """Keep an outcome. Returns False where the same kind at the same moment is known already; that one stays."""

        def work(connection: Connection) -> bool:
            insert = self._database.insert(OutcomeRow).values(
                ticket_id=outcome.ticket_id, kind=outcome.kind.value, at=outcome.at, value=outcome.value
            )
            done = connection.execute(insert.on_conflict_do_nothing().returning(OutcomeRow.kind))
            return done.first() is not None

        return await self._database.write(work)

    async def of(self, *ticket_ids: str) -> list[Outcome]:
        """Return what became of these tickets, the oldest first."""
        return await self._read(select(OutcomeRow).where(OutcomeRow.ticket_id.in_(ticket_ids)))

    async def between(self, since: datetime, until: datetime, *, limit: int = 100_000) -> list[Outcome]:
        """Return what happened from `since` to before `until`, the oldest first."""
        wanted = select(OutcomeRow).where(OutcomeRow.at >= since, OutcomeRow.at < until)
        return await self._read(wanted.limit(limit))

    async def forget(self, before: datetime) -> int:
        """Delete what is older. Returns how many outcomes went."""
        return await forget(self._database, OutcomeRow, OutcomeRow.at < before)

    async def _read(self, wanted: Select[OutcomeRow]) -> list[Outcome]:
        ordered = wanted.order_by(OutcomeRow.at, OutcomeRow.ticket_id, OutcomeRow.kind)

        def work(connection: Connection) -> Sequence[Outcome]:
            found = connection.execute(ordered)
            return [outcome_of(row) for row in found]

        return list(await self._database.read(work))


def outcome_of(row: Row[Any]) -> Outcome:
    """Read a row of the table."""
    return Outcome(row.ticket_id, OutcomeKind(row.kind), row.at, row.value)
