"""A circuit breaker for one provider: after a run of failures nobody waits for it, until a probe comes back."""

from __future__ import annotations

import time
from collections import deque
from enum import StrEnum

from triagedesk.budget import Clock
from triagedesk.errors import FallbackReason, ModelError

LONGEST_RATE_LIMIT_S = 30.0
"""A `Retry-After` beyond this opens the breaker for this long: the server's wish, bounded (fault F13)."""

_PROVIDER_DOWN = frozenset({
    FallbackReason.TIMEOUT, FallbackReason.CONNECT, FallbackReason.TLS, FallbackReason.PROTOCOL,
    FallbackReason.OVERSIZE, FallbackReason.REDIRECT, FallbackReason.PROVIDER_5XX, FallbackReason.BAD_REPLY,
})  # fmt: skip
_OPENS_AT_ONCE = frozenset({FallbackReason.AUTH, FallbackReason.QUOTA})


class BreakerState(StrEnum):
    """What a breaker does with the next call."""

    CLOSED = "closed"  # asks
    OPEN = "open"  # does not ask
    HALF_OPEN = "half_open"  # one probe is on its way


class Breaker:
    """Opens after `failures` within `window_s`, and lets one probe through every `probe_s` while it is open.

    A probe that succeeds closes it. A rate limit opens it for as long as the server wishes, 30 s at most; a bad key
    and an empty account open it at once. All times are seconds of `clock`. Not for use from several threads.
    """

    def __init__(self, failures: int, window_s: float, probe_s: float, clock: Clock = time.monotonic) -> None:
        self._limit, self._window_s, self._probe_s, self._clock = failures, window_s, probe_s, clock
        self._failed_at: deque[float] = deque(maxlen=failures)
        self._closed = True
        self._next_probe = 0.0
        self._probing = False
        self.openings = 0

    @property
    def state(self) -> BreakerState:
        """The state, for metrics and `doctor`."""
        if self._closed:
            return BreakerState.CLOSED
        return BreakerState.HALF_OPEN if self._probing else BreakerState.OPEN

    def allows(self) -> bool:
        """Say whether to ask now. While open, True makes the caller the probe."""
        if self._closed:
            return True
        now = self._clock()
        if now < self._next_probe:
            return False
        # The next probe's time is set when this one starts: a probe whose caller goes away blocks nobody.
        self._next_probe, self._probing = now + self._probe_s, True
        return True

    def succeeded(self) -> None:
        """The provider answered, whatever it said: close."""
        self._failed_at.clear()
        self._closed, self._probing = True, False

    def failed(self) -> None:
        """The provider failed: open if that was the last straw, or the probe."""
        now = self._clock()
        self._failed_at.append(now)
        enough = len(self._failed_at) == self._limit and now - self._failed_at[0] <= self._window_s
        if enough or not self._closed:
            self._open(now + self._probe_s)

    def open_for(self, seconds: float) -> None:
        """Open now; the first probe may go after `seconds`."""
        self._open(self._clock() + min(max(seconds, 0.0), LONGEST_RATE_LIMIT_S))

    def record(self, error: ModelError) -> None:
        """Take note of how a call failed. A fault of our question (400, refusal, invalid answer) closes it."""
        if error.reason is FallbackReason.RATE_LIMITED:
            self.open_for(self._probe_s if error.retry_after_s is None else error.retry_after_s)
        elif error.reason in _OPENS_AT_ONCE:
            self.open_for(self._probe_s)
        elif error.reason in _PROVIDER_DOWN:
            self.failed()
        elif error.reason is not FallbackReason.POOL:
            self.succeeded()

    def _open(self, until: float) -> None:
        self.openings += self._closed
        self._closed, self._probing = False, False
        self._next_probe = max(until, self._next_probe)
