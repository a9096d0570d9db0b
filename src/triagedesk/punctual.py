"""Waits that end early enough for the answer to be in time on a busy machine.

A loop runs other things too: what is due runs late by the time that these take. So the loop is watched while anybody
waits, and waits end before their deadlines by what it was late by, and by what the tickets that wait with this one will
take when they end together.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager

import anyio
from anyio.abc import TaskGroup

from triagedesk.budget import Budget, Clock

BEAT_S = 0.02
"""How often the loop is looked at, in seconds."""

HALF_LIFE_S = 1.0
"""How soon a late turn is forgotten."""

TURNS = 2
"""A wait that ends needs so many turns of the loop: for the timer, and for the task that waited."""

FINISH_S = 0.002
"""What a ticket takes after its wait: second line, policy and provenance (1 to 2 ms where that was measured)."""

LARGEST_SHARE = 0.25
"""No wait ends earlier than by this share of its whole deadline: a hopelessly late loop still lets the model try."""

_WORTH_MOVING_S = 0.002


class Punctual:
    """The waits of one event loop. `tasks` carries the look at the loop, which lasts as long as somebody waits."""

    def __init__(self, tasks: TaskGroup, clock: Clock = time.monotonic) -> None:
        self._tasks = tasks
        self._clock = clock
        self._waits: dict[anyio.CancelScope, Budget] = {}
        self._watching = False
        self._worst_s, self._seen = 0.0, clock()
        self._applied_s = 0.0

    @contextmanager
    def within(self, budget: Budget) -> Iterator[anyio.CancelScope]:
        """Bound a wait by a budget's deadline less the margin; the scope says if that ended it."""
        if not self._watching:
            self._tasks.start_soon(self._watch)
            self._watching = True
        with anyio.CancelScope() as scope:
            self._waits[scope] = budget
            scope.deadline = self._due(budget, self.margin_s())
            try:
                yield scope
            finally:
                del self._waits[scope]

    def margin_s(self) -> float:
        """Return how much earlier than its deadline a wait ends now, in seconds."""
        return TURNS * self.lag_s() + FINISH_S * len(self._waits)

    def lag_s(self) -> float:
        """Return how late the loop was of late, in seconds: the worst turn, forgotten by half every second."""
        return self._worst_s * math.exp2((self._seen - self._clock()) / HALF_LIFE_S)

    def note(self, late_s: float) -> None:
        """Take down how late the loop ran what was due."""
        lag_s = self.lag_s()
        if late_s >= lag_s:
            self._worst_s, self._seen = late_s, self._clock()

    async def _watch(self) -> None:
        try:
            while self._waits:
                due = self._clock() + BEAT_S
                await anyio.sleep(BEAT_S)
                self.note(self._clock() - due)
                self._move()
        finally:
            self._watching = False

    def _move(self) -> None:
        """Bring the ends of all waits to the margin of now."""
        margin_s = self.margin_s()
        if abs(margin_s - self._applied_s) > _WORTH_MOVING_S:
            self._applied_s = margin_s
            for scope, budget in self._waits.items():
                scope.deadline = self._due(budget, margin_s)

    @staticmethod
    def _due(budget: Budget, margin_s: float) -> float:
        return anyio.current_time() + max(0.0, budget.left() - min(margin_s, LARGEST_SHARE * budget.seconds))
