"""The shapes on the wire that are not the house's own: what routes take, and what they answer."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Self

from pydantic import AfterValidator, ConfigDict, Field, model_validator
from pydantic_core import to_json

from triagedesk.models import Frozen, Suggestion, Ticket
from triagedesk.service.problems import Problem
from triagedesk.service.store.records import FeedbackKind, OutcomeKind, StoredSuggestion, Written

Id = Annotated[str, Field(min_length=1, max_length=200)]
EARLIEST, LATEST = datetime(1970, 1, 2, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)


def _utc(moment: datetime) -> datetime:
    """Read a time without a zone as UTC; a time that no calendar of ours can hold is refused."""
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    if not EARLIEST <= moment <= LATEST:
        raise ValueError("give a time between 1970 and 9000")
    return moment.astimezone(UTC)


Moment = Annotated[datetime, AfterValidator(_utc)]


class Answer(Suggestion):
    """A suggestion with its id; of a ticket that was known, what changed: dimension → old, new, why."""

    id: str
    created_at: datetime
    previous_id: str | None = None
    changed: dict[str, tuple[str, str, str]] | None = None


class BatchRequest(Frozen):
    """Up to 1,000 tickets."""

    tickets: tuple[Ticket, ...]


class BatchLine(Frozen):
    """One line of a batch's answer: the ticket's index from 0, and its suggestion or its problem."""

    index: int
    suggestion: Answer | None = None
    problem: Problem | None = None


class FeedbackIn(Frozen):
    """An agent's word on a suggestion. A correction names the right labels of the dimensions that were wrong."""

    suggestion_id: Id
    kind: FeedbackKind
    labels: dict[str, str] = Field(default_factory=dict, max_length=50)
    by: str | None = Field(default=None, min_length=1, max_length=200, repr=False)
    note: str | None = Field(default=None, max_length=4000, repr=False)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if (self.kind is FeedbackKind.CORRECTED) != bool(self.labels):
            raise ValueError("a correction names labels, an acceptance names none")
        return self


class FeedbackOut(Frozen):
    """A word of feedback as it is kept, beside the labels that were suggested."""

    id: str
    suggestion_id: str
    kind: FeedbackKind
    labels: dict[str, str]
    by: str
    at: datetime
    note: str | None = None
    suggested: dict[str, str]


class FeedbackPage(Frozen):
    """Feedback, the oldest first; `next_after` is the `after` of the next page, if there is one."""

    feedback: tuple[FeedbackOut, ...]
    next_after: str | None = None


class OutcomeIn(Frozen):
    """What became of a ticket; `value` is the score of a satisfaction, 0 to 100, and stands only there."""

    model_config = ConfigDict(allow_inf_nan=False)

    ticket_id: Id
    kind: OutcomeKind
    at: Moment | None = None
    value: float | None = Field(default=None, ge=0, le=100)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if (self.kind is OutcomeKind.SATISFACTION) != (self.value is not None):
            raise ValueError("a satisfaction has a value, other outcomes have none")
        return self


class OutcomeOut(Frozen):
    """An outcome as it is kept; `known` where the same was said before."""

    ticket_id: str
    kind: OutcomeKind
    at: datetime
    value: float | None = None
    known: bool


class LabelOut(Frozen):
    """One label."""

    name: str
    description: str


class DimensionOut(Frozen):
    """One question asked of every ticket; the labels of an ordinal one stand in order, the most severe first."""

    kind: str
    description: str
    fallback: str
    labels: tuple[LabelOut, ...]


class PlaybookOut(Frozen):
    """The playbook in use, without its rules."""

    identity: str
    hash: str
    version: str
    description: str
    languages: tuple[str, ...]
    channels: tuple[str, ...]
    customer_tiers: tuple[str, ...]
    dimensions: dict[str, DimensionOut]
    automation: dict[str, dict[str, Any]]


class Satisfaction(Frozen):
    """Scores of a label's tickets."""

    count: int
    mean: float


class Bucket(Frozen):
    """The suggestions of an hour or a day (UTC), the newest of each ticket."""

    start: datetime
    tickets: int
    needs_review: int
    by_urgency: dict[str, int]


class Insights(Frozen):
    """What came in and what became of it. A ticket counts once, with its newest suggestion of the span of time."""

    since: datetime
    until: datetime
    tickets: int
    suggestions: int
    truncated: bool = Field(description="more was suggested than is counted; ask for a shorter span")
    needs_review: int
    review_share: float
    escalated: int = Field(description="tickets whose escalation is another than the playbook's fallback")
    escalation_share: float
    volumes: dict[str, dict[str, int]] = Field(
        description="by urgency, issue_type, escalation, channel, customer_tier, region, source, fallback_reason"
    )
    satisfaction: dict[str, dict[str, Satisfaction]] = Field(description="dimension → label → scores")
    feedback: dict[str, int] = Field(description="accepted and corrected")
    over_time: tuple[Bucket, ...]


class DeliveryOut(Frozen):
    """What became of a webhook's delivery; `reason` says why one is ignored."""

    status: str = Field(pattern="^(accepted|known|ignored)$")
    reason: str | None = None


class DeadLetter(Frozen):
    """A background job that was given up, without what it holds."""

    id: str
    kind: str
    attempts: int
    at: datetime
    reason: str
    desk: str | None = None
    suggestion_id: str | None = None


class DeadLetters(Frozen):
    """Jobs that were given up, the newest first."""

    dead_letters: tuple[DeadLetter, ...]


class Ready(Frozen):
    """Whether to send requests here: ready, degraded (rules answer), or not."""

    status: str = Field(pattern="^(ready|degraded|not_ready)$")
    reasons: tuple[str, ...] = ()
    playbook: str
    playbook_problem: str | None = None
    model: str | None = None
    breaker: str | None = None


class Alive(Frozen):
    """The process answers."""

    status: str = "alive"


def answer_json(stored: StoredSuggestion) -> bytes:
    """Return what goes out for a stored suggestion: the same, however often it is asked for."""
    head = {
        "id": stored.id, "created_at": stored.created_at, "previous_id": stored.previous_id, "changed": stored.changed
    }  # fmt: skip
    said = stored.suggestion
    text = said.text.encode() if isinstance(said, Written) else to_json(said)
    return b"%s,%s" % (to_json(head)[:-1], text[1:])


def suggestion_of(stored: StoredSuggestion) -> Suggestion:
    """Read a stored suggestion back through its schema."""
    said = stored.suggestion
    return Suggestion.model_validate_json(said.text) if isinstance(said, Written) else Suggestion.model_validate(said)


def labels_of(suggestion: Mapping[str, Any]) -> dict[str, str]:
    """Return the labels of a stored suggestion, by dimension."""
    return {name: choice["label"] for name, choice in suggestion["labels"].items()}
