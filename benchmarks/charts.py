"""Charts as SVG, by matplotlib: the same results give the same bytes; grey text reads on light and on dark."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("svg")

import matplotlib.pyplot as plt

INK, OURS, OTHERS, LIMITS = "#7d8590", "#e8710a", "#4c8dd6", "#9aa4ae"
STYLE = {
    "svg.hashsalt": "triagedesk", "svg.fonttype": "none", "font.size": 9, "font.family": "sans-serif",
    "text.color": INK, "axes.labelcolor": INK, "axes.edgecolor": INK, "xtick.color": INK, "ytick.color": INK,
    "axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False, "axes.titlesize": 10,
    "axes.grid": True, "grid.color": INK, "grid.alpha": 0.25, "axes.axisbelow": True,
}  # fmt: skip
Series = dict[str, dict[str, Any]]


def draw(found: dict[str, dict[str, Any]], folder: Path) -> dict[str, str]:
    """Draw each part that has a chart; return where it stands, seen from the README beside the folder."""
    drawn = {}
    for name, paint in CHARTS.items():
        series = found.get(name, {}).get("outcome", {}).get("series")
        if series:
            with mpl.rc_context(STYLE):
                save(paint(series), folder / f"{name}.svg")
            drawn[name] = f"charts/{name}.svg"
    return drawn


def save(figure: Any, file: Path) -> None:
    """Write a figure without a date or background."""
    file.parent.mkdir(exist_ok=True)
    figure.savefig(file, transparent=True, bbox_inches="tight", metadata={"Date": None})
    plt.close(figure)


def _colour(name: str) -> str:
    return OURS if "triagedesk" in name else LIMITS if name.startswith("limit") or "by hand" in name else OTHERS


def bars(values: dict[str, float], unit: str, *, log: bool = False) -> Any:
    """Draw lying bars, the longest at the top, each with its number."""
    names = sorted(values, key=lambda name: values[name])
    figure, axes = plt.subplots(figsize=(7.2, 0.32 * len(names) + 0.7))
    drawn = axes.barh(names, [values[name] for name in names], color=[_colour(name) for name in names])
    axes.bar_label(drawn, [f"{values[name]:,.0f}" if values[name] >= 10 else f"{values[name]:.2g}" for name in names],
                   padding=3, color=INK)  # fmt: skip
    axes.set_xlabel(unit + (", logarithmic" if log else ""))
    axes.grid(axis="y", visible=False)
    axes.margins(x=0.12)
    if log:
        axes.set_xscale("log")
    return figure


def _calls(series: Series) -> Any:
    return bars(series["1 at once"], "CPU µs per cold ticket, one at a time")


def _hits(series: Series) -> Any:
    return bars(series["cpu_us"], "CPU µs per hit", log=True)


def _startup(series: Series) -> Any:
    return bars(series["cpu_ms"], "CPU ms from start to end")


def _rules(series: Series) -> Any:
    figure, axes = plt.subplots(figsize=(7.2, 3.4))
    for name, points in series.items():
        counts = sorted(map(int, points))
        axes.plot(counts, [points[str(count)] for count in counts], marker="o", label=name, color=_colour(name),
                  linestyle="--" if "RE2" in name or "one by one" in name else "-")  # fmt: skip
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("rules")
    axes.set_ylabel("tickets/s, one core")
    axes.legend()
    return figure


def _deadline(series: Series) -> Any:
    points = {float(share): late for share, late in series["quantile"].items()}
    figure, axes = plt.subplots(figsize=(7.2, 2.8))
    axes.plot(list(points.values()), [100 * share for share in points], color=OURS)
    axes.axvline(50, color=INK, linestyle="--", linewidth=1)
    axes.annotate("the promise: deadline + 50 ms", (50, 5), rotation=90, fontsize=8, ha="right", color=INK)
    axes.set_xlabel("ms beyond the deadline, tickets that the model never answers")
    axes.set_ylabel("% of them")
    return figure


CHARTS: dict[str, Callable[[Series], Any]] = {
    "calls": _calls, "hits": _hits, "rules": _rules, "startup": _startup, "deadline": _deadline,
}  # fmt: skip
