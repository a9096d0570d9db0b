"""Calibrating a run: which rows belong together, what is fitted on them, and what the result is bound to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from triagedesk.confidence import DimensionCalibration, Entry, Measured
from triagedesk.errors import ConfigError
from triagedesk.evals.config import SEALED
from triagedesk.evals.curves import MIN_RATE, applied, best_curve, measured_rate
from triagedesk.evals.folder import RUNNING, UNENDED, RunFolder, package_version
from triagedesk.evals.metrics import calibration as quality
from triagedesk.evals.metrics.scale import Floats, Ints
from triagedesk.evals.overlap import check_unseen
from triagedesk.evals.predictions import Prediction
from triagedesk.evals.run import Run
from triagedesk.models import Source

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

    Raises ConfigError for a run that has not ended, for the sealed split, for answers of a trained classifier that
    learned from these tickets, and for a playbook that has changed since, its automation levels aside.
    """
    manifest, playbook = folder.manifest, run.sheet.playbook
    data = manifest["dataset"]
    if manifest["state"] == RUNNING:
        raise ConfigError(f"{folder.path}: {UNENDED}; nothing is fitted on a part")
    if data["split"] == SEALED:
        raise ConfigError(f"{folder.path}: is a run on the {SEALED} split, which nothing is fitted on; "
                          f"run with --split {CALIBRATION}")  # fmt: skip
    check_unseen(run, manifest)
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
                source=_kind(model, prompt), model=model, prompt=prompt, playbook=basis.reading,
                name=basis.name, measured_on=basis.measured_on, run=basis.folder.name, package=package_version(),
                rows=max(len(fit.rows) for fit in by_dimension.values()), dimensions=useful,
            ))  # fmt: skip
    if not entries:
        raise ConfigError(f"{basis.folder}: too few answers to measure a confidence (at least {MIN_RATE} are needed)")
    return entries


def _kind(model: str | None, prompt: str | None) -> Literal["rules", "trained", "model"]:
    if model is None:
        return "rules"
    return "model" if prompt is not None else "trained"


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
        asked = one.source not in (Source.RULES, Source.TRAINED)
        model = None if one.source == Source.RULES else one.model
        found[model, prompt if asked else None].append(place)
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
