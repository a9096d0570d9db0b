"""A durable queue: jobs outlive the process, and no two workers hold one at the same time."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, CursorResult, Row, and_, bindparam, func, select, update

from triagedesk.service.store.forgetting import forget
from triagedesk.service.store.ids import new_id
from triagedesk.service.store.records import Job, JobState
from triagedesk.service.store.tables import JobRow
from triagedesk.service.store.transactions import Database

MAX_ERROR = 300

_DONE = (
    update(JobRow)
    .where(
        JobRow.id == bindparam("its_id"), JobRow.state == JobState.RUNNING.value,
        JobRow.attempts == bindparam("claims"),
    )
    .values(state=JobState.DONE.value, error=None, payload={})
)  # fmt: skip


class Jobs:
    """The table of jobs. While a job runs, its `due_at` is the end of the worker's lease."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, kind: str, payload: Mapping[str, Any], *, due_at: datetime | None = None) -> Job:
        """Queue a job, due now or later."""

        def work(connection: Connection) -> Job:
            add_job(self._database, connection, job)
            return job

        now = self._database.now()
        job = Job(new_id("j", now), kind, payload, 0, due_at or now, JobState.QUEUED)
        return await self._database.write(work)

    async def put(self, *jobs: Job) -> None:
        """Queue jobs, all or none; one whose id is there already stays as it is."""
        if not jobs:
            return

        def work(connection: Connection) -> None:
            add_job(self._database, connection, *jobs)

        await self._database.write(work)

    async def claim(self, limit: int = 1, *, lease_s: float = 60.0, kinds: Collection[str] | None = None) -> list[Job]:
        """Take due jobs (of these kinds), the longest due first; each is this caller's alone until the lease ends.

        A job whose worker was killed is claimed again when its lease has ended; `attempts` counts every claim.
        """

        def work(connection: Connection) -> list[Job]:
            now = self._database.now()
            ids = select(JobRow.id).where(
                JobRow.state.in_([JobState.QUEUED.value, JobState.RUNNING.value]), JobRow.due_at <= now
            )
            if kinds is not None:
                ids = ids.where(JobRow.kind.in_(kinds))
            ids = ids.order_by(JobRow.due_at, JobRow.id).limit(limit)
            chosen = ids.scalar_subquery()
            if self._database.is_sqlite:
                mine = JobRow.id.in_(chosen)
            else:
                locked = connection.execute(ids.with_for_update(skip_locked=True))
                mine = JobRow.id.in_(list(locked.scalars()))
            taken = connection.execute(
                update(JobRow)
                .where(mine)
                .values(
                    state=JobState.RUNNING.value,
                    attempts=JobRow.attempts + 1,
                    due_at=now + timedelta(seconds=lease_s),
                )
                .returning(JobRow)
            )
            return sorted((_job(row) for row in taken), key=lambda job: job.id)

        return await self._database.write(work)

    async def extend(self, job: Job, *, lease_s: float = 60.0) -> bool:
        """Hold a claimed job for longer. Returns False where the lease ended and somebody else took it."""
        return await self._mine(job, due_at=self._database.now() + timedelta(seconds=lease_s))

    async def done(self, job: Job) -> bool:
        """Say that a claimed job is done, and forget what it held. Returns False where somebody else has it."""
        return await self._mine(job, state=JobState.DONE.value, error=None, payload={})

    async def done_all(self, jobs: Collection[Job]) -> None:
        """Say of many claimed jobs that they are done; those that somebody else has by now stay his."""
        if not jobs:
            return
        rows = [{"its_id": job.id, "claims": job.attempts} for job in jobs]
        await self._database.write(lambda connection: connection.execute(_DONE, rows))

    async def retry(self, job: Job, due_at: datetime, error: str) -> bool:
        """Give a claimed job back, to be tried from `due_at` on; `error` is a closed reason, never a text."""
        return await self._mine(job, state=JobState.QUEUED.value, due_at=due_at, error=error[:MAX_ERROR])

    async def bury(self, job: Job, error: str) -> bool:
        """Put a claimed job among the dead letters."""
        return await self._mine(job, state=JobState.DEAD.value, due_at=self._database.now(), error=error[:MAX_ERROR])

    async def revive(self, job_id: str) -> bool:
        """Queue a dead letter anew, with its attempts forgotten. Returns False where there is none of that id."""

        def work(connection: Connection) -> bool:
            done: CursorResult[Any] = connection.execute(
                update(JobRow)
                .where(JobRow.id == job_id, JobRow.state == JobState.DEAD.value)
                .values(state=JobState.QUEUED.value, attempts=0, due_at=self._database.now())
            )
            return done.rowcount > 0

        return await self._database.write(work)

    async def get(self, job_id: str) -> Job | None:
        """Return a job, or None."""

        def work(connection: Connection) -> Job | None:
            row = connection.execute(select(JobRow).where(JobRow.id == job_id)).first()
            return None if row is None else _job(row)

        return await self._database.read(work)

    async def dead(self, limit: int = 100) -> list[Job]:
        """Return dead letters, the newest first."""
        wanted = select(JobRow).where(JobRow.state == JobState.DEAD.value)

        def work(connection: Connection) -> list[Job]:
            found = connection.execute(wanted.order_by(JobRow.due_at.desc(), JobRow.id.desc()).limit(limit))
            return [_job(row) for row in found]

        return await self._database.read(work)

    async def depth(self) -> dict[JobState, int]:
        """Count the jobs in each state, for the metrics and for /readyz."""

        def work(connection: Connection) -> dict[JobState, int]:
            found = connection.execute(select(JobRow.state, func.count()).group_by(JobRow.state))
            counted = {JobState(state): count for state, count in found}
            return {state: counted.get(state, 0) for state in JobState}

        return await self._database.read(work)

    async def forget(self, before: datetime, *, dead_kept: int = 1000, dead_before: datetime | None = None) -> int:
        """Delete jobs done before, and dead letters but the newest, or given up too long ago. Returns how many went."""
        dead = select(JobRow.id).where(JobRow.state == JobState.DEAD.value)
        kept = dead.order_by(JobRow.due_at.desc(), JobRow.id.desc()).limit(dead_kept).scalar_subquery()

        too_many = and_(JobRow.state == JobState.DEAD.value, JobRow.id.not_in(kept))
        gone = await forget(self._database, JobRow, and_(JobRow.state == JobState.DONE.value, JobRow.due_at < before))
        gone += await forget(self._database, JobRow, too_many)
        if dead_before is not None:
            too_old = and_(JobRow.state == JobState.DEAD.value, JobRow.due_at < dead_before)
            gone += await forget(self._database, JobRow, too_old)
        return gone

    async def _mine(self, job: Job, **values: Any) -> bool:
        """Change a job that this caller still holds: the number of claims tells whose it is."""
        held = and_(JobRow.id == job.id, JobRow.state == JobState.RUNNING.value, JobRow.attempts == job.attempts)

        def work(connection: Connection) -> bool:
            done: CursorResult[Any] = connection.execute(update(JobRow).where(held).values(**values))
            return done.rowcount > 0

        return await self._database.write(work)


def add_job(database: Database, connection: Connection, *jobs: Job) -> None:
    """Queue jobs within the caller's transaction."""
    rows = [
        {
            "id": job.id, "kind": job.kind, "payload": dict(job.payload), "attempts": job.attempts,
            "due_at": job.due_at, "state": job.state.value, "error": job.error,
        }
        for job in jobs
    ]  # fmt: skip
    connection.execute(database.insert_new(JobRow), rows)


def _job(row: Row[Any]) -> Job:
    return Job(row.id, row.kind, row.payload, row.attempts, row.due_at, JobState(row.state), row.error)
