"""Near-duplicates: rows whose texts are all but the same, within a set and across sets.

Cosine of TF-IDF over character 3–5-grams within words; every pair is looked at, block by block, so that memory stays
bounded while time grows with the square of the rows (10,000 short ones in under a minute).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from scipy.sparse import coo_matrix, csr_matrix
from scipy.sparse.csgraph import connected_components

from triagedesk.evals.metrics.scale import Ints
from triagedesk.evals.sheet import folded

THRESHOLD = 0.9
BLOCK = 512
_ROUNDING = 1e-6
"""What single precision takes from the cosine of a text with itself."""


class Pair(NamedTuple):
    """Places of two rows, the first before the second, and the cosine of their texts."""

    first: int
    second: int
    cosine: float


@dataclass(frozen=True)
class Place:
    """A row of one of several sets."""

    file: str
    line: int
    id: str


@dataclass(frozen=True)
class Duplicates:
    """Pairs of near-duplicates over several sets, the most alike first."""

    places: Sequence[Place]
    pairs: Sequence[Pair]
    threshold: float

    @property
    def across(self) -> list[Pair]:
        """Pairs that stand in two sets."""
        return [pair for pair in self.pairs if self._parted(pair)]

    @property
    def within(self) -> list[Pair]:
        """Pairs of one set."""
        return [pair for pair in self.pairs if not self._parted(pair)]

    def _parted(self, pair: Pair) -> bool:
        return self.places[pair.first].file != self.places[pair.second].file

    def as_json(self) -> dict[str, Any]:
        """Return plain data: files, ids, lines and cosines, never the texts."""
        return {
            "rows": len(self.places), "threshold": self.threshold, "across": [self._told(pair) for pair in self.across],
            "within": [self._told(pair) for pair in self.within],
        }  # fmt: skip

    def _told(self, pair: Pair) -> dict[str, Any]:
        first, second = self.places[pair.first], self.places[pair.second]
        return {
            "ids": [first.id, second.id], "files": [first.file, second.file], "lines": [first.line, second.line],
            "cosine": round(pair.cosine, 4),
        }  # fmt: skip


def near_duplicates(texts: Sequence[str], threshold: float = THRESHOLD) -> list[Pair]:
    """Return every pair of texts whose cosine reaches the threshold, the most alike first."""
    if len(texts) < 2:
        return []
    found = [pair for block in _blocks(_rows(texts), threshold) for pair in block]
    return sorted(found, key=lambda pair: (-pair.cosine, pair.first, pair.second))


def _rows(texts: Sequence[str]) -> csr_matrix:
    from sklearn.feature_extraction.text import TfidfVectorizer

    plain = [folded(text) or "∅" for text in texts]
    return csr_matrix(TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5), dtype=np.float32).fit_transform(plain))


def _blocks(rows: csr_matrix, threshold: float) -> Iterator[list[Pair]]:
    columns = rows.T.tocsc()
    for start in range(0, rows.shape[0], BLOCK):
        alike = (rows[start : start + BLOCK] @ columns[:, start:]).tocoo()
        close = (alike.data >= threshold - _ROUNDING) & (alike.row < alike.col)
        cosines = np.minimum(alike.data[close], 1.0)
        yield [
            Pair(start + int(i), start + int(j), float(cosine))
            for i, j, cosine in zip(alike.row[close], alike.col[close], cosines, strict=True)
        ]


def clusters(n: int, pairs: Sequence[Pair]) -> Ints:
    """Return a number per row, shape (n,): the same for rows that a chain of pairs connects."""
    ends = np.asarray([(pair.first, pair.second) for pair in pairs], dtype=np.int64).reshape(-1, 2)
    graph = coo_matrix((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(n, n))
    return np.asarray(connected_components(graph, directed=False)[1], dtype=np.int64)
