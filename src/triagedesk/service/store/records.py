"""What the store takes and gives back: frozen records with times that are UTC and aware."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
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
