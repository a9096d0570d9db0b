"""Fitting what stands above the words: how far words and rules are trusted, and when the first label is leant towards.

A head has few numbers, so that some hundred tickets suffice: one weight for the words' logits (their temperature,
Guo et al. 2017), one for the rules' votes, a bias a label. They are fitted on tickets which neither the words (out of
fold) nor the rules' authors have seen: else both would be trusted for what they know by heart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from triagedesk.classifiers.trained import chosen
from triagedesk.classifiers.trained_file import Head
from triagedesk.evals.learned import folds
from triagedesk.evals.metrics import counts
from triagedesk.evals.metrics.scale import Scale

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

RIDGE_BIAS, RIDGE_TRUST = 1.0, 0.1
"""Ridges on biases and on the two weights: with 300 tickets they matter little, with 50 they hold."""
EAGER_STEPS = tuple(round(0.1 * step, 1) for step in range(31))
DEFER_STEPS = (0.0, 0.3, 0.4, 0.5, 0.6, 0.7)
DEFER_GAIN = 0.01
"""The rules' label stands below a confidence only where that makes so many more labels right (a share of rows)."""
DIGITS = 4


@dataclass(frozen=True, eq=False)
class Evidence:
    """Rows that a head is fitted on: words' logits (n, labels) out of fold, rules' votes around their mean (n, labels),
    the rules' labels and gold (n,), as places in the playbook's order; groups (n,) never to be parted."""

    words: Floats
    votes: Floats
    rules: Ints
    gold: Ints
    groups: Ints

    def __len__(self) -> int:
        return len(self.gold)

    def of(self, places: Ints) -> Evidence:
        """Return the evidence of some rows."""
        return Evidence(
            self.words[places], self.votes[places], self.rules[places], self.gold[places], self.groups[places]
        )


@dataclass(frozen=True, eq=False)
class Told:
    """What a head said of rows: probabilities (n, labels), and the label that it chose (n,)."""

    chances: Floats
    said: Ints


def fit_head(labels: Sequence[str], evidence: Evidence, scale: Scale) -> Head:
    """Fit a head. Its first label is leant towards where labels are ordinal and mistakes have a price."""
    words, rules, *bias = (round(float(value), DIGITS) for value in _trust(evidence))
    shares = np.bincount(evidence.gold, minlength=len(labels)) / len(evidence)
    head = Head(labels=tuple(labels), words=words, rules=rules, bias=tuple(bias), rows=len(evidence),
                shares=tuple(round(float(share), DIGITS) for share in shares))  # fmt: skip
    if scale.ordinal and scale.cost:
        head = _with_eagerness(head, evidence, scale)
    return _with_deferral(head, evidence)


def tell(head: Head, evidence: Evidence) -> Told:
    """Say what a head makes of rows."""
    scores = head.words * evidence.words + head.rules * evidence.votes + np.array(head.bias)
    powers = np.exp(scores - scores.max(1, keepdims=True))
    chances = powers / powers.sum(1, keepdims=True)
    said = np.array([chosen(head, row) for row in scores], dtype=np.int64)
    unsure = (chances[np.arange(len(said)), said] < head.defer_below) & (evidence.rules >= 0)
    return Told(chances, np.where(unsure, evidence.rules, said))


def nested(labels: Sequence[str], evidence: Evidence, scale: Scale, seed: int) -> Told:
    """Say what heads make of rows that they were not fitted on, fold by fold: what is reported."""
    chances, said = np.zeros_like(evidence.words), np.zeros(len(evidence), dtype=np.int64)
    for train, held in folds(evidence.gold, evidence.groups, seed):
        told = tell(fit_head(labels, evidence.of(train), scale), evidence.of(held))
        chances[held], said[held] = told.chances, told.said
    return Told(chances, said)


def _trust(evidence: Evidence) -> Floats:
    """Return the two weights and the biases: least log loss, ridged, neither weight negative."""
    from scipy.optimize import minimize

    inputs = np.stack([evidence.words, evidence.votes], axis=2)
    rows, labels = evidence.words.shape
    right = (np.arange(rows), evidence.gold)

    def loss(values: Floats) -> tuple[float, Floats]:
        trust, bias = values[:2], values[2:]
        scores = inputs @ trust + bias
        scores -= scores.max(1, keepdims=True)
        chances = np.exp(scores)
        total = chances.sum(1, keepdims=True)
        missed = -float((scores[right] - np.log(total[:, 0])).sum())
        chances /= total
        chances[right] -= 1
        ridge = RIDGE_TRUST * float(trust @ trust) / 2 + RIDGE_BIAS * float(bias @ bias) / 2
        slope = [np.einsum("nl,nlk->k", chances, inputs) + RIDGE_TRUST * trust, chances.sum(0) + RIDGE_BIAS * bias]
        return missed + ridge, np.concatenate(slope)

    bounds = [(0.0, None)] * 2 + [(None, None)] * labels
    found: Floats = minimize(loss, np.ones(labels + 2) * 0.5, jac=True, method="L-BFGS-B", bounds=bounds).x
    return found


def _with_eagerness(head: Head, evidence: Evidence, scale: Scale) -> Head:
    """Lean towards the first label as far as mistakes become cheaper by the playbook's own prices."""
    gold = ordinal(evidence.gold, scale)

    def cost(eager: float) -> float:
        said = tell(_changed(head, eager=eager), evidence).said
        return float(counts.triage_cost(counts.confusion(gold, ordinal(said, scale), scale), scale))

    return _changed(head, eager=min(EAGER_STEPS, key=lambda eager: (round(cost(eager), 9), eager)))


def _with_deferral(head: Head, evidence: Evidence) -> Head:
    """Let the rules' label stand below the confidence where that makes most labels right, if it is worth it."""

    def right(below: float) -> float:
        return float((tell(_changed(head, defer_below=below), evidence).said == evidence.gold).mean())

    best = max(DEFER_STEPS, key=lambda below: (right(below), -below))
    return _changed(head, defer_below=best) if right(best) >= right(0.0) + DEFER_GAIN else head


def ordinal(places: Ints, scale: Scale) -> Ints:
    """Turn places in the playbook's order into a scale's codes: of an ordinal one the least severe comes first."""
    return np.where(places < 0, places, len(scale) - 1 - places) if scale.ordinal else places


def _changed(head: Head, **changes: float) -> Head:
    """Return a head with some of its numbers changed."""
    return head.model_copy(update=changes)


__all__ = ["Evidence", "Told", "fit_head", "nested", "ordinal", "tell"]
