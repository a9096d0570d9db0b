"""What became of tickets."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Select, select
from sqlalchemy.ext.asyncio import AsyncConnection

from triagedesk.service.store.connection import Database
from triagedesk.service.store.records import Outcome, OutcomeKind
from triagedesk.service.store.tables import OutcomeRow


class Outcomes:
    """The table of outcomes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, outcome: Outcome) -> bool:
        """Keep an outcome. Returns False where the same kind at the same moment is known already; that one stays."""

        async def work(connection: AsyncConnection) -> bool:
            insert = self._database.insert(OutcomeRow).values(
                ticket_id=outcome.ticket_id, kind=outcome.kind.value, at=outcome.at, value=outcome.value
            )
            done = await connection.execute(insert.on_conflict_do_nothing().returning(OutcomeRow.kind))
            return done.first() is not None

        return await self._database.write(work)

    async def of(self, *ticket_ids: str) -> list[Outcome]:
        """Return what became of these tickets, the oldest first."""
        return await self._read(select(OutcomeRow).where(OutcomeRow.ticket_id.in_(ticket_ids)))

    async def between(self, since: datetime, until: datetime, *, limit: int = 100_000) -> list[Outcome]:
        """Return what happened from `since` to before `until`, the oldest first."""
        wanted = select(OutcomeRow).where(OutcomeRow.at >= since, OutcomeRow.at < until)
        return await self._read(wanted.limit(limit))

    async def _read(self, wanted: Select[OutcomeRow]) -> list[Outcome]:
        ordered = wanted.order_by(OutcomeRow.at, OutcomeRow.ticket_id, OutcomeRow.kind)

        async def work(connection: AsyncConnection) -> Sequence[Outcome]:
            found = await connection.execute(ordered)
            return [Outcome(row.ticket_id, OutcomeKind(row.kind), row.at, row.value) for row in found]

        return list(await self._database.read(work))
