"""What a running service is made of: opened here, and closed in the same place."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import anyio
from fastapi import Request

from triagedesk.service.duty import Duty, Sleep, open_duty
from triagedesk.service.keyring import KeyRing
from triagedesk.service.keys import KeyGate, RateLimiter
from triagedesk.service.limits import Door
from triagedesk.service.metrics import Metrics
from triagedesk.service.reception import Reception
from triagedesk.service.settings import ServiceSettings
from triagedesk.service.store.database import Store, open_store
from triagedesk.settings import Settings

LAG_S = 0.5
"""How often the event loop is asked how late it is, in seconds."""

Now = Callable[[], datetime]


def utc_now() -> datetime:
    """Return the present moment."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class Clocks:
    """What the service knows of time; tests bring their own."""

    now: Now = utc_now
    monotonic: Callable[[], float] = time.monotonic
    sleep: Sleep = anyio.sleep


@dataclass(frozen=True)
class Runtime:
    """The parts that routes speak to."""

    service: ServiceSettings
    settings: Settings
    clocks: Clocks
    store: Store
    duty: Duty
    gate: KeyGate
    reception: Reception
    metrics: Metrics
    door: Door
    batch_slots: anyio.CapacityLimiter

    def deadline_s(self, asked_s: float | None) -> float:
        """Return the deadline of a ticket: what was asked, or the desk's own, and never more than is allowed."""
        return min(self.settings.deadline_s if asked_s is None else asked_s, self.service.max_deadline_s)


Part = Callable[[Runtime], AbstractAsyncContextManager[object]]
"""Something that runs beside the routes for as long as the service does: worker, scheduler, notifier."""


@asynccontextmanager
async def open_runtime(
    service: ServiceSettings, settings: Settings, *, clocks: Clocks, metrics: Metrics, door: Door,
    parts: Sequence[Part] = (),
) -> AsyncIterator[Runtime]:  # fmt: skip
    """Open store, desk and parts. Raises ConfigError, StoreUnavailable."""
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(
            open_store(service.database_url.get_secret_value(), now=clocks.now, migrate=service.migrate)
        )
        duty = await stack.enter_async_context(
            open_duty(
                settings, max_at_once=service.max_concurrency, now=clocks.now, sleep=clocks.sleep,
                reloaded=lambda outcome: metrics.reloads.labels(outcome).inc(),
            )
        )  # fmt: skip
        limiter = RateLimiter(service.rate_per_minute / 60, service.rate_burst, clock=clocks.monotonic)
        ring = KeyRing(store.keys, service.key_cache_s, clock=clocks.monotonic)
        gate = KeyGate(store.keys, limiter, now=clocks.now, ring=ring)
        reception = Reception(service, duty, store, gate, metrics, now=clocks.now)
        runtime = Runtime(
            service, settings, clocks, store, duty, gate, reception, metrics, door,
            batch_slots=anyio.CapacityLimiter(max(1, service.max_concurrency // 2)),
        )  # fmt: skip
        metrics.observe(lambda: duty.desk, lambda: duty.at_once)
        tasks = await stack.enter_async_context(anyio.create_task_group())
        stack.callback(tasks.cancel_scope.cancel)
        tasks.start_soon(_measure_lag, metrics)
        for part in parts:
            await stack.enter_async_context(part(runtime))
        yield runtime


async def _measure_lag(metrics: Metrics) -> None:
    while True:
        due = time.monotonic() + LAG_S
        await anyio.sleep(LAG_S)
        metrics.loop_lag.set(max(0.0, time.monotonic() - due))


def runtime_of(request: Request) -> Runtime:
    """Return the app's runtime."""
    runtime: Runtime = request.app.state.runtime
    return runtime
