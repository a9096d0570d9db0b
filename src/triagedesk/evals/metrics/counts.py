"""Every point metric of a dimension, as a function of its confusion counts.

Counts have the shape (…, K, K+1): gold × said, the last column being "no answer of the scale". Leading axes are draws
of a bootstrap, so that two thousand draws cost one call. On ordinal scales a missing answer counts as the least severe
label, for accuracy and F1 as wrong. Undefined values are NaN. Each figure agrees with scikit-learn's or statsmodels'
(tests/test_evals_metrics.py); docs/decisions/0006 says why they are not called for every draw.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from triagedesk.evals.metrics.scale import NO_ANSWER, Floats, Scale, as_codes

Metric = Callable[[Floats, Scale], Floats]
Labels = ArrayLike | Sequence[Any]


class Rate(NamedTuple):
    """A metric that is a share of rows: hits of n."""

    hits: Floats
    n: Floats


def confusion(gold: Labels, said: Labels, scale: Scale, weights: ArrayLike | None = None) -> Floats:
    """Count gold × said, shape (K, K+1); the last column holds answers that are none of the scale's.

    `gold` and `said` are labels or codes of shape (n,); `weights` of shape (n,) reweights rows. Raises ValueError where
    gold itself holds something else than labels.
    """
    y, p = as_codes(gold, scale), as_codes(said, scale)
    if y.shape != p.shape:
        raise ValueError(f"gold has {y.size} rows, predictions have {p.size}")
    if ((y < 0) | (y >= len(scale))).any():
        raise ValueError("gold holds a label that is none of the scale's")
    width = len(scale) + 1
    column = np.where((p < 0) | (p >= len(scale)), len(scale), p)
    flat = np.bincount(y * width + column, weights=None if weights is None else np.asarray(weights, dtype=np.float64),
                       minlength=len(scale) * width)  # fmt: skip
    return flat.reshape(len(scale), width).astype(np.float64)


def _share(part: Floats, whole: Floats) -> Floats:
    share: Floats = np.full(np.broadcast(part, whole).shape, np.nan)
    np.divide(part, whole, out=share, where=np.asarray(whole) > 0)
    return share


def _total(counts: Floats) -> Floats:
    total: Floats = counts.sum((-2, -1))
    return total


def _diagonal(counts: Floats) -> Floats:
    diagonal: Floats = np.diagonal(counts, axis1=-2, axis2=-1)
    return diagonal


def _ordered(counts: Floats) -> Floats:
    """Return counts of shape (…, K, K) where no answer counts as the least severe label."""
    table = counts[..., :-1].copy()
    table[..., 0] += counts[..., -1]
    return table


def accuracy_rate(counts: Floats, scale: Scale) -> Rate:  # noqa: ARG001
    """Rows with the gold label, of all."""
    return Rate(_diagonal(counts).sum(-1), _total(counts))


def support(counts: Floats) -> Floats:
    """Rows by gold label, shape (…, K)."""
    rows: Floats = counts.sum(-1)
    return rows


def recalls(counts: Floats) -> Floats:
    """Recall by label, shape (…, K); NaN without gold."""
    return _share(_diagonal(counts), support(counts))


def precisions(counts: Floats) -> Floats:
    """Precision by label, shape (…, K); NaN where the label was never said."""
    return _share(_diagonal(counts), counts[..., :-1].sum(-2))


def f1s(counts: Floats) -> Floats:
    """F1 by label, shape (…, K); 0 where the label was never found, NaN where it is neither gold nor said."""
    return _share(2 * _diagonal(counts), support(counts) + counts[..., :-1].sum(-2))


def macro_f1(counts: Floats, scale: Scale) -> Floats:  # noqa: ARG001
    """Mean F1 over the labels that have gold rows."""
    return _mean_where(f1s(counts), support(counts) > 0)


def balanced_accuracy(counts: Floats, scale: Scale) -> Floats:  # noqa: ARG001
    """Mean recall over the labels that have gold rows."""
    return _mean_where(recalls(counts), support(counts) > 0)


def _mean_where(values: Floats, held: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> Floats:
    return _share(np.where(held, np.nan_to_num(values), 0.0).sum(-1), held.sum(-1).astype(np.float64))


def _square(counts: Floats) -> Floats:
    """Return counts of shape (…, K+1, K+1): no answer is a label of its own, which gold never has."""
    nothing = np.zeros((*counts.shape[:-2], 1, counts.shape[-1]))
    return np.concatenate([counts, nothing], axis=-2)


def mcc(counts: Floats, scale: Scale) -> Floats:  # noqa: ARG001
    """Matthews' correlation for many labels (Gorodkin 2004); 0 where a side is constant, as scikit-learn has it."""
    table = _square(counts)
    gold, said, n = table.sum(-1), table.sum(-2), _total(table)
    right = _diagonal(table).sum(-1)
    covariance = right * n - (gold * said).sum(-1)
    spread = (n**2 - (gold**2).sum(-1)) * (n**2 - (said**2).sum(-1))
    value = np.divide(covariance, np.sqrt(spread), out=np.zeros_like(spread), where=spread > 0)
    return np.where(n > 0, value, np.nan)


def weighted_kappa(table: Floats, weights: Floats) -> Floats:
    """Cohen's kappa with disagreement weights (K × K), of counts of shape (…, K, K); NaN where undefined."""
    gold, said, n = table.sum(-1), table.sum(-2), _total(table)
    by_chance = np.einsum("...i,...j,ij->...", gold, said, weights)
    seen = np.einsum("...ij,ij->...", table, weights) * n
    return 1 - _share(seen, by_chance)


def kappa(counts: Floats, scale: Scale) -> Floats:
    """Cohen's kappa (1960), unweighted."""
    return weighted_kappa(_square(counts), 1 - np.eye(len(scale) + 1))


def _distances(scale: Scale) -> Floats:
    """Return said minus gold, in levels, shape (K, K)."""
    steps = np.arange(len(scale), dtype=np.float64)
    return steps[None, :] - steps[:, None]


def qwk(counts: Floats, scale: Scale) -> Floats:
    """Quadratically weighted kappa. Blind to direction: never gate on it alone."""
    return weighted_kappa(_ordered(counts), _distances(scale) ** 2)


def triage_kappa(counts: Floats, scale: Scale) -> Floats:
    """Cohen's kappa with the playbook's triage cost as disagreement weights."""
    return weighted_kappa(_ordered(counts), _cost(scale))


def _cost(scale: Scale) -> Floats:
    return np.asarray(scale.cost, dtype=np.float64)


def mae(counts: Floats, scale: Scale) -> Floats:
    """Mean distance in levels."""
    return _share((_ordered(counts) * np.abs(_distances(scale))).sum((-2, -1)), _total(counts))


def triage_cost(counts: Floats, scale: Scale) -> Floats:
    """Mean cost of a row by the playbook's matrix."""
    return _share((_ordered(counts) * _cost(scale)).sum((-2, -1)), _total(counts))


def cost_skill(counts: Floats, scale: Scale) -> Floats:
    """1 minus cost over that of the best constant answer: 0 is as good as a constant, 1 is perfect."""
    constant = (support(counts)[..., :, None] * _cost(scale)).sum(-2).min(-1)
    return 1 - _share((_ordered(counts) * _cost(scale)).sum((-2, -1)), constant)


def _where(counts: Floats, held: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> Floats:
    rows: Floats = (_ordered(counts) * held).sum((-2, -1))
    return rows


def within_one_rate(counts: Floats, scale: Scale) -> Rate:
    """Rows at most one level off, of all."""
    return Rate(_where(counts, np.abs(_distances(scale)) <= 1), _total(counts))


def under_triage_rate(counts: Floats, scale: Scale) -> Rate:
    """Rows said less severe than gold, of all."""
    return Rate(_where(counts, _distances(scale) < 0), _total(counts))


def over_triage_rate(counts: Floats, scale: Scale) -> Rate:
    """Rows said more severe than gold, of all."""
    return Rate(_where(counts, _distances(scale) > 0), _total(counts))


def severe_under_triage_rate(counts: Floats, scale: Scale) -> Rate:
    """Rows said two or more levels too low, of all."""
    return Rate(_where(counts, _distances(scale) <= -2), _total(counts))


def _grid(scale: Scale) -> tuple[np.ndarray[tuple[int, ...], np.dtype[np.bool_]], ...]:
    urgent = np.arange(len(scale)) >= scale.urgent_from
    return urgent[:, None], urgent[None, :]


def urgent_miss_rate(counts: Floats, scale: Scale) -> Rate:
    """Urgent rows (upper half of the levels) said to be not urgent, of the urgent ones: clinical under-triage."""
    gold, said = _grid(scale)
    return Rate(_where(counts, gold & ~said), _where(counts, gold & np.ones_like(said)))


def false_alarm_rate(counts: Floats, scale: Scale) -> Rate:
    """Rows that are not urgent said to be, of those that are not."""
    gold, said = _grid(scale)
    return Rate(_where(counts, ~gold & said), _where(counts, ~gold & np.ones_like(said)))


def critical_recall_rate(counts: Floats, scale: Scale) -> Rate:  # noqa: ARG001
    """Rows of the most severe label that were found."""
    return Rate(counts[..., -1, -2], counts[..., -1, :].sum(-1))


def critical_precision_rate(counts: Floats, scale: Scale) -> Rate:  # noqa: ARG001
    """Rows said to be of the most severe label that are."""
    return Rate(counts[..., -1, -2], counts[..., :, -2].sum(-1))


def critical_false_alarm_rate(counts: Floats, scale: Scale) -> Rate:  # noqa: ARG001
    """Rows of other labels said to be of the most severe."""
    return Rate(counts[..., :-1, -2].sum(-1), counts[..., :-1, :].sum((-2, -1)))


def _binary(counts: Floats, scale: Scale) -> tuple[Floats, Floats, Floats]:
    """Return hits, misses and false alarms of "any label but the rest label"; no answer is the rest label."""
    rest = scale.code(scale.rest)
    inner = counts[..., :-1]
    said_rest = inner[..., rest] + counts[..., -1]
    raised = np.arange(len(scale)) != rest
    misses = said_rest[..., raised].sum(-1)
    hits = counts[..., raised, :].sum((-2, -1)) - misses
    false = counts[..., rest, :].sum(-1) - said_rest[..., rest]
    return hits, misses, false


def raised_recall_rate(counts: Floats, scale: Scale) -> Rate:
    """Rows that need something (another label than the rest label) said to need something."""
    hits, misses, _ = _binary(counts, scale)
    return Rate(hits, hits + misses)


def raised_f2(counts: Floats, scale: Scale) -> Floats:
    """F2 of "needs something": recall counts twice as much as precision."""
    hits, misses, false = _binary(counts, scale)
    return _share(5 * hits, 5 * hits + 4 * misses + false)


def invalid_rate(counts: Floats, scale: Scale) -> Rate:  # noqa: ARG001
    """Rows without an answer of the scale, of all."""
    return Rate(counts[..., -1].sum(-1), _total(counts))


def as_value(rate: Rate) -> Floats:
    """Return a rate as a number; NaN of nothing."""
    return _share(rate.hits, rate.n)


Rater = Callable[[Floats, Scale], Rate]

RATES: dict[str, Rater] = {"accuracy": accuracy_rate, "no_answer": invalid_rate}
ORDINAL_RATES: dict[str, Rater] = {
    "critical_recall": critical_recall_rate, "critical_precision": critical_precision_rate,
    "critical_false_alarm": critical_false_alarm_rate, "urgent_miss": urgent_miss_rate,
    "false_alarm": false_alarm_rate, "under_triage": under_triage_rate, "over_triage": over_triage_rate,
    "severe_under_triage": severe_under_triage_rate, "within_one": within_one_rate,
}  # fmt: skip
REST_RATES: dict[str, Rater] = {"escalated_recall": raised_recall_rate}
NUMBERS: dict[str, Metric] = {
    "macro_f1": macro_f1, "balanced_accuracy": balanced_accuracy, "mcc": mcc, "kappa": kappa,
}  # fmt: skip
ORDINAL_NUMBERS: dict[str, Metric] = {"qwk": qwk, "mae": mae}
COST_NUMBERS: dict[str, Metric] = {"triage_cost": triage_cost, "cost_skill": cost_skill, "triage_kappa": triage_kappa}
REST_NUMBERS: dict[str, Metric] = {"escalated_f2": raised_f2}

LOWER_IS_BETTER = frozenset((
    "no_answer", "critical_false_alarm", "urgent_miss", "false_alarm", "under_triage", "over_triage",
    "severe_under_triage", "mae", "triage_cost",
))  # fmt: skip


def raters(scale: Scale) -> dict[str, Rater]:
    """Return the rates that a scale has, by name."""
    ordinal = ORDINAL_RATES if scale.ordinal else {}
    return {**RATES, **ordinal, **(REST_RATES if scale.rest else {})}


def numbers(scale: Scale) -> dict[str, Metric]:
    """Return the metrics of a scale that are no rates, by name."""
    ordinal = ORDINAL_NUMBERS if scale.ordinal else {}
    cost = COST_NUMBERS if scale.ordinal and scale.cost else {}
    return {**NUMBERS, **ordinal, **cost, **(REST_NUMBERS if scale.rest else {})}


def figures(counts: Floats, scale: Scale) -> dict[str, Floats]:
    """Return every metric of a scale, each of the shape of the leading axes."""
    rates = {name: as_value(rater(counts, scale)) for name, rater in raters(scale).items()}
    return rates | {name: metric(counts, scale) for name, metric in numbers(scale).items()}


def figure(name: str, gold: Labels, said: Labels, scale: Scale) -> float:
    """Return one metric of arrays of labels or codes, shape (n,). Raises KeyError for a name the scale has not."""
    counts = confusion(gold, said, scale)
    rates = raters(scale)
    return float(as_value(rates[name](counts, scale)) if name in rates else numbers(scale)[name](counts, scale))


__all__ = ["LOWER_IS_BETTER", "NO_ANSWER", "Rate", "as_value", "confusion", "f1s", "figure", "figures", "numbers",
           "precisions", "raters", "recalls", "support", "weighted_kappa"]  # fmt: skip
