"""What the labels of one dimension are worth: its confusions, its figures and their intervals, its confidences."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from triagedesk.evals.figures import (
    Confidence,
    DimensionScores,
    Figure,
    LabelFigures,
    drawn_figure,
    grouped_rate,
    known,
    rate_figure,
)
from triagedesk.evals.metrics import calibration, counts, selective
from triagedesk.evals.metrics.draws import DRAWS, Sample, is_still
from triagedesk.evals.metrics.scale import NO_ANSWER, Floats, Ints, Scale
from triagedesk.evals.sheet import Sheet

AUTO_RISK = 0.05
"""The share of wrong labels that automation may let through."""

PREVALENCE_BOUND = frozenset(
    ("accuracy", "critical_precision", "macro_f1", "triage_cost", "under_triage", "over_triage")
)
"""What changes with the share of each label; recall of a label does not."""


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
