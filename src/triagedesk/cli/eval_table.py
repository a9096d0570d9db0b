"""Scores as a table for the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from triagedesk.cli.eval_grid import print_grid, wide_console
from triagedesk.cli.terminal import inert

if TYPE_CHECKING:
    from triagedesk.evals.figures import DimensionScores, Figure, Scores

SHOWN = (
    "accuracy", "macro_f1", "qwk", "critical_recall", "critical_false_alarm", "urgent_miss", "severe_under_triage",
    "false_alarm", "triage_cost", "escalated_recall",
)  # fmt: skip


def figure(value: Figure) -> str:
    """Return ".812 (.780–.840)", or a dash where it is not defined."""
    if value.value is None:
        return "–"
    if value.low is None or value.high is None:
        return f"{value.value:.3f}"
    return f"{value.value:.3f} ({value.low:.3f}–{value.high:.3f})"


def print_scores(scores: Scores) -> None:
    """Print the figures that decide, with their 95 % intervals."""
    rows = [[each.replace("_", " "), *(_cell(dimension, each) for dimension in scores.dimensions.values())]
            for each in SHOWN]  # fmt: skip
    print_grid(["", *scores.dimensions], rows)
    out = wide_console()
    for line in facts(scores):
        out.print(inert(line))


def _cell(dimension: DimensionScores, name: str) -> str:
    return figure(dimension.figures[name]) if name in dimension.figures else ""


def facts(scores: Scores) -> list[str]:
    """Return what stands under the table: rows, sources, breaks of rules, quotes, time, money."""
    return [*_rows(scores), *_trust(scores), *_price(scores), *_elsewhere(scores)]


def _rows(scores: Scores) -> Iterator[str]:
    yield f"n {scores.n}, answered {scores.answered}, all dimensions right {figure(scores.joint_exact)}"
    titles = (("answered by", scores.sources), ("fallbacks", scores.fallback_reasons), ("errors", scores.errors))
    for title, counted in titles:
        if counted:
            yield f"{title} " + ", ".join(f"{name} {n}" for name, n in counted.items())


def _trust(scores: Scores) -> Iterator[str]:
    breaks = ", ".join(f"{name.replace('_', ' ')} {n}" for name, n in scores.rule_breaks.items() if n) or "none"
    yield f"rule breaks {breaks}"
    if scores.quotes:
        yield f"quotes that stand in the ticket {figure(scores.quotes_grounded)} of {scores.quotes}"
    if scores.asked_again:
        yield f"answers that took a second ask {scores.asked_again}"
    if scores.repeats is not None:
        yield "flip rate over repeats: " + ", ".join(f"{n} {rate:.3f}" for n, rate in scores.repeats.flip_rate.items())


def _price(scores: Scores) -> Iterator[str]:
    if scores.latency.n:
        yield f"latency p50 {scores.latency.p50_ms:.1f} ms, p95 {scores.latency.p95_ms:.1f} ms, cached left out"
    if scores.cost_usd is not None:
        yield f"cost ${scores.cost_usd:.4f}"


def _elsewhere(scores: Scores) -> Iterator[str]:
    for name, dimension in scores.dimensions.items():
        if dimension.at_prevalence:
            shown = (f"{each.replace('_', ' ')} {figure(value)}" for each, value in dimension.at_prevalence.items())
            yield f"{name} at a desk's own shares: {', '.join(shown)}"
