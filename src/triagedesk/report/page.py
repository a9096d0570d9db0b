"""The page of a labelled batch: one self-contained HTML file without scripts; every text in it is escaped."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jinja2 import Environment
from markupsafe import Markup

from triagedesk.pages.frame import content_hash, environment, style_of
from triagedesk.pages.words import count, held_together
from triagedesk.report.blocks import FEW, Block, Cell, Chart, Column, Table, interval, shade, shown
from triagedesk.report.report import Report

PACKAGE = "triagedesk.report"


def page(report: Report) -> str:
    """Return a report as HTML."""
    style = style_of(PACKAGE)
    return _environment().get_template("page.html.j2").render(
        title=report.title, period=report.period, sentence=report.sentence, figures=report.figures,
        findings=report.findings, warnings=report.warnings, sections=report.sections, identity=report.identity,
        style=style, style_hash=content_hash(style), few=FEW,
    )  # fmt: skip


def _environment() -> Environment:
    found = environment(PACKAGE)
    found.filters.update(
        shown=shown, interval=interval, count=count, held=held_together, trend=trend, shade=_shade, body=_body,
        runs=runs, is_a=lambda value, name: type(value).__name__ == name,
    )  # fmt: skip
    return found


def _body(table: Table, row: tuple[Cell, ...]) -> list[tuple[Column, Cell]]:
    return list(zip(table.columns, row, strict=True))[1:]


def _shade(value: Any, table: Table) -> int:
    keys = [column.key for column in table.columns if column.key != "all" and column.numeric]
    return shade(float(value), max((table.most(key) for key in keys), default=1.0)) if value else 0


def runs(blocks: Sequence[Block]) -> list[list[Block]]:
    """Put narrow charts that follow each other side by side; all else stands alone."""
    found: list[list[Block]] = []
    for block in blocks:
        if found and _narrow(block) and _narrow(found[-1][0]):
            found[-1].append(block)
        else:
            found.append([block])
    return found


def _narrow(block: Block) -> bool:
    return isinstance(block, Chart) and not block.drawing.wide


TREND = Markup('<svg class="trend" role="img" aria-label="{}" viewBox="0 0 {} 20" preserveAspectRatio="none">{}</svg>')
TREND_BAR = Markup('<rect x="{}" y="{}" width="6" height="{}"/>')


def trend(counts: tuple[int, ...]) -> Markup:
    """Return counts as a row of small bars."""
    most = max(counts, default=0) or 1
    heights = [round(20 * n / most, 1) for n in counts]
    bars = (TREND_BAR.format(8 * place, round(20 - height, 1), height) for place, height in enumerate(heights))
    told = f"by week: {', '.join(map(str, counts))}"
    return TREND.format(told, 8 * len(counts) - 2, Markup("").join(bars))
