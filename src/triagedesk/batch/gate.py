"""The gate through which a batch's tickets go to the desk, in order, at the pace that the model server bears."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from triagedesk.batch.pace import Ending, Pace
from triagedesk.classifiers.limits import Heard


class Passage:
    """One ticket's way through the gate; who goes says how it ended."""

    def __init__(self) -> None:
        self.ending, self.tokens = Ending.IDLE, 0


class Gate:
    """Lets tickets pass one after the other, first come, first served. For one event loop."""

    def __init__(self, pace: Pace) -> None:
        self.pace = pace
        self._line: deque[asyncio.Future[float]] = deque()
        self._alarm: asyncio.TimerHandle | None = None

    @asynccontextmanager
    async def passage(self) -> AsyncIterator[Passage]:
        """Wait for a place; the block is the ticket's time in flight."""
        went, passage = await self._enter(), Passage()
        try:
            yield passage
        finally:
            self._leave(went, passage)

    def hear(self, heard: Heard) -> None:
        """Pass on what a reply says of the server's limits."""
        self.pace.hear(heard)

    async def _enter(self) -> float:
        """Wait in line; returns when the ticket went."""
        if not self._line and self.pace.wait_s() == 0.0:
            return self.pace.went()
        turn: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._line.append(turn)
        self._call_next()
        try:
            return await turn
        except asyncio.CancelledError:
            if not turn.cancelled() and turn.done():  # called, and gone before it heard
                self._leave(turn.result(), Passage())
            raise

    def _leave(self, went: float, passage: Passage) -> None:
        self.pace.came_back(went, passage.ending, passage.tokens)
        self._call_next()

    def _call_next(self) -> None:
        """Let those in line go that may; where only time is missing, look again then."""
        while self._line:
            if self._line[0].done():  # gone away
                self._line.popleft()
                continue
            wait_s = self.pace.wait_s()
            if wait_s != 0.0:
                self._set_alarm(wait_s)
                return
            self._line.popleft().set_result(self.pace.went())

    def _set_alarm(self, wait_s: float | None) -> None:
        if wait_s is not None and self._alarm is None:
            self._alarm = asyncio.get_running_loop().call_later(wait_s, self._ring)

    def _ring(self) -> None:
        self._alarm = None
        self._call_next()

    def close(self) -> None:
        """Take the alarm back."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
