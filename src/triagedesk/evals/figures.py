"""What is known of a system's worth: figures with their intervals, in shapes that print as JSON."""

from __future__ import annotations

from typing import Any

import numpy as np
from pydantic import Field

from triagedesk.evals.metrics.draws import is_still, percentile_interval
from triagedesk.evals.metrics.intervals import wilson
from triagedesk.evals.metrics.scale import Floats
from triagedesk.models import Frozen

SMALL_SLICE = 30
"""Slices with fewer rows are shown in grey and judged by nothing."""


class Figure(Frozen):
    """A value with its 95 % interval; None where it is not defined, or where no draw varies: what is unknown of it."""

    value: float | None
    low: float | None = None
    high: float | None = None


class LabelFigures(Frozen):
    """One label: rows with it in gold, rows said to have it, and what was found."""

    support: int
    said: int
    precision: float | None
    recall: float | None
    f1: float | None


class Confidence(Frozen):
    """How true the confidences are, over the rows that have one."""

    n: int
    ece: float | None
    noise_floor_mean: float | None
    noise_floor_p95: float | None
    miscalibrated: bool
    spiegelhalter_p: float | None
    log_loss: float | None
    brier: float | None
    auroc: float | None
    aurc: float | None
    excess_aurc: float | None
    coverage_at_5_percent_risk: float
    risk_at_80_percent_coverage: float | None


class DimensionScores(Frozen):
    """One dimension. `confusion` is gold × said, its last column being "no answer of the playbook"."""

    n: int
    labels: tuple[str, ...]
    dropped_labels: tuple[str, ...]
    figures: dict[str, Figure]
    per_label: dict[str, LabelFigures]
    confusion: tuple[tuple[int, ...], ...]
    confidence: Confidence | None = None
    at_prevalence: dict[str, Figure] = Field(
        default_factory=dict, description="figures reweighted to the shares that labels have on a real desk"
    )

    def as_json(self) -> dict[str, Any]:
        """Return the figures by name beside the rest."""
        rest = self.model_dump(mode="json", exclude={"figures"})
        return {"n": self.n, **{name: figure.model_dump() for name, figure in self.figures.items()}, **rest}


class Latency(Frozen):
    """Milliseconds of answers that were not cached."""

    n: int
    p50_ms: float | None = None
    p95_ms: float | None = None


class Repeats(Frozen):
    """How steady the answers are over k repeats of a ticket."""

    tickets: int
    flip_rate: dict[str, float]
    pairwise_agreement: dict[str, float]


class Scores(Frozen):
    """What a system is worth on a labelled set."""

    n: int
    answered: int
    missing: int
    errors: dict[str, int]
    unknown_ids: int
    clustered: bool
    draws: int
    seed: int
    joint_exact: Figure
    dimensions: dict[str, DimensionScores]
    rule_breaks: dict[str, int]
    quotes_grounded: Figure
    quotes: int
    sources: dict[str, int]
    fallback_reasons: dict[str, int]
    models: dict[str, int]
    to_review: int
    asked_again: int = Field(default=0, description="answers that came only after a re-ask: never valid at once")
    latency: Latency
    tokens: dict[str, int]
    cost_usd: float | None
    repeats: Repeats | None = None

    def as_json(self) -> dict[str, Any]:
        """Return plain data: `{"n": …, "dimensions": {"urgency": {"accuracy": {"value", "low", "high"}, …}}, …}`."""
        plain = self.model_dump(mode="json", exclude={"dimensions"})
        return {"n": self.n, "dimensions": {name: each.as_json() for name, each in self.dimensions.items()}, **plain}


def known(value: float | Floats) -> float | None:
    """Return a number, or None for NaN."""
    number = float(value)
    return None if np.isnan(number) else number


def rate_figure(hits: float, n: float) -> Figure:
    """Return a rate with Wilson's interval."""
    low, high = wilson(hits, n)
    return Figure(value=hits / n if n else None, low=known(low), high=known(high))


def grouped_rate(hits: float, n: float, groups: int) -> Figure:
    """Return a rate whose draws do not vary, with Wilson's interval as if each group were one row."""
    low, high = wilson(hits / n * groups if n else 0, groups)
    return Figure(value=hits / n if n else None, low=known(low), high=known(high))


def drawn_figure(value: float | Floats, drawn: Floats | None) -> Figure:
    """Return a value with the percentile interval of its draws, without one where they do not vary."""
    if drawn is None or is_still(drawn):
        return Figure(value=known(value))
    low, high = percentile_interval(drawn)
    return Figure(value=known(value), low=known(low), high=known(high))
