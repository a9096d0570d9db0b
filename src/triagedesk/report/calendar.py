"""When it came: tickets over time by urgency, and by hour of the week."""

from __future__ import annotations

from collections.abc import Sequence

from triagedesk.report import charts
from triagedesk.report.blocks import Block, Cell, Chart, Column, Missing, Section, Table, spoken
from triagedesk.report.tally import Tally
from triagedesk.report.timeline import Daily
from triagedesk.report.volumes import GIVE_TICKETS, urgencies
from triagedesk.report.zone import By, Period, chosen, periods

NEED_DATES = "Give the tickets a created_at, in ISO 8601."
MOST_BARS = 400
"""A chart shows so many periods at most, the newest."""
OUTSIDE = "Tickets dated before or after the span shown: "


class Calendar:
    """The periods that a tally's charts share. `span` is None where no ticket has a date."""

    def __init__(self, tally: Tally, by: By) -> None:
        self.span = tally.by_day.span()
        self.by = chosen(by, *self.span) if self.span else "day"
        self.periods: list[Period] = periods(self.by, *self.span)[-MOST_BARS:] if self.span else []

    @property
    def names(self) -> list[str]:
        """Return what stands under the bars."""
        return [period.short for period in self.periods]

    def series(self, daily: Daily, words: Sequence[str]) -> list[tuple[str, list[int]]]:
        """Return each word's counts by period."""
        counted = [daily.of(period) for period in self.periods]
        return [(word, [each.get(word, 0) for each in counted]) for word in words]

    def table(self, key: str, title: str, series: Sequence[tuple[str, Sequence[int]]], note: str = "") -> Table:
        """Return the numbers of a chart over time."""
        columns = (
            Column("period", self.by, "date"),
            *(Column(word, spoken(word)) for word, _ in series),
            Column("all", "all"),
        )
        rows: list[tuple[Cell, ...]] = [
            (period.name, *(values[place] for _, values in series), sum(values[place] for _, values in series))
            for place, period in enumerate(self.periods)
        ]
        return Table(key, title, columns, tuple(rows), note)


def section(tally: Tally, calendar: Calendar) -> Section:
    """Return tickets over time."""
    note = f"Days and hours are those of {tally.zone.name}, by the time of arrival."
    return Section("calendar", "When it came", note, tuple(_blocks(tally, calendar)))


def _blocks(tally: Tally, calendar: Calendar) -> list[Block]:
    if not calendar.periods:
        need = NEED_DATES if tally.joined else GIVE_TICKETS
        return [Missing("Tickets over time, and by hour of the week: no time of arrival is known.", need)]
    return [_over_time(tally, calendar), _week(tally)]


def _over_time(tally: Tally, calendar: Calendar) -> Chart:
    levels = urgencies(tally)
    series = calendar.series(tally.by_day, levels)
    inside = sum(sum(values) for _, values in series)
    outside = tally.dated - inside
    note = f"{OUTSIDE}{outside:,}." if outside else ""
    table = calendar.table("over_time", f"Tickets by {calendar.by} and urgency", series, note)
    drawing = charts.stacked("time", table.title, calendar.names, series, charts.level_colours(len(levels)), 3.2)
    return Chart(table, drawing)


def _week(tally: Tally) -> Chart:
    counts = tally.week_hours.counts
    columns = (Column("weekday", "weekday", "text"), *(Column(f"{hour:02d}", f"{hour:02d}") for hour in range(24)))
    rows: tuple[tuple[Cell, ...], ...] = tuple((name, *row) for name, row in zip(charts.DAYS, counts, strict=True))
    table = Table("week_hours", "Tickets by weekday and hour of arrival", columns, rows, shaded=True)
    return Chart(table, charts.week_hours("week", counts))
