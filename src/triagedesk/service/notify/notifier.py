"""The notifier: alarms wait in bounded queues in memory, one task a target tells them, and nobody waits for it.

A queue that is full, a target that is down, a wish to wait: all of it is counted, none of it reaches a suggestion.
The queues do not outlive the process: who gives an alarm keeps it until he is told (`Done`) what became of it.
"""

from __future__ import annotations

import hashlib
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import MappingProxyType

import anyio

from triagedesk.classifiers.transport import hush_vendors, open_client
from triagedesk.logs import get_logger
from triagedesk.privacy import warm_up
from triagedesk.service.notify.attempt import Attempt, Failure
from triagedesk.service.notify.notice import Notice
from triagedesk.service.notify.pace import Clock, Rate, SystemClock, wait_s
from triagedesk.service.notify.senders import Sender, sender_for
from triagedesk.service.notify.targets import Target

MAX_QUEUED = 1_000
MAX_ATTEMPTS = 6
ATTEMPT_S = 10.0
DRAIN_S = 5.0
Done = Callable[[Mapping[str, Failure]], None]
"""Told once what became of an alarm: the targets that were not told, and why. None at all means that all were."""

_MAX_CONNECTIONS = 16


@dataclass(frozen=True)
class TargetState:
    """What metrics show of a target. Counts are since the start; `failures` are attempts by closed reason."""

    name: str
    type: str
    queued: int
    sent: int
    retried: int
    dropped: int
    dead: int
    failures: Mapping[str, int]


class _Ending:
    """Waits until every target of an alarm has ended, and says so."""

    def __init__(self, targets: int, done: Done) -> None:
        self._left, self._done = targets, done
        self._failed: dict[str, Failure] = {}

    def ended(self, target: str, failure: Failure | None) -> None:
        """Take note of a target."""
        if failure is not None:
            self._failed[target] = failure
        self._left -= 1
        if self._left == 0:
            self._done(self._failed)


@dataclass(frozen=True)
class _Waiting:
    notice: Notice
    ending: _Ending

    @property
    def delivery_id(self) -> str:
        """The same for the same alarm, after a restart, too: by it a receiver knows one that comes twice."""
        one = self.notice
        told = f"{one.suggestion_id} {one.kind} {one.step} {one.promise}"
        return f"n_{hashlib.sha256(told.encode()).hexdigest()[:26]}"


class Notifier:
    """Tells every target of an alarm. Made by `open_notifier`; use it on the loop that opened it."""

    def __init__(self, lines: Sequence[Line], drain_s: float = DRAIN_S) -> None:
        self._lines, self._drain_s = tuple(lines), drain_s

    def notify(self, notice: Notice, done: Done = lambda _failed: None, only: str | None = None) -> int:
        """Take an alarm (for one target `only`) and return at once: how many queues took it. Never waits or raises.

        `done` is called once, when all targets were told or given up; at once where nobody wants to know.
        """
        if only is not None and all(line.name != only for line in self._lines):
            done({only: Failure.UNKNOWN_TARGET})
            return 0
        lines = [line for line in self._lines if line.wants(notice) and only in (None, line.name)]
        if not lines:
            done({})
        ending = _Ending(len(lines), done)
        return sum(line.take(notice, ending) for line in lines)

    def state(self) -> tuple[TargetState, ...]:
        """Return what each target did so far."""
        return tuple(line.state() for line in self._lines)

    async def idle(self) -> None:
        """Wait until nothing waits to be sent."""
        for line in self._lines:
            await line.idle()

    async def close(self) -> None:
        """Take no more; what waits has a few seconds to be told, and is given up then."""
        for line in self._lines:
            line.close()
        with anyio.move_on_after(self._drain_s, shield=True):
            await self.idle()
        for line in self._lines:
            line.abandon()


class Line:
    """One target's queue, rate, attempts and counts."""

    def __init__(
        self, target: Target, sender: Sender, *, clock: Clock, max_queued: int = MAX_QUEUED,
        max_attempts: int = MAX_ATTEMPTS,
    ) -> None:  # fmt: skip
        self._target, self._sender, self._clock = target, sender, clock
        self._max_queued, self._max_attempts = max_queued, max_attempts
        self._queue: deque[_Waiting] = deque()
        self._rate = Rate(target.per_minute / 60, target.burst, clock)
        self._changed = anyio.Event()
        self._closing = False
        self._counts: Counter[str] = Counter()
        self._failures: Counter[str] = Counter()
        self._log = get_logger("notify")

    @property
    def name(self) -> str:
        """The target's name."""
        return self._target.name

    def wants(self, notice: Notice) -> bool:
        """Say whether the target is told of alarms of this kind."""
        return notice.kind in self._target.kinds

    def take(self, notice: Notice, ending: _Ending) -> bool:
        """Put an alarm into the queue; a full queue drops the new one, so that an incident's first alarm stays."""
        if self._closing or len(self._queue) >= self._max_queued:
            self._counts["dropped"] += 1
            failure = Failure.SHUTDOWN if self._closing else Failure.QUEUE_FULL
            self._log.warning("notification dropped", target=self.name, reason=failure.value)
            ending.ended(self.name, failure)
            return False
        self._queue.append(_Waiting(notice if self._target.quotes else notice.without_quote(), ending))
        self._wake()
        return True

    def close(self) -> None:
        """Take no more; `work` ends when the queue is empty."""
        self._closing = True
        self._wake()

    def abandon(self) -> None:
        """Count what still waits as dropped."""
        left = tuple(self._queue)
        self._queue.clear()
        if left:
            self._log.warning("notifications dropped", target=self.name, reason=Failure.SHUTDOWN.value, n=len(left))
        self._counts["dropped"] += len(left)
        for waiting in left:
            waiting.ending.ended(self.name, Failure.SHUTDOWN)
        self._wake()

    async def idle(self) -> None:
        """Wait until the queue is empty."""
        while self._queue:
            await self._changed.wait()

    async def work(self) -> None:
        """Send what comes, one after the other, until closed and empty."""
        while not (self._closing and not self._queue):
            if not self._queue:
                await self._changed.wait()
                continue
            waiting = self._queue[0]
            failure = await self._deliver(waiting)
            if self._queue and self._queue[0] is waiting:  # or it was given up meanwhile
                self._queue.popleft()
                waiting.ending.ended(self.name, failure)
            self._wake()

    def state(self) -> TargetState:
        """Return the counts."""
        count = self._counts
        return TargetState(
            self._target.name, self._target.type, len(self._queue), count["sent"], count["retried"],
            count["dropped"], count["dead"], MappingProxyType(dict(self._failures)),
        )  # fmt: skip

    def _wake(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()

    async def _deliver(self, waiting: _Waiting) -> Failure | None:
        """Try until it is told (None), until trying cannot help, or until the attempts are used up."""
        number = 0
        while True:
            number += 1
            await self._rate.turn()
            attempt = await self._attempt(waiting)
            if attempt.failure is None:
                self._counts["sent"] += 1
                return None
            self._failures[attempt.failure.value] += 1
            if not attempt.failure.retried or number == self._max_attempts:
                self._give_up(waiting, attempt.failure, number)
                return attempt.failure
            self._counts["retried"] += 1
            await self._clock.sleep(wait_s(number, attempt.retry_after_s))

    async def _attempt(self, waiting: _Waiting) -> Attempt:
        try:
            return await self._sender.send(waiting.notice, waiting.delivery_id, self._clock.now())
        except Exception as wrong:  # noqa: BLE001 - a bug in one alarm must not end the telling of all others
            self._log.error("notification failed", target=self._target.name, error=type(wrong).__name__)
            return Attempt(Failure.BUG)

    def _give_up(self, waiting: _Waiting, failure: Failure, attempts: int) -> None:
        self._counts["dead"] += 1
        self._log.error(
            "notification dead", target=self._target.name, reason=failure.value, attempts=attempts,
            kind=waiting.notice.kind.value, suggestion_id=waiting.notice.suggestion_id,
        )  # fmt: skip


@asynccontextmanager
async def open_notifier(
    targets: Sequence[Target], *, clock: Clock | None = None, max_queued: int = MAX_QUEUED,
    max_attempts: int = MAX_ATTEMPTS, attempt_s: float = ATTEMPT_S, drain_s: float = DRAIN_S,
) -> AsyncIterator[Notifier]:  # fmt: skip
    """Open the notifier, and close it in the same place: what waits has `drain_s` seconds to be told."""
    hush_vendors()  # httpx2 logs addresses at INFO, and Slack's are secrets
    clock = clock or SystemClock()
    if targets:
        await anyio.to_thread.run_sync(warm_up)  # or the first notice imports telephone numbers on the loop
    async with open_client(_MAX_CONNECTIONS) as client:
        lines = [
            Line(
                target, sender_for(target, client, attempt_s), clock=clock, max_queued=max_queued,
                max_attempts=max_attempts,
            )
            for target in targets
        ]  # fmt: skip
        async with anyio.create_task_group() as tasks:
            for line in lines:
                tasks.start_soon(line.work)
            notifier = Notifier(lines, drain_s)
            try:
                yield notifier
            finally:
                await notifier.close()
                tasks.cancel_scope.cancel()
