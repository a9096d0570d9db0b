"""Figures by slice: channel, tier, language, length, source and trait. Small slices are told, and judged by nothing."""

from __future__ import annotations

from triagedesk.errors import ConfigError
from triagedesk.evals.figures import SMALL_SLICE, Figure, known, rate_figure
from triagedesk.evals.metrics import counts
from triagedesk.evals.metrics.scale import Ints
from triagedesk.evals.sheet import Sheet
from triagedesk.models import Frozen

NAMES = ("channel", "tier", "language", "length", "source", "trait")
SHOWN_RATES = ("accuracy", "critical_recall", "urgent_miss", "false_alarm", "escalated_recall")


class SliceScores(Frozen):
    """One value of a slice: rows, and figures by dimension."""

    n: int
    small: bool
    dimensions: dict[str, dict[str, Figure]]


def score_slices(sheet: Sheet, only: str | None = None) -> dict[str, dict[str, SliceScores]]:
    """Score every value of every slice, or of one. Raises ConfigError for a name that is none."""
    if only is not None and only not in NAMES:
        raise ConfigError(f"there is no slice {only!r}; there are {', '.join(NAMES)}")
    return {
        name: {value: _scored(sheet, rows) for value, rows in values.items()}
        for name, values in sheet.slices.items()
        if only in (None, name)
    }


def _scored(sheet: Sheet, rows: Ints) -> SliceScores:
    dimensions = {}
    for name, scale in sheet.scales.items():
        gold, said = (codes[rows] for codes in sheet.codes(name))
        held = gold >= 0
        if not held.any():
            continue
        table = counts.confusion(gold[held], said[held], scale)
        raters = counts.raters(scale)
        rates = {each: raters[each](table, scale) for each in SHOWN_RATES if each in raters}
        dimensions[name] = {
            **{each: rate_figure(float(rate.hits), float(rate.n)) for each, rate in rates.items()},
            "macro_f1": Figure(value=known(counts.macro_f1(table, scale))),
        }
    return SliceScores(n=len(rows), small=len(rows) < SMALL_SLICE, dimensions=dimensions)
