"""What a model server's replies say of its limits: how much is left, and how long to wait."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

import re2
from pydantic_core import from_json

_PAIR = re2.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_LONGEST = 100
LONGEST_WAIT_S = 86_400.0

BUSY_STATUS = frozenset((429, 503, 529))
"""Statuses of a server that is asked too much: RFC 6585, RFC 9110, and Anthropic's "overloaded"."""

MAX_SLOTS = 1024


class Left(NamedTuple):
    """How many requests or tokens may still go, and the seconds until there are more."""

    amount: int
    reset_s: float


class Heard(NamedTuple):
    """What one reply's head says. `wait_s` is its Retry-After in seconds, where it is busy and says so."""

    is_busy: bool
    wait_s: float | None = None
    requests: Left | None = None
    tokens: Left | None = None


Listener = Callable[[Heard], None]


class Ears:
    """Where replies' heads are heard: whoever paces many calls sets `listener`; without one nothing is read."""

    def __init__(self) -> None:
        self.listener: Listener | None = None

    def hear(self, status: int, headers: Mapping[str, str]) -> None:
        """Pass on what a reply's status and headers say."""
        if self.listener is not None:
            self.listener(heard(status, headers))


def heard(status: int, headers: Mapping[str, str]) -> Heard:
    """Read a reply's head: `retry-after`, and OpenAI's `x-ratelimit-remaining-*` and `x-ratelimit-reset-*`."""
    busy = status in BUSY_STATUS
    return Heard(busy, _wait(headers) if busy else None, _left(headers, "requests"), _left(headers, "tokens"))


def _wait(headers: Mapping[str, str]) -> float | None:
    from triagedesk.classifiers.faults import retry_after  # lazy: the vendor's errors, a second

    seconds = retry_after(headers)
    return seconds if seconds is not None and math.isfinite(seconds) else None


def _left(headers: Mapping[str, str], what: str) -> Left | None:
    count = headers.get(f"x-ratelimit-remaining-{what}", "")
    if not (count.isascii() and count.isdigit() and len(count) <= _LONGEST):
        return None
    return Left(int(count), duration_s(headers.get(f"x-ratelimit-reset-{what}", "")))


def duration_s(text: str) -> float:
    """Read "1s", "6m0s", "120ms" or plain seconds; 0 for what is no duration. A day at most."""
    text = text[:_LONGEST].strip()
    pairs = _PAIR.findall(text)
    if pairs and "".join(number + unit for number, unit in pairs) == text:
        return min(sum(float(number) * _SECONDS[unit] for number, unit in pairs), LONGEST_WAIT_S)
    try:
        seconds = float(text)
    except ValueError:
        return 0.0
    return seconds if 0 <= seconds <= LONGEST_WAIT_S else 0.0


def slots_in(reply: bytes) -> int | None:
    """Return the slots that llama.cpp's `/props` (total_slots) or `/slots` (a list) tells, or None."""
    said: Any = None
    with suppress(ValueError):
        said = from_json(reply)
    count = said.get("total_slots") if isinstance(said, dict) else len(said) if isinstance(said, list) else None
    return count if isinstance(count, int) and not isinstance(count, bool) and 0 < count <= MAX_SLOTS else None
