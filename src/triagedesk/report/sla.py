"""The SLA picture: what is past due, what falls due when, and how much time tickets have."""

from __future__ import annotations

from collections.abc import Iterator

from triagedesk.report import charts
from triagedesk.report.blocks import Block, Cell, Chart, Column, Kind, Missing, Section, Table, spoken
from triagedesk.report.calendar import NEED_DATES
from triagedesk.report.due import FIRST, RESOLUTION, WINDOWS_H
from triagedesk.report.groups import NOT_GIVEN, OTHERS, Grouping, Share
from triagedesk.report.tally import Tally
from triagedesk.report.timeline import Daily
from triagedesk.report.volumes import GIVE_TICKETS, urgencies
from triagedesk.report.zone import Period, periods

MOST_ROWS = 14
DAYS_BEFORE, DAYS_SHOWN = 7, 31
DUE_NAMES = {FIRST: "First responses", RESOLUTION: "Resolutions"}
PAST_DUE = (
    "Past due means that the first response was due before the batch ran, or that the ticket says so itself. OUT does "
    "not know what was answered since: of a history, nearly all is past due."
)


def section(tally: Tally) -> Section:
    """Return due times and what is past due."""
    return Section("sla", "Service levels", PAST_DUE, tuple(_blocks(tally)), (), tuple(_due_charts(tally)))


def _blocks(tally: Tally) -> Iterator[Block]:
    yield _by_urgency(tally)
    if tally.newest is None:
        need = NEED_DATES if tally.joined else GIVE_TICKETS
        yield Missing("What falls due in the next hours: no time of arrival is known.", need)
    else:
        yield _ahead(tally, tally.newest)
    yield from _past_due(tally)


def _by_urgency(tally: Tally) -> Table:
    """Return by urgency what is past due, and in how long it is due."""
    groups = tally.labels["urgency"].groups if "urgency" in tally.labels else {}
    rows: list[tuple[Cell, ...]] = []
    for name in urgencies(tally):
        group = groups.get(name)
        if group is not None:
            times = (tally.dues.allowed.get(each, {}).get(name) for each in (FIRST, RESOLUTION))
            middle = [None if found is None else found.quantile(0.5) for found in times]
            rows.append((name, group.n, group.breached, Share(group.breached, group.n), *middle))
    columns = (
        Column("urgency", "urgency", "label"), Column("tickets", "tickets"), Column("breached", "past due"),
        Column("breached_share", "share", "share"), Column("first_response", "first response within", "minutes"),
        Column("resolution", "resolution within", "minutes"),
    )  # fmt: skip
    note = "Within: the median time from arrival to due time, nights and holidays that do not count included."
    return Table("by_urgency", "By urgency", columns, tuple(rows), note if tally.dated else "", wide=True)


def _ahead(tally: Tally, newest: float) -> Table:
    levels = urgencies(tally)
    rows: list[tuple[Cell, ...]] = []
    for name, title in DUE_NAMES.items():
        for hours in WINDOWS_H:
            found = tally.dues.ahead[name].within(newest, hours)
            rows.append((title, f"{hours} h", *(found.get(level, 0) for level in levels), sum(found.values())))
    columns = (Column("what", "falls due", "text"), Column("within", "within", "text"),
               *(Column(level, spoken(level)) for level in levels), Column("all", "all"))  # fmt: skip
    note = f"Counted from the newest ticket, {tally.zone.told(newest)}. Each line includes the one above."
    return Table("ahead", "What falls due next", columns, tuple(rows), note, wide=True)


def _past_due(tally: Tally) -> Iterator[Block]:
    whole = Share(tally.whole.breached, tally.n)
    if not whole.hits:
        yield Missing("Nothing is past due.", "Shares by tier, channel and queue are left out.")
        return
    named = (("tier", "customer tier"), ("channel", "channel"))
    for name, title in named:
        found = tally.trait(name)
        if found is not None:
            yield _shares(f"breached_by_{name}", f"Past due by {title}", found, whole)
    yield _shares("breached_by_queue", "Past due by queue", tally.queues, whole, kind="text")


def _shares(key: str, title: str, grouping: Grouping, whole: Share, *, kind: Kind = "label") -> Chart:
    ranked = [each for each in grouping.ranked() if each[0] not in (OTHERS, NOT_GIVEN)][:MOST_ROWS]
    rows = [(name, Share(group.breached, group.n)) for name, group in ranked]
    columns = (Column("name", "", kind), Column("tickets", "tickets"), Column("breached", "past due"),
               Column("share", "share", "share"))  # fmt: skip
    left = len(grouping.groups) - len(rows)
    note = f"{left} others are not shown." if left > 0 else ""
    table = Table(key, title, columns, tuple((name, share.n, share.hits, share) for name, share in rows), note)
    label = f"{title}, in percent, with 95 % intervals"
    draw = charts.shares if kind == "label" else charts.wide_shares
    return Chart(table, draw(key, label, rows, whole, "past due, %"))


def _due_charts(tally: Tally) -> Iterator[Block]:
    levels = urgencies(tally)
    for name, title in DUE_NAMES.items():
        daily = tally.dues.by_day[name]
        shown = _days_due(tally, daily)
        if not shown:
            continue
        series = [(level, [daily.of(period).get(level, 0) for period in shown]) for level in levels]
        heading = f"{title} due by day and urgency"
        columns = (Column("period", "day", "date"), *(Column(level, spoken(level)) for level in levels))
        rows: list[tuple[Cell, ...]] = [
            (period.name, *(values[place] for _, values in series)) for place, period in enumerate(shown)
        ]
        table = Table(f"{name}_due", heading, columns, tuple(rows), f"From {shown[0].name} on.")
        colours = charts.level_colours(len(levels))
        yield Chart(table, charts.stacked(name, heading, [period.short for period in shown], series, colours, 2.6))


def _days_due(tally: Tally, daily: Daily) -> list[Period]:
    """Return the days around the newest ticket, without one the last days on which anything is due."""
    span = daily.span()
    if span is None:
        return []
    newest = tally.zone.day_and_hour(tally.newest) if tally.newest is not None else None
    first = max(span[0], newest[0] - DAYS_BEFORE if newest else span[1] - DAYS_SHOWN + 1)
    last = min(span[1], first + DAYS_SHOWN - 1)
    return periods("day", first, last) if first <= last else []
