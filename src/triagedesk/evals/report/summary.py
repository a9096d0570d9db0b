"""The report in brief, as Markdown for a pull request or a chat."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from triagedesk.evals.folder import MANIFEST
from triagedesk.evals.report.beside import SHOWN, contenders
from triagedesk.evals.report.page import BASELINES, OVER, UNDER, WHOLE, beside
from triagedesk.evals.report.tables import figure_rows, identity_rows, running_rows
from triagedesk.evals.report.verdict import graded, verdict_of
from triagedesk.evals.report.words import interval_text, name_of, title_of, value_text, visible
from triagedesk.evals.run import Run

_SPECIAL = frozenset("\\`*_{}[]<>#|!&~$@")


def markdown_summary(
    run: Run, *, title: str, manifest: Mapping[str, Any] | None = None, baselines: Mapping[str, Any] | None = None
) -> str:
    """Return verdict, figures beside baselines, under- and over-triage, and identity; never a ticket's text."""
    known = beside(run, MANIFEST) if manifest is None else manifest
    others = beside(run, BASELINES) if baselines is None else baselines
    lines = [
        f"# {plain(title)}", "", *_verdict(run, known), *_beside(run, others), *_triage(run),
        "## Running it", "", *_table(("", ""), running_rows(run.metrics)),
        "## What was measured", "", *_table(("", ""), identity_rows(run, known)),
    ]  # fmt: skip
    return "\n".join(lines).rstrip() + "\n"


def plain(text: str) -> str:
    """Return text that Markdown takes for nothing but text, on one line."""
    shown = " ".join(visible(text).split())
    return "".join(f"\\{char}" if char in _SPECIAL else char for char in shown)


def _verdict(run: Run, manifest: Mapping[str, Any]) -> Iterator[str]:
    verdict = verdict_of(run, manifest)
    yield from (f"**{plain(verdict.headline)}**", "")
    parts = {"What is it worth?": verdict.worth, "What does it miss?": verdict.misses,
             "Can it be trusted?": verdict.trust, "Mind": verdict.warnings}  # fmt: skip
    for heading, told in parts.items():
        if told:
            yield from (f"## {heading}", "", *(f"- {plain(line)}" for line in told), "")


def _beside(run: Run, baselines: Mapping[str, Any]) -> Iterator[str]:
    yield from ("## Beside other answers", "")
    rows = [
        (title_of(name) if one.ours else "", one.name, *(_figure(each, one.figures.get(each)) for each in SHOWN))
        for name in run.sheet.scales
        for one in contenders(run, name, baselines)
    ]
    yield from _table(("", "system", *(name_of(each) for each in SHOWN)), rows)


def _figure(metric: str, figure: Any) -> str:
    interval = interval_text(metric, figure)
    return value_text(metric, figure) + (f" ({interval})" if interval else "")


def _triage(run: Run) -> Iterator[str]:
    name = graded(run)
    if name is None:
        return
    yield from (f"## {plain(title_of(name))}: too low, too high, both", "")
    rows = figure_rows(run.metrics.dimensions[name], (*UNDER, *OVER, *WHOLE))
    yield from _table(("", "value", "95 %"), [(name_of(metric), value, interval) for metric, value, interval in rows])


def _table(head: tuple[str, ...], rows: Any) -> Iterator[str]:
    yield "| " + " | ".join(head) + " |"
    yield "|" + "---|" * len(head)
    for row in rows:
        yield "| " + " | ".join(plain(str(cell)) for cell in row) + " |"
    yield ""
