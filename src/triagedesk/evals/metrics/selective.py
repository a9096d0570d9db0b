"""Who goes to a person: risk against coverage, and thresholds that hold a risk.

Language models say .95 for half of all rows, so rows of equal confidence are taken together: inside a tie the risk is
the tie's average, whatever order the rows came in.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from triagedesk.evals.metrics.scale import Floats


class Curve(NamedTuple):
    """Risk by coverage, most confident first: arrays of shape (ties,)."""

    threshold: Floats
    coverage: Floats
    risk: Floats
    rows: Floats
    losses: Floats


def risk_coverage(confidence: ArrayLike, loss: ArrayLike) -> Curve:
    """Return the curve of `loss` (1 for an error, or a cost; shape (n,)) by falling confidence."""
    c, lost = np.asarray(confidence, dtype=np.float64), np.asarray(loss, dtype=np.float64)
    if c.shape != lost.shape:
        raise ValueError("confidence and loss need the same rows")
    levels, where = np.unique(-c, return_inverse=True)
    rows: Floats = np.cumsum(np.bincount(where, minlength=len(levels))).astype(np.float64)
    losses: Floats = np.cumsum(np.bincount(where, weights=lost, minlength=len(levels))).astype(np.float64)
    return Curve(-levels, rows / max(c.size, 1), losses / rows, rows, losses)


def aurc(confidence: ArrayLike, loss: ArrayLike) -> float:
    """Return the mean risk over all coverages (Geifman and El-Yaniv 2017); NaN of nothing."""
    return float(_risks(np.asarray(confidence, dtype=np.float64), np.asarray(loss, dtype=np.float64)).mean())


def _risks(confidence: Floats, loss: Floats) -> Floats:
    """Return the risk after each row, where a row of a tie brings the tie's average loss."""
    if confidence.size == 0:
        return np.asarray([np.nan])
    _, where = np.unique(-confidence, return_inverse=True)
    size = np.bincount(where)
    average = np.bincount(where, weights=loss) / size
    return np.cumsum(np.repeat(average, size)) / np.arange(1, confidence.size + 1)


def excess_aurc(confidence: ArrayLike, loss: ArrayLike) -> float:
    """Return AURC minus that of an oracle that puts the errors last."""
    lost = np.asarray(loss, dtype=np.float64)
    return aurc(confidence, lost) - aurc(-lost, lost)


class Threshold(NamedTuple):
    """The lowest confidence at which answers may be taken: coverage (of all rows), risk and its upper bound."""

    threshold: float
    coverage: float
    risk: float
    bound: float
    rows: int


def threshold_for_risk(confidence: ArrayLike, wrong: ArrayLike, max_risk: float, level: float = 0.95) -> Threshold:
    """Return the widest coverage whose risk stays at or under `max_risk`, upper bound included.

    The bound is the one-sided one of Clopper and Pearson at `level`. Thresholds are tested from the most confident on,
    and the first that fails ends the search (fixed-sequence testing: Angelopoulos et al. 2021, Learn then Test), so
    that picking the threshold on these rows does not spoil the bound. Where none holds, threshold is infinite.
    """
    curve = risk_coverage(confidence, wrong)
    best = Threshold(float("inf"), 0.0, float("nan"), float("nan"), 0)
    for at, coverage, risk, rows, errors in zip(*curve, strict=True):
        bound = 1.0 if errors >= rows else float(stats.beta.ppf(level, errors + 1, rows - errors))
        if bound <= max_risk:
            best = Threshold(float(at), float(coverage), float(risk), bound, int(rows))
        elif best.rows or rows >= _enough(max_risk, level):
            break
    return best


def _enough(max_risk: float, level: float) -> float:
    """Return how many rows without an error it takes to show a risk: fewer can pass no test."""
    return float(np.log(1 - level) / np.log(1 - max_risk)) if 0 < max_risk < 1 else 1.0


def coverage_at_risk(confidence: ArrayLike, wrong: ArrayLike, max_risk: float) -> float:
    """Return the widest coverage whose observed risk is at most `max_risk`."""
    curve = risk_coverage(confidence, wrong)
    held = curve.risk <= max_risk
    return float(curve.coverage[held].max()) if held.any() else 0.0


def risk_at_coverage(confidence: ArrayLike, loss: ArrayLike, coverage: float) -> float:
    """Return the risk of the most confident rows that make up `coverage`, ties averaged."""
    c, lost = np.asarray(confidence, dtype=np.float64), np.asarray(loss, dtype=np.float64)
    if c.size == 0:
        return float("nan")
    return float(_risks(c, lost)[max(1, int(np.ceil(coverage * c.size - 1e-9))) - 1])
