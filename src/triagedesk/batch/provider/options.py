"""How a batch is paid for beforehand, and what is told of it on the way."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

import anyio

MAX_REQUESTS = 50_000
MAX_FILE_BYTES = 200_000_000
"""OpenAI's limits of one input file (API reference, "Create batch")."""


class Then(StrEnum):
    """Who answers what the provider's batch did not."""

    RULES = "rules"
    LIVE = "live"


@dataclass(frozen=True)
class PrepayOptions:
    """What may differ from run to run.

    `identity` names the batch beyond model, prompt and playbook (the input's hash). `written` says of a row's number,
    counted from 0, whether OUT holds it already; None: it holds none. `now` is the moment at which tickets are judged.
    Pauses are in seconds; they grow from the first to the longest. `clock` gives seconds since 1970, as the provider
    says when a batch expires.
    """

    then: Then = Then.RULES
    identity: str = ""
    written: Callable[[int], bool] | None = None
    now: datetime | None = None
    max_requests: int = MAX_REQUESTS
    max_file_bytes: int = MAX_FILE_BYTES
    first_poll_s: float = 5.0
    longest_poll_s: float = 60.0
    sleep: Callable[[float], Awaitable[None]] = anyio.sleep
    clock: Callable[[], float] = time.time


@dataclass
class News:
    """How far a prepaid batch is. Requests count each question once; rows are those of the input that were read."""

    phase: str = "reading"
    rows: int = 0
    requests: int = 0
    cached: int = 0
    duplicates: int = 0
    parts: int = 0
    parts_over: int = 0
    completed: int = 0
    failed: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)
    """One line each about something that a person should know; whoever shows them takes them out."""


Watch = Callable[[News], None]
