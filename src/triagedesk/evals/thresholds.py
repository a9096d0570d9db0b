"""From which confidence a label is applied automatically, suggested, or left to a person, for a risk that is borne."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from triagedesk.errors import ConfigError
from triagedesk.evals.calibrate import Basis, Fitted, Who, fit_run
from triagedesk.evals.metrics.intervals import most_missed
from triagedesk.evals.metrics.scale import Floats
from triagedesk.evals.metrics.selective import Threshold, threshold_for_risk
from triagedesk.evals.run import Run

STEP = 0.01
"""Levels are written in hundredths."""


STARTS = (0.0, 0.1, 0.2, 0.3, 0.5)
"""Coverages at which a search for a level begins. From the most confident rows alone, one early error would end it."""
LEVEL = 0.95


@dataclass(frozen=True)
class Level:
    """A level and what it gives on the calibration split: coverage of all rows, observed risk, its 95 % upper bound.

    `at` is infinite where no level holds the risk; coverage is 0 then, risk and bound are None.
    """

    at: float
    coverage: float = 0.0
    risk: float | None = None
    bound: float | None = None
    rows: int = 0

    @property
    def holds(self) -> bool:
        """Whether any confidence suffices."""
        return math.isfinite(self.at)


NEVER = Level(math.inf)


@dataclass(frozen=True)
class Levels:
    """The two levels of a dimension. `n` counts all labelled rows, `measured` those that have a measured confidence."""

    apply: Level
    suggest: Level
    n: int
    measured: int


def choose_levels(run: Run, basis: Basis, *, max_risk: float, suggest_risk: float) -> dict[str, Levels]:
    """Choose each dimension's levels on a run's first repeat.

    Raises ConfigError when a risk is out of range, or no row has a measured confidence.
    """
    if not 0 < max_risk < 1 or not max_risk <= suggest_risk < 1:
        raise ConfigError("risks are shares between 0 and 1, and --max-risk is at most --suggest-risk")
    fits = fit_run(run, basis.prompt)
    held = _spread(run, fits, lambda fit: fit.held_out)
    shipped = _spread(run, fits, lambda fit: fit.shipped)
    levels = {name: _of_dimension(run, name, held[name], shipped[name], max_risk, suggest_risk) for name in held}
    if not any(each.measured for each in levels.values()):
        raise ConfigError(f"{basis.folder}: too few answers to choose a level; label more tickets, or run on all")
    return levels


def _spread(run: Run, fits: Mapping[Who, Mapping[str, Fitted]], of: Callable[[Fitted], Floats]) -> dict[str, Floats]:
    """Return confidences over all rows by dimension, NaN where nothing was measured."""
    found = {name: np.full(len(run.sheet), np.nan) for name in run.sheet.scales}
    for by_dimension in fits.values():
        for name, fit in by_dimension.items():
            found[name][fit.rows] = of(fit)
    return found


def _of_dimension(run: Run, name: str, held: Floats, shipped: Floats, max_risk: float, suggest_risk: float) -> Levels:
    sheet = run.sheet
    n = len(sheet.rows(name))
    rows = np.flatnonzero(~np.isnan(held))
    errors = (sheet.predictions[i].labels[name] != sheet.gold[i].labels[name] for i in rows.tolist())
    wrong = np.fromiter(errors, dtype=np.float64, count=len(rows))
    apply, suggest = (choose_level(held[rows], shipped[rows], wrong, risk, n) for risk in (max_risk, suggest_risk))
    return Levels(apply, apply if apply.at < suggest.at else suggest, n, len(rows))


def choose_level(held: Floats, shipped: Floats, wrong: Floats, max_risk: float, n: int) -> Level:
    """Choose the level of a risk from held-out confidences, and say what it gives with the curve that ships.

    The threshold comes from rows whose curve did not see them (`searched`). It is written in hundredths, and a curve
    fitted on all rows moves ties a little, so the level rises until the bound of what production would take of these
    rows holds as well. `n` is the number of all labelled rows.
    """
    found = searched(held, wrong, max_risk)
    if not math.isfinite(found.threshold):
        return NEVER
    step = math.floor(found.threshold / STEP + 1e-9)
    while step * STEP <= 1:
        at = round(step * STEP, 2)
        taken = shipped >= at
        rows, errors = int(taken.sum()), int(wrong[taken].sum())
        bound = most_missed(errors, rows)
        if rows and bound <= max_risk:
            return Level(at, rows / n, errors / rows, bound, rows)
        step += 1
    return NEVER


def searched(confidence: Floats, wrong: Floats, max_risk: float) -> Threshold:
    """Return the widest coverage whose risk is held, searched from several starts.

    Each start is a sequence of tests of its own and has its share of the error that is allowed (Bonferroni), as in
    Angelopoulos et al. 2021, Learn then Test, 5.2: the bound of the one taken holds at LEVEL.
    """
    level = 1 - (1 - LEVEL) / len(STARTS)
    tops = [1 - start for start in STARTS]
    ceilings: list[float] = np.quantile(confidence, tops).tolist() if confidence.size else []
    found = [threshold_for_risk(np.minimum(confidence, top), wrong, max_risk, level) for top in ceilings]
    return max(found, key=lambda each: each.rows, default=threshold_for_risk(confidence, wrong, max_risk))
