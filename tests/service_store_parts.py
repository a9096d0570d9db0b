"""What the tests of the store share: a database of their own in every kind that is there, a clock, and records."""

from __future__ import annotations

import multiprocessing
import os
import secrets
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, TypeVar

import anyio
import pytest
from sqlalchemy import Connection as Session
from sqlalchemy import Engine, create_engine, event, make_url

from triagedesk.service.store.database import Store, open_store
from triagedesk.service.store.records import StoredSuggestion

T = TypeVar("T")
POSTGRES = os.environ.get("TRIAGEDESK_TEST_POSTGRES")
KINDS = (
    "sqlite",
    pytest.param(
        "postgresql",
        marks=pytest.mark.skipif(not POSTGRES, reason="TRIAGEDESK_TEST_POSTGRES names no PostgreSQL server"),
    ),
)
NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


class Clock:
    """A clock that goes when told."""

    def __init__(self, now: datetime = NOON) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def pass_s(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@contextmanager
def database_of(kind: str, folder: Path) -> Iterator[str]:
    """Give the URL of an empty database: a file, or a schema of its own in the server."""
    if kind == "sqlite":
        yield f"sqlite:///{folder / 'service.db'}"
        return
    place = make_url(POSTGRES or "").set(drivername="postgresql+psycopg")
    schema = f"t_{secrets.token_hex(8)}"
    engine = create_engine(place, isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            connection.exec_driver_sql(f"CREATE SCHEMA {schema}")
        inside = place.update_query_dict({"options": f"-csearch_path={schema}"})
        yield inside.render_as_string(hide_password=False)
        with engine.connect() as connection:
            connection.exec_driver_sql(f"DROP SCHEMA {schema} CASCADE")
    finally:
        engine.dispose()


COMMITS: ContextVar[list[str] | None] = ContextVar("COMMITS", default=None)
"""Where a context (a test, a request) wants its commits written down."""


@contextmanager
def commits_seen() -> Iterator[None]:
    """Write every commit down where its context wants it: "write", or "read" for a transaction that only read."""

    def committed(connection: Session) -> None:
        seen = COMMITS.get()
        if seen is not None:
            seen.append("write" if connection.get_execution_options().get("writes") else "read")

    event.listen(Engine, "commit", committed)
    try:
        yield
    finally:
        event.remove(Engine, "commit", committed)


def in_store(
    url: str, work: Callable[[Store], Awaitable[T]], *, now: Callable[[], datetime] | None = None, **options: Any
) -> T:
    """Run work on an open store."""

    async def opened() -> T:
        async with open_store(url, now=now or Clock(), **options) as store:
            return await work(store)

    return anyio.run(opened)


def suggestion(number: int = 1, *, ticket_id: str = "T-1", **given: Any) -> StoredSuggestion:
    """Build a suggestion; higher numbers are newer."""
    return StoredSuggestion(
        **{
            "id": f"s_{number:026d}", "ticket_id": ticket_id, "created_at": NOON + timedelta(minutes=number),
            "key_id": "k_1", "suggestion": {"labels": {"urgency": {"label": "high"}}}, **given,
        }
    )  # fmt: skip


@dataclass(frozen=True)
class Claimer:
    """A process that claims jobs, and the wire on which it names them."""

    process: BaseProcess
    wire: Connection

    def first_three(self) -> list[str]:
        """Return what it claimed first; it then waits for a word."""
        return [self.wire.recv() for _ in range(3)]

    def to_the_end(self) -> list[str]:
        """Return what it claims from now on, until nothing is left."""
        claimed = []
        while (said := self.wire.recv()) != "end":
            claimed.append(said)
        return claimed


@contextmanager
def claimers(url: str, count: int) -> Iterator[list[Claimer]]:
    """Start processes that open the store, say so, wait to be told, and claim until nothing is left."""
    started = multiprocessing.get_context("forkserver")
    started.set_forkserver_preload([__name__])  # they are forked from one that has imported everything
    made = []
    for _ in range(count):
        ours, theirs = started.Pipe()
        process = started.Process(target=_claim_all, args=(url, theirs), daemon=True)
        process.start()
        theirs.close()
        made.append(Claimer(process, ours))
    try:
        yield made
    finally:
        for claimer in made:
            claimer.process.kill()
            claimer.process.join()
            claimer.process.close()
            claimer.wire.close()


def _claim_all(url: str, wire: Connection) -> None:
    async def claim_all() -> None:
        async with open_store(url) as store:
            wire.send("ready")
            wire.recv()
            for job in await store.jobs.claim(3):
                wire.send(job.id)
            wire.recv()
            while jobs := await store.jobs.claim(3):
                for job in jobs:
                    wire.send(job.id)
            wire.send("end")

    anyio.run(claim_all)
