"""The playbook as a document: every key that the YAML may hold, with its meaning.

Nothing here or elsewhere in the code knows a label's name, `urgency`, `issue_type` and `escalation` being the three
dimensions that every playbook must have.
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from triagedesk.models import Frozen
from triagedesk.playbook.rulebook import (
    Constraint,
    Floor,
    IndicatorConditions,
    Names,
    Negation,
    Override,
    Rule,
    Scores,
    Signal,
)
from triagedesk.playbook.terms import (
    Automation,
    Calendar,
    Channel,
    Named,
    Path,
    Queues,
    Review,
    Target,
    Tier,
)

REQUIRED_DIMENSIONS = ("urgency", "issue_type", "escalation")


class Label(Frozen):
    """One label: what it means, where it ends, examples for the prompt, aliases for a catalogue."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    description: str
    examples: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()


class Dimension(Frozen):
    """One question asked of every ticket.

    Labels stand in order: of an ordinal dimension the most severe first; of a nominal one, ties go to the first.
    `decide: first` takes the first label in order whose votes reach 1, `sum` the label with most votes, `catalogue`
    looks the labels' aliases up in text and fields. `fallback` is the label when nothing voted.
    """

    kind: Literal["ordinal", "nominal"] = "nominal"
    decide: Literal["first", "sum", "catalogue"] = "sum"
    ask_model: bool = True
    description: str
    fallback: str
    fallback_reason: str
    labels: tuple[Label, ...] = Field(min_length=2)

    @property
    def names(self) -> tuple[str, ...]:
        """The labels in order."""
        return tuple(label.name for label in self.labels)


class Document(Frozen):
    """A whole playbook."""

    playbook: str = Field(pattern=r"^[A-Za-z0-9_.\-]{1,60}$")
    version: str
    description: str = ""
    languages: tuple[str, ...] = Field(min_length=1)
    dimensions: dict[str, Dimension]
    decide_order: tuple[str, ...] = ()
    tiers: dict[str, Tier]
    channels: dict[str, Channel]
    calendars: dict[str, Calendar]
    targets: dict[str, Target]
    queues: Queues
    escalation_paths: dict[str, Path]
    notify: tuple[Named, ...] = ()
    flags: tuple[Named, ...] = ()
    floors: tuple[Floor, ...] = ()
    overrides: tuple[Override, ...] = ()
    constraints: tuple[Constraint, ...] = ()
    review: Review = Review()
    automation: dict[str, Automation] = Field(default_factory=dict)
    indicators: IndicatorConditions = IndicatorConditions()
    triage_cost: dict[str, dict[str, float]] = Field(default_factory=dict)
    customer_notes: dict[str, dict[str, str]] = Field(default_factory=dict)
    negation: Negation = Negation()
    lexicon: Literal["default"] | None = Field(default=None, description="the patterns that ship, by language")
    signals: dict[str, Signal] = Field(default_factory=dict)
    injection_signals: Names = ()
    scores: dict[str, Scores] = Field(default_factory=dict)
    rules: tuple[Rule, ...] = ()

    @model_validator(mode="after")
    def _required(self) -> Self:
        missing = [name for name in REQUIRED_DIMENSIONS if name not in self.dimensions]
        if missing:
            raise ValueError(f"dimensions lack {', '.join(missing)}; urgency, issue_type and escalation are required")
        return self

    @property
    def order(self) -> tuple[str, ...]:
        """The dimensions in the order in which rules decide them."""
        rest = tuple(name for name in self.dimensions if name not in self.decide_order)
        return (*self.decide_order, *rest)
