"""One monotonic deadline per call: every wait, retry and re-ask asks it first."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

Clock = Callable[[], float]
"""Seconds that never go backwards, as `time.monotonic` gives them."""


LONGEST_S = 600.0
"""No deadline is longer, in seconds."""


class Budget:
    """What is left of a call's time.

    `seconds` is the caller's deadline from now. `late_s` lets a call run on past it to fill the cache: no new request
    starts after the deadline, but one in flight may finish until `left_late` is used up.
    A deadline beyond 0..600 is brought to the nearer end, and one that is no number is 0: a caller's slip must not cost
    the answer. Raises ValueError unless `late_s` is finite and not negative.
    """

    __slots__ = ("_clock", "_end", "_given_up", "late_s", "seconds")

    def __init__(self, seconds: float, *, late_s: float = 0.0, clock: Clock = time.monotonic) -> None:
        if not (math.isfinite(late_s) and late_s >= 0):
            raise ValueError("late_s is a finite number of seconds, 0 or more")
        seconds = 0.0 if math.isnan(seconds) else min(max(seconds, 0.0), LONGEST_S)
        self.seconds, self.late_s, self._clock = seconds, late_s, clock
        self._end = clock() + seconds
        self._given_up = False

    def left(self) -> float:
        """Return the seconds left before the caller's deadline, 0.0 at least and once it was given up."""
        return 0.0 if self._given_up else max(0.0, self._end - self._clock())

    def is_over(self) -> bool:
        """Say whether the deadline itself has passed."""
        return self._clock() >= self._end

    def give_up(self) -> None:
        """Wait no longer: nothing is left, though the deadline may be a moment away."""
        self._given_up = True

    def left_late(self) -> float:
        """Return the seconds left before even a late answer is given up, 0.0 at least."""
        return max(0.0, self._end + self.late_s - self._clock())

    def spent(self) -> float:
        """Return the seconds used so far."""
        return self._clock() - self._end + self.seconds
