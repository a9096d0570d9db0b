"""The back office: everything that works behind the routes, opened and closed with the application."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

import anyio
from fastapi import Request
from prometheus_client import Counter

from triagedesk.errors import ConfigError
from triagedesk.service.alarms import Alarms
from triagedesk.service.desks import DeskSettings
from triagedesk.service.desks.directory import load_desks
from triagedesk.service.desks.sender import open_sender
from triagedesk.service.errands import CLASSIFY, WRITE_BACK, Errands
from triagedesk.service.notify import Targets, load_targets, open_notifier
from triagedesk.service.runtime import Runtime
from triagedesk.service.scheduler import Scheduler
from triagedesk.service.settings import ServiceSettings
from triagedesk.service.tracing import as_span
from triagedesk.service.worker import Bell, Handler, Worker, working

DAY_S = 86_400
RESERVE_S = 1.0
"""What is left of the time to shut down when jobs are given back."""


@dataclass
class Opened:
    """What runs while the application does."""

    errands: Errands
    scheduler: Scheduler
    desk_work: Bell
    write_backs: Bell
    webhooks: Counter


class Office:
    """The desks and targets of the settings' files, and the workers between them. Raises ConfigError when made."""

    def __init__(self, service: ServiceSettings) -> None:
        self.desks: Mapping[str, DeskSettings] = load_desks(service.webhooks) if service.webhooks else {}
        for desk in self.desks.values():
            if desk.max_age_s > service.delivery_days * DAY_S:
                raise ConfigError(f"{service.webhooks}: {desk.name}: max_age_s is longer than delivery_days remembers")
        self.targets = load_targets(service.notifications) if service.notifications else Targets()
        self._opened: Opened | None = None

    @property
    def opened(self) -> Opened:
        """What runs now."""
        if self._opened is None:
            raise RuntimeError("the office is not open yet")
        return self._opened

    @asynccontextmanager
    async def part(self, runtime: Runtime) -> AsyncIterator[None]:
        """Open notifier, sender, workers and scheduler, and close them in the same place."""
        service, now = runtime.service, runtime.clocks.now
        desk_work, write_backs = Bell(), Bell()
        ended = Counter("triagedesk_job_tries", "Tries of background jobs", ("kind", "outcome"),
                        registry=runtime.metrics.registry)  # fmt: skip
        webhooks = Counter("triagedesk_webhooks", "Deliveries of helpdesks", ("desk", "outcome"),
                           registry=runtime.metrics.registry)  # fmt: skip

        def worker(bell: Bell, handlers: Mapping[str, Handler]) -> Worker:
            return Worker(
                runtime.store.jobs, handlers, now=now, bell=bell, concurrency=service.worker_concurrency,
                attempts=service.job_attempts, lease_s=service.job_lease_s, paused=lambda: runtime.duty.leaving,
                ended=lambda kind, how: ended.labels(kind, how).inc(),
            )  # fmt: skip

        async with (
            open_notifier(self.targets.targets) as notifier,
            open_sender(attempts=1, allowed=lambda: service.write_back) as sender,
        ):
            runtime.metrics.observe_targets(notifier.state)
            alarms = Alarms(
                runtime.store, now=now, playbook=lambda: runtime.duty.desk.playbook,
                tell=notifier.notify if self.targets.targets else None, drain=notifier.close,
                link=self.targets.link, lease_s=service.job_lease_s, attempts=service.job_attempts,
                paused=lambda: runtime.duty.leaving, ended=lambda kind, how: ended.labels(kind, how).inc(),
            )  # fmt: skip
            scheduler = Scheduler(runtime.store, service, now=now, queued=alarms.queued)
            errands = Errands(runtime, self.desks, sender, planned=write_backs.ring)
            workers = (
                worker(desk_work, {CLASSIFY: as_span(errands.classify)}),
                worker(
                    write_backs, {WRITE_BACK: as_span(errands.write_back)}
                ),  # apart: a desk that hangs holds up no other work
            )
            runtime.reception.alarms = alarms
            self._opened = Opened(errands, scheduler, desk_work, write_backs, webhooks)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(scheduler.run)
                tasks.start_soon(alarms.run)
                async with working(*workers, grace_s=max(0.0, service.shutdown_s - RESERVE_S)):
                    yield
                tasks.cancel_scope.cancel()
            await alarms.finish()


def office_of(request: Request) -> Office:
    """Return the app's office."""
    office: Office = request.app.state.office
    return office
