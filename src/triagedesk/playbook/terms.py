"""What a desk has promised, and where its tickets go: calendars, targets, paths, queues, reviews and automation."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from triagedesk.models import Frozen
from triagedesk.playbook.rulebook import Condition, Names


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


Minutes = Annotated[int, BeforeValidator(_minutes), Field(ge=0)]


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
