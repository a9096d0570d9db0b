"""Learning what words say: which features are kept, and a multinomial logistic regression a dimension."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from triagedesk.classifiers.ngrams import KIND, NGRAMS
from triagedesk.classifiers.vectors import UNIT, Vocabulary, buckets, idf
from triagedesk.training.examples import MISSING, Example

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

ABSENT = -4.0
"""The logit of a label that no training row has: the rules may still say it."""


@dataclass(frozen=True, eq=False)
class Learned:
    """What was learned in one dimension: z = values / UNIT @ weights + bias, shapes (features, labels) and (labels)."""

    weights: Floats
    bias: Floats

    def logits(self, matrix: Any) -> Floats:
        """Return z of rows, shape (n, labels)."""
        return np.asarray(matrix @ self.weights + self.bias)


def known_features(rows: Sequence[Example], *, at_least: int, most: int) -> Vocabulary:
    """Return `most` features that each stand in `at_least` tickets: metadata, words, then the commonest n-grams.

    A rare word tells more than a rare n-gram. What stands in fewer tickets than `at_least` could be a name;
    it is not kept, not even as a hash. No label is looked at, so that folds may share the choice.
    """
    every = np.concatenate([np.unique(np.concatenate([row.text.ids, row.facts])) for row in rows])
    ids, counts = np.unique(every, return_counts=True)
    order = np.lexsort((ids, -counts, ids & KIND == NGRAMS))
    order = order[counts[order] >= at_least]
    _, first = np.unique(buckets(ids[order]), return_index=True)  # of two in a bucket the more frequent stays
    kept = np.sort(order[np.sort(first)[:most]])
    return Vocabulary(ids[kept], idf(len(rows), counts[kept].astype(np.int64)))


def matrix(vocabulary: Vocabulary, rows: Sequence[Example]) -> Any:
    """Return the rows' vectors as a sparse matrix of shape (rows, features), one being UNIT."""
    from scipy.sparse import csr_matrix

    vectors = [vocabulary.vector(row.text, row.facts) for row in rows]
    starts = np.cumsum([0, *(len(vector.slots) for vector in vectors)])
    values = np.concatenate([vector.values for vector in vectors]) / UNIT
    slots = np.concatenate([vector.slots for vector in vectors])
    return csr_matrix((values, slots, starts), shape=(len(rows), len(vocabulary)))


def learn(features: Any, codes: Ints, labels: int, *, strength: float, passes: int, seed: int) -> Learned:
    """Fit a multinomial logistic regression by SAGA (Defazio 2014), stopped after `passes`; rows without label rest.

    SAGA walks row by row: no threads, so that one machine's fit is another's. `strength` is the inverse of the ridge.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    held = np.flatnonzero(codes != MISSING)
    weights, bias = np.zeros((features.shape[1], labels)), np.full(labels, ABSENT)
    model = LogisticRegression(C=strength, solver="saga", max_iter=passes, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(features[held], codes[held])
    known = model.classes_
    if len(known) == 2:  # one column stands for both
        weights[:, known[1]], bias[known] = model.coef_[0], (0.0, model.intercept_[0])
    else:
        weights[:, known], bias[known] = model.coef_.T, model.intercept_
    return Learned(weights, bias)


def rounded(learned: Learned) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Return weights in 8 bits, shape (features, labels), and each label's scale."""
    largest = np.maximum(np.abs(learned.weights).max(axis=0, initial=0.0), 1e-9)
    scales = (largest / 127).astype(np.float32)
    return np.rint(learned.weights / scales).astype(np.int8), scales


def unrounded(weights: NDArray[np.int8], scales: NDArray[np.float32], bias: Floats) -> Learned:
    """Return what was learned as the file will hold it."""
    return Learned(weights.astype(np.float64) * scales, bias)
