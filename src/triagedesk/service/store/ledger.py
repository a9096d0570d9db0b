"""The ledger: a suggestion and all that belongs to it is one entry, and entries that come together are one commit.

Nothing is acknowledged before it is committed: whoever keeps an entry waits for the commit that holds it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import anyio
from anyio.lowlevel import checkpoint
from sqlalchemy import Connection, Select, and_, bindparam, select, update

from triagedesk.service.store.connection import StoreUnavailable
from triagedesk.service.store.idempotency import settle_all
from triagedesk.service.store.jobs import add_job
from triagedesk.service.store.keys import spend_all
from triagedesk.service.store.outcomes import outcome_of
from triagedesk.service.store.records import Entry, Known, StepState
from triagedesk.service.store.steps import add_steps, step_of
from triagedesk.service.store.suggestions import add_new_suggestions, add_suggestions, stored_suggestion
from triagedesk.service.store.tables import OutcomeRow, StepRow, SuggestionRow
from triagedesk.service.store.transactions import Database

MOST = 256
"""Entries in one commit."""

ROUNDS = 8
"""How often the loop goes round while entries still come in, before they are committed."""

_NEWEST = (
    select(SuggestionRow)
    .where(SuggestionRow.ticket_id == bindparam("ticket_id"))
    .order_by(SuggestionRow.id.desc())
    .limit(1)
)
_ITS_STEPS = select(StepRow).where(StepRow.suggestion_id == bindparam("suggestion_id")).order_by(StepRow.step)
_ITS_OUTCOMES = (
    select(OutcomeRow)
    .where(OutcomeRow.ticket_id == bindparam("ticket_id"))
    .order_by(OutcomeRow.at, OutcomeRow.ticket_id, OutcomeRow.kind)
)
_CLOSE = (
    update(StepRow)
    .where(and_(StepRow.suggestion_id == bindparam("previous_id"), StepRow.state == StepState.WAITING.value))
    .values(state=StepState.CLOSED.value)
)


@dataclass(eq=False, slots=True)
class _Slip:
    """An entry in the queue, and what became of it: `failed` counts once it is `settled`."""

    entry: Entry
    settled: bool = False
    failed: Exception | None = None

    def settle(self, failed: Exception | None = None) -> None:
        """Say what became of it; the first word stands."""
        if not self.settled:
            self.settled, self.failed = True, failed


class Ledger:
    """Keeps entries. The first who comes commits for all who came meanwhile; the others find theirs written."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: list[_Slip] = []
        self._turn = anyio.Lock()

    async def keep(self, entry: Entry) -> None:
        """Write an entry down; one whose suggestion is there already changes nothing of it, and costs nothing.

        A caller that hangs up does not take the entry back. Raises StoreUnavailable; a mistake of ours is raised.
        """
        slip = _Slip(entry)
        self._waiting.append(slip)
        with anyio.CancelScope(shield=True):
            async with self._turn:
                while not slip.settled:
                    await self._gather()
                    await self._commit_waiting()
        if slip.failed is not None:
            raise slip.failed

    async def known(self, ticket_id: str, *, key_id: str | None, source_desk: str | None) -> Known:
        """Return what is known of a ticket, of suggestions those alone that this key got, or this desk."""
        newest = _NEWEST.where(_its(SuggestionRow.key_id, key_id), _its(SuggestionRow.source_desk, source_desk))

        def work(connection: Connection) -> Known:
            row = connection.execute(newest, {"ticket_id": ticket_id}).first()
            outcomes = _all(connection, _ITS_OUTCOMES, outcome_of, ticket_id=ticket_id)
            if row is None:
                return Known(outcomes=outcomes)
            steps = _all(connection, _ITS_STEPS, step_of, suggestion_id=row.id)
            return Known(stored_suggestion(row), steps, outcomes)

        return await self._database.glance(work)

    async def _gather(self) -> None:
        """Wait for as long as each turn of the loop brings more: under load many, for one caller alone no time."""
        for _ in range(ROUNDS):
            before = len(self._waiting)
            await checkpoint()
            if len(self._waiting) == before:
                return

    async def _commit_waiting(self) -> None:
        """Settle the entries that wait, however it ends: nobody is told that his is kept when it is not."""
        slips, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
        try:
            await self._commit(slips)
        finally:
            for slip in slips:
                slip.settle(StoreUnavailable())

    async def _commit(self, slips: Sequence[_Slip]) -> None:
        """Write entries in one transaction; where one of them cannot be written, the others still are."""
        try:
            await self._database.write(lambda connection: self._write(connection, [slip.entry for slip in slips]))
        except StoreUnavailable:
            for slip in slips:
                slip.settle(StoreUnavailable())
        except Exception as wrong:  # noqa: BLE001 - raised where the entry came from
            if len(slips) == 1:
                slips[0].settle(wrong)
            for slip in slips if len(slips) > 1 else ():
                await self._commit([slip])
        else:
            for slip in slips:
                slip.settle()

    def _write(self, connection: Connection, entries: Sequence[Entry]) -> None:
        database = self._database
        billed = {entry.stored.id: entry.spent for entry in entries if entry.spent}
        if billed:
            paid = [entry.stored for entry in entries if entry.spent]
            new = add_new_suggestions(database, connection, *paid)
            billed = {its_id: spent for its_id, spent in billed.items() if its_id in new}
        if free := [entry.stored for entry in entries if not entry.spent]:
            add_suggestions(database, connection, *free)
        if steps := [step for entry in entries for step in entry.steps]:
            add_steps(database, connection, *steps)
        if jobs := [job for entry in entries for job in entry.jobs]:
            add_job(database, connection, *jobs)
        if previous := [{"previous_id": entry.stored.previous_id} for entry in entries if entry.stored.previous_id]:
            connection.execute(_CLOSE, previous)
        if billed:
            spend_all(database, connection, billed.values())
        if claimed := [(entry.claimed, entry.stored.id) for entry in entries if entry.claimed]:
            settle_all(connection, claimed)


def _its(column: Any, value: str | None) -> Any:
    return column.is_(None) if value is None else column == value


def _all(connection: Connection, wanted: Select[Any], read: Callable[[Any], Any], **given: str) -> tuple[Any, ...]:
    rows: Iterable[Any] = connection.execute(wanted, given)
    return tuple(map(read, rows))
