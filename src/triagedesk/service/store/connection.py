"""Where the database is, and how its connections are set up."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, make_url
from sqlalchemy.exc import ArgumentError
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_random

from triagedesk.errors import ConfigError, TriageError

Now = Callable[[], datetime]

PATIENCE_S = 1.0
"""How long a transaction waits for its turn, and again for a lock or a restart, before the caller is sent away."""

POSTGRES = "postgresql+psycopg"
SQLITE = "sqlite"
_DRIVERS = {
    "sqlite": SQLITE, "sqlite+aiosqlite": SQLITE,
    "postgres": POSTGRES, "postgresql": POSTGRES, "postgresql+psycopg": POSTGRES,
}  # fmt: skip


_UNTIL_ALONE = Retrying(
    retry=retry_if_exception_type(sqlite3.OperationalError),
    wait=wait_random(0.005, 0.05), stop=stop_after_delay(PATIENCE_S * 5), reraise=True,
)  # fmt: skip
"""SQLite does not wait for a turn to change the journal mode: processes that start together met on a new file."""


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
    for pragma in ("synchronous=FULL", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.execute("PRAGMA journal_mode")
    if cursor.fetchone() != ("wal",):  # a new file: the mode stays in it
        for attempt in _UNTIL_ALONE:
            with attempt:
                cursor.execute("PRAGMA journal_mode=WAL")
    cursor.close()


def begin_sqlite(connection: Connection) -> None:
    """Begin a transaction; one that writes takes its lock at once, where busy_timeout holds."""
    writes = connection.get_execution_options().get("writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
