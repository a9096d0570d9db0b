"""What two systems said of the same rows: their two confusion tables, and how both move together over the draws.

A draw counts rows by the joint cell gold × said by A × said by B and is then marginalised to the two tables, so that
the same drawn rows (or groups) stand behind both: the interval of a difference is a paired one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from triagedesk.evals.metrics import counts
from triagedesk.evals.metrics.draws import Sample
from triagedesk.evals.metrics.scale import NO_ANSWER, Floats, Ints, Scale

Bools = NDArray[np.bool_]

COMPARED = (
    "accuracy", "macro_f1", "qwk", "critical_recall", "urgent_miss", "severe_under_triage", "false_alarm",
    "triage_cost", "escalated_recall",
)  # fmt: skip
"""The figures of a comparison, where a scale has them."""

_CELLS_AT_ONCE = 5_000_000
_NEXT_SEED = 1_000_003


@dataclass(frozen=True)
class Pair:
    """One dimension over the rows that have a gold label in it: codes, shape (n,). `rows` are their places."""

    scale: Scale
    rows: Ints
    gold: Ints
    a: Ints
    b: Ints

    def __len__(self) -> int:
        return len(self.gold)

    @property
    def changed(self) -> Bools:
        """Rows that got another label from B than from A."""
        return np.asarray(self.a != self.b)

    @property
    def right_a(self) -> Bools:
        """Rows that A got right."""
        return np.asarray(self.a == self.gold)

    @property
    def right_b(self) -> Bools:
        """Rows that B got right."""
        return np.asarray(self.b == self.gold)

    @property
    def names(self) -> tuple[str, ...]:
        """The compared figures that the scale has."""
        has = {**counts.raters(self.scale), **counts.numbers(self.scale)}
        return tuple(name for name in COMPARED if name in has)

    @cached_property
    def _joint(self) -> tuple[Ints, Ints, Ints]:
        """Return the distinct cells' places in A's and in B's table, and each row's cell."""
        width = len(self.scale) + 1
        said_a, said_b = (np.where(said == NO_ANSWER, width - 1, said) for said in (self.a, self.b))
        found, cells = np.unique((self.gold * width + said_a) * width + said_b, return_inverse=True)
        cell_a, column_b = found // width, found % width
        return cell_a, cell_a // width * width + column_b, cells.astype(np.int64)

    @property
    def cells(self) -> Ints:
        """Each row's joint cell, numbered among those that occur."""
        return self._joint[2]

    @property
    def width(self) -> int:
        """How many joint cells occur."""
        return len(self._joint[0])

    def tables(self, joint: Floats) -> tuple[Floats, Floats]:
        """Return A's and B's confusion counts, shape (draws, K, K+1), from counts of joint cells (draws, width)."""
        columns = len(self.scale) * (len(self.scale) + 1)
        shape = (len(joint), len(self.scale), len(self.scale) + 1)
        ones, order = np.ones(self.width), np.arange(self.width)
        to_a, to_b = (csr_matrix((ones, (to, order)), shape=(columns, self.width)) for to in self._joint[:2])
        return np.asarray(to_a @ joint.T).T.reshape(shape), np.asarray(to_b @ joint.T).T.reshape(shape)

    def figures(self) -> dict[str, tuple[float, float]]:
        """Return each compared figure of A and of B."""
        joint = np.bincount(self.cells, minlength=self.width).astype(np.float64)[None]
        table_a, table_b = self.tables(joint)
        return {name: (float(_metric(name, table_a, self.scale)[0]), float(_metric(name, table_b, self.scale)[0]))
                for name in self.names}  # fmt: skip


def _metric(name: str, table: Floats, scale: Scale) -> Floats:
    rates = counts.raters(scale)
    return counts.as_value(rates[name](table, scale)) if name in rates else counts.numbers(scale)[name](table, scale)


def drawn_differences(
    pairs: Mapping[str, Pair], groups: Ints | None, *, draws: int, seed: int
) -> dict[str, dict[str, Floats]]:
    """Return draws of B minus A by dimension and figure, each of shape (draws,).

    `groups` numbers the group of every place, or is None where every row stands for itself. Groups are drawn once for
    all dimensions; single rows by each dimension's own cells, which costs nothing.
    """
    parts: dict[str, dict[str, list[Floats]]]
    parts = {name: {each: [] for each in pair.names} for name, pair in pairs.items()}
    blocks = _by_row(pairs, draws, seed) if groups is None else _by_group(pairs, groups, draws, seed)
    for name, joint in blocks:
        table_a, table_b = pairs[name].tables(joint)
        for each, found in parts[name].items():
            found.append(_metric(each, table_b, pairs[name].scale) - _metric(each, table_a, pairs[name].scale))
    return {name: {each: np.concatenate(found) if found else np.empty(0) for each, found in figures.items()}
            for name, figures in parts.items()}  # fmt: skip


def _blocks(draws: int, width: int, seed: int) -> Iterator[tuple[int, int]]:
    """Yield how many draws to make at once, and with which seed: 77 labels have thousands of cells."""
    step = max(1, _CELLS_AT_ONCE // max(width, 1))
    for block, start in enumerate(range(0, draws, step)):
        yield min(step, draws - start), seed + block * _NEXT_SEED


def _table_width(pair: Pair) -> int:
    return max(pair.width, len(pair.scale) * (len(pair.scale) + 1))


def _by_row(pairs: Mapping[str, Pair], draws: int, seed: int) -> Iterator[tuple[str, Floats]]:
    for name, pair in pairs.items():
        for some, with_seed in _blocks(draws, _table_width(pair), seed):
            yield name, Sample(pair.cells, pair.width).draw(some, with_seed)


def _by_group(pairs: Mapping[str, Pair], groups: Ints, draws: int, seed: int) -> Iterator[tuple[str, Floats]]:
    """Lay the dimensions' cells side by side: a drawn group brings its rows in every dimension."""
    starts = np.concatenate([[0], np.cumsum([pair.width for pair in pairs.values()])])
    cells = np.concatenate([pair.cells + start for pair, start in zip(pairs.values(), starts[:-1], strict=True)])
    of_rows = np.concatenate([groups[pair.rows] for pair in pairs.values()])
    sample = Sample(cells, int(starts[-1]), np.unique(of_rows, return_inverse=True)[1].astype(np.int64))
    for some, with_seed in _blocks(draws, sum(map(_table_width, pairs.values())), seed):
        drawn = sample.draw(some, with_seed)
        for index, name in enumerate(pairs):
            yield name, drawn[:, starts[index] : starts[index + 1]]
