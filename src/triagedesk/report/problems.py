"""What comes again: days on which a kind of ticket piled up, and words that many tickets share."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from triagedesk.report import charts
from triagedesk.report.blocks import Block, Cell, Chart, Column, Missing, Section, Table, cut, spoken
from triagedesk.report.calendar import NEED_DATES, Calendar
from triagedesk.report.groups import Share
from triagedesk.report.phrases import MIN_TICKETS, Phrase, Phrases
from triagedesk.report.spikes import MIN_PAST_DAYS, Key, Spike, find_spikes
from triagedesk.report.tally import Tally
from triagedesk.report.volumes import GIVE_TICKETS
from triagedesk.report.zone import day_text

MOST_SPIKES, DRAWN_SPIKES, MOST_PHRASES, MOST_FORMS = 15, 4, 12, 3
DRAWN_DAYS = 60
TREND_WEEKS = 12


def spikes_of(tally: Tally, calendar: Calendar) -> list[Spike]:
    """Return the pile-ups, the largest first."""
    return find_spikes(tally.series, *calendar.span) if calendar.span else []


def section(tally: Tally, calendar: Calendar, spikes: list[Spike]) -> Section:
    """Return pile-ups and common words."""
    note = (
        "Pile-ups are days on which far more tickets of one kind came than its own past promises. Words are shown "
        f"only when at least {MIN_TICKETS} tickets share them; personal data in them is replaced by placeholders."
    )
    return Section("problems", "What keeps coming back", note, tuple(_blocks(tally, calendar, spikes)))


def _blocks(tally: Tally, calendar: Calendar, spikes: list[Spike]) -> Iterator[Block]:
    yield from _pile_ups(tally, calendar, spikes)
    last = calendar.span[1] if calendar.span else None
    named = (
        (tally.quotes, "quotes", "Words that decided, by number of tickets", "quote"),
        (tally.subjects, "subjects", "Subjects that come again", "subject"),
        (tally.sentences, "reasons", "Reasons given for the urgency", "reason"),
    )
    for phrases, key, title, heading in named:
        table = _phrases(phrases, key, title, heading, tally, last)
        if table.rows:
            yield table
    if not tally.quotes.common(1):
        yield Missing("Words that many tickets share.", f"No quote stands in {MIN_TICKETS} tickets or more.")


def _pile_ups(tally: Tally, calendar: Calendar, spikes: list[Spike]) -> Iterator[Block]:
    if calendar.span is None:
        yield Missing("Pile-ups: no time of arrival is known.", NEED_DATES if tally.joined else GIVE_TICKETS)
    elif calendar.span[1] - calendar.span[0] < MIN_PAST_DAYS:
        yield Missing("Pile-ups.", f"A day is judged by at least {MIN_PAST_DAYS} days before it; these are fewer.")
    elif not spikes:
        yield Missing("No pile-up.", "On no day did an issue type come far more often than its own past promises.")
    else:
        yield spike_table(spikes)
        yield from (_drawn(tally, calendar, place, spike) for place, spike in enumerate(spikes[:DRAWN_SPIKES]))


def spike_table(spikes: list[Spike]) -> Table:
    """Return the pile-ups with what was expected."""
    rows: list[tuple[Cell, ...]] = [
        (days_text(spike.first, spike.last), *(part or "all" for part in spike.key), spike.tickets,
         round(spike.expected, 1), round(spike.times, 1))
        for spike in spikes[:MOST_SPIKES]
    ]  # fmt: skip
    columns = (
        Column("days", "days", "date"), Column("issue_type", "issue type", "label"),
        Column("product", "product", "text"),
        Column("region", "region", "text"), Column("tickets", "tickets"), Column("expected", "expected", "number"),
        Column("times", "times", "number"),
    )  # fmt: skip
    left = len(spikes) - len(rows)
    note = "Expected is the mean of the 28 days before, or of the same weekday in them where that is greater."
    return Table("pile_ups", "Pile-ups", columns, tuple(rows), f"{note} {left} smaller ones are not shown."
                 if left > 0 else note, wide=True)  # fmt: skip


def days_text(first: int, last: int) -> str:
    """Return "Tue 10 Nov 2026" or "10 Nov 2026 to 12 Nov 2026"."""
    start, end = date.fromordinal(first), date.fromordinal(last)
    return f"{start:%a} {day_text(start)}" if first == last else f"{day_text(start)} to {day_text(end)}"


def kind_text(key: Key) -> str:
    """Return what a series holds: "billing_payment, Router X, DE"."""
    return ", ".join(cut(part, 40) for part in (spoken(key[0]), *key[1:]) if part)


def _drawn(tally: Tally, calendar: Calendar, place: int, spike: Spike) -> Chart:
    assert calendar.span is not None  # or there were no spikes
    first = max(calendar.span[0], spike.last - DRAWN_DAYS + 8)
    last = min(calendar.span[1], first + DRAWN_DAYS - 1)
    counts = tally.series.days[spike.key]
    values = [counts.get(day, 0) for day in range(first, last + 1)]
    names = [f"{date.fromordinal(day).day} {date.fromordinal(day):%b}" for day in range(first, last + 1)]
    rows = tuple((days_text(day, day), n) for day, n in zip(range(first, last + 1), values, strict=True))
    title = f"{kind_text(spike.key)}: {days_text(spike.first, spike.last)}"
    table = Table(f"pile_up_{place + 1}", title, (Column("day", "day", "date"), Column("tickets", "tickets")), rows)
    flagged = range(spike.first - first, spike.last - first + 1)
    return Chart(table, charts.spike(f"spike{place}", f"Tickets by day, {title}", names, values, flagged))


def _phrases(phrases: Phrases, key: str, title: str, heading: str, tally: Tally, last: int | None) -> Table:
    merged = phrases.merged(MOST_PHRASES) if key == "quotes" else [[each] for each in phrases.common(MOST_PHRASES)]
    rows = [_row(row, last) for row in merged]
    columns = (
        Column(heading, heading, "text"), Column("tickets", "tickets"), Column("severe", spoken(tally.severe), "share"),
        Column("issue_type", "mostly", "label"), Column("examples", "for example", "text"),
        *((Column("weeks", f"last {TREND_WEEKS} weeks", "trend"),) if last is not None else ()),
    )  # fmt: skip
    return Table(key, title, columns, tuple(rows), " ".join(_notes(phrases, merged)), wide=True)


def _notes(phrases: Phrases, merged: list[list[Phrase]]) -> Iterator[str]:
    if any(len(row) > 1 for row in merged):
        yield "Words that contain one another share a row; its numbers are those of the first, the commonest."
    if phrases.missed > 0:
        yield f"Counts may be up to {phrases.missed:,} too low: rare words were forgotten on the way."


def _row(row: list[Phrase], last: int | None) -> tuple[Cell, ...]:
    phrase = row[0]
    told: tuple[Cell, ...] = (
        cut(" · ".join(each.form for each in row[:MOST_FORMS]), 90), phrase.n, Share(phrase.urgent, phrase.n),
        phrase.issue, ", ".join(cut(each, 24) for each in phrase.examples[:2]),
    )  # fmt: skip
    if last is None:
        return told
    newest = (last - 1) // 7
    return (*told, tuple(phrase.weeks.get(week, 0) for week in range(newest - TREND_WEEKS + 1, newest + 1)))
