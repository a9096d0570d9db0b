"""The charts of a run: systems side by side, calibration, and risk against coverage."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from scipy import stats

from triagedesk.evals.metrics import calibration, selective
from triagedesk.evals.metrics.scale import Floats
from triagedesk.evals.report.beside import Contender
from triagedesk.pages.drawing import ACCENT, BAND, MUTED, WARN, drawn

MAX_POINTS = 400


def comparison(key: str, title: str, contenders: Sequence[Contender]) -> Markup:
    """Draw each system's accuracy (dot) and macro-F1 (square) with intervals, this system on top."""
    rows = list(reversed(contenders))

    def draw(axes: Axes) -> None:
        for metric, shift, marker, filled in (("accuracy", 0.14, "o", True), ("macro_f1", -0.14, "s", False)):
            for place, one in enumerate(rows):
                _whisker(axes, one, metric, place + shift, marker, filled=filled)
        axes.set_yticks(range(len(rows)), [one.name for one in rows])
        axes.set_ylim(-0.6, len(rows) - 0.4)
        axes.set_xlim(0, 1)
        axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "25", "50", "75", "100"])
        axes.grid(visible=True, axis="x", color=BAND, linewidth=0.8)
        axes.set_axisbelow(True)
        axes.tick_params(length=0)
        axes.spines["left"].set_visible(False)
        axes.plot([], [], "o", color=MUTED, label="right, %")
        axes.plot([], [], "s", color=MUTED, markerfacecolor="none", label="macro-F1 × 100")
        axes.legend(loc="upper center", bbox_to_anchor=(0.3, -0.14), ncols=2, handletextpad=0.2, borderaxespad=0)

    return drawn(
        key, f"{title}: accuracy and macro-F1 of each system with 95 % intervals", 0.9 + 0.34 * len(rows), draw
    )


def _whisker(axes: Axes, one: Contender, metric: str, place: float, marker: str, *, filled: bool) -> None:
    figure = one.figures.get(metric)
    if figure is None or figure.value is None:
        return
    colour = ACCENT if one.ours else MUTED
    if figure.low is not None and figure.high is not None:
        axes.plot([figure.low, figure.high], [place, place], color=colour, linewidth=2 if one.ours else 1.2)
    axes.plot([figure.value], [place], marker, color=colour, markersize=6 if one.ours else 5,
              markerfacecolor=colour if filled else "none")  # fmt: skip


def _merged(points: Sequence[calibration.Bin]) -> tuple[Floats, Floats, Floats]:
    """Return confidence, accuracy and rows, bins of one confidence taken together: models say .95 for half of all."""
    confidence, accuracy, rows = (np.asarray(each, dtype=np.float64) for each in zip(*points, strict=True))
    _, where = np.unique(np.round(confidence, 3), return_inverse=True)
    n = np.bincount(where, weights=rows).astype(np.float64)
    return np.bincount(where, weights=confidence * rows) / n, np.bincount(where, weights=accuracy * rows) / n, n


def calibration_curve(key: str, title: str, confidence: Floats, right: Floats) -> Markup:
    """Draw said confidence against what came true, over ten bins, with the band that chance alone would fill."""
    said, true, rows = _merged(calibration.curve(confidence, right))
    low, high = (stats.binom.ppf(tail, rows, np.clip(said, 0, 1)) / rows for tail in (0.025, 0.975))

    def draw(axes: Axes) -> None:
        axes.fill_between(said, low, high, color=BAND, linewidth=0, label="noise: calibrated, this many tickets")
        axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
        axes.plot(said, true, "o-", color=ACCENT, markersize=5, linewidth=1.6, label="this system")
        axes.set_xlabel("confidence said, %")
        axes.set_ylabel("came true, %")
        _percent_axes(axes)
        axes.legend(loc="best", borderaxespad=0.2)

    return drawn(key, f"{title}: calibration curve with its noise band", 3.3, draw)


def risk_coverage(
    key: str, title: str, confidence: Floats, wrong: Floats, chosen: selective.Threshold, max_risk: float
) -> Markup:
    """Draw the share of wrong labels against the share of tickets taken, most confident first."""
    curve = selective.risk_coverage(confidence, wrong)
    kept = np.unique(np.linspace(0, len(curve.risk) - 1, MAX_POINTS).astype(np.int64))

    def draw(axes: Axes) -> None:
        axes.axhline(max_risk, color=MUTED, linewidth=1, linestyle=(0, (4, 3)), label=f"{max_risk:.0%} wrong")
        axes.plot(curve.coverage[kept], curve.risk[kept], color=ACCENT, linewidth=1.6,
                  marker="o" if len(kept) < 12 else "", markersize=4, label="this system")  # fmt: skip
        if chosen.rows:
            axes.axvline(chosen.coverage, color=WARN, linewidth=1)
            axes.plot([chosen.coverage], [chosen.risk], "D", color=WARN, markersize=7,
                      label=f"threshold {chosen.threshold:.2f}")  # fmt: skip
        axes.set_xlabel("tickets taken, most confident first, %")
        axes.set_ylabel("of them wrong, %")
        _percent_axes(axes)
        axes.set_ylim(0, max(0.12, float(np.max(curve.risk)) * 1.15))
        axes.legend(loc="best", borderaxespad=0.2)

    return drawn(key, f"{title}: risk against coverage", 3.3, draw)


def _percent_axes(axes: Axes) -> None:
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(lambda value, _: f"{100 * value:.0f}")
    axes.set_xlim(0, 1.01)
    axes.set_ylim(0, 1.02)
    axes.tick_params(length=3)
