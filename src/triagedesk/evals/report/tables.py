"""The tables of the page, as plain values: matrices, labels, slices, shares, identity."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from triagedesk.evals.figures import DimensionScores, Figure, Scores
from triagedesk.evals.metrics.scale import Scale
from triagedesk.evals.report.words import count, interval_text, milliseconds, number, percent, value_text
from triagedesk.evals.run import Run
from triagedesk.evals.slices import SliceScores

MATRIX_LABELS = 12
"""Dimensions with more labels get a list of their commonest confusions instead of a matrix."""
COMMONEST = 20
SLICE_VALUES = 40
SHADES = 8


@dataclass(frozen=True)
class Cell:
    """One cell of a matrix. `token` names it to the error browser; `kind` is right, under, over, other or none."""

    rows: int
    share: str
    shade: int
    kind: str
    token: str
    words: str


@dataclass(frozen=True)
class MatrixRow:
    """A gold label and what was said of its tickets."""

    label: str
    n: int
    cells: tuple[Cell, ...]


def token(dimension: int, gold: int, said: int) -> str:
    """Return what names a cell, in places instead of labels: "0:3:1"."""
    return f"{dimension}:{gold}:{said}"


def matrix(run: Run, dimension: str) -> list[MatrixRow]:
    """Return gold × said with counts and shares of the gold row."""
    scores, scale = run.metrics.dimensions[dimension], run.sheet.scales[dimension]
    place = list(run.sheet.scales).index(dimension)
    width = len(scale) + unanswered(run, dimension)
    return [
        MatrixRow(label, sum(row), tuple(_cells(scale, place, gold, row))[:width])
        for gold, (label, row) in enumerate(zip(scores.labels, scores.confusion, strict=True))
    ]


def unanswered(run: Run, dimension: str) -> bool:
    """Say whether some row of a dimension has no answer of the playbook, so that the matrix needs its last column."""
    return any(row[-1] for row in run.metrics.dimensions[dimension].confusion)


def _cells(scale: Scale, place: int, gold: int, row: Sequence[int]) -> Iterator[Cell]:
    total = sum(row)
    for said, rows in enumerate(row):
        share = rows / total if total else 0.0
        name = scale.labels[said] if said < len(scale) else "no answer"
        yield Cell(
            rows, percent(share, 0) if total else "", min(SHADES, round(share * SHADES + 0.49)) if rows else 0,
            _kind(scale, gold, said), token(place, gold, said), f"gold {scale.labels[gold]}, said {name}",
        )  # fmt: skip


def _kind(scale: Scale, gold: int, said: int) -> str:
    if said == len(scale):
        return "none"
    if said == gold:
        return "right"
    if not scale.ordinal:
        return "other"
    return "under" if said < gold else "over"


def confusions(run: Run, dimension: str) -> list[tuple[str, str, Cell]]:
    """Return the commonest mistakes as (gold, said, cell)."""
    names = (*run.sheet.scales[dimension].labels, "no answer")
    found = [(row.label, names[said], cell) for row in matrix(run, dimension) for said, cell in enumerate(row.cells)
             if cell.rows and cell.kind != "right"]  # fmt: skip
    return sorted(found, key=lambda each: -each[2].rows)[:COMMONEST]


def label_rows(scores: DimensionScores) -> list[tuple[str, ...]]:
    """Return label, precision, recall, F1, gold rows and said rows; a dash where gold has none."""
    return [
        (label, percent(each.precision), percent(each.recall), number(each.f1), count(each.support), count(each.said))
        for label, each in scores.per_label.items()
    ]


def figure_rows(scores: DimensionScores, names: Sequence[str]) -> list[tuple[str, str, str]]:
    """Return metric, value and interval of those figures that there are."""
    return _rows_of({name: scores.figures[name] for name in names if name in scores.figures})


def prevalence_rows(scores: DimensionScores) -> list[tuple[str, str, str]]:
    """Return metric, value and interval of the figures at a desk's own shares of labels, if any were given."""
    return _rows_of(scores.at_prevalence)


def _rows_of(figures: Mapping[str, Figure]) -> list[tuple[str, str, str]]:
    return [(name, value_text(name, figure), interval_text(name, figure)) for name, figure in figures.items()]


@dataclass(frozen=True)
class SliceRow:
    """One value of a slice: cells are (value, interval) by column."""

    value: str
    n: int
    small: bool
    cells: tuple[tuple[str, str], ...]


def slice_columns(run: Run) -> list[tuple[str, str]]:
    """Return (dimension, metric) of the columns: accuracy of each, and the urgent missed."""
    columns = [(name, "accuracy") for name in run.sheet.scales]
    return columns + [(name, "urgent_miss") for name, scale in run.sheet.scales.items() if scale.ordinal][:1]


def slice_rows(values: Mapping[str, SliceScores], columns: Sequence[tuple[str, str]]) -> tuple[list[SliceRow], int]:
    """Return the largest values of a slice and how many are left out."""
    largest = sorted(values, key=lambda value: -values[value].n)[:SLICE_VALUES]
    rows = [
        SliceRow(value, scores.n, scores.small, tuple(_slice_cell(scores, *column) for column in columns))
        for value, scores in values.items()
        if value in set(largest)
    ]
    return rows, len(values) - len(rows)


def _slice_cell(scores: SliceScores, dimension: str, metric: str) -> tuple[str, str]:
    figure = scores.dimensions.get(dimension, {}).get(metric)
    return value_text(metric, figure), interval_text(metric, figure)


def shares(counted: Mapping[str, int], n: int) -> list[tuple[str, str, str, float]]:
    """Return name, rows, share as text and share in percent."""
    return [(name, count(rows), percent(rows / n if n else None), round(100 * rows / n, 2) if n else 0.0)
            for name, rows in counted.items()]  # fmt: skip


def running_rows(scores: Scores) -> list[tuple[str, str]]:
    """Return what it takes to run: time, tokens, money, steadiness."""
    rows = []
    if scores.latency.n:
        told = f"{milliseconds(scores.latency.p50_ms)} median, {milliseconds(scores.latency.p95_ms)} 95th percentile"
        rows.append(("Time per ticket", f"{told} ({count(scores.latency.n)} answers; cached ones left out)"))
    else:
        rows.append(("Time per ticket", "not measured: nothing was timed, or every answer came from a cache"))
    if any(scores.tokens.values()):
        rows.append(("Tokens", ", ".join(f"{name} {count(n)}" for name, n in scores.tokens.items())))
    if scores.cost_usd is not None:
        each = 1000 * scores.cost_usd / scores.n if scores.n else 0.0
        rows.append(("Cost", f"${scores.cost_usd:.4f}, ${each:.2f} per 1,000 tickets"))
    if scores.repeats is not None:
        flips = ", ".join(f"{name} {percent(rate)}" for name, rate in scores.repeats.flip_rate.items())
        rows.append(("Label differs over repeats", f"{flips} (of {count(scores.repeats.tickets)} tickets)"))
    rows.append(("Sent to a person", f"{count(scores.to_review)} ({percent(scores.to_review / max(scores.n, 1))})"))
    return rows


def identity_rows(run: Run, manifest: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what was measured, with what: data, playbook, prompt, models, versions."""
    data, scores, git = manifest.get("dataset") or {}, run.metrics, manifest.get("git") or {}
    told = {
        "Run": run.folder.name if run.folder else None, "Started": manifest.get("started_at"),
        "Data set": " / ".join(str(data[key]) for key in ("name", "split") if data.get(key)),
        "Data hash": data.get("sha256"),
        "Tickets asked": f"{data.get('asked')} of {data.get('rows')}" if data else None,
        "Times the split was opened": data.get("openings") or None,
        "System": (manifest.get("config") or {}).get("system"),
        "Playbook": manifest.get("playbook") or run.sheet.playbook.identity, "Prompt": manifest.get("prompt"),
        "Models": ", ".join(f"{name} ({count(n)})" for name, n in scores.models.items()),
        "Temperature": manifest.get("temperature") if scores.models else None,
        "Repeats": manifest.get("k"), "Configuration": manifest.get("identity"),
        "triagedesk": manifest.get("package"), "Python": manifest.get("python"),
        "Commit": f"{git.get('commit')}{' with local changes' if git.get('dirty') else ''}" if git else None,
        "Intervals": f"{count(scores.draws)} draws, seed {scores.seed}",
    }  # fmt: skip
    return [(name, str(value)) for name, value in told.items() if value not in (None, "")]
