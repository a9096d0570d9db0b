"""What a cascade is worth: a cheap classifier answers where it is sure, a model is asked about the rest.

Both have been run on the same labelled tickets, so every threshold can be worked out without asking anything again.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from triagedesk.errors import ConfigError
from triagedesk.evals.comparison import Comparison, Delta, compare, same_rows
from triagedesk.evals.metrics.scale import Floats
from triagedesk.evals.predictions import Prediction
from triagedesk.evals.run import Run
from triagedesk.evals.sheet import Sheet
from triagedesk.models import Frozen, Source
from triagedesk.playbook.document import REQUIRED_DIMENSIONS

STEPS = 10
"""Thresholds of a curve: so many equal shares of the tickets are spared, one after the other."""

JUDGED = ("macro_f1", "critical_recall")
"""The figures that must not fall, where a dimension has them."""

ALWAYS_ASK = 1.01


class CascadePoint(Frozen):
    """One threshold: the model is asked where the cheap classifier is less sure than `at`.

    `asked` is the share of tickets put to the model, `cost_usd` what these cost in its run, None where no price is
    known. `deltas` are the cascade's figures beside the model's alone: B minus A with paired 95 % intervals.
    """

    at: float
    asked: float
    cost_usd: float | None
    deltas: dict[str, dict[str, Delta]]

    def holds(self, max_loss: float) -> bool:
        """Say whether no judged figure can have fallen by more than `max_loss` (95 %)."""
        return all(
            delta.unmoved or (delta.gain is not None and delta.gain[1] >= -max_loss)
            for name in REQUIRED_DIMENSIONS
            for figure in JUDGED
            if (delta := self.deltas.get(name, {}).get(figure)) is not None and delta.a is not None
        )


def cascade_curve(cheap: Run, model: Run, steps: int = STEPS) -> list[CascadePoint]:
    """Return the curve from asking about every ticket to asking about none, the most asked first.

    Tickets that a model answered in the cheap run are asked about at every threshold. Raises ConfigError when the runs
    are one, are not on the same tickets or not whole, when no model answered in the second, or the cheap one measured
    no confidence.
    """
    _check_pair(cheap, model)
    cheap = _in_order_of(model, cheap)
    sure = _sureness(cheap)
    spared = np.unique(np.quantile(sure[np.isfinite(sure)], np.linspace(1, 0, steps + 1)))[::-1]
    return [_point(cheap, model, sure, float(at)) for at in (ALWAYS_ASK, *_hundredths(spared))]


def choose_threshold(points: Sequence[CascadePoint], max_loss: float) -> CascadePoint:
    """Return the point that asks least and loses no more than `max_loss`; the first one asks about every ticket.

    Raises ConfigError when `max_loss` is no share.
    """
    if not 0 <= max_loss < 1:
        raise ConfigError("--max-loss is a share between 0 and 1, such as 0.02 for two points")
    return min((point for point in points if point.holds(max_loss)), key=lambda point: point.asked, default=points[0])


def _check_pair(cheap: Run, model: Run) -> None:
    """Raise ConfigError where two runs are no cheap side and model of one cascade."""
    if cheap is model or (cheap.folder and model.folder and cheap.folder.resolve() == model.folder.resolve()):
        raise ConfigError("RUN and MODEL_RUN are the same run; give one without a model and one with it")
    if not any(one.source in (Source.MODEL, Source.CACHE) for one in model.sheet.predictions):
        raise ConfigError('MODEL_RUN: no model answered any ticket there; give a run of system = "model" or "desk"')
    for name, run in (("RUN", cheap), ("MODEL_RUN", model)):
        absent = sum(one.id == "" for one in run.sheet.predictions)
        if absent:
            raise ConfigError(f"{name}: {absent} of {len(run.sheet)} tickets were never put to it; "
                              "`triagedesk eval run … --resume` ends it")  # fmt: skip


def _in_order_of(model: Run, cheap: Run) -> Run:
    """Return the cheap run with its rows in the model run's order. Raises ConfigError when they are other tickets."""
    places, _ = same_rows(cheap.sheet, model.sheet, names=("RUN", "MODEL_RUN"))
    said = [cheap.sheet.predictions[place] for place in places]
    return dataclasses.replace(cheap, sheet=dataclasses.replace(cheap.sheet, gold=model.sheet.gold, predictions=said))


def _sureness(cheap: Run) -> Floats:
    """Return how sure each row is, shape (n,); minus infinity where nothing is known, so that the model is asked."""
    sure = [one.sureness for one in cheap.sheet.predictions]
    if not any(sure):
        raise ConfigError('the cheap run measured no confidence: run system = "trained", or calibrate the rules first')
    return np.asarray([-np.inf if each is None else each for each in sure], dtype=np.float64)


def _hundredths(values: Floats) -> list[float]:
    """Round thresholds down to hundredths, so that those who write one down get what was measured."""
    return sorted({float(np.floor(value * 100) / 100) for value in values}, reverse=True)


def _point(cheap: Run, model: Run, sure: Floats, at: float) -> CascadePoint:
    asked = [bool(each) for each in sure < at]
    answers = zip(asked, _labelled(model.sheet), _labelled(cheap.sheet), strict=True)
    chosen = [answer if ask else spared for ask, answer, spared in answers]
    sheet = dataclasses.replace(model.sheet, predictions=chosen, repeats={}, voice="suggestion")
    found = compare(model, dataclasses.replace(model, sheet=sheet))
    costs = [one.cost_usd for one, ask in zip(model.sheet.predictions, asked, strict=True) if ask]
    known = [cost for cost in costs if cost is not None]
    return CascadePoint(
        at=at, asked=float(np.mean(asked)), cost_usd=sum(known) if known or not costs else None, deltas=_deltas(found),
    )  # fmt: skip


def _deltas(found: Comparison) -> dict[str, dict[str, Delta]]:
    return {name: dict(compared.deltas) for name, compared in found.dimensions.items()}


def _labelled(sheet: Sheet) -> list[Prediction]:
    """Return predictions whose labels are those that the sheet scores."""
    return [dataclasses.replace(one, labels=dict(sheet.labels(one))) for one in sheet.predictions]
