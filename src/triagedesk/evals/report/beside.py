"""What a system is measured against: the simplest answers there are, and how well people agree."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from triagedesk.evals.figures import DimensionScores, Figure, rate_figure
from triagedesk.evals.report.words import figure_of, system_name
from triagedesk.evals.run import Run

ORDER = ("human", "tfidf", "rules", "prior", "majority")
SHOWN = ("accuracy", "macro_f1")


@dataclass(frozen=True)
class Contender:
    """A system beside others in one dimension: `figures` by metric, and what is to be known of them."""

    key: str
    name: str
    figures: Mapping[str, Figure]
    ours: bool = False
    aside: str = ""


def contenders(run: Run, dimension: str, baselines: Mapping[str, Any] | None) -> list[Contender]:
    """Return this system first, then what is known of the human ceiling, TF-IDF, rules and majority.

    The majority is worked out here where baselines are not given.
    """
    scores = run.metrics.dimensions[dimension]
    found = {name: each for name, each in _given(dimension, baselines or {}).items() if each}
    if not any(name.startswith("majority") for name in found):
        found["majority"] = {"accuracy": majority(scores), "macro_f1": _majority_f1(scores)}
    ours = Contender("this", "this system", {name: scores.figures[name] for name in SHOWN}, ours=True)
    rest = [
        Contender(name, system_name(name), figures, aside=_aside(name, dimension, scores.n, baselines or {}))
        for name, figures in found.items()
    ]
    return [ours, *sorted(rest, key=lambda one: _place(one.key))]


def _given(dimension: str, baselines: Mapping[str, Any]) -> dict[str, dict[str, Figure]]:
    found: dict[str, dict[str, Figure]] = {}
    for name, dimensions in baselines.items():
        told = dimensions.get(dimension) if isinstance(dimensions, Mapping) else None
        if isinstance(told, Mapping):
            read = {each: figure_of(told[each]) for each in SHOWN if each in told}
            found[name] = {each: figure for each, figure in read.items() if figure is not None}
    return found


def _aside(name: str, dimension: str, n: int, baselines: Mapping[str, Any]) -> str:
    """Say on how many tickets a baseline was measured, where not on all, and what its maker noted."""
    dimensions = baselines.get(name)
    told = dimensions.get(dimension) if isinstance(dimensions, Mapping) else None
    if not isinstance(told, Mapping):
        return ""
    rows = told.get("n")
    fewer = f"on {rows:,} tickets" if isinstance(rows, int) and rows != n else ""
    return "; ".join(part for part in (fewer, str(told.get("note") or "")) if part)


def _place(key: str) -> int:
    return next((place for place, start in enumerate(ORDER) if key.startswith(start)), 2)


def majority(scores: DimensionScores) -> Figure:
    """Return how often the most frequent gold label is right."""
    return rate_figure(max((sum(row) for row in scores.confusion), default=0), scores.n)


def _majority_f1(scores: DimensionScores) -> Figure:
    held = [sum(row) for row in scores.confusion if sum(row)]
    return Figure(value=2 * max(held) / (scores.n + max(held)) / len(held) if held else None)


def is_like_chance(scores: DimensionScores) -> bool:
    """Say whether labels cannot be told from drawn ones: the interval of Cohen's kappa holds 0 (or no kappa at all)."""
    kappa = scores.figures["kappa"]
    held = sum(sum(row) > 0 for row in scores.confusion)
    if held < 2:
        return False
    return kappa.value is None or (kappa.value if kappa.low is None else kappa.low) <= 0


def is_near_majority(scores: DimensionScores) -> bool:
    """Say whether the accuracy's interval reaches down to always giving the most frequent label."""
    accuracy, constant = scores.figures["accuracy"], majority(scores)
    low = accuracy.value if accuracy.low is None else accuracy.low
    held = sum(sum(row) > 0 for row in scores.confusion)
    return held > 1 and low is not None and constant.value is not None and low <= constant.value
