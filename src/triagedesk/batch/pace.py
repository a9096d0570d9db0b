"""How many tickets a batch keeps in flight: as many as the model server bears, found out as it goes.

Additive increase, multiplicative decrease (Chiu and Jain 1989; RFC 5681): the limit doubles each round until the server
first objects, then grows by one each round and is halved when it objects again. It objects by a 429, 503 or 529, or by
taking more than half of a ticket's deadline. What it says of its limits is believed: where nothing is left, or it asks
to wait, nobody is sent on until then, and after a refusal one ticket goes ahead to see.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto

from triagedesk.classifiers.limits import Heard, Left

FIRST = 4
"""Where the search begins."""

CEILING = 64
"""As many at most, where nobody says otherwise."""

SHARE_AFTER = 0.5
MARGIN_S = 0.05
"""A little longer than the server asked to wait: its clock and ours differ, and the breaker counts from later on."""

PATIENCE = 9
"""After so many holds without an answer nobody waits for the server any more until it gives one."""

LONGEST_HOLD_S = 300.0
USUAL_TOKENS = 1_500
"""What a ticket takes until the first answer says so."""


class Ending(Enum):
    """How a ticket came back."""

    ANSWERED = auto()  # the model answered
    REFUSED = auto()  # the server was too busy, or the breaker was open because of that
    HOPELESS = auto()  # it refused for a reason that waiting does not cure: no money, a bad key
    STALLED = auto()  # it was not asked at all, though it should have been
    IDLE = auto()  # the model was not asked, or something else went wrong: it says nothing about the limit


@dataclass
class Pace:
    """The controller alone: no waiting, no tasks. All times are seconds of `clock`.

    `ceiling` is never exceeded; with `adapts` off the limit stays there. `pause_s` is how long a refusal without
    Retry-After holds everybody up, `slow_s` from when on an answer counts as an objection.
    """

    ceiling: int = CEILING
    adapts: bool = True
    pause_s: float = 5.0
    slow_s: float = 5.0
    clock: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        self._limit = float(min(FIRST, self.ceiling) if self.adapts else self.ceiling)
        self._searching = True
        self._held_until = self._reduced_at = 0.0
        self._testing = False  # after a refusal, until an answer comes
        self._holds = 0  # since the last answer
        self._tokens = float(USUAL_TOKENS)
        self.in_flight = 0

    @property
    def is_refused(self) -> bool:
        """Say if the server was too busy when it was heard last, and waiting for it makes sense."""
        return self._testing and self._holds <= PATIENCE

    @property
    def limit(self) -> int:
        """How many may be in flight now."""
        return 1 if self.is_refused else int(self._limit)

    def wait_s(self) -> float | None:
        """Return how long until the next ticket may go: 0 at once; None: when one in flight has come back."""
        held = self._held_until - self.clock()
        if held > 0:
            return held
        return 0.0 if self.in_flight < self.limit else None

    def went(self) -> float:
        """A ticket goes; returns its time, which `came_back` wants."""
        self.in_flight += 1
        return self.clock()

    def came_back(self, went: float, ending: Ending, tokens: int = 0) -> None:
        """A ticket is back, with the tokens that it took if any."""
        full = self.in_flight >= self.limit
        self.in_flight -= 1
        if tokens:
            self._tokens += 0.1 * (tokens - self._tokens)
        if ending is Ending.REFUSED:
            self._refused(None)
        elif ending is Ending.HOPELESS:
            self._held_until, self._testing = 0.0, False
        elif ending is Ending.ANSWERED:
            self._testing, self._holds = False, 0
            self._answered(went, full=full)

    def _answered(self, went: float, *, full: bool) -> None:
        if self.clock() - went > self.slow_s:
            self._reduce(went)
        elif full:
            self._grow()

    def hear(self, heard: Heard) -> None:
        """Take to heart what a reply says of the server's limits."""
        if heard.is_busy:
            self._refused(heard.wait_s)
            return
        for left, needed in ((heard.requests, 1.0), (heard.tokens, self._tokens)):
            if left is not None and self._runs_out(left, needed):
                self._hold(left.reset_s)

    def _runs_out(self, left: Left, needed: float) -> bool:
        """Say if what is left does not do for those in flight and one more; this reply's own ticket is counted."""
        return left.amount < needed * max(1, self.in_flight)

    def _refused(self, wait_s: float | None) -> None:
        first = self._held_until <= self.clock()
        self._holds += first
        if self._holds > PATIENCE:
            return
        self._hold(self.pause_s if wait_s is None and first else wait_s or 0.0)
        if first:
            self._reduce(self.clock())
        self._testing = True

    def _hold(self, seconds: float) -> None:
        until = self.clock() + min(seconds, LONGEST_HOLD_S) + MARGIN_S
        self._held_until = max(self._held_until, until)

    def _reduce(self, seen: float) -> None:
        """Halve the limit, once for all the tickets that were on their way when it was too high."""
        self._searching = False
        if self.adapts and seen >= self._reduced_at:
            self._limit = max(1.0, self._limit * SHARE_AFTER)
            self._reduced_at = self.clock()

    def _grow(self) -> None:
        if self.adapts:
            self._limit = min(self.ceiling, self._limit + (1.0 if self._searching else 1.0 / self._limit))
