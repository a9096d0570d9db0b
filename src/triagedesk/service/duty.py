"""The desk on duty: replaced when its playbook changes, relieved by rules when too many tickets come at once.

Each desk lives in a task of its own until the last ticket that it took is answered.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import anyio
from anyio import to_thread
from anyio.abc import TaskGroup, TaskStatus

from triagedesk.desk import Desk, open_desk
from triagedesk.deskfiles import read_files
from triagedesk.errors import ConfigError, FallbackReason, PlaybookError
from triagedesk.lasting import lasting
from triagedesk.logs import get_logger
from triagedesk.models import Ticket
from triagedesk.opinions import Considered
from triagedesk.policy import Policy
from triagedesk.taskgroups import side_tasks
from triagedesk.tracing import of_suggestion, traced_async

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from pathlib import Path

    from triagedesk.settings import Settings

RELOAD_S = 3.0
"""How often the playbook's file is looked at, in seconds."""

SHUTDOWN_MARGIN_S = 0.5
"""What is left for writing answers down and sending them once the desk has stopped."""

Sleep = Callable[[float], Awaitable[None]]
Stamp = tuple[int, int, int]


@dataclass(eq=False)
class Watchkeeper:
    """One desk with its playbook, the rules that relieve it, and the tickets at it now."""

    desk: Desk
    rules: Desk
    policy: Policy
    tickets: int = 0
    retired: bool = False
    idle: anyio.Event = field(default_factory=anyio.Event)

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Keep the desk open for a ticket."""
        self.tickets += 1
        try:
            yield
        finally:
            self.tickets -= 1
            if self.retired and not self.tickets:
                self.idle.set()

    def retire(self) -> None:
        """Take no more tickets; close after the last."""
        self.retired = True
        if not self.tickets:
            self.idle.set()


class Duty:
    """Answers tickets whatever the load, with the newest playbook that can be used."""

    def __init__(
        self, settings: Settings, *, max_at_once: int, tasks: TaskGroup, now: Callable[[], datetime],
        reloaded: Callable[[str], None],
    ) -> None:  # fmt: skip
        self._settings, self._max, self._tasks, self._now, self._reloaded = settings, max_at_once, tasks, now, reloaded
        self._log = get_logger("service")
        self._current: Watchkeeper | None = None
        self._seen: Stamp | None = None
        self._scopes: set[anyio.CancelScope] = set()
        self._stops_at: float | None = None
        self.problem: str | None = None
        """What is wrong with the playbook's file now; the one before is in use."""

    @property
    def keeper(self) -> Watchkeeper:
        """Who is on duty."""
        if self._current is None:
            raise RuntimeError("the desk is not open yet")
        return self._current

    @property
    def desk(self) -> Desk:
        """The desk on duty."""
        return self.keeper.desk

    @property
    def at_once(self) -> int:
        """How many tickets are being answered now."""
        return len(self._scopes)

    @property
    def leaving(self) -> bool:
        """Say whether the service is about to stop."""
        return self._stops_at is not None

    async def open(self) -> None:
        """Open the first desk. Raises ConfigError."""
        self._seen = await to_thread.run_sync(_stamp, self._settings.playbook)
        self._current = await self._tasks.start(self._keep)

    async def consider(self, ticket: Ticket, *, deadline_s: float | None = None) -> tuple[Considered, Watchkeeper]:
        """Consider a ticket; where too many are, or the service stops, rules answer at once and say so.

        Raises TicketError when channel or tier is none of the playbook's.
        """
        keeper = self.keeper
        if keeper.desk.model is not None and self.at_once >= self._max:
            return await _relieved(keeper, ticket, FallbackReason.OVERLOADED), keeper
        with keeper.busy(), anyio.CancelScope() as scope:
            if self._stops_at is not None:
                scope.deadline = self._stops_at
            self._scopes.add(scope)
            try:
                return await keeper.desk.consider(ticket, deadline_s=deadline_s), keeper
            finally:
                self._scopes.discard(scope)
        return await _relieved(keeper, ticket, FallbackReason.SHUTDOWN), keeper

    def drain(self, seconds: float) -> None:
        """Answer all that is here within `seconds`: what the model has not said by then, rules say."""
        self._stops_at = anyio.current_time() + max(0.0, seconds - SHUTDOWN_MARGIN_S)
        for scope in self._scopes:
            scope.deadline = min(scope.deadline, self._stops_at)

    async def watch(self, sleep: Sleep = anyio.sleep, every_s: float = RELOAD_S) -> None:
        """Look at the playbook's file again and again."""
        while self._settings.playbook is not None:
            await sleep(every_s)
            try:
                await self.look()
            except Exception as bug:  # noqa: BLE001 - the watch's edge: the desk on duty goes on
                self._log.error("bug", reason=type(bug).__name__)

    async def look(self) -> bool:
        """Take a changed playbook into use. Returns whether one was; a broken one is told, and the old one stays."""
        stamp = await to_thread.run_sync(_stamp, self._settings.playbook)
        if stamp == self._seen or self._settings.playbook is None:
            return False
        self._seen = stamp
        try:
            fresh = await self._tasks.start(self._keep)
        except (ConfigError, OSError) as wrong:
            self._refuse(wrong)
            return False
        before, self._current, self.problem = self._current, fresh, None
        if before is not None:
            before.retire()
        self._reloaded("done")
        self._log.info("playbook reloaded", playbook=fresh.desk.playbook.identity)
        return True

    def _refuse(self, wrong: Exception) -> None:
        self.problem = _told(wrong)
        self._reloaded("refused")
        self._log.error("playbook not reloaded", reason=self.problem)

    async def _keep(self, *, task_status: TaskStatus[Watchkeeper]) -> None:
        files = await to_thread.run_sync(read_files, self._settings)  # nobody at the desk before waits for it
        async with open_desk(self._settings, now=self._now, files=files) as desk:
            await to_thread.run_sync(desk.warm_up)
            rules = desk
            if desk.model is not None:
                rules = Desk(self._settings.model_copy(update={"model": "rules"}), desk.playbook, now=self._now)
                await to_thread.run_sync(rules.warm_up)
            keeper = Watchkeeper(desk, rules, Policy(desk.playbook))
            with nullcontext() if desk.model is not None else lasting():  # a desk with a model did as much
                task_status.started(keeper)
                await keeper.idle.wait()


@asynccontextmanager
async def open_duty(
    settings: Settings, *, max_at_once: int, now: Callable[[], datetime], reloaded: Callable[[str], None],
    sleep: Sleep = anyio.sleep,
) -> AsyncIterator[Duty]:  # fmt: skip
    """Open the desk and watch its playbook; close it in the same place. Raises ConfigError."""
    async with side_tasks() as tasks:
        duty = Duty(settings, max_at_once=max_at_once, tasks=tasks, now=now, reloaded=reloaded)
        await duty.open()
        tasks.start_soon(duty.watch, sleep)
        yield duty


@traced_async("desk.relieved", of_suggestion)
async def _relieved(keeper: Watchkeeper, ticket: Ticket, reason: FallbackReason) -> Considered:
    """Let the rules answer, and say why."""
    began = time.monotonic()
    considered = await keeper.rules.consider(ticket)
    spent_ms = round((time.monotonic() - began) * 1000, 3)
    told = {"fallback_reason": reason.value, "elapsed_ms": spent_ms, "model": keeper.desk.model}
    suggestion = considered.suggestion
    provenance = suggestion.provenance.model_copy(update=told)
    return Considered(suggestion.model_copy(update={"provenance": provenance}), considered.rules, None)


def _stamp(file: Path | None) -> Stamp | None:
    if file is None:
        return None
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _told(wrong: Exception) -> str:
    """Say what is wrong without the machine's paths: anybody may read /readyz."""
    if isinstance(wrong, PlaybookError):
        return f"line {wrong.line}: {wrong.problem}" if wrong.line else wrong.problem
    return "the playbook, prompt or calibration cannot be read"
