"""How the database is reached: its address, one transaction at a time, and what happens while it cannot be reached."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import anyio
from sqlalchemy import URL, Connection, event, make_url
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from triagedesk.errors import ConfigError, TriageError
from triagedesk.service.store.tables import Table

T = TypeVar("T")
Work = Callable[[AsyncConnection], Awaitable[T]]
Now = Callable[[], datetime]
Upsert = sqlite.Insert | postgresql.Insert

PATIENCE_S = 1.0
"""How long a transaction waits for its turn, and again for a lock or a restart, before the caller is sent away."""

POSTGRES = "postgresql+psycopg"
SQLITE = "sqlite+aiosqlite"
_STATES = (OperationalError, InterfaceError, PoolTimeoutError)
_DRIVERS = {
    "sqlite": SQLITE, "sqlite+aiosqlite": SQLITE,
    "postgres": POSTGRES, "postgresql": POSTGRES, "postgresql+psycopg": POSTGRES,
}  # fmt: skip


class StoreUnavailable(TriageError):
    """The database is locked, restarting or gone: nothing was kept, and the caller may come back."""

    retry_after_s = 2.0

    def __init__(self, message: str = "the database cannot be reached now") -> None:
        super().__init__(message)


def utc_now() -> datetime:
    """Return the present moment."""
    return datetime.now(UTC)


def address(url: str) -> URL:
    """Read a database URL: sqlite:///FILE or postgresql://USER@HOST/NAME.

    Raises ConfigError, without the URL: it may hold a password.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise ConfigError("database_url: write sqlite:///FILE or postgresql://USER@HOST/NAME") from None
    driver = _DRIVERS.get(parsed.drivername)
    if driver is None:
        raise ConfigError("database_url: only sqlite:///FILE and postgresql:// (by psycopg) are known")
    if driver == SQLITE and (not parsed.database or ":memory:" in parsed.database):
        raise ConfigError("database_url: name a file; a database in memory would forget every delivery and job")
    return parsed.set(drivername=driver)


def prepare(url: URL) -> None:
    """Make the folder and the file of an SQLite database, for the owner's eyes only. Raises ConfigError."""
    if url.drivername != SQLITE or not url.database:
        return
    file = Path(url.database)
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.close(os.open(file, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError as wrong:
        raise ConfigError(f"database_url: {file}: {wrong.strerror}; name a file that can be written") from None


def connect_args(url: URL, patience_s: float) -> dict[str, Any]:
    """Return what the driver is told: no wait for a lock or a statement goes on for ever."""
    if url.drivername == SQLITE:
        return {"timeout": patience_s}
    given = url.query.get("options", "")  # such as a search_path
    limits = f"-c lock_timeout={int(patience_s * 1000)} -c statement_timeout=10000"
    return {"connect_timeout": 2, "application_name": "triagedesk", "options": f"{given} {limits}"}


def settle_sqlite(connection: Any, _record: object = None) -> None:
    """Set a new SQLite connection up: transactions begin where we say, readers never wait for a writer."""
    connection.isolation_level = None  # or the driver begins by itself, and late: a lock could not be waited for
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def begin_sqlite(connection: Connection) -> None:
    """Begin a transaction; one that writes takes its lock at once, where busy_timeout holds."""
    writes = connection.get_execution_options().get("writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


class Database:
    """Runs work in transactions: all of it or nothing, tried anew for a while where the database cannot be reached."""

    def __init__(self, engine: AsyncEngine, *, now: Now = utc_now, patience_s: float = PATIENCE_S) -> None:
        self._reading, self._writing = engine, engine.execution_options(writes=True)
        self._patience_s = patience_s
        self._one_writer = anyio.Lock()
        self.now = now
        self.is_sqlite = engine.dialect.name == "sqlite"

    async def read(self, work: Work[T]) -> T:
        """Run work that only reads. Raises StoreUnavailable."""
        return await self._patiently(self._reading, work)

    async def write(self, work: Work[T]) -> T:
        """Run work that writes; it may run more than once, and only the last run counts. Raises StoreUnavailable."""
        if not self.is_sqlite:
            return await self._patiently(self._writing, work)
        async with self._turn():
            return await self._patiently(self._writing, work)

    def insert(self, table: type[Table]) -> Upsert:
        """Return an INSERT that knows ON CONFLICT."""
        return sqlite.insert(table) if self.is_sqlite else postgresql.insert(table)

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """Let this process's writers in by order of arrival; SQLite's own waiting is by lot."""
        try:
            with anyio.fail_after(self._patience_s):
                await self._one_writer.acquire()
        except TimeoutError:
            raise StoreUnavailable from None
        try:
            yield
        finally:
            self._one_writer.release()

    async def _patiently(self, engine: AsyncEngine, work: Work[T]) -> T:
        """Try until the patience is over. A caller that hangs up does not cut a transaction in two."""
        ends, pause_s = time.monotonic() + self._patience_s, 0.05
        with anyio.CancelScope(shield=True):
            while not (done := await _attempt(engine, work)):
                if time.monotonic() + pause_s > ends:
                    raise StoreUnavailable
                await anyio.sleep(pause_s)
                pause_s *= 2
        return done[0]


async def _attempt(engine: AsyncEngine, work: Work[T]) -> list[T]:
    """Run work in one transaction; nothing comes back where the database is locked, restarting, gone or full.

    A mistake of ours is raised.
    """
    try:
        async with engine.begin() as connection:
            return [await work(connection)]
    except _STATES:
        return []
    except DBAPIError as wrong:
        if wrong.connection_invalidated:
            return []
        raise


def open_engine(url: URL, *, patience_s: float = PATIENCE_S) -> AsyncEngine:
    """Build the engine; no parameter of a statement gets into an error's text."""
    engine = create_async_engine(
        url, connect_args=connect_args(url, patience_s), hide_parameters=True, pool_timeout=patience_s,
        pool_pre_ping=url.drivername != SQLITE,  # a file does not hang up
    )  # fmt: skip
    if url.drivername == SQLITE:
        event.listen(engine.sync_engine, "connect", settle_sqlite)
        event.listen(engine.sync_engine, "begin", begin_sqlite)
    return engine
