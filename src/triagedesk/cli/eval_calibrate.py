"""`triagedesk eval calibrate` and `eval threshold`: measured confidences, and what may be done with them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from triagedesk.cli.eval_extra import require_extra
from triagedesk.cli.eval_grid import print_grid
from triagedesk.cli.terminal import say, warn
from triagedesk.errors import ConfigError

if TYPE_CHECKING:
    from triagedesk.confidence import Calibration, DimensionCalibration, Entry
    from triagedesk.evals.calibrate import Basis
    from triagedesk.evals.cascade import CascadePoint
    from triagedesk.evals.run import Run
    from triagedesk.evals.thresholds import Level, Levels


def calibrate(path: Path, *, output: Path | None, as_json: bool) -> int:
    """Fit a run's calibration and add it to the file that the desk reads. Raises ConfigError."""
    require_extra()
    from triagedesk.evals.calibrate import calibrate as fit

    run, basis = _opened(path)
    file = output or run.sheet.playbook.calibration_file
    if file.is_dir():
        raise ConfigError(f"{file}: is a folder; give a file")
    entries = fit(run, basis)
    known = _known(file)
    kept = [entry for entry in entries if basis.prompt is None or not _measured_better(entry, known)]
    for entry in kept:
        known = known.with_entry(entry)
    _write(file, known)
    if as_json:
        say(json.dumps({"file": str(file), "entries": [entry.model_dump(mode="json") for entry in kept]}))
        return 0
    for entry in kept:
        _print_entry(entry)
    if len(kept) < len(entries):
        say("rules   kept as they were: measured on more tickets before")
    say(f"wrote   {file}")
    if output is not None and output != run.sheet.playbook.calibration_file:
        say(f"use it with TRIAGEDESK_CALIBRATION={file}")
    return 0


def _opened(path: Path) -> tuple[Run, Basis]:
    from triagedesk.evals.calibrate import CALIBRATION, basis_of
    from triagedesk.evals.conduct import reopened

    folder, run = reopened(path)
    basis = basis_of(folder, run)
    if basis.split != CALIBRATION:
        warn(f"this run is on the split {basis.split}, not {CALIBRATION}: what was tuned on it looks surer than it is")
    return run, basis


def _known(file: Path) -> Calibration:
    from triagedesk.confidence import Calibration, read_calibration

    return read_calibration(file) if file.exists() else Calibration()


def _measured_better(entry: Entry, known: Calibration) -> bool:
    """Say whether rules that answered for a failing model in few rows would replace what more rows showed."""
    return entry.source == "rules" and any(
        other.binding == entry.binding and other.rows > entry.rows for other in known.entries
    )


def _write(file: Path, calibration: Calibration) -> None:
    draft = file.with_name(f".{file.name}.draft")
    try:
        draft.write_text(calibration.model_dump_json(indent=1) + "\n", "utf-8")
        os.replace(draft, file)
    except OSError as wrong:
        raise ConfigError(f"{file}: cannot be written ({wrong.strerror}); give --output FILE, and set "
                          "TRIAGEDESK_CALIBRATION to it") from None  # fmt: skip


def _print_entry(entry: Entry) -> None:
    who = entry.source if entry.model is None else entry.model
    say(f"{who}, {entry.rows} tickets of {entry.measured_on}, {entry.name}")
    titles = ("", "method", "n", "right", "log loss", "calibration error", "by chance ≤", "set by policy")
    print_grid(titles, [(name, *_cells(found)) for name, found in entry.dimensions.items()])


def _cells(found: DimensionCalibration) -> tuple[str, ...]:
    policy = "–" if found.unscored is None else f"{found.unscored:.3f} of {found.unscored_rows}"
    if found.curve is None or found.measured is None:
        return "–", "0", "–", "–", "–", "–", policy
    told = found.measured
    return (
        found.curve.method, str(told.n), f"{told.right / told.n:.3f}",
        f"{told.log_loss_before:.3f} → {told.log_loss_after:.3f}", f"{told.error_before:.3f} → {told.error_after:.3f}",
        f"{told.noise_p95:.3f}", policy,
    )  # fmt: skip


def cascade(path: Path, model_run: Path, *, max_loss: float, as_json: bool) -> int:
    """Choose from which confidence on a model need not be asked. Raises ConfigError."""
    require_extra()
    from triagedesk.evals.cascade import cascade_curve, choose_threshold
    from triagedesk.evals.conduct import reopened
    from triagedesk.evals.overlap import check_unseen

    (folder, cheap), (model_folder, model) = reopened(path), reopened(model_run)
    check_unseen(cheap, folder.manifest)
    check_unseen(model, model_folder.manifest)
    points = cascade_curve(cheap, model)
    chosen = choose_threshold(points, max_loss)
    if as_json:
        say(json.dumps({"max_loss": max_loss, "threshold": chosen.at, "asked": chosen.asked,
                        "points": [point.model_dump(mode="json") for point in points]}))  # fmt: skip
        return 0
    _print_curve(points, chosen)
    if chosen.asked >= 1:
        say(f"no threshold holds a loss of at most {max_loss:g} (95 %) on these tickets: ask the model about all")
    else:
        say(f"TRIAGEDESK_CASCADE={chosen.at:.2f} asks about {chosen.asked:.0%} of tickets; no macro-F1 and no recall "
            f"of the most urgent falls by more than {max_loss:g} (95 %)")  # fmt: skip
    return 0


def _print_curve(points: list[CascadePoint], chosen: CascadePoint) -> None:
    names = [(name, figure) for name in points[0].deltas for figure in ("macro_f1", "urgent_miss")
             if figure in points[0].deltas[name]]  # fmt: skip
    titles = ["sure from", "asked", "cost", *(f"{name} {figure}".replace("_", " ") for name, figure in names)]
    rows = []
    for point in points:
        at = "–" if point.at > 1 else f"{point.at:.2f}"
        cost = "–" if point.cost_usd is None else f"${point.cost_usd:.4f}"
        figures = (point.deltas[name][figure].b for name, figure in names)
        name = f"{at} (chosen)" if point is chosen else at
        rows.append([name, f"{point.asked:.0%}", cost, *("–" if one is None else f"{one:.3f}" for one in figures)])
    print_grid(titles, rows)


def threshold(path: Path, *, max_risk: float, suggest_risk: float, write: Path | None, as_json: bool) -> int:
    """Choose levels for a risk, and write them into a playbook on wish. Raises ConfigError."""
    require_extra()
    from triagedesk.evals.thresholds import choose_levels

    run, basis = _opened(path)
    levels = choose_levels(run, basis, max_risk=max_risk, suggest_risk=suggest_risk)
    if as_json:
        say(json.dumps({"measured_on": basis.measured_on, "max_risk": max_risk, "suggest_risk": suggest_risk,
                        "dimensions": {name: _as_json(found) for name, found in levels.items()}}))  # fmt: skip
    else:
        _print_levels(levels, max_risk, suggest_risk)
    if write is not None:
        _write_levels(write, levels, basis, max_risk, suggest_risk, quiet=as_json)
    return 0


def _as_json(found: Levels) -> dict[str, Any]:
    return {"n": found.n, "measured": found.measured, "apply": _level(found.apply), "suggest": _level(found.suggest)}


def _level(level: Level) -> dict[str, Any]:
    return {"from": level.at if level.holds else None, "coverage": round(level.coverage, 4), "risk": level.risk,
            "risk_bound": level.bound, "rows": level.rows}  # fmt: skip


def _print_levels(levels: dict[str, Levels], max_risk: float, suggest_risk: float) -> None:
    for name, found in levels.items():
        say(f"{name} ({found.measured} of {found.n} tickets have a measured confidence)")
        say(f"  apply    {_told(found.apply, max_risk)}")
        say(f"  suggest  {_told(found.suggest, suggest_risk)}")
    say("under the suggest level a person is asked")


def _told(level: Level, risk: float) -> str:
    if not level.holds:
        return f"never: no confidence shows a risk of at most {risk:g} on these tickets"
    return (f"from {level.at:.2f}: {level.coverage:.1%} of tickets, {level.risk:.1%} wrong, "
            f"at most {level.bound:.1%} (95 %)")  # fmt: skip


def _write_levels(
    file: Path, levels: dict[str, Levels], basis: Basis, max_risk: float, suggest_risk: float, *, quiet: bool
) -> None:
    from triagedesk.evals.automation import write_levels

    playbook = write_levels(file, levels, basis, max_risk=max_risk, suggest_risk=suggest_risk)
    if not quiet:
        say(f"wrote   {file}: {playbook.identity}")
    beside = playbook.calibration_file
    if not beside.is_file():
        warn(f"no {beside.name} stands beside it: set TRIAGEDESK_CALIBRATION, else the levels have no effect")
