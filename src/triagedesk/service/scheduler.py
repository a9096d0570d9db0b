"""The scheduler: finds by the clock what is due, each step once whatever the replicas, and keeps the house.

A step is taken and its alarm queued in one transaction; the alarm is a job, so a kill loses none.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import anyio

from triagedesk.logs import get_logger
from triagedesk.service.alarms import ALARM
from triagedesk.service.settings import ServiceSettings
from triagedesk.service.store.database import Store, StoreUnavailable

TAKEN_AT_ONCE = 200
HOUSEKEEPING = timedelta(hours=1)
DONE_KEPT, IDEMPOTENCY_KEPT = timedelta(hours=1), timedelta(days=1)


class Scheduler:
    """Finds the steps that are due. `queued` is called when alarms were queued."""

    def __init__(
        self, store: Store, service: ServiceSettings, *, now: Callable[[], datetime],
        queued: Callable[[], None] = lambda: None,
    ) -> None:  # fmt: skip
        self._store, self._service, self._now, self._queued = store, service, now, queued
        self._kept_house: datetime | None = None
        self._log = get_logger("scheduler")

    async def run(self) -> None:
        """Look for what is due, again and again."""
        while True:
            try:
                await self.look()
                await self._keep_house()
            except StoreUnavailable:
                self._log.warning("steps not looked for", reason="store_unavailable")
            except Exception as bug:  # noqa: BLE001 - the scheduler's edge: what is due later must be found all the same
                self._log.error("bug", reason=type(bug).__name__)
            await anyio.sleep(self._service.scheduler_s)

    async def look(self) -> int:
        """Take the steps that are due and queue their alarms. Returns how many."""
        taken = 0
        while True:
            steps = await self._store.steps.take_due(TAKEN_AT_ONCE, job_kind=ALARM)
            taken += len(steps)
            if steps:
                self._queued()
            if len(steps) < TAKEN_AT_ONCE:
                return taken

    async def _keep_house(self) -> None:
        """Forget what is older than the settings say, once an hour."""
        now = self._now()
        if self._kept_house is not None and now < self._kept_house + HOUSEKEEPING:
            return
        store, service = self._store, self._service
        retained = now - timedelta(days=service.retention_days)
        await store.jobs.forget(now - DONE_KEPT, dead_kept=service.dead_letters, dead_before=retained)
        await store.deliveries.forget(now - timedelta(days=service.delivery_days))
        await store.idempotency.forget(now - IDEMPOTENCY_KEPT)
        await store.suggestions.forget(retained)
        await store.outcomes.forget(retained)
        self._kept_house = now
