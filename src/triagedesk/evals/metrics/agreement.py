"""How far annotators agree: the ceiling for any system, and how steady one system is over repeats."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np

from triagedesk.evals.metrics.counts import weighted_kappa
from triagedesk.evals.metrics.scale import NO_ANSWER, Floats, Ints, Scale

Level = Literal["nominal", "ordinal"]


def cohen_kappa(
    first: Ints, second: Ints, scale: Scale, weights: Literal["none", "linear", "quadratic"] = "none"
) -> float:
    """Return Cohen's kappa of two annotators over rows that both labelled; NaN where undefined."""
    both = (first != NO_ANSWER) & (second != NO_ANSWER)
    table = np.zeros((len(scale), len(scale)))
    np.add.at(table, (first[both], second[both]), 1)
    steps = np.abs(np.subtract.outer(np.arange(len(scale)), np.arange(len(scale)))).astype(np.float64)
    weight = {"none": (steps > 0).astype(np.float64), "linear": steps, "quadratic": steps**2}[weights]
    return float(weighted_kappa(table, weight))


def krippendorff_alpha(ratings: Ints, scale: Scale, level: Level | None = None) -> float:
    """Return Krippendorff's alpha of codes (annotators × rows, NO_ANSWER for a hole); NaN where undefined.

    Krippendorff, Content Analysis (2004), chapter 11: 1 minus observed over expected disagreement of the coincidence
    matrix. `level` is the scale's own unless given.
    """
    level = level or ("ordinal" if scale.ordinal else "nominal")
    return alpha_of(coincidences(np.asarray(ratings), len(scale)), level)


def alpha_of(pairs: Floats, level: Level) -> float:
    """Return Krippendorff's alpha of a coincidence matrix (K × K); NaN where undefined."""
    totals: Floats = pairs.sum(0)
    n = float(totals.sum())
    distance = _DISTANCES[level](totals)
    expected = float((np.outer(totals, totals) * distance).sum())
    if n <= 1 or expected == 0:
        return float("nan")
    return 1 - float((pairs * distance).sum()) * (n - 1) / expected


def coincidences(ratings: Ints, k: int) -> Floats:
    """Return the coincidence matrix (K × K) of codes (annotators × rows, NO_ANSWER for a hole)."""
    matrix = np.zeros((k, k))
    for unit in ratings.T:
        known = unit[unit != NO_ANSWER]
        if known.size < 2:
            continue
        counts: Floats = np.bincount(known, minlength=k).astype(np.float64)
        matrix += (np.outer(counts, counts) - np.diag(counts)) / (known.size - 1)
    return matrix


def _nominal(totals: Floats) -> Floats:
    return 1 - np.eye(len(totals))


def _ordinal(totals: Floats) -> Floats:
    """Return squared distances in ranks: the mass between two labels, each end counting half."""
    middle = np.cumsum(totals) - totals / 2
    return np.subtract.outer(middle, middle) ** 2


_DISTANCES: dict[Level, Callable[[Floats], Floats]] = {"nominal": _nominal, "ordinal": _ordinal}


def flip_rate(answers: Sequence[Sequence[str | None]]) -> float:
    """Return the share of rows that got more than one distinct label over repeats; NaN where nothing was repeated."""
    repeated = [row for row in answers if len(row) > 1]
    return sum(len(set(row)) > 1 for row in repeated) / len(repeated) if repeated else float("nan")


def pairwise_agreement(answers: Sequence[Sequence[str | None]]) -> float:
    """Return how often two repeats of a row agree, averaged over rows."""
    repeated = [row for row in answers if len(row) > 1]
    return float(np.mean([_agreeing(row) for row in repeated])) if repeated else float("nan")


def _agreeing(row: Sequence[str | None]) -> float:
    same = sum(row.count(label) * (row.count(label) - 1) for label in set(row))
    return same / (len(row) * (len(row) - 1))


def majority(codes: Sequence[int], scale: Scale) -> int:
    """Return the label most often given; ties go to the more severe of an ordinal scale, else to the first in order."""
    known = [code for code in codes if code != NO_ANSWER]
    if not known:
        return NO_ANSWER
    most = max(known.count(code) for code in known)
    tied = [code for code in known if known.count(code) == most]
    return max(tied) if scale.ordinal else min(tied)
