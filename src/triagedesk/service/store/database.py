"""Opens the store: one object with a table of its own for every noun."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio
from anyio import to_thread
from sqlalchemy import Connection, text

from triagedesk.service.store.connection import (
    PATIENCE_S,
    Now,
    StoreUnavailable,
    address,
    utc_now,
)
from triagedesk.service.store.deliveries import Deliveries
from triagedesk.service.store.feedback import FeedbackLog
from triagedesk.service.store.idempotency import Idempotency
from triagedesk.service.store.jobs import Jobs
from triagedesk.service.store.keys import Keys
from triagedesk.service.store.ledger import Ledger
from triagedesk.service.store.migrate import downgrade, upgrade
from triagedesk.service.store.outcomes import Outcomes
from triagedesk.service.store.steps import Steps
from triagedesk.service.store.suggestions import Suggestions
from triagedesk.service.store.transactions import Database

__all__ = ["Store", "StoreUnavailable", "downgrade", "open_store", "upgrade"]


@dataclass(frozen=True, slots=True)
class Store:
    """Everything that the service remembers. Every method may raise StoreUnavailable."""

    database: Database = field(repr=False)
    keys: Keys
    suggestions: Suggestions
    feedback: FeedbackLog
    outcomes: Outcomes
    deliveries: Deliveries
    jobs: Jobs
    steps: Steps
    idempotency: Idempotency
    ledger: Ledger

    async def ping(self) -> None:
        """Ask the database for a sign of life. Raises StoreUnavailable."""

        def work(connection: Connection) -> None:
            connection.execute(text("SELECT 1"))

        await self.database.read(work)


@asynccontextmanager
async def open_store(
    url: str, *, now: Now = utc_now, patience_s: float = PATIENCE_S, migrate: bool = True
) -> AsyncIterator[Store]:
    """Open the store at sqlite:///FILE or postgresql://…, migrated up unless told otherwise.

    `now` is the store's clock; `patience_s` bounds every wait for a lock or a restart, in seconds. Raises ConfigError
    for a URL that cannot be used, StoreUnavailable where nothing answers.
    """
    place = address(url)
    if migrate:
        await to_thread.run_sync(upgrade, url)
    database = Database(place, now=now, patience_s=patience_s)
    try:
        yield Store(
            database,
            keys=Keys(database),
            suggestions=Suggestions(database),
            feedback=FeedbackLog(database),
            outcomes=Outcomes(database),
            deliveries=Deliveries(database),
            jobs=Jobs(database),
            steps=Steps(database),
            idempotency=Idempotency(database),
            ledger=Ledger(database),
        )
    finally:
        with anyio.CancelScope(shield=True):
            await database.close()
