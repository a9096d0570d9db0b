"""What a system is worth on a labelled set: every figure with its interval, as one object that prints as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import Field

from triagedesk.evals.metrics import agreement, calibration, counts, selective
from triagedesk.evals.metrics.draws import DRAWS, Sample, is_still, percentile_interval
from triagedesk.evals.metrics.intervals import wilson
from triagedesk.evals.metrics.scale import NO_ANSWER, Floats, Ints, Scale
from triagedesk.evals.sheet import Sheet
from triagedesk.models import Frozen

SMALL_SLICE = 30
"""Slices with fewer rows are shown in grey and judged by nothing."""
AUTO_RISK = 0.05

PREVALENCE_BOUND = frozenset(
    ("accuracy", "critical_precision", "macro_f1", "triage_cost", "under_triage", "over_triage")
)
"""What changes with the share of each label; recall of a label does not."""

Prevalence = Mapping[str, Mapping[str, float]]


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


def score(sheet: Sheet, *, draws: int = DRAWS, seed: int = 0, prevalence: Prevalence | None = None) -> Scores:
    """Score a sheet. Rates get Wilson's interval, or where rows come in groups and for all else a bootstrap's.

    Where all draws are equal, as where nothing is wrong, a bootstrap knows no interval: a rate gets Wilson's with the
    groups as its n, any other figure none.

    `prevalence` gives, by dimension, the share that each label has on a real desk: gold sets hold more emergencies.
    """
    shares = prevalence or {}
    grounded, quotes = sheet.quotes()
    predictions = sheet.predictions
    answered = sum(bool(sheet.labels(one)) for one in predictions)
    return Scores(
        n=len(sheet), answered=answered, missing=len(sheet) - answered,
        errors=_count(one.error for one in predictions), unknown_ids=sheet.unknown,
        clustered=sheet.groups is not None, draws=draws, seed=seed,
        joint_exact=_joint(sheet, draws, seed),
        dimensions={
            name: dimension_scores(sheet, name, draws=draws, seed=seed, prevalence=shares.get(name))
            for name in sheet.scales
        },
        rule_breaks=dict(sheet.rule_breaks()), quotes_grounded=rate_figure(grounded, quotes), quotes=quotes,
        sources=_count(one.source for one in predictions),
        fallback_reasons=_count(one.fallback_reason for one in predictions),
        models=_count(one.model for one in predictions),
        to_review=sum(one.needs_review for one in predictions), asked_again=sum(one.asks > 1 for one in predictions),
        latency=_latency(sheet), tokens=_tokens(sheet), cost_usd=_cost(sheet), repeats=_repeats(sheet),
    )  # fmt: skip


def dimension_scores(
    sheet: Sheet, dimension: str, *, draws: int = DRAWS, seed: int = 0, prevalence: Mapping[str, float] | None = None
) -> DimensionScores:
    """Score one dimension over the rows that have a gold label in it."""
    scale, rows = sheet.scales[dimension], sheet.rows(dimension)
    gold, said = (codes[rows] for codes in sheet.codes(dimension))
    table = counts.confusion(gold, said, scale)
    groups = None if sheet.groups is None else sheet.groups[rows]
    drawn = _draw(gold, said, groups, scale, draws, seed) if draws else None
    return DimensionScores(
        n=len(rows), labels=scale.labels,
        dropped_labels=tuple(label for label, n in zip(scale.labels, counts.support(table), strict=True) if n == 0),
        figures=_figures(table, drawn, scale, None if groups is None else _Cells(gold, said, groups)),
        at_prevalence=_reweighted(table, drawn, scale, prevalence) if prevalence else {},
        per_label=_per_label(table, scale),
        confusion=tuple(tuple(int(cell) for cell in row) for row in table),
        confidence=_confidence(sheet.confidences(dimension)[rows], gold == said),
    )  # fmt: skip


def _draw(gold: Ints, said: Ints, groups: Ints | None, scale: Scale, draws: int, seed: int) -> Floats:
    """Return confusion counts of bootstrap draws, shape (draws, K, K+1)."""
    width = len(scale) + 1
    column = np.where(said == NO_ANSWER, len(scale), said)
    sample = Sample(gold * width + column, len(scale) * width, _renumbered(groups))
    return sample.draw(draws, seed).reshape(draws, len(scale), width)


@dataclass(frozen=True)
class _Cells:
    """The cell (gold, said) and the group of each row, shape (n,): how many groups stand behind a rate."""

    gold: Ints
    said: Ints
    groups: Ints

    def behind(self, rater: counts.Rater, scale: Scale) -> int:
        """Return how many groups have a row in a rate's denominator."""
        held = np.zeros(len(self.gold), dtype=bool)
        for gold, said in set(zip(self.gold.tolist(), self.said.tolist(), strict=True)):
            cell = np.zeros((len(scale), len(scale) + 1))
            cell[gold, said] = 1  # NO_ANSWER is -1: the last column
            if rater(cell, scale).n > 0:
                held |= (self.gold == gold) & (self.said == said)
        return len(np.unique(self.groups[held]))


def _figures(table: Floats, drawn: Floats | None, scale: Scale, grouped: _Cells | None) -> dict[str, Figure]:
    found: dict[str, Figure] = {}
    for name, rater in counts.raters(scale).items():
        rate = rater(table, scale)
        if grouped is None or drawn is None:
            found[name] = rate_figure(float(rate.hits), float(rate.n))
            continue
        draws = counts.as_value(rater(drawn, scale))
        still = is_still(draws)
        found[name] = (
            grouped_rate(float(rate.hits), float(rate.n), grouped.behind(rater, scale)) if still
            else drawn_figure(counts.as_value(rate), draws)
        )  # fmt: skip
    for name, metric in counts.numbers(scale).items():
        found[name] = drawn_figure(metric(table, scale), None if drawn is None else metric(drawn, scale))
    return found


def _reweighted(
    table: Floats, drawn: Floats | None, scale: Scale, prevalence: Mapping[str, float]
) -> dict[str, Figure]:
    """Return the figures that depend on how frequent labels are, with gold rows weighted to the shares given."""
    wanted = np.asarray([prevalence.get(label, 0.0) for label in scale.labels], dtype=np.float64)
    support = counts.support(table)
    weights = np.divide(wanted / wanted.sum() * support.sum(), support, out=np.zeros_like(wanted), where=support > 0)
    known_figures = counts.figures(table * weights[:, None], scale)
    spread = {} if drawn is None else counts.figures(drawn * weights[None, :, None], scale)
    return {
        name: drawn_figure(value, spread.get(name)) for name, value in known_figures.items() if name in PREVALENCE_BOUND
    }


def _renumbered(groups: Ints | None) -> Ints | None:
    return None if groups is None else np.unique(groups, return_inverse=True)[1].astype(np.int64)


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


def _per_label(table: Floats, scale: Scale) -> dict[str, LabelFigures]:
    precision, recall, f1 = counts.precisions(table), counts.recalls(table), counts.f1s(table)
    support, said = counts.support(table), table[:, :-1].sum(0)
    return {
        label: LabelFigures(
            support=int(support[i]), said=int(said[i]), precision=known(precision[i]), recall=known(recall[i]),
            f1=known(f1[i]) if support[i] else None,
        )
        for i, label in enumerate(scale.labels)
    }  # fmt: skip


def _confidence(confidence: Floats, right: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> Confidence | None:
    held = ~np.isnan(confidence)
    if not held.any():
        return None
    c, ok = confidence[held], right[held]
    floor, ece = calibration.noise_floor(c), calibration.expected_calibration_error(c, ok)
    wrong = (~ok).astype(np.float64)
    return Confidence(
        n=int(held.sum()), ece=known(ece), noise_floor_mean=known(floor.mean), noise_floor_p95=known(floor.p95),
        miscalibrated=calibration.is_off(ece, floor), spiegelhalter_p=known(calibration.spiegelhalter(c, ok)),
        log_loss=known(calibration.log_loss(c, ok)), brier=known(calibration.brier(c, ok)),
        auroc=known(calibration.auroc(c, ok)), aurc=known(selective.aurc(c, wrong)),
        excess_aurc=known(selective.excess_aurc(c, wrong)),
        coverage_at_5_percent_risk=selective.coverage_at_risk(c, wrong, AUTO_RISK),
        risk_at_80_percent_coverage=known(selective.risk_at_coverage(c, wrong, 0.8)),
    )  # fmt: skip


def _joint(sheet: Sheet, draws: int, seed: int) -> Figure:
    """Return the share of rows right in every dimension that gold labels."""
    right = np.ones(len(sheet), dtype=bool)
    for name in sheet.scales:
        gold, said = sheet.codes(name)
        right &= (gold == said) | (gold == NO_ANSWER)
    if sheet.groups is None or not draws:
        return rate_figure(float(right.sum()), len(right))
    drawn = Sample(right.astype(np.int64), 2, sheet.groups).draw(draws, seed)
    shares = drawn[:, 1] / drawn.sum(1)
    if is_still(shares):
        return grouped_rate(float(right.sum()), len(right), len(np.unique(sheet.groups)))
    return drawn_figure(float(right.mean()), shares)


def _count(values: Any) -> dict[str, int]:
    return dict(Counter(value for value in values if value).most_common())


def _latency(sheet: Sheet) -> Latency:
    times = [one.latency_ms for one in sheet.predictions if one.latency_ms is not None]
    if not times:
        return Latency(n=0)
    p50, p95 = np.percentile(times, [50, 95])
    return Latency(n=len(times), p50_ms=float(p50), p95_ms=float(p95))


def _tokens(sheet: Sheet) -> dict[str, int]:
    total: Counter[str] = Counter()
    for one in sheet.all_predictions():
        total.update({name: int(n) for name, n in one.tokens.items()})
    return dict(total)


def _cost(sheet: Sheet) -> float | None:
    prices = [one.cost_usd for one in sheet.all_predictions() if one.cost_usd is not None]
    return sum(prices) if prices else None


def _repeats(sheet: Sheet) -> Repeats | None:
    if not sheet.repeats:
        return None
    said: Mapping[str, list[list[str | None]]] = {
        name: [[sheet.labels(one).get(name) for one in row] for row in sheet.repeats.values()] for name in sheet.scales
    }
    return Repeats(
        tickets=len(sheet.repeats),
        flip_rate={name: agreement.flip_rate(rows) for name, rows in said.items()},
        pairwise_agreement={name: agreement.pairwise_agreement(rows) for name, rows in said.items()},
    )
