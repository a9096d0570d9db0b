"""When the steps of escalation paths are due."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import CursorResult, and_, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from triagedesk.service.store.connection import Database
from triagedesk.service.store.ids import new_id
from triagedesk.service.store.jobs import add_job
from triagedesk.service.store.records import Job, JobState, StepDue, StepState
from triagedesk.service.store.tables import StepRow, SuggestionRow


class Steps:
    """The table of steps."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def plan(self, *steps: StepDue) -> None:
        """Keep the steps of a suggestion that is stored; a step that is known stays as it was."""
        if not steps:
            return
        rows = [
            {"suggestion_id": one.suggestion_id, "step": one.step, "due_at": one.due_at, "state": one.state.value}
            for one in steps
        ]

        async def work(connection: AsyncConnection) -> None:
            await connection.execute(self._database.insert(StepRow).on_conflict_do_nothing(), rows)

        await self._database.write(work)

    async def take_due(self, limit: int = 100, *, job_kind: str | None = None) -> list[StepDue]:
        """Take the steps that are due, the longest due first, and mark them notified: each is given out once.

        With `job_kind`, a job {suggestion_id, step, due_at} is queued for each in the same transaction, so that a
        kill between taking and notifying loses none.
        """

        async def work(connection: AsyncConnection) -> list[StepDue]:
            now = self._database.now()
            wanted = select(StepRow.suggestion_id, StepRow.step).where(
                StepRow.state == StepState.WAITING.value, StepRow.due_at <= now
            )
            wanted = wanted.order_by(StepRow.due_at, StepRow.suggestion_id, StepRow.step).limit(limit)
            if not self._database.is_sqlite:
                wanted = wanted.with_for_update(skip_locked=True)
            found = [(row.suggestion_id, row.step) for row in await connection.execute(wanted)]
            mine = tuple_(StepRow.suggestion_id, StepRow.step).in_(found)
            rows = await connection.execute(
                update(StepRow).where(mine).values(state=StepState.NOTIFIED.value).returning(StepRow)
            )
            taken = [StepDue(row.suggestion_id, row.step, row.due_at, StepState(row.state)) for row in rows]
            taken.sort(key=lambda step: (step.due_at, step.suggestion_id, step.step))
            if job_kind is not None and taken:
                await add_job(self._database, connection, *(_job(step, job_kind, self._database) for step in taken))
            return taken

        return await self._database.write(work)

    async def close(self, suggestion_id: str) -> int:
        """Close what still waits of a suggestion. Returns how many steps."""
        return await self._close(StepRow.suggestion_id == suggestion_id)

    async def close_ticket(self, ticket_id: str, *, but: Collection[int] = ()) -> int:
        """Close what still waits of a ticket's suggestions (`but` for some steps): an outcome came."""
        its = select(SuggestionRow.id).where(SuggestionRow.ticket_id == ticket_id).scalar_subquery()
        return await self._close(and_(StepRow.suggestion_id.in_(its), StepRow.step.not_in(but)))

    async def of(self, suggestion_id: str) -> list[StepDue]:
        """Return the steps of a suggestion, in order."""
        wanted = select(StepRow).where(StepRow.suggestion_id == suggestion_id).order_by(StepRow.step)

        async def work(connection: AsyncConnection) -> list[StepDue]:
            found = await connection.execute(wanted)
            return [StepDue(row.suggestion_id, row.step, row.due_at, StepState(row.state)) for row in found]

        return await self._database.read(work)

    async def _close(self, whose: Any) -> int:
        waiting = and_(StepRow.state == StepState.WAITING.value, whose)

        async def work(connection: AsyncConnection) -> int:
            done: CursorResult[Any] = await connection.execute(
                update(StepRow).where(waiting).values(state=StepState.CLOSED.value)
            )
            return done.rowcount

        return await self._database.write(work)


def _job(step: StepDue, kind: str, database: Database) -> Job:
    now = database.now()
    payload = {"suggestion_id": step.suggestion_id, "step": step.step, "due_at": step.due_at.isoformat()}
    return Job(new_id("j", now), kind, payload, 0, now, JobState.QUEUED)
