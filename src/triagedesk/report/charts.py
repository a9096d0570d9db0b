"""The charts of a report: bars over time, hours of the week, shares with intervals, confidences."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_rgba
from matplotlib.ticker import MaxNLocator

from triagedesk.pages.drawing import ACCENT, BAND, INK, KINDS, LEVELS, MUTED, WARN, Draw, drawn
from triagedesk.pages.words import visible
from triagedesk.report.blocks import cut, spoken
from triagedesk.report.groups import Share

WIDE_IN, NARROW_IN = 11.2, 5.0
TICKS = {WIDE_IN: 14, NARROW_IN: 6}
MAX_LEVELS = len(LEVELS)
LABEL_CHARS = 26
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
DARKEST = 0.92


def name_text(word: str, most: int = LABEL_CHARS) -> str:
    """Return a name as it may stand in a chart: short, on one line, nothing unseen."""
    return visible(cut(" ".join(word.split()), most))


def level_colours(levels: int) -> list[str]:
    """Return a colour for each of so many ordered labels, spread from the most severe to the least."""
    if levels <= 1:
        return [LEVELS[0]]
    places = {4: (0, 1, 3, 5), 3: (0, 1, 5), 2: (0, 5)}.get(levels)
    return [LEVELS[place] for place in places] if places else [LEVELS[min(i, MAX_LEVELS - 1)] for i in range(levels)]


def kind_colours(kinds: int) -> list[str]:
    """Return a colour for each of so many names without an order."""
    return [KINDS[min(place, len(KINDS) - 1)] for place in range(kinds)]


@dataclass(frozen=True)
class Drawing:
    """A chart that is drawn when the page is made. `draw` takes the width in inches.

    A wide one is drawn for wide and for narrow screens; the page shows the one that fits.
    """

    key: str
    label: str
    height_in: float
    draw: Callable[[float], Draw]
    wide: bool = True

    def svgs(self) -> tuple[Markup, ...]:
        """Return the chart as inline SVG, one or two."""
        if not self.wide:
            return (drawn(self.key, self.label, self.height_in, self.draw(NARROW_IN)),)
        sizes = ((WIDE_IN, "wide"), (NARROW_IN, "narrow"))
        return tuple(
            drawn(self.key + shown[0], self.label, self.height_in, self.draw(width), width_in=width, shown=shown)
            for width, shown in sizes
        )


def stacked(
    key: str, label: str, names: Sequence[str], series: Sequence[tuple[str, Sequence[int]]], colours: Sequence[str],
    height_in: float = 3.0,
) -> Drawing:  # fmt: skip
    """Draw stacked bars over periods; the first series stands at the bottom."""

    def draw(width: float) -> Draw:
        return lambda axes: _stack(axes, names, series, colours, TICKS[width])

    return Drawing(key, label, height_in, draw)


def _stack(
    axes: Axes, names: Sequence[str], series: Sequence[tuple[str, Sequence[int]]], colours: Sequence[str], ticks: int
) -> None:
    base = np.zeros(len(names))
    for (name, values), colour in zip(series, colours, strict=True):
        heights = np.asarray(values, dtype=np.float64)
        axes.bar(
            range(len(names)), heights, 0.86, bottom=base, color=colour, linewidth=0, label=name_text(spoken(name))
        )
        base += heights
    time_axis(axes, names, ticks)
    axes.set_ylim(0, max(float(base.max(initial=0)) * 1.06, 1))
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=min(len(series), 3 if ticks < 10 else 6),
                handlelength=0.9, handleheight=0.9, borderaxespad=0.2, columnspacing=1.2)  # fmt: skip


def time_axis(axes: Axes, names: Sequence[str], ticks: int) -> None:
    """Name every n-th period, and lay quiet lines behind the bars."""
    step = max(-(-len(names) // ticks), 1)
    places = list(range(0, len(names), step))
    axes.set_xticks(places, [names[place] for place in places])
    axes.set_xlim(-0.6, len(names) - 0.4)
    axes.yaxis.set_major_locator(_whole_numbers())
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.grid(visible=True, axis="y", color=BAND, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines["left"].set_visible(False)
    axes.tick_params(length=0)


def _whole_numbers() -> MaxNLocator:
    return MaxNLocator(nbins=5, integer=True, min_n_ticks=1)


def week_hours(key: str, counts: Sequence[Sequence[int]]) -> Drawing:
    """Draw weekdays × hours; the darker, the more tickets."""
    most = max((max(row) for row in counts), default=0) or 1

    def draw(width: float) -> Draw:
        return lambda axes: _week(axes, counts, most, 1 if width == WIDE_IN else 3)

    return Drawing(key, "Tickets by weekday and hour of arrival", 2.5, draw)


def _box(day: int, hour: int) -> list[tuple[float, float]]:
    left, right, top, bottom = hour + 0.03, hour + 0.97, day - 0.45, day + 0.45
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


def _week(axes: Axes, counts: Sequence[Sequence[int]], most: int, step: int) -> None:
    cells = [_box(day, hour) for day in range(len(counts)) for hour in range(24)]
    strength = [DARKEST * tickets / most for row in counts for tickets in row]
    axes.add_collection(PolyCollection(cells, facecolors=BAND, linewidths=0))
    axes.add_collection(PolyCollection(cells, facecolors=[to_rgba(ACCENT, each) for each in strength], linewidths=0))
    axes.set_yticks(range(7), DAYS)
    axes.set_ylim(6.5, -0.5)
    axes.set_xlim(0, 24)
    axes.set_xticks([hour + 0.5 for hour in range(0, 24, step)], [str(hour) for hour in range(0, 24, step)])
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)


Rows = Sequence[tuple[str, Share]]


def shares(key: str, label: str, rows: Rows, whole: Share, axis: str) -> Drawing:
    """Draw each share with its 95 % interval, and the share of all as a line."""
    told = [(name_text(spoken(name)), share) for name, share in rows]
    return Drawing(key, label, 0.9 + 0.27 * len(rows), lambda _: _shares(told, whole, axis), wide=False)


def wide_shares(key: str, label: str, rows: Rows, whole: Share, axis: str) -> Drawing:
    """Draw shares of long names, as they are spelled."""

    def draw(width: float) -> Draw:
        most = 2 * LABEL_CHARS if width == WIDE_IN else LABEL_CHARS
        return _shares([(name_text(name, most), share) for name, share in rows], whole, axis)

    return Drawing(key, label, 0.9 + 0.24 * len(rows), draw)


def _shares(rows: Rows, whole: Share, axis: str) -> Draw:
    turned = list(reversed(rows))

    def draw(axes: Axes) -> None:
        for place, (_, share) in enumerate(turned):
            low, high = share.interval
            colour = WARN if low > (whole.value or 0) else ACCENT
            axes.plot([low, high], [place, place], color=colour, linewidth=1.6)
            axes.plot([share.value or 0], [place], "o", color=colour, markersize=5)
        axes.axvline(whole.value or 0, color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
        axes.set_yticks(range(len(turned)), [name for name, _ in turned])
        axes.set_ylim(-0.6, len(turned) - 0.4)
        _share_axis(axes, max(share.interval[1] for _, share in rows), f"{axis}; dashed: all tickets")

    return draw


def _share_axis(axes: Axes, most: float, title: str) -> None:
    axes.set_xlim(0, min(max(most * 1.05, 0.05), 1.0))
    axes.xaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f}")
    axes.set_xlabel(title)
    axes.grid(visible=True, axis="x", color=BAND, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines["left"].set_visible(False)
    axes.tick_params(length=0)


def spike(key: str, label: str, names: Sequence[str], values: Sequence[int], flagged: range) -> Drawing:
    """Draw a series by day; the days that stand out in the colour of warnings."""

    def draw(axes: Axes) -> None:
        colours = [WARN if place in flagged else KINDS[-1] for place in range(len(values))]
        axes.bar(range(len(values)), values, 0.86, color=colours, linewidth=0)
        time_axis(axes, names, 5)

    return Drawing(key, label, 1.9, lambda _: draw, wide=False)


def bins(key: str, label: str, values: Sequence[int]) -> Drawing:
    """Draw how many answers have which confidence."""

    def draw(axes: Axes) -> None:
        width = 1 / len(values)
        axes.bar(
            [(place + 0.5) * width for place in range(len(values))], values, width * 0.9, color=ACCENT, linewidth=0
        )
        axes.set_xlim(0, 1)
        axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "25", "50", "75", "100"])
        axes.set_xlabel("confidence, %", color=INK)
        axes.yaxis.set_major_locator(_whole_numbers())
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        axes.grid(visible=True, axis="y", color=BAND, linewidth=0.8)
        axes.set_axisbelow(True)
        axes.spines["left"].set_visible(False)
        axes.tick_params(length=0)

    return Drawing(key, label, 2.1, lambda _: draw, wide=False)
