"""What a head is worth on tickets that it was not fitted on: the figures that stand in a file's manifest."""

from __future__ import annotations

import numpy as np

from triagedesk.evals.metrics import counts
from triagedesk.evals.metrics.calibration import expected_calibration_error
from triagedesk.evals.metrics.scale import Scale
from triagedesk.training.heads import Evidence, Ints, Told, ordinal

CRITICAL = ("critical_recall", "critical_false_alarm", "triage_cost")


def measured(evidence: Evidence, told: Told, scale: Scale) -> dict[str, float]:
    """Return macro-F1, accuracy and, where labels are ordinal, what urgent tickets fare, beside the rules'.

    `ece` is the expected calibration error of the confidences (bins of equal mass), `log_loss` of the probabilities.
    """
    ours, theirs = _figures(evidence.gold, told.said, scale), _figures(evidence.gold, evidence.rules, scale)
    rows = np.arange(len(evidence))
    confidence = told.chances[rows, told.said]
    found = {**ours, **{f"rules_{name}": value for name, value in theirs.items()}}
    found["log_loss"] = float(-np.log(np.maximum(told.chances[rows, evidence.gold], 1e-12)).mean())
    found["ece"] = float(expected_calibration_error(confidence, told.said == evidence.gold))
    return {name: round(value, 4) for name, value in found.items()}


def _figures(gold: Ints, said: Ints, scale: Scale) -> dict[str, float]:
    table = counts.confusion(ordinal(gold, scale), ordinal(said, scale), scale)
    every = counts.figures(table, scale)
    return {name: float(every[name]) for name in ("macro_f1", "accuracy", *CRITICAL) if name in every}
