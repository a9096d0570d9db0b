"""`eval data agree`: how far annotators agree, which is the ceiling of any system that is held to their labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from triagedesk.errors import ConfigError
from triagedesk.evals.figures import Figure, drawn_figure
from triagedesk.evals.gold import Gold, scales_of
from triagedesk.evals.labelled.annotations import Annotation
from triagedesk.evals.metrics.agreement import alpha_of, coincidences
from triagedesk.evals.metrics.counts import weighted_kappa
from triagedesk.evals.metrics.draws import DRAWS, Sample, numbered_groups
from triagedesk.evals.metrics.scale import NO_ANSWER, Floats, Ints, Scale
from triagedesk.playbook import Playbook

GOLD = "gold"
Weights = Literal["none", "linear", "quadratic"]


@dataclass(frozen=True)
class Disagreement:
    """A row that was labelled in two ways, with each annotator's label."""

    id: str
    labels: dict[str, str]


@dataclass(frozen=True)
class Agreement:
    """One dimension, over the rows that two or more labelled. The kappas are there where there are two annotators."""

    n: int
    annotators: tuple[str, ...]
    figures: dict[str, Figure]
    disagreements: tuple[Disagreement, ...]

    def as_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "n": self.n, "annotators": list(self.annotators),
            **{name: figure.model_dump() for name, figure in self.figures.items()},
            "disagreements": [{"id": each.id, "labels": each.labels} for each in self.disagreements],
        }  # fmt: skip


def agreement(
    gold: Sequence[Gold], others: Sequence[Annotation], playbook: Playbook, *, draws: int = DRAWS, seed: int = 0
) -> dict[str, Agreement]:
    """Compare gold with other annotators, dimension by dimension, with 95 % bootstrap intervals over rows.

    Rows of one group are drawn together. Raises ConfigError when nothing was labelled twice.
    """
    if any(one.by == GOLD for one in others):
        raise ConfigError(f'"by": "{GOLD}" is kept for the gold labels; give that annotator another name')
    names = (GOLD, *sorted({one.by for one in others}))
    places = {row.id: place for place, row in enumerate(gold)}
    groups = numbered_groups([row.group for row in gold])
    found = {}
    for dimension, scale in scales_of(gold, playbook).items():
        ratings = np.full((len(names), len(gold)), NO_ANSWER, dtype=np.int64)
        ratings[0] = scale.codes([row.labels.get(dimension) for row in gold])
        for one in others:
            if one.id in places:
                ratings[names.index(one.by), places[one.id]] = scale.code(one.labels.get(dimension))
        twice = np.flatnonzero((ratings != NO_ANSWER).sum(0) > 1)
        if twice.size:
            ids = [gold[int(place)].id for place in twice]
            of = None if groups is None else np.unique(groups[twice], return_inverse=True)[1]
            found[dimension] = _agreement(names, ids, ratings[:, twice], scale, of, draws, seed)
    if not found:
        raise ConfigError("no row was labelled twice: the ids of the annotations are none of the gold set's")
    return found


def unknown_ids(gold: Sequence[Gold], others: Sequence[Annotation]) -> int:
    """Return how many annotations belong to no gold row."""
    known_ids = {row.id for row in gold}
    return sum(one.id not in known_ids for one in others)


def _agreement(
    names: tuple[str, ...], ids: Sequence[str], ratings: Ints, scale: Scale, groups: Ints | None, draws: int, seed: int
) -> Agreement:
    rows = range(ratings.shape[1])
    spread = np.where(ratings == NO_ANSWER, -np.inf, ratings).max(0) != np.where(ratings < 0, np.inf, ratings).min(0)
    told = tuple(
        Disagreement(ids[row], {name: scale.labels[code] for name, code in zip(names, ratings[:, row], strict=True)
                                if code != NO_ANSWER})
        for row in rows if spread[row]
    )  # fmt: skip
    present = tuple(name for name, codes in zip(names, ratings, strict=True) if (codes != NO_ANSWER).any())
    return Agreement(len(ids), present, _figures(ratings, scale, groups, draws, seed), told)


def _figures(ratings: Ints, scale: Scale, groups: Ints | None, draws: int, seed: int) -> dict[str, Figure]:
    """Return each figure with its interval; a draw counts how often each distinct way of labelling a row was drawn."""
    patterns, cells = np.unique(ratings, axis=1, return_inverse=True)
    sample = Sample(cells.reshape(-1).astype(np.int64), patterns.shape[1], groups)
    drawn = np.concatenate([np.bincount(sample.cells, minlength=sample.width)[None], sample.draw(draws, seed)])
    by_pattern = np.stack([coincidences(pattern[:, None], len(scale)) for pattern in patterns.T])
    agreeing = np.asarray([_agreeing(pattern) for pattern in patterns.T])
    values = {"raw_agreement": drawn @ agreeing / drawn.sum(1)}
    if (patterns != NO_ANSWER).any(1).sum() == 2:
        values |= _kappas(patterns[(patterns != NO_ANSWER).any(1)], drawn, scale)
    level: Literal["nominal", "ordinal"] = "ordinal" if scale.ordinal else "nominal"
    values["krippendorff_alpha"] = np.asarray(
        [alpha_of(np.tensordot(counts, by_pattern, axes=1), level) for counts in drawn]
    )
    return {name: _figure(each) for name, each in values.items()}


def _agreeing(pattern: Ints) -> float:
    """Return which share of the pairs of annotators agree on a row."""
    given = pattern[pattern != NO_ANSWER]
    same = sum(int(n) * (int(n) - 1) for n in np.bincount(given))
    return float(same / (given.size * (given.size - 1)))


def _kappas(patterns: Ints, drawn: Floats, scale: Scale) -> dict[str, Floats]:
    k = len(scale)
    steps = np.abs(np.subtract.outer(np.arange(k), np.arange(k))).astype(np.float64)
    weights: dict[str, Floats] = {"cohen_kappa": (steps > 0).astype(np.float64)}
    if scale.ordinal:
        weights |= {"linear_kappa": steps, "quadratic_kappa": steps**2}
    cells = np.zeros((patterns.shape[1], k * k))
    cells[np.arange(patterns.shape[1]), patterns[0] * k + patterns[1]] = 1
    tables = (drawn @ cells).reshape(-1, k, k)
    return {name: np.asarray(weighted_kappa(tables, weight)) for name, weight in weights.items()}


def _figure(values: Floats) -> Figure:
    """Return the first as the value, and the interval of the rest, which were drawn."""
    return drawn_figure(float(values[0]), values[1:])
