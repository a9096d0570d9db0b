"""From strength to confidence: curves fitted on the calibration split, chosen by log loss on rows they did not see."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.optimize import minimize, minimize_scalar
from sklearn.isotonic import IsotonicRegression

from triagedesk import __version__
from triagedesk.confidence import (
    STRENGTH_CLIP,
    CalibrationCurve,
    DimensionCalibration,
    Entry,
    Measured,
    Method,
)
from triagedesk.errors import ConfigError
from triagedesk.evals.config import SEALED
from triagedesk.evals.folder import RunFolder
from triagedesk.evals.metrics import calibration as quality
from triagedesk.evals.metrics.scale import Floats, Ints
from triagedesk.evals.predictions import Prediction
from triagedesk.evals.run import Run
from triagedesk.models import Source

FOLDS = 5
MIN_RATE, MIN_CURVE, MIN_ISOTONIC = 10, 50, 1000
"""Rows from which a rate, a curve of one or two numbers, and an isotonic curve are worth fitting."""
CALIBRATION = "calibration"

Who = tuple[str | None, str | None]
"""Whose answers belong together: (None, None) for the rules', else model and prompt."""


@dataclass(frozen=True)
class Fitted:
    """A dimension's calibration for one source, and the confidences of its rows under curves that did not see them.

    `rows` are places in the sheet; `held_out` and `shipped` (by the curve that is kept) have their shape, NaN for none.
    """

    calibration: DimensionCalibration
    rows: Ints
    held_out: Floats
    shipped: Floats


@dataclass(frozen=True)
class Basis:
    """Where a calibration comes from, checked: split, hash of the labelled set, and the playbook's reading."""

    split: str
    sha256: str
    reading: str
    name: str
    prompt: str | None
    folder: Path

    @property
    def measured_on(self) -> str:
        """The split and eight digits of its hash."""
        return f"{self.split}@{self.sha256[:8]}"


def basis_of(folder: RunFolder, run: Run) -> Basis:
    """Return what a run was measured on.

    Raises ConfigError for the sealed split and for a playbook that has changed since, its automation levels aside.
    """
    manifest, playbook = folder.manifest, run.sheet.playbook
    data = manifest["dataset"]
    if data["split"] == SEALED:
        raise ConfigError(f"{folder.path}: is a run on the {SEALED} split, which nothing is fitted on; "
                          f"run with --split {CALIBRATION}")  # fmt: skip
    then = manifest.get("playbook_reading")
    changed = playbook.identity != manifest["playbook"] if then is None else playbook.reading_hash != then
    if changed:
        raise ConfigError(f"{folder.path}: the playbook {playbook.where} has changed since this run; run it again")
    name = playbook.document.playbook
    return Basis(data["split"], data["sha256"], playbook.reading_hash, name, manifest["prompt"], folder.path)


def calibrate(run: Run, basis: Basis) -> list[Entry]:
    """Fit an entry for each source that answered. Raises ConfigError where nothing can be measured."""
    fits = fit_run(run, basis.prompt)
    entries = []
    for (model, prompt), by_dimension in fits.items():
        useful = {name: fit.calibration for name, fit in by_dimension.items() if _useful(fit.calibration)}
        if useful:
            entries.append(Entry(
                source="rules" if model is None else "model", model=model, prompt=prompt, playbook=basis.reading,
                name=basis.name, measured_on=basis.measured_on, run=basis.folder.name, package=__version__,
                rows=max(len(fit.rows) for fit in by_dimension.values()), dimensions=useful,
            ))  # fmt: skip
    if not entries:
        raise ConfigError(f"{basis.folder}: too few answers to measure a confidence (at least {MIN_RATE} are needed)")
    return entries


def _useful(found: DimensionCalibration) -> bool:
    return found.curve is not None or found.unscored is not None


def fit_run(run: Run, prompt: str | None) -> dict[Who, dict[str, Fitted]]:
    """Fit every source and dimension of a run, first repeat, suggestions as they went out."""
    sheet = run.sheet
    groups = np.arange(len(sheet), dtype=np.int64) if sheet.groups is None else sheet.groups
    fits: dict[Who, dict[str, Fitted]] = {}
    for who, places in _by_source(sheet.predictions, prompt).items():
        fits[who] = {}
        for name in sheet.scales:
            rows = np.asarray([i for i in places if name in sheet.gold[i].labels
                               and name in sheet.predictions[i].labels], dtype=np.int64)  # fmt: skip
            if rows.size:
                right = np.asarray([sheet.predictions[i].labels[name] == sheet.gold[i].labels[name] for i in rows])
                strength = sheet.confidences(name, raw=True)[rows]
                fits[who][name] = fit_dimension(rows, strength, right.astype(np.float64), groups[rows], seed=run.seed)
    return fits


def _by_source(predictions: Sequence[Prediction], prompt: str | None) -> dict[Who, list[int]]:
    found: dict[Who, list[int]] = defaultdict(list)
    for place, one in enumerate(predictions):
        if not one.answered or one.source is None:
            continue
        rules = one.source == Source.RULES
        found[(None, None) if rules else (one.model, prompt)].append(place)
    return dict(found)


def fit_dimension(rows: Ints, strength: Floats, right: Floats, groups: Ints, *, seed: int = 0) -> Fitted:
    """Fit one dimension of one source. All have shape (n,); a strength is NaN where policy put the label there.

    Rows share a confidence where all get the same (a rate): these are given from all rows, since leaving a fold out
    would order folds by how well they did not do.
    """
    bare = np.isnan(strength)
    held, shipped = np.full(len(rows), np.nan), np.full(len(rows), np.nan)
    unscored = None
    if bare.sum() >= MIN_RATE:
        unscored = measured_rate(right[bare])
        held[bare] = shipped[bare] = DimensionCalibration(unscored=unscored).confidence(None) or np.nan
    known = ~bare
    curve, measured = None, None
    if known.sum() >= MIN_RATE:
        curve, held[known] = best_curve(strength[known], right[known], groups[known], seed=seed)
        shipped[known] = applied(curve, strength[known])
        measured = _measured(strength[known], held[known], right[known])
    found = DimensionCalibration(curve=curve, measured=measured, unscored=unscored, unscored_rows=int(bare.sum()))
    return Fitted(found, rows, held, shipped)


def measured_rate(right: Floats) -> float:
    """Return the share of right labels under a Beta(1, 1) prior (Laplace's rule of succession)."""
    return float((right.sum() + 1) / (right.size + 2))


def best_curve(strength: Floats, right: Floats, groups: Ints, *, seed: int = 0) -> tuple[CalibrationCurve, Floats]:
    """Return the curve of least held-out log loss, and each row's confidence under the curve that did not see it.

    A fitted curve is taken only where it is better than the strength itself and than a constant rate.
    """
    rate = np.full(len(right), CalibrationCurve(method="rate", rate=measured_rate(right)).confidence(0))
    if len(right) < MIN_CURVE or right.min() == right.max():
        return fit_curve("rate", strength, right), rate
    folds = list(group_folds(right, groups, seed=seed))
    held = {method: _held_out(method, strength, right, folds) for method in ("identity", "rate", *_methods(len(right)))}
    losses = {method: quality.log_loss(confidence, right) for method, confidence in held.items()}
    chosen = min(losses, key=lambda method: losses[method])  # of equal losses the simpler one: it comes first
    return fit_curve(chosen, strength, right), rate if chosen == "rate" else held[chosen]


def _methods(n: int) -> tuple[Method, ...]:
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


def _measured(strength: Floats, confidence: Floats, right: Floats) -> Measured:
    floor = quality.noise_floor(confidence)
    rate = np.full(right.size, measured_rate(right))
    figures = {
        "log_loss_before": quality.log_loss(strength, right), "log_loss_after": quality.log_loss(confidence, right),
        "log_loss_rate": quality.log_loss(rate, right),
        "error_before": quality.expected_calibration_error(strength, right),
        "error_after": quality.expected_calibration_error(confidence, right),
        "noise_mean": floor.mean, "noise_p95": floor.p95,
    }  # fmt: skip
    rounded = {name: round(value, 4) for name, value in figures.items()}
    return Measured(n=int(right.size), right=int(right.sum()), **rounded)
