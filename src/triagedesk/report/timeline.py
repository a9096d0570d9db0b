"""Tickets over days, weekdays and hours: counts of fixed size, whatever dates the tickets bear."""

from __future__ import annotations

from collections.abc import Iterable

from triagedesk.report.groups import Capped
from triagedesk.report.zone import Period

MAX_DAYS = 20_000
"""So many different days are told apart: 54 years."""
TRIM = 0.005
"""Stray dates at the ends may be left out of charts: this share of tickets at most, where it halves the span."""
DAYS_A_WEEK, HOURS = 7, 24


class Daily:
    """Counts by day (as an ordinal of `date`) and word."""

    def __init__(self) -> None:
        self.days: dict[int, Capped] = {}
        self.lost = 0

    def count(self, day: int, word: str, times: int = 1) -> None:
        """Count a word on a day."""
        counted = self.days.get(day)
        if counted is None:
            if len(self.days) >= MAX_DAYS:
                self.lost += times
                return
            counted = self.days[day] = Capped()
        counted.count(word, times)

    def total(self, day: int) -> int:
        """Return what a day holds in all."""
        return sum(self.days.get(day, {}).values())

    def of(self, period: Period) -> dict[str, int]:
        """Return a period's counts by word."""
        found: dict[str, int] = {}
        for day in period.days():
            for word, times in self.days.get(day, {}).items():
                found[word] = found.get(word, 0) + times
        return found

    def span(self) -> tuple[int, int] | None:
        """Return the first and the last day that count, stray ones at the ends left out; None of no day."""
        return trimmed({day: sum(counted.values()) for day, counted in self.days.items()})


def trimmed(days: dict[int, int]) -> tuple[int, int] | None:
    """Return the span of days without strays: few tickets whose days stretch it to twice its length or more."""
    if not days:
        return None
    ordered = sorted(days)
    spare = int(TRIM * sum(days.values()))
    first, last = _from(ordered, days, spare), _from(reversed(ordered), days, spare)
    whole = ordered[-1] - ordered[0] + 1
    return (first, last) if last >= first and 2 * (last - first + 1) <= whole else (ordered[0], ordered[-1])


def _from(ordered: Iterable[int], days: dict[int, int], spare: int) -> int:
    """Return the day before which not more than half the spare tickets lie."""
    passed = 0
    day = 0
    for day in ordered:
        passed += days[day]
        if passed > spare / 2:
            break
    return day


class WeekHours:
    """Tickets by weekday (0 is Monday) and hour of the day."""

    def __init__(self) -> None:
        self.counts = [[0] * HOURS for _ in range(DAYS_A_WEEK)]

    def count(self, day: int, hour: int) -> None:
        """Count a ticket; `day` is an ordinal of `date`, whose 1 was a Monday."""
        self.counts[(day - 1) % DAYS_A_WEEK][hour] += 1
