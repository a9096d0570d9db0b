"""From strength to confidence: curves of a few numbers, chosen by log loss on rows that they did not see."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy.optimize import minimize, minimize_scalar
from sklearn.isotonic import IsotonicRegression

from triagedesk.confidence import STRENGTH_CLIP, CalibrationCurve, Method
from triagedesk.evals.metrics.calibration import log_loss
from triagedesk.evals.metrics.scale import Floats, Ints

FOLDS = 5
MIN_RATE, MIN_TRIAL, MIN_CURVE, MIN_ISOTONIC = 10, 30, 50, 1000
"""Rows from which a rate, a trial of it against the strength itself, a curve of one or two numbers, and an isotonic
curve are worth fitting."""


def measured_rate(right: Floats) -> float:
    """Return the share of right labels under a Beta(1, 1) prior (Laplace's rule of succession)."""
    return float((right.sum() + 1) / (right.size + 2))


def best_curve(strength: Floats, right: Floats, groups: Ints, *, seed: int = 0) -> tuple[CalibrationCurve, Floats]:
    """Return the curve of least held-out log loss, and each row's confidence under the curve that did not see it.

    A fitted curve is taken only where it is better than the strength itself and than a constant rate, a rate only where
    it is better than the strength. Under 30 rows, or where all are one group, no trial tells them apart: the rate.
    """
    rate = np.full(len(right), CalibrationCurve(method="rate", rate=measured_rate(right)).confidence(0))
    folds = list(group_folds(right, groups, seed=seed))
    if len(right) < MIN_TRIAL or not folds:
        return fit_curve("rate", strength, right), rate
    tried: tuple[Method, ...] = ("identity", "rate", *_methods(right))
    held = {method: _held_out(method, strength, right, folds) for method in tried}
    losses = {method: log_loss(confidence, right) for method, confidence in held.items()}
    chosen = min(losses, key=lambda method: losses[method])  # of equal losses the simpler one: it comes first
    return fit_curve(chosen, strength, right), rate if chosen == "rate" else held[chosen]


def _methods(right: Floats) -> tuple[Method, ...]:
    n = len(right)
    if n < MIN_CURVE or right.min() == right.max():
        return ()
    return ("temperature", "sigmoid", "isotonic") if n >= MIN_ISOTONIC else ("temperature", "sigmoid")


def _held_out(method: Method, strength: Floats, right: Floats, folds: list[Ints]) -> Floats:
    confidence = np.empty(len(right))
    for fold in folds:
        rest = np.ones(len(right), dtype=bool)
        rest[fold] = False
        confidence[fold] = applied(fit_curve(method, strength[rest], right[rest]), strength[fold])
    return confidence


def group_folds(right: Floats, groups: Ints, folds: int = FOLDS, *, seed: int = 0) -> Iterator[Ints]:
    """Yield the rows of each fold: groups stay whole, and groups with errors are dealt out evenly."""
    names, where = np.unique(groups, return_inverse=True)
    accuracy = np.bincount(where, weights=right) / np.bincount(where)
    order = np.lexsort((np.random.default_rng(seed).random(len(names)), accuracy))
    fold_of = np.empty(len(names), dtype=np.int64)
    fold_of[order] = np.arange(len(names)) % folds
    for fold in range(folds):
        rows = np.flatnonzero(fold_of[where] == fold)
        if 0 < rows.size < len(right):
            yield rows.astype(np.int64)


def applied(curve: CalibrationCurve, strength: Floats) -> Floats:
    """Return a curve's confidences by the very function that production calls."""
    return np.asarray([curve.confidence(value) for value in strength.tolist()], dtype=np.float64)


def fit_curve(method: Method, strength: Floats, right: Floats) -> CalibrationCurve:
    """Fit one method on (n,) strengths and outcomes of 0 and 1."""
    if method == "identity":
        return CalibrationCurve(method="identity")
    if method == "rate":
        return CalibrationCurve(method="rate", rate=measured_rate(right))
    if method == "isotonic":
        fitted = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(strength, right)
        xs, ys = (np.round(part, 6).tolist() for part in (fitted.X_thresholds_, fitted.y_thresholds_))
        return CalibrationCurve(method="isotonic", strengths=tuple(xs), confidences=tuple(ys))
    held = np.clip(strength, STRENGTH_CLIP, 1 - STRENGTH_CLIP)
    odds = np.log(held / (1 - held))
    slope, offset = _temperature(odds, right) if method == "temperature" else _sigmoid(odds, right)
    return CalibrationCurve(method=method, slope=round(slope, 6), offset=round(offset, 6))


def _temperature(odds: Floats, right: Floats) -> tuple[float, float]:
    """Return (1/T, 0) of least log loss (Guo et al. 2017), T from .02 to 50."""
    found = minimize_scalar(lambda log_t: _loss(odds * np.exp(-log_t), right), bounds=(-3.9, 3.9), method="bounded")
    return float(np.exp(-found.x)), 0.0


def _sigmoid(odds: Floats, right: Floats) -> tuple[float, float]:
    """Return slope (never negative) and offset of least log loss against Platt's smoothed targets (1999)."""
    good = right.sum()
    target = np.where(right > 0.5, (good + 1) / (good + 2), 1 / (right.size - good + 2))

    def loss(of: Floats) -> tuple[float, Floats]:
        z = of[0] * odds + of[1]
        gap = 1 / (1 + np.exp(-z)) - target
        return _loss(z, target), np.asarray([(gap * odds).mean(), gap.mean()])

    found = minimize(loss, np.asarray([1.0, 0.0]), jac=True, method="L-BFGS-B", bounds=((0, 50), (-50, 50)))
    return float(found.x[0]), float(found.x[1])


def _loss(z: Floats, target: Floats) -> float:
    return float((np.logaddexp(0, z) - target * z).mean())
