"""How fast a target is told: its clock, its rate, and the waits between attempts."""

from __future__ import annotations

import math
import secrets
import time
from datetime import UTC, datetime
from typing import Protocol

import anyio

FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 60.0
"""Waits between attempts: 1, 2, 4, 8 … seconds, each up to half longer at random; a Retry-After wins."""


class Clock(Protocol):
    """Time as the notifier needs it; a test's clock does not wait."""

    def monotonic(self) -> float:
        """Seconds that never go backwards."""
        ...

    def now(self) -> datetime:
        """The time of day, with its zone."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Come back after so many seconds."""
        ...


class SystemClock:
    """The clock of the machine."""

    def monotonic(self) -> float:
        """Seconds that never go backwards."""
        return time.monotonic()

    def now(self) -> datetime:
        """The time of day in UTC."""
        return datetime.now(UTC)

    async def sleep(self, seconds: float) -> None:
        """Wait for so many seconds."""
        await anyio.sleep(seconds)


class Rate:
    """A token bucket: `burst` at once, then `per_s` a second."""

    def __init__(self, per_s: float, burst: int, clock: Clock) -> None:
        self._per_s, self._burst, self._clock = per_s, burst, clock
        self._tokens, self._at = float(burst), clock.monotonic()

    async def turn(self) -> None:
        """Wait for a token and take it."""
        while True:
            now = self._clock.monotonic()
            self._tokens = min(self._burst, self._tokens + (now - self._at) * self._per_s)
            self._at = now
            if self._tokens >= 1 - 1e-9:
                self._tokens -= 1
                return
            await self._clock.sleep((1 - self._tokens) / self._per_s)


def wait_s(number: int, retry_after_s: float | None) -> float:
    """Return the wait after the attempt of that number, in seconds."""
    wait = min(FIRST_WAIT_S * math.pow(2, number - 1), LONGEST_WAIT_S)
    jittered = wait * (1 + secrets.randbelow(1000) / 2000)
    return jittered if retry_after_s is None else max(jittered, retry_after_s)
