"""The words of the house as frozen models: what goes in, what is said about it, what comes out.

The same objects travel over HTTP, the command line, batch lines and the library.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_validator

from triagedesk.errors import TicketError

MAX_BODY_CHARS = 1_000_000
"""A body beyond this is refused; of what is accepted, `tidy` reads the first 32,000 characters."""


class Frozen(BaseModel):
    """Immutable, knows no unknown fields, and keeps ticket text out of validation errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Message(Frozen):
    """One message of a ticket's thread."""

    author: Literal["customer", "agent", "system"] = "customer"
    body: str = Field(max_length=MAX_BODY_CHARS, repr=False)
    at: datetime | None = None


class Ticket(Frozen):
    """What comes in. Everything but `body` (or `messages`) is optional; unknown fields go into `fields`.

    With `messages`, the newest customer message becomes the body: it decides.
    """

    id: str = Field(default_factory=lambda: f"T-{uuid.uuid4().hex[:12]}", min_length=1, max_length=200)
    subject: str = Field(default="", max_length=10_000, repr=False)
    body: str = Field(min_length=1, max_length=MAX_BODY_CHARS, repr=False)
    channel: str | None = None
    customer_tier: str | None = None
    product: str | None = Field(default=None, max_length=500)
    region: str | None = Field(default=None, max_length=100)
    language: str | None = Field(default=None, max_length=35)
    created_at: datetime | None = None
    due_at: datetime | None = None
    fields: dict[str, JsonValue] = Field(default_factory=dict, repr=False)
    messages: tuple[Message, ...] = Field(default=(), repr=False)

    @model_validator(mode="before")
    @classmethod
    def _gather(cls, data: Any) -> Any:
        """Put unknown keys into `fields`, drop empty optionals, take the body from the thread."""
        if not isinstance(data, Mapping):
            return data
        known = cls.model_fields
        row = {key: value for key, value in data.items() if key in known and value is not None}
        extra = {key: value for key, value in data.items() if key not in known and value is not None}
        if extra and isinstance(row.get("fields", {}), Mapping):
            row["fields"] = {**row.get("fields", {}), **extra}
        for name in ("channel", "customer_tier", "product", "region", "language", "created_at", "due_at", "id"):
            if row.get(name) == "":
                del row[name]
        if isinstance(row.get("id"), int) and not isinstance(row["id"], bool):
            row["id"] = str(row["id"])
        if "body" not in row:
            newest = newest_customer_message(row.get("messages"))
            if newest is not None:
                row["body"] = newest
        return row

    @model_validator(mode="after")
    def _usable(self) -> Self:
        if not self.body.strip():
            raise ValueError("body is empty")
        if not _finite(self.fields):
            raise ValueError("fields: a number is out of range")
        for name in ("created_at", "due_at"):
            moment = getattr(self, name)
            if moment is not None and moment.tzinfo is None:
                object.__setattr__(self, name, moment.replace(tzinfo=UTC))
        return self

    @classmethod
    def parse(cls, data: object) -> Ticket:
        """Build a ticket from plain data.

        Raises TicketError with one line that names the field and what is wrong, and never the text.
        """
        if not isinstance(data, Mapping):
            raise TicketError(f"a ticket is a JSON object with a body, not {type(data).__name__}")
        made = _made(data)
        del data  # a traceback that shows local variables shows no ticket
        if isinstance(made, str):
            raise TicketError(made)
        return made


def _made(data: Mapping[str, Any]) -> Ticket | str:
    """Return a ticket or what is wrong; raised outside of here, the error has no context that holds the text."""
    try:
        return Ticket.model_validate(data)
    except ValidationError as wrong:
        return one_line(wrong, names=_NAMES)
    except (RecursionError, OverflowError):
        return "the ticket is nested too deeply or holds a number out of range"


_NAMES = frozenset((*Ticket.model_fields, *Message.model_fields))

MAX_INT_BITS = 1024
"""As large as an IEEE 754 double gets; Python refuses to print integers of some thousand digits."""


def _finite(value: object) -> bool:
    """Say whether no infinity, no NaN and no huge number stands in plain data: JSON cannot carry them on."""
    if isinstance(value, int):
        return value.bit_length() <= MAX_INT_BITS
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, Mapping):
        return all(_finite(part) for part in value.values())
    return not isinstance(value, (list, tuple)) or all(_finite(part) for part in value)


def newest_customer_message(messages: object) -> str | None:
    """Return the body of the last message that a customer wrote, or None."""
    if not isinstance(messages, (list, tuple)):
        return None
    for message in reversed(messages):
        row = message.model_dump() if isinstance(message, Message) else message
        if not isinstance(row, Mapping) or row.get("author", "customer") != "customer":
            continue
        if isinstance(row.get("body"), str):
            return str(row["body"])
    return None


def one_line(wrong: ValidationError, *, names: Collection[str] | None = None) -> str:
    """Say a validation error in one line, without the values that were sent.

    With `names`, a place is told only as far as it consists of them: what follows are the sender's own keys.
    """
    problems = []
    for error in wrong.errors(include_url=False, include_input=False, include_context=False)[:3]:
        where = ".".join(_known_part(error["loc"], names)) or "ticket"
        problems.append(f"{where}: {error['msg'].removeprefix('Value error, ')}")
    return "; ".join(problems)


def _known_part(place: tuple[int | str, ...], names: Collection[str] | None) -> Iterator[str]:
    for part in place:
        if names is not None and not isinstance(part, int) and part not in names:
            return
        yield str(part)


class ConfidenceKind(StrEnum):
    """Where a confidence comes from."""

    MEASURED = "measured"
    SELF_REPORTED = "self_reported"
    NONE = "none"


Factor = Literal["impact", "customer_value", "time"]
"""What an urgency rests on; each can raise it."""


class Reason(Frozen):
    """One sentence and what it rests on: a quote with field and offsets, or a metadata field.

    `field` is "subject" or "body" for a quote (then `start` and `end` are character offsets into that
    field of the ticket as it came in), else the name of the metadata field.
    """

    text: str
    factor: Factor | None = None
    quote: str | None = None
    field: str | None = None
    start: int | None = None
    end: int | None = None


class Choice(Frozen):
    """What was decided in one dimension. `confidence` lies in 0..1, or is None.

    `strength` is what the classifier made of its own answer before it was measured; it is not sent on the wire.
    """

    label: str
    confidence: float | None = Field(default=None, ge=0, le=1)
    confidence_kind: ConfidenceKind = ConfidenceKind.NONE
    strength: float | None = Field(default=None, ge=0, le=1, exclude=True, repr=False)
    reasons: tuple[Reason, ...] = ()


class Span(Frozen):
    """Where a signal of the playbook was found in the ticket as it came in."""

    field: str
    start: int
    end: int


class Classification(Frozen):
    """What a classifier says: a choice for each dimension.

    `signals` names what the rules saw in the text, each with its first place; policy conditions read it.
    `votes` is what the rules' votes came to, by dimension and label: the trained classifier weighs it, no wire carries
    it. `dropped_quotes` counts quotes that do not stand in the ticket.
    """

    labels: dict[str, Choice]
    secondary_issues: tuple[str, ...] = ()
    signals: dict[str, Span] = Field(default_factory=dict)
    votes: dict[str, dict[str, float]] = Field(default_factory=dict, exclude=True, repr=False)
    dropped_quotes: int = 0


class Source(StrEnum):
    """Who answered."""

    MODEL = "model"
    CACHE = "cache"
    RULES = "rules"
    TRAINED = "trained"


class Tokens(Frozen):
    """Tokens as the server reports them; `cached` of the prompt tokens came from its prefix cache."""

    prompt: int = 0
    cached: int = 0
    completion: int = 0


class Provenance(Frozen):
    """Where a suggestion comes from and what it took."""

    source: Source
    fallback_reason: str | None = None
    model: str | None = None
    prompt: str | None = None
    playbook: str
    attempts: int = 0
    tokens: Tokens = Tokens()
    cost_usd: float | None = None
    elapsed_ms: float = 0.0


class Response(Frozen):
    """The SLA clock of a ticket."""

    first_response_due: datetime
    resolution_due: datetime
    breached: bool = False


class Step(Frozen):
    """One step of an escalation path: who takes it, and minutes after arrival."""

    step: int
    team: str
    after_minutes: int


class Indicators(Frozen):
    """The three signs by which a desk recognises an escalation."""

    complexity: bool = False
    time_sensitivity: bool = False
    beyond_procedure: bool = False


class Suggestion(Frozen):
    """What goes out."""

    ticket_id: str
    labels: dict[str, Choice]
    secondary_issues: tuple[str, ...] = ()
    response: Response
    escalation_path: tuple[Step, ...] = ()
    indicators: Indicators = Indicators()
    queue: str
    notify: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    customer_note: str | None = None
    language: str | None = None
    needs_review: bool = False
    review_reasons: tuple[str, ...] = ()
    provenance: Provenance


class Said(Frozen):
    """What a model said in one dimension, before its quote is checked against the ticket."""

    label: str
    confidence: float | None = Field(default=None, ge=0, le=1)
    reason: str = ""
    factor: Factor | None = None
    quote: str = ""


class ModelAnswer(Frozen):
    """A model's whole answer in the words that it was asked in (placeholders for personal data).

    This is what the cache keeps: nothing in it depends on the clock, the customer or this ticket's offsets.
    """

    said: dict[str, Said]
    secondary_issues: tuple[str, ...] = ()
    model: str
    tokens: Tokens = Tokens()
    attempts: int = 1
    cost_usd: float | None = None
