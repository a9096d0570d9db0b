"""Is a confidence true: of the rows said to be right with .8, are eight in ten? Arrays have shape (n,).

`confidence` is the probability said for the label given, `right` whether it was.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from triagedesk.evals.metrics.scale import Floats

BINS = 15
CLIP = 1e-6
"""Confidences of 0 and 1 are clipped by this before a logarithm is taken."""
FLOOR_DRAWS = 200
EXCESS = 0.03
"""A calibration error counts only where it exceeds its noise floor's mean by this (and the floor's 95th percentile)."""


def _pair(confidence: ArrayLike, right: ArrayLike) -> tuple[Floats, Floats]:
    c, ok = np.asarray(confidence, dtype=np.float64), np.asarray(right, dtype=np.float64)
    if c.shape != ok.shape:
        raise ValueError("confidence and right need the same rows")
    if c.size and (np.isnan(c).any() or c.min() < 0 or c.max() > 1):
        raise ValueError("a confidence is a probability from 0 to 1 (divide percentages by 100)")
    return c, ok


def equal_mass_bins(confidence: ArrayLike, bins: int = BINS) -> list[np.ndarray[tuple[int, ...], np.dtype[np.intp]]]:
    """Return rows by bin: sorted by confidence and split evenly, rows of one confidence kept in one bin.

    Language models say .95 for half of all rows: were such a tie cut, the bins would hang on the order of the rows.
    """
    c = np.asarray(confidence, dtype=np.float64)
    if c.size == 0:
        return []
    edges = np.asarray([part[-1] for part in np.array_split(np.sort(c), bins) if part.size])
    of = np.searchsorted(edges, c, side="left")
    order = np.argsort(of, kind="stable")
    return [part for part in np.split(order, np.cumsum(np.bincount(of, minlength=len(edges)))[:-1]) if part.size]


def expected_calibration_error(confidence: ArrayLike, right: ArrayLike, bins: int = BINS) -> float:
    """Return the mean gap between confidence and accuracy over bins of equal mass (Nguyen and O'Connor 2015)."""
    c, ok = _pair(confidence, right)
    if c.size == 0:
        return float("nan")
    return float(sum(abs(c[part].mean() - ok[part].mean()) * part.size for part in equal_mass_bins(c, bins)) / c.size)


class NoiseFloor(NamedTuple):
    """What a perfectly calibrated system of these confidences would show: mean and 95th percentile."""

    mean: float
    p95: float


def noise_floor(confidence: ArrayLike, bins: int = BINS, draws: int = FLOOR_DRAWS, seed: int = 0) -> NoiseFloor:
    """Return the calibration error that chance alone gives (parametric bootstrap: right ~ Bernoulli(confidence))."""
    c, _ = _pair(confidence, np.zeros(np.shape(confidence)))
    if c.size == 0:
        return NoiseFloor(float("nan"), float("nan"))
    rng = np.random.default_rng(seed)
    parts = equal_mass_bins(c, bins)
    order = np.concatenate(parts)
    edges = np.cumsum([0, *(part.size for part in parts)])[:-1]
    said = np.add.reduceat(c[order], edges)
    errors = [np.abs(said - np.add.reduceat((rng.random(c.size) < c[order]).astype(float), edges)).sum() / c.size
              for _ in range(draws)]  # fmt: skip
    return NoiseFloor(float(np.mean(errors)), float(np.percentile(errors, 95)))


def spiegelhalter(confidence: ArrayLike, right: ArrayLike) -> float:
    """Return the two-sided p-value of "this is calibrated" (Spiegelhalter 1986); NaN where it is not defined."""
    c, ok = _pair(confidence, right)
    spread = float(((1 - 2 * c) ** 2 * c * (1 - c)).sum())
    if spread <= 0:
        return float("nan")
    z = float(((ok - c) * (1 - 2 * c)).sum()) / np.sqrt(spread)
    return float(2 * stats.norm.sf(abs(z)))


def clipped(confidence: ArrayLike) -> Floats:
    """Return confidences kept away from 0 and 1 by CLIP."""
    return np.clip(np.asarray(confidence, dtype=np.float64), CLIP, 1 - CLIP)


def log_loss(confidence: ArrayLike, right: ArrayLike) -> float:
    """Return the mean log loss of "the label given is right", confidences clipped by CLIP."""
    c, ok = _pair(confidence, right)
    c = clipped(c)
    return float(-(ok * np.log(c) + (1 - ok) * np.log(1 - c)).mean()) if c.size else float("nan")


def brier(confidence: ArrayLike, right: ArrayLike) -> float:
    """Return the mean squared gap between confidence and outcome, 0 to 1."""
    c, ok = _pair(confidence, right)
    return float(((c - ok) ** 2).mean()) if c.size else float("nan")


def auroc(confidence: ArrayLike, right: ArrayLike) -> float:
    """Return how often a right row is more confident than a wrong one, ties half; NaN where all are one or the other.

    Mann and Whitney (1947).
    """
    c, ok = _pair(confidence, right)
    good = ok > 0.5
    n_good, n_bad = int(good.sum()), int((~good).sum())
    if not n_good or not n_bad:
        return float("nan")
    ranks = stats.rankdata(c)
    return float((ranks[good].sum() - n_good * (n_good + 1) / 2) / (n_good * n_bad))


class Bin(NamedTuple):
    """One point of the calibration curve."""

    confidence: float
    accuracy: float
    rows: int


def curve(confidence: ArrayLike, right: ArrayLike, bins: int = 10) -> list[Bin]:
    """Return the calibration curve over bins of equal mass."""
    c, ok = _pair(confidence, right)
    return [Bin(float(c[part].mean()), float(ok[part].mean()), int(part.size)) for part in equal_mass_bins(c, bins)]


def is_off(error: float, floor: NoiseFloor) -> bool:
    """Say whether a calibration error is no noise: above the floor's 95th percentile and EXCESS over its mean."""
    return error > floor.p95 and error - floor.mean > EXCESS
