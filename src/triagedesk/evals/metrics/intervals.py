"""Intervals and tests: what a figure is worth, and whether two systems differ."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from triagedesk.evals.metrics.scale import Floats


class Interval(NamedTuple):
    """A value with its 95 % interval. NaN where it is not defined."""

    value: float
    low: float
    high: float


def wilson(hits: float, n: float, level: float = 0.95) -> tuple[float, float]:
    """Return Wilson's score interval (1927) of a rate; (NaN, NaN) of nothing."""
    if n <= 0:
        return float("nan"), float("nan")
    found = stats.binomtest(round(hits), round(n)).proportion_ci(confidence_level=level, method="wilson")
    return float(found.low), float(found.high)


def most_missed(misses: int, n: int, level: float = 0.95) -> float:
    """Return the largest true miss rate that `misses` of n leave possible (one-sided, Clopper and Pearson 1934)."""
    return 1.0 if n == 0 or misses == n else float(stats.beta.ppf(level, misses + 1, n - misses))


class McNemar(NamedTuple):
    """Rows that only A got right, rows that only B got right, and the exact two-sided p-value."""

    only_a: int
    only_b: int
    p_value: float


def mcnemar(right_a: ArrayLike, right_b: ArrayLike) -> McNemar:
    """Compare two systems on the same rows (McNemar 1947, exact): arrays of bool, shape (n,)."""
    a, b = np.asarray(right_a, dtype=bool), np.asarray(right_b, dtype=bool)
    if a.shape != b.shape:
        raise ValueError("McNemar's test needs the same rows on both sides")
    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    p_value = float(stats.binomtest(only_a, only_a + only_b, 0.5).pvalue) if only_a + only_b else 1.0
    return McNemar(only_a, only_b, p_value)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values adjusted for their number (Holm 1979), in the order given."""
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    adjusted, highest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = highest
    return adjusted


def detectable(n: int, discordant: float, power: float = 0.8, level: float = 0.95) -> float:
    """Return the smallest accuracy difference that n paired rows can show, NaN if none.

    `discordant` is the share of rows on which the two differ in being right. Connor (1987): a two-sided McNemar test
    of power `power` needs n = (z_a √d + z_b √(d − Δ²))² / Δ²; this solves it for Δ.
    """
    if n <= 0 or not 0 < discordant <= 1:
        return float("nan")
    z_a, z_b = stats.norm.ppf(1 - (1 - level) / 2), stats.norm.ppf(power)

    def needed(delta: float) -> float:
        return float((z_a * math.sqrt(discordant) + z_b * math.sqrt(max(discordant - delta**2, 0))) ** 2 / delta**2)

    if needed(discordant) > n:
        return float("nan")
    low, high = 1e-9, discordant
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if needed(middle) > n else (low, middle)
    return high


def two_sided(draws: Floats) -> float:
    """Return the bootstrap p-value of "no difference" from draws of a difference (Davison and Hinkley 1997, 4.2)."""
    known = draws[~np.isnan(draws)]
    if known.size == 0:
        return float("nan")
    below, above = float((known <= 0).sum()) + 1, float((known >= 0).sum()) + 1
    return min(1.0, 2 * min(below, above) / (known.size + 1))
