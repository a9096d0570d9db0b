"""When the steps of escalation paths are due."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import Connection, CursorResult, Row, and_, select, tuple_, update

from triagedesk.service.store.ids import new_id
from triagedesk.service.store.jobs import add_job
from triagedesk.service.store.records import Job, JobState, StepDue, StepState
from triagedesk.service.store.tables import StepRow, SuggestionRow
from triagedesk.service.store.transactions import Database


class Steps:
    """The table of steps."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def plan(self, *steps: StepDue) -> None:
        """Keep the steps of a suggestion that is stored; a step that is known stays as it was."""
        if not steps:
            return
        await self._database.write(lambda connection: add_steps(self._database, connection, *steps))

    async def take_due(self, limit: int = 100, *, job_kind: str | None = None) -> list[StepDue]:
        """Take the steps that are due, the longest due first, and mark them notified: each is given out once.

        With `job_kind`, a job {suggestion_id, step, due_at} is queued for each in the same transaction, so that a
        kill between taking and notifying loses none.
        """

        def work(connection: Connection) -> list[StepDue]:
            now = self._database.now()
            wanted = select(StepRow.suggestion_id, StepRow.step).where(
                StepRow.state == StepState.WAITING.value, StepRow.due_at <= now
            )
            wanted = wanted.order_by(StepRow.due_at, StepRow.suggestion_id, StepRow.step).limit(limit)
            if not self._database.is_sqlite:
                wanted = wanted.with_for_update(skip_locked=True)
            found = [(row.suggestion_id, row.step) for row in connection.execute(wanted)]
            mine = tuple_(StepRow.suggestion_id, StepRow.step).in_(found)
            rows = connection.execute(
                update(StepRow).where(mine).values(state=StepState.NOTIFIED.value).returning(StepRow)
            )
            taken = [step_of(row) for row in rows]
            taken.sort(key=lambda step: (step.due_at, step.suggestion_id, step.step))
            if job_kind is not None and taken:
                add_job(self._database, connection, *(_job(step, job_kind, self._database) for step in taken))
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

        def work(connection: Connection) -> list[StepDue]:
            found = connection.execute(wanted)
            return [step_of(row) for row in found]

        return await self._database.read(work)

    async def _close(self, whose: Any) -> int:
        waiting = and_(StepRow.state == StepState.WAITING.value, whose)

        def work(connection: Connection) -> int:
            done: CursorResult[Any] = connection.execute(
                update(StepRow).where(waiting).values(state=StepState.CLOSED.value)
            )
            return done.rowcount

        return await self._database.write(work)


def _job(step: StepDue, kind: str, database: Database) -> Job:
    now = database.now()
    payload = {"suggestion_id": step.suggestion_id, "step": step.step, "due_at": step.due_at.isoformat()}
    return Job(new_id("j", now), kind, payload, 0, now, JobState.QUEUED)


def add_steps(database: Database, connection: Connection, *steps: StepDue) -> None:
    """Keep steps within the caller's transaction; one that is known stays as it was."""
    rows = [
        {"suggestion_id": one.suggestion_id, "step": one.step, "due_at": one.due_at, "state": one.state.value}
        for one in steps
    ]
    connection.execute(database.insert_new(StepRow), rows)


def step_of(row: Row[Any]) -> StepDue:
    """Read a row of the table."""
    return StepDue(row.suggestion_id, row.step, row.due_at, StepState(row.state))
