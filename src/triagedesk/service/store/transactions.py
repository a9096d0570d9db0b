"""One transaction at a time: all of it or nothing, tried anew for a while where the database cannot be reached.

Work is a plain function of a connection. On SQLite a whole transaction is one visit to a thread, and a look-up by key
is done on the spot: it takes less than the way to a thread and back. On PostgreSQL the driver is asynchronous.
"""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

import anyio
from anyio import to_thread
from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import create_async_engine

from triagedesk.service.store.connection import (
    PATIENCE_S,
    SQLITE,
    Now,
    StoreUnavailable,
    begin_sqlite,
    connect_args,
    settle_sqlite,
    utc_now,
)
from triagedesk.service.store.tables import Table

T = TypeVar("T")
Work = Callable[[Connection], T]
Upsert = sqlite.Insert | postgresql.Insert

THREADS = 8
"""So many transactions of one process are at an SQLite file at once; one of them writes."""

_STATES = (OperationalError, InterfaceError, PoolTimeoutError)


class Reached(Protocol):
    """How transactions get to a kind of database. What they raise is the driver's, as SQLAlchemy wraps it."""

    one_writes: bool
    """Whether the writers of this process have to take turns."""

    async def run(self, work: Work[T], *, writes: bool) -> T:
        """Run work in one transaction."""
        ...

    async def glance(self, work: Work[T]) -> T:
        """Run work that reads a few rows by their keys."""
        ...

    async def close(self) -> None:
        """Close every connection."""
        ...


class File:
    """An SQLite file."""

    one_writes = True

    def __init__(self, url: URL, patience_s: float) -> None:
        self._reading, self._near = _file_engine(url, patience_s, THREADS), _file_engine(url, 0.0, 1)
        self._writing = self._reading.execution_options(writes=True)
        self._threads = anyio.CapacityLimiter(THREADS)

    async def run(self, work: Work[T], *, writes: bool) -> T:
        """Run work in a thread; a caller that hangs up meanwhile does not stop it."""
        return await to_thread.run_sync(_once, self._writing if writes else self._reading, work, limiter=self._threads)

    async def glance(self, work: Work[T]) -> T:
        """Run work here and now, on a connection that waits for no lock: readers of a WAL file hardly ever meet one."""
        return _once(self._near, work)

    async def close(self) -> None:
        """Close both pools; the last connection writes the WAL back."""
        self._near.dispose()
        await to_thread.run_sync(self._reading.dispose)


class Server:
    """A PostgreSQL server. Reads go without BEGIN and COMMIT: each is one statement, or may see the next moment."""

    one_writes = False

    def __init__(self, url: URL, patience_s: float) -> None:
        made = partial(
            create_async_engine, url, connect_args=connect_args(url, patience_s), hide_parameters=True,
            pool_timeout=patience_s,
        )  # fmt: skip
        self._writing = made().execution_options(writes=True)
        self._reading = made(isolation_level="AUTOCOMMIT")  # connections of its own: none is switched to and fro

    async def run(self, work: Work[T], *, writes: bool) -> T:
        """Run work on this loop; its waiting is the loop's."""
        async with (self._writing if writes else self._reading).begin() as connection:
            return await connection.run_sync(work)

    async def glance(self, work: Work[T]) -> T:
        """Run work that reads."""
        return await self.run(work, writes=False)

    async def close(self) -> None:
        """Close the pools."""
        await self._reading.dispose()
        await self._writing.dispose()


@dataclass(eq=False)
class Turn(Generic[T]):
    """Work that waits for its turn to write, and what came of it."""

    work: Work[T]
    taken: bool = False
    outcome: list[T] = field(default_factory=list)
    failed: Exception | None = None

    def run(self, connection: Connection) -> None:
        """Do it, and keep what comes of it."""
        self.outcome, self.failed = [], None
        self.outcome.append(self.work(connection))

    def result(self) -> T:
        """Return what came of it, or raise that."""
        if self.failed is not None:
            raise self.failed
        return self.outcome[0]


def _in_turn(connection: Connection, turns: list[Turn[Any]]) -> None:
    """Run work one after the other in one transaction; what fails is undone by itself, and the others stand.

    SQLite has one writer at a time: who waited for him shares the next commit, and the flush of the disk.
    """
    for turn in turns:
        try:
            with connection.begin_nested() if len(turns) > 1 else nullcontext():
                turn.run(connection)
        except _STATES:
            raise  # the database is locked or full: all of it is tried anew
        except Exception as wrong:
            if len(turns) == 1:
                raise
            turn.failed = wrong  # raised where the work came from


class Database:
    """Runs work in transactions; a lock or a restart is waited for, but not for ever."""

    def __init__(self, url: URL, *, now: Now = utc_now, patience_s: float = PATIENCE_S) -> None:
        self.is_sqlite = url.drivername == SQLITE
        self._reached: Reached = File(url, patience_s) if self.is_sqlite else Server(url, patience_s)
        self._patience_s = patience_s
        self._one_writer = anyio.Lock()
        self._waiting: list[Turn[Any]] = []
        self.now = now
        self._inserts: dict[type[Table], Upsert] = {}

    async def read(self, work: Work[T]) -> T:
        """Run work that only reads. Raises StoreUnavailable."""
        return await self._patiently(lambda: self._reached.run(work, writes=False))

    async def glance(self, work: Work[T]) -> T:
        """Run work that reads a few rows by their keys, the quickest way there is. Raises StoreUnavailable."""
        with anyio.CancelScope(shield=True):
            if done := await _attempt(lambda: self._reached.glance(work)):
                return done[0]
        return await self.read(work)

    async def write(self, work: Work[T]) -> T:
        """Run work that writes; it may run more than once, and only the last run counts. Raises StoreUnavailable."""
        if not self._reached.one_writes:
            return await self._patiently(lambda: self._reached.run(work, writes=True))
        turn: Turn[T] = Turn(work)
        self._waiting.append(turn)
        try:
            await self._wait_for(turn)
        finally:
            if turn in self._waiting:
                self._waiting.remove(turn)
        return turn.result()

    async def _wait_for(self, turn: Turn[Any]) -> None:
        """Commit for all who wait, or find that somebody did."""
        try:
            with anyio.fail_after(self._patience_s) as patience:
                async with self._one_writer:
                    patience.deadline = math.inf
                    if not turn.taken:
                        await self._commit_waiting()
                    return
        except TimeoutError:
            if not turn.taken:
                raise StoreUnavailable from None
        with anyio.CancelScope(shield=True):  # a commit that holds this work is on its way
            async with self._one_writer:
                return

    async def _commit_waiting(self) -> None:
        """Run the work of all who wait in one transaction, by order of arrival."""
        turns, self._waiting = self._waiting, []
        for turn in turns:
            turn.taken = True
        work, committed = partial(_in_turn, turns=turns), False
        try:
            with suppress(StoreUnavailable):  # which each of them is told
                await self._patiently(lambda: self._reached.run(work, writes=True))
                committed = True
        finally:
            for turn in () if committed else turns:
                turn.outcome, turn.failed = [], StoreUnavailable()

    async def close(self) -> None:
        """Close what is open."""
        await self._reached.close()

    def insert(self, table: type[Table]) -> Upsert:
        """Return an INSERT that knows ON CONFLICT."""
        return sqlite.insert(table) if self.is_sqlite else postgresql.insert(table)

    def insert_new(self, table: type[Table]) -> Upsert:
        """Return an INSERT of rows that leaves those alone whose key is there; the same every time, built once."""
        if table not in self._inserts:
            self._inserts[table] = self.insert(table).on_conflict_do_nothing()
        return self._inserts[table]

    async def _patiently(self, run: Callable[[], Awaitable[T]]) -> T:
        """Try until the patience is over. A caller that hangs up does not cut a transaction in two."""
        ends, pause_s = time.monotonic() + self._patience_s, 0.05
        with anyio.CancelScope(shield=True):
            while not (done := await _attempt(run)):
                if time.monotonic() + pause_s > ends:
                    raise StoreUnavailable
                await anyio.sleep(pause_s)
                pause_s *= 2
        return done[0]


async def _attempt(run: Callable[[], Awaitable[T]]) -> list[T]:
    """Run a transaction; nothing comes back where the database is locked, restarting, gone or full.

    A mistake of ours is raised.
    """
    try:
        return [await run()]
    except _STATES:
        return []
    except DBAPIError as wrong:
        if wrong.connection_invalidated:
            return []
        raise


def _once(engine: Engine, work: Work[T]) -> T:
    with engine.begin() as connection:
        return work(connection)


def _file_engine(url: URL, patience_s: float, connections: int) -> Engine:
    """Build an engine; no parameter of a statement gets into an error's text."""
    engine = create_engine(
        url, connect_args=connect_args(url, patience_s), hide_parameters=True, pool_size=connections, max_overflow=0,
        pool_timeout=patience_s,
    )  # fmt: skip
    event.listen(engine, "connect", settle_sqlite)
    event.listen(engine, "begin", begin_sqlite)
    return engine
