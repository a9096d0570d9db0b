"""The page: one self-contained HTML file. Its policy forbids the network; every text in it is escaped."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment
from markupsafe import Markup

from triagedesk.evals.dimension import AUTO_RISK
from triagedesk.evals.figures import Confidence
from triagedesk.evals.folder import MANIFEST
from triagedesk.evals.metrics import selective
from triagedesk.evals.report import charts, tables
from triagedesk.evals.report.beside import SHOWN, Contender, contenders
from triagedesk.evals.report.errors import errors_of
from triagedesk.evals.report.verdict import graded, verdict_of
from triagedesk.evals.report.words import (
    count,
    held_together,
    interval_text,
    name_of,
    number,
    percent,
    title_of,
    value_text,
)
from triagedesk.evals.run import Run
from triagedesk.pages.frame import asset, content_hash, environment, style_of, write_page

PACKAGE = "triagedesk.evals.report"
REPORT = "report.html"
BASELINES = "baselines.json"
UNDER = ("urgent_miss", "severe_under_triage", "under_triage", "critical_recall")
OVER = ("false_alarm", "critical_false_alarm", "over_triage", "critical_precision")
WHOLE = ("triage_cost", "cost_skill", "qwk", "within_one")
FEW_LABELS = 15


@dataclass(frozen=True)
class Curves:
    """What the confidences of a dimension are worth. `scores` is None where only raw strengths are known."""

    title: str
    scores: Confidence | None
    calibration: Markup | None
    risk: Markup
    chosen: selective.Threshold


def write_report(
    path: Path, run: Run, *, title: str, manifest: Mapping[str, Any] | None = None,
    baselines: Mapping[str, Any] | None = None,
) -> None:  # fmt: skip
    """Write a run's page, whole or not at all. What is not given is read from the run's folder, where there is one.

    `baselines` is name → dimension → {"accuracy": {"value", "low", "high"}, "macro_f1": …}. Raises ConfigError when the
    file cannot be written.
    """
    write_page(path, page(run, title=title, manifest=manifest, baselines=baselines))


def page(
    run: Run, *, title: str, manifest: Mapping[str, Any] | None = None, baselines: Mapping[str, Any] | None = None
) -> str:
    """Return a run's page as HTML."""
    known = beside(run, MANIFEST) if manifest is None else manifest
    others = beside(run, BASELINES) if baselines is None else baselines
    style, script = style_of(PACKAGE), asset(PACKAGE, "script.js")
    return _environment().get_template("page.html.j2").render(
        title=title, style=style, script=script, style_hash=content_hash(style), script_hash=content_hash(script),
        run=run, scores=run.metrics, verdict=verdict_of(run, known), dimensions=list(_dimensions(run, others)),
        judged=graded(run), curves=list(_curves(run)), slices=_slices(run), columns=tables.slice_columns(run),
        identity=tables.identity_rows(run, known), running=tables.running_rows(run.metrics), errors=errors_of(run),
        max_risk=AUTO_RISK,
    )  # fmt: skip


def beside(run: Run, name: str) -> Mapping[str, Any]:
    """Return a JSON file of the run's folder, empty where there is none."""
    if run.folder is None:
        return {}
    try:
        content = json.loads((run.folder / name).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _environment() -> Environment:
    found = environment(PACKAGE)
    found.globals.update(tables=tables, few_labels=FEW_LABELS)
    found.filters.update(
        title_of=title_of, name_of=name_of, count=count, percent=percent, number=number, value_text=value_text,
        interval_text=interval_text, held=held_together,
    )  # fmt: skip
    return found


@dataclass(frozen=True)
class DimensionView:
    """One dimension of the page."""

    name: str
    contenders: list[Contender]
    chart: Markup
    small: bool


def _dimensions(run: Run, baselines: Mapping[str, Any]) -> Iterator[DimensionView]:
    for place, (name, scores) in enumerate(run.metrics.dimensions.items()):
        beside_it = contenders(run, name, baselines)
        chart = charts.comparison(f"d{place}", title_of(name), beside_it)
        yield DimensionView(name, beside_it, chart, len(scores.labels) <= tables.MATRIX_LABELS)


def _curves(run: Run) -> Iterator[Curves]:
    for place, name in enumerate(run.sheet.scales):
        raw = run.metrics.dimensions[name].confidence is None
        confidence = run.sheet.confidences(name, raw=raw)
        gold, said = run.sheet.codes(name)
        held = (confidence == confidence) & (gold >= 0)  # NaN is unequal to itself
        if not held.any():
            continue
        c, right = confidence[held], (gold == said)[held]
        chosen = selective.threshold_for_risk(c, ~right, AUTO_RISK)
        title = title_of(name)
        yield Curves(
            title, run.metrics.dimensions[name].confidence,
            None if raw else charts.calibration_curve(f"c{place}", title, c, right.astype(float)),
            charts.risk_coverage(f"r{place}", title, c, (~right).astype(float), chosen, AUTO_RISK), chosen,
        )  # fmt: skip


def _slices(run: Run) -> dict[str, tuple[list[tables.SliceRow], int]]:
    columns = tables.slice_columns(run)
    return {name: tables.slice_rows(values, columns) for name, values in run.slices().items()}


__all__ = ["OVER", "REPORT", "SHOWN", "UNDER", "WHOLE", "page", "write_report"]
