"""The playbook as a document: every key that the YAML may hold, with its meaning.

Nothing here or elsewhere in the code knows a label's name, `urgency`, `issue_type` and `escalation` being the three
dimensions that every playbook must have.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from triagedesk.models import Factor, Frozen

REQUIRED_DIMENSIONS = ("urgency", "issue_type", "escalation")


def _minutes(value: object) -> object:
    """Read "15m", "4h", "2d" as minutes."""
    units = {"m": 1, "h": 60, "d": 1440}
    if isinstance(value, str) and value[-1:] in units:
        try:
            return round(float(value[:-1]) * units[value[-1]])
        except ValueError:
            pass
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise ValueError('a duration is written like "15m", "4h" or "2d"')


def _listed(value: object) -> object:
    """Read a single item as a list of one."""
    return [value] if isinstance(value, str) else value


Minutes = Annotated[int, BeforeValidator(_minutes), Field(ge=0)]
Names = Annotated[tuple[str, ...], BeforeValidator(_listed)]
PatternsByLanguage = dict[str, tuple[str, ...]]


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


class Calendar(Frozen):
    """When a desk works. `holidays` is a country (ISO 3166, "DE" or "US-NY"), as the holidays library knows it."""

    timezone: str = "UTC"
    days: tuple[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"], ...] = ("mon", "tue", "wed", "thu", "fri")
    opens: str = Field(default="09:00", pattern=r"^\d\d:\d\d$")
    closes: str = Field(default="17:00", pattern=r"^\d\d:\d\d$")
    holidays: str | None = None


class Target(Frozen):
    """How fast a label is answered.

    `clock`: `always` counts every minute; `working_days` whole days the calendar works; `business_hours` its open
    hours; `off_peak` everything but its open hours.
    """

    first_response: Minutes
    resolution: Minutes
    clock: Literal["always", "working_days", "business_hours", "off_peak"] = "always"


class Tier(Frozen):
    """A customer tier and what it changes."""

    description: str = ""
    target_factor: float = Field(default=1.0, gt=0)


class Channel(Frozen):
    """A channel and what it changes."""

    description: str = ""
    target_factor: float = Field(default=1.0, gt=0)


class PathStep(Frozen):
    """A team, and how long after arrival it takes over if the ticket is still open."""

    team: str
    after: Minutes = 0


class Path(Frozen):
    """An escalation path; `enter_at` says at which step (1-based) an urgency starts."""

    steps: tuple[PathStep, ...] = ()
    enter_at: dict[str, int] = Field(default_factory=dict)


class QueueRule(Frozen):
    """The first whose condition holds names the queue; the name may use the template's placeholders."""

    when: Condition
    queue: str


class QueueSuffix(Frozen):
    """Appended to the queue's name while the condition holds (region, language …)."""

    when: Condition
    suffix: str


class Queues(Frozen):
    """How a queue's name is made: placeholders {issue}, {tier}, {channel}, {region}, {language}."""

    template: str
    issue: dict[str, str]
    first: tuple[QueueRule, ...] = ()
    suffixes: tuple[QueueSuffix, ...] = ()


class Named(Frozen):
    """Names (of people to notify, of flags) that apply while the condition holds."""

    names: Names
    when: Condition


class ReviewRule(Frozen):
    """A reason to have a person look."""

    reason: str
    when: Condition


class Review(Frozen):
    """When a person looks: rules of the playbook, and thresholds of the built-in checks."""

    disagreement_levels: int = Field(default=2, ge=1)
    min_confidence: float = Field(default=0.5, ge=0, le=1)
    rules: tuple[ReviewRule, ...] = ()


Enough = Annotated[float, Field(ge=0, le=1)] | Literal["never"]


class Automation(Frozen):
    """From which measured confidence a dimension's label is applied without a person, or suggested; below one is asked.

    `triagedesk eval threshold --write` writes it. `never`: no confidence is enough. The rest says what the levels were
    chosen for: the share of wrong labels borne, the share of tickets that `apply` covers, split and hash of these.
    """

    apply: Enough
    suggest: Enough
    max_risk: float | None = Field(default=None, ge=0, le=1)
    suggest_risk: float | None = Field(default=None, ge=0, le=1)
    coverage: float | None = Field(default=None, ge=0, le=1)
    measured_on: str = ""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.suggest_from > self.apply_from:
            raise ValueError("suggest lies above apply")
        return self

    @property
    def apply_from(self) -> float:
        """The least confidence that is applied; infinite for never."""
        return float("inf") if self.apply == "never" else float(self.apply)

    @property
    def suggest_from(self) -> float:
        """The least confidence that is suggested; infinite for never."""
        return float("inf") if self.suggest == "never" else float(self.suggest)


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
