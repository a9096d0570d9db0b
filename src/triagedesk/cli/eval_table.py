"""Scores as a table for the terminal."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from triagedesk.cli.terminal import console, inert

if TYPE_CHECKING:
    from triagedesk.evals.scores import DimensionScores, Figure, Scores

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
    from rich.table import Table

    table = Table(title=None, box=None, pad_edge=False, header_style="dim")
    table.add_column("")
    for name in scores.dimensions:
        table.add_column(inert(name), no_wrap=True)
    for each in SHOWN:
        cells = [_cell(dimension, each) for dimension in scores.dimensions.values()]
        if any(cells):
            table.add_row(each.replace("_", " "), *cells)
    out = console(sys.stdout)
    out.print(table)
    for line in facts(scores):
        out.print(inert(line))


def _cell(dimension: DimensionScores, name: str) -> str:
    return figure(dimension.figures[name]) if name in dimension.figures else ""


def facts(scores: Scores) -> list[str]:
    """Return what stands under the table: rows, sources, breaks of rules, quotes, time, money."""
    breaks = ", ".join(f"{name.replace('_', ' ')} {n}" for name, n in scores.rule_breaks.items() if n) or "none"
    lines = [f"n {scores.n}, answered {scores.answered}, all dimensions right {figure(scores.joint_exact)}"]
    if scores.sources:
        lines.append("answered by " + ", ".join(f"{name} {n}" for name, n in scores.sources.items()))
    for title, counted in (("fallbacks", scores.fallback_reasons), ("errors", scores.errors)):
        if counted:
            lines.append(f"{title} " + ", ".join(f"{name} {n}" for name, n in counted.items()))
    lines.append(f"rule breaks {breaks}")
    if scores.quotes:
        lines.append(f"quotes that stand in the ticket {figure(scores.quotes_grounded)} of {scores.quotes}")
    if scores.latency.n:
        lines.append(f"latency p50 {scores.latency.p50_ms:.1f} ms, p95 {scores.latency.p95_ms:.1f} ms, cached left out")
    if scores.cost_usd is not None:
        lines.append(f"cost ${scores.cost_usd:.4f}")
    if scores.repeats is not None:
        flips = ", ".join(f"{name} {rate:.3f}" for name, rate in scores.repeats.flip_rate.items())
        lines.append(f"flip rate over repeats: {flips}")
    return lines
