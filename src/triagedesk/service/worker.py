"""The durable worker: claims jobs, runs them, tries again later, and lays aside what cannot be done.

A job outlives the process that runs it: its lease ends, and it is claimed again. So a handler does its work in a way
that may be repeated, and is told (`Task.cut_off`) when a try before ended without a word.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

import anyio

from triagedesk.errors import TicketError
from triagedesk.logs import get_logger
from triagedesk.service.store.database import StoreUnavailable
from triagedesk.service.store.jobs import Jobs
from triagedesk.service.store.records import Job

POLL_S = 1.0
"""How long a job that another replica queued may lie before it is seen."""

FIRST_PAUSE_S, GROWTH, LONGEST_PAUSE_S = 5.0, 4.0, 3600.0
"""Pauses between tries: 5, 20, 80, 320 … seconds, each shortened by up to half at random; six take half an hour."""

SHUTDOWN = "shutdown"
BUG = "bug"
WORN_OUT = "worn_out"
"""As many tries as there are ended without a word; one more might end this process, too."""


@dataclass(frozen=True)
class Task:
    """A job in hand. `cut_off`: a try before ended without a word, and nobody knows how far it came."""

    job: Job
    cut_off: bool


class Failed(Exception):
    """A job was not done. `reason` is a closed name; `again` says whether another try may help."""

    def __init__(self, reason: str, *, again: bool, retry_after_s: float | None = None) -> None:
        self.reason, self.again, self.retry_after_s = reason, again, retry_after_s
        super().__init__(reason)


Handler = Callable[[Task], Awaitable[None]]
Ended = Callable[[str, str], None]
"""Told of every try: the job's kind, and done, retried, dead or lost."""


class Bell:
    """Wakes who waits; rung while nobody does, the next wait ends at once. Made on the loop that uses it."""

    def __init__(self) -> None:
        self._rung = anyio.Event()

    def ring(self) -> None:
        """Wake who waits, or who will."""
        self._rung.set()

    async def wait(self, seconds: float) -> None:
        """Wait for the bell, so many seconds at most."""
        with anyio.move_on_after(seconds):
            await self._rung.wait()
        self._rung = anyio.Event()


class Worker:
    """Runs the jobs that it has handlers for; others are left to who knows them."""

    def __init__(
        self, jobs: Jobs, handlers: Mapping[str, Handler], *, now: Callable[[], datetime],
        bell: Bell | None = None, concurrency: int = 4,
        attempts: int = 6, lease_s: float = 60.0, paused: Callable[[], bool] = lambda: False,
        ended: Ended = lambda _kind, _how: None, chance: Callable[[], float] = random.random,
    ) -> None:  # fmt: skip
        self._jobs, self._handlers, self._now = jobs, handlers, now
        self._concurrency, self._attempts, self._lease_s = concurrency, attempts, lease_s
        self._paused, self._ended, self._chance = paused, ended, chance
        self._bell, self._stopping, self._running = bell or Bell(), False, 0
        self._log = get_logger("worker")

    def stop(self) -> None:
        """Claim no more; `run` ends when what runs has ended."""
        self._stopping = True
        self._bell.ring()

    async def run(self) -> None:
        """Work until stopped."""
        async with anyio.create_task_group() as tasks:
            while not self._stopping:
                free = self._concurrency - self._running
                for job in await self._claim(free):
                    self._running += 1
                    tasks.start_soon(self._counted, job)
                if not self._stopping:
                    await self._bell.wait(POLL_S)

    async def round(self) -> int:
        """Run what is due now, and what comes of it, and return how many tries that took."""
        tries = 0
        while jobs := await self._claim(self._concurrency):
            tries += len(jobs)
            async with anyio.create_task_group() as tasks:
                for job in jobs:
                    tasks.start_soon(self._work, job)
        return tries

    async def _claim(self, free: int) -> list[Job]:
        if free < 1 or self._paused():
            return []
        try:
            return await self._jobs.claim(free, lease_s=self._lease_s, kinds=tuple(self._handlers))
        except StoreUnavailable:
            self._log.warning("jobs not claimed", reason="store_unavailable")
        except Exception as bug:  # noqa: BLE001 - the worker's edge: a claim that fails must not end the service
            self._log.error("bug", reason=type(bug).__name__)
        return []

    async def _counted(self, job: Job) -> None:
        try:
            await self._work(job)
        finally:
            self._running -= 1
            self._bell.ring()

    async def _work(self, job: Job) -> None:
        """Try a job while its lease is kept up. One that is broken off by a shutdown is given back at once."""
        outcome: Failed | None = Failed("lease_lost", again=False)
        finished = False
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._hold, job, tasks.cancel_scope)
                outcome = await self._try(job)
                finished = True
                tasks.cancel_scope.cancel()
        except anyio.get_cancelled_exc_class():
            with anyio.CancelScope(shield=True):
                await self._settle(job, Failed(SHUTDOWN, again=True, retry_after_s=0.0))
            raise
        if finished:
            await self._settle(job, outcome)
        else:
            self._tell(job, "lost", "lease_lost")

    async def _hold(self, job: Job, scope: anyio.CancelScope) -> None:
        """Extend the lease again and again; where somebody else has the job, stop."""
        while True:
            await anyio.sleep(self._lease_s / 3)
            try:
                if not await self._jobs.extend(job, lease_s=self._lease_s):
                    scope.cancel()
            except StoreUnavailable:
                continue  # two thirds of the lease are left to come back
            except Exception as bug:  # noqa: BLE001 - likewise
                self._log.error("bug", reason=type(bug).__name__)

    async def _try(self, job: Job) -> Failed | None:
        if job.attempts > self._attempts:  # the tries before ended without a word
            return Failed(WORN_OUT, again=False)
        try:
            await self._handlers[job.kind](Task(job, cut_off(job)))
        except Failed as failed:
            return failed
        except StoreUnavailable:
            return Failed("store_unavailable", again=True)
        except TicketError:
            return Failed("ticket_unusable", again=False)
        except Exception as bug:  # noqa: BLE001 - the worker's edge: one broken job must not end all others
            return Failed(f"{BUG}:{type(bug).__name__}", again=True)
        return None

    async def _settle(self, job: Job, failed: Failed | None) -> None:
        """Write down how a try ended. Where that fails the lease ends, and the job is tried again."""
        try:
            if failed is None:
                await self._jobs.done(job)
                self._tell(job, "done")
            elif failed.reason == SHUTDOWN:
                await self._jobs.retry(job, self._now(), SHUTDOWN)
                self._tell(job, "retried", SHUTDOWN)
            elif failed.again and job.attempts < self._attempts:
                pause = timedelta(seconds=self._pause_s(job.attempts, failed.retry_after_s))
                await self._jobs.retry(job, self._now() + pause, told(job.attempts, failed.reason))
                self._tell(job, "retried", failed.reason)
            else:
                await self._jobs.bury(job, failed.reason)
                self._tell(job, "dead", failed.reason)
        except StoreUnavailable:
            self._tell(job, "lost", "store_unavailable")
        except Exception as bug:  # noqa: BLE001 - the worker's edge
            self._tell(job, "lost", f"{BUG}:{type(bug).__name__}")

    def _pause_s(self, attempts: int, retry_after_s: float | None) -> float:
        pause = min(FIRST_PAUSE_S * GROWTH ** (attempts - 1), LONGEST_PAUSE_S) * (1 - self._chance() / 2)
        return pause if retry_after_s is None else max(pause, retry_after_s)

    def _tell(self, job: Job, how: str, reason: str | None = None) -> None:
        self._ended(job.kind, how)
        if reason is not None:
            level = self._log.error if how == "dead" else self._log.warning
            level(f"job {how}", kind=job.kind, job=job.id, attempts=job.attempts, reason=reason)


def told(attempt: int, reason: str) -> str:
    """Return what stands as the error of a job that is to be tried again."""
    return f"attempt {attempt}: {reason}"


def cut_off(job: Job) -> bool:
    """Say whether the try before this one left no word of how it ended: its process died, or was told to stop."""
    return job.attempts > 1 and not (job.error or "").startswith(told(job.attempts - 1, ""))


@asynccontextmanager
async def working(*workers: Worker, grace_s: float) -> AsyncIterator[None]:
    """Let workers run. At the end they claim no more, have `grace_s` seconds to end, and give the rest back."""
    async with anyio.create_task_group() as outer:
        ended = anyio.Event()

        async def run_all() -> None:
            async with anyio.create_task_group() as tasks:
                for worker in workers:
                    tasks.start_soon(worker.run)
            ended.set()

        outer.start_soon(run_all)
        try:
            yield
        finally:
            for worker in workers:
                worker.stop()
            with anyio.move_on_after(grace_s, shield=True):
                await ended.wait()
            outer.cancel_scope.cancel()
