"""What a playbook makes of a ticket's words and metadata: signals, conditions, rules, floors and constraints."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from pydantic import BeforeValidator, Field

from triagedesk.models import Factor, Frozen


def _listed(value: object) -> object:
    """Read a single item as a list of one."""
    return [value] if isinstance(value, str) else value


Names = Annotated[tuple[str, ...], BeforeValidator(_listed)]
PatternsByLanguage = dict[str, tuple[str, ...]]


class Signal(Frozen):
    """Something a text can say: RE2 patterns by language ("*" for all), and where a match does not count.

    A match counts only as whole words, unless a pattern of `unless` overlaps it or, when `negatable`, a negation
    stands right before (or after) it. Patterns of the playbook's lexicon come on top of those given here.
    """

    description: str = ""
    reason: str = Field(default="", description="the sentence given where the signal's vote decided")
    factor: Factor | None = None
    weak: bool = Field(default=False, description="its reason is given only where no stronger signal decided")
    patterns: PatternsByLanguage = Field(default_factory=dict)
    unless: PatternsByLanguage = Field(default_factory=dict)
    negatable: bool = True


class Condition(Frozen):
    """When something applies. All keys given must hold; an empty condition always holds.

    any/all/none name signals; `near` holds pairs of signals, at least one pair found within 60 characters;
    tier, channel, region, language list values of the ticket; `overdue` compares due_at with created_at (or now);
    `labels` lists labels already decided per dimension.
    """

    any: Names = ()
    all: Names = ()
    none: Names = ()
    near: tuple[tuple[str, str], ...] = ()
    tier: Names = ()
    channel: Names = ()
    region: Names = ()
    language: Names = ()
    overdue: bool | None = None
    labels: dict[str, Names] = Field(default_factory=dict)

    @property
    def signals(self) -> tuple[str, ...]:
        """Every signal named."""
        return (*self.any, *self.all, *self.none, *(name for pair in self.near for name in pair))


class Rule(Frozen):
    """A weighted vote for labels, with the sentence that explains it.

    `match` is a shorthand for a signal of its own. `weight` may differ by dimension.
    """

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9_.\-]*$")
    when: Condition = Condition()
    match: PatternsByLanguage = Field(default_factory=dict)
    unless: PatternsByLanguage = Field(default_factory=dict)
    says: dict[str, str] = Field(min_length=1)
    weight: float | dict[str, float] = 1.0
    reason: str
    factor: Factor | None = None

    def weight_for(self, dimension: str) -> float:
        """The vote's weight in a dimension."""
        return self.weight if isinstance(self.weight, float | int) else self.weight.get(dimension, 1.0)


class Scores(Frozen):
    """How much each signal speaks for each label of a dimension that sums votes.

    A key is a signal, or two signals near each other: "down + many". `bias` is given without any signal. A `calm`
    signal votes only in the text's opening and before any `alarm`: what is asked or added later cannot calm.
    """

    bias: dict[str, float] = Field(default_factory=dict)
    calm: Names = ()
    alarm: Names = ()
    votes: dict[str, dict[str, float]] = Field(default_factory=dict)

    def signals(self) -> Iterator[str]:
        """Yield every signal named."""
        yield from self.calm
        yield from self.alarm
        for weights in self.votes.values():
            for key in weights:
                yield from key.split(" + ")


class Floor(Frozen):
    """A label under which a dimension may not go while the condition holds, whatever a model says."""

    id: str
    when: Condition
    dimension: str
    at_least: str
    reason: str
    factor: Factor | None = None


class Override(Frozen):
    """A label that policy sets while `when` holds and `unless` does not."""

    id: str
    when: Condition
    unless: Condition | None = None
    set: dict[str, str]
    reason: str


class Constraint(Frozen):
    """Labels that never go together; the rules' own answer, else `instead`, takes the forbidden one's place."""

    when: Condition
    never: dict[str, Names]
    instead: dict[str, str]
    reason: str


class IndicatorConditions(Frozen):
    """When each sign of an escalation is set: any of the conditions."""

    complexity: tuple[Condition, ...] = ()
    time_sensitivity: tuple[Condition, ...] = ()
    beyond_procedure: tuple[Condition, ...] = ()


class Negation(Frozen):
    """Words that undo a match right before or right after them, and text that talks about labels, by language.

    A lead-in ("just in case it matters,") ends an exception that begins in it: what follows it is a report.
    """

    before: PatternsByLanguage = Field(default_factory=dict)
    after: PatternsByLanguage = Field(default_factory=dict)
    asides: PatternsByLanguage = Field(default_factory=dict)
    lead_ins: PatternsByLanguage = Field(default_factory=dict)
