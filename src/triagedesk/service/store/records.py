"""What the store takes and gives back: frozen records with times that are UTC and aware."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from typing import Any


class Scope(StrEnum):
    """What a key may do. `admin` may do everything."""

    SUGGEST = "suggest"
    FEEDBACK = "feedback"
    READ = "read"
    ADMIN = "admin"


class FeedbackKind(StrEnum):
    """What an agent said of a suggestion."""

    ACCEPTED = "accepted"
    CORRECTED = "corrected"


class OutcomeKind(StrEnum):
    """What became of a ticket."""

    FIRST_REPLY = "first_reply"
    RESOLVED = "resolved"
    SATISFACTION = "satisfaction"


class JobState(StrEnum):
    """Where a job stands; `dead` ones wait for a person."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    DEAD = "dead"


class StepState(StrEnum):
    """Where a step of an escalation path stands."""

    WAITING = "waiting"
    NOTIFIED = "notified"
    CLOSED = "closed"


class Written(Mapping[str, Any]):
    """A JSON object that was written already: kept and sent as it stands, parsed only where somebody looks into it."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __getitem__(self, name: str) -> Any:
        return self._read[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._read)

    def __len__(self) -> int:
        return len(self._read)

    @cached_property
    def _read(self) -> dict[str, Any]:
        read: dict[str, Any] = json.loads(self.text)
        return read


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key, without its secret."""

    id: str
    name: str
    scopes: frozenset[Scope]
    created_at: datetime
    revoked_at: datetime | None = None
    daily_budget_usd: float | None = None


@dataclass(frozen=True, slots=True)
class StoredSuggestion:
    """A suggestion as it went out; `ticket` is kept only where the operator asked for it."""

    id: str
    ticket_id: str
    created_at: datetime
    key_id: str | None
    suggestion: Mapping[str, Any] = field(repr=False)
    ticket: Mapping[str, Any] | None = field(default=None, repr=False)
    source_desk: str | None = None
    previous_id: str | None = None
    changed: Mapping[str, Any] | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Feedback:
    """An agent's word on a suggestion; `labels` are the right ones (of a correction), per dimension."""

    id: str
    suggestion_id: str
    kind: FeedbackKind
    labels: Mapping[str, str]
    by: str
    at: datetime
    note: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a ticket, and when; `value` is the score of a satisfaction."""

    ticket_id: str
    kind: OutcomeKind
    at: datetime
    value: float | None = None


@dataclass(frozen=True, slots=True)
class Delivery:
    """One webhook that was taken in."""

    desk: str
    delivery_id: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Job:
    """Work to do in the background. `attempts` counts the claims, the present one included."""

    id: str
    kind: str
    payload: Mapping[str, Any] = field(repr=False)
    attempts: int
    due_at: datetime
    state: JobState
    error: str | None = None


@dataclass(frozen=True, slots=True)
class StepDue:
    """When a step of a suggestion's escalation path is due."""

    suggestion_id: str
    step: int
    due_at: datetime
    state: StepState = StepState.WAITING


@dataclass(frozen=True, slots=True)
class Claim:
    """What is known of an Idempotency-Key: whether this caller is the first, and what the first one got."""

    first: bool
    fingerprint: str
    suggestion_id: str | None


@dataclass(frozen=True, slots=True)
class Spent:
    """Money that a key spent on a day ("2026-11-22", UTC), in billionths of a dollar."""

    key_id: str
    day: str
    nano_usd: int


@dataclass(frozen=True, slots=True)
class Claimed:
    """Whose Idempotency-Key a suggestion answers."""

    key_id: str
    key: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Entry:
    """All that is written down with a suggestion, together or not at all.

    `steps` and `jobs` come with it; the steps of the suggestion before, which it takes the place of, are closed.
    """

    stored: StoredSuggestion
    steps: tuple[StepDue, ...] = ()
    jobs: tuple[Job, ...] = ()
    spent: Spent | None = None
    claimed: Claimed | None = None


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a ticket when it comes: the newest suggestion the same caller got, its steps, the outcomes."""

    previous: StoredSuggestion | None = None
    steps: tuple[StepDue, ...] = ()
    outcomes: tuple[Outcome, ...] = ()
