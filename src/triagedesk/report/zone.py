"""Days and hours where the desk stands, and the periods that they are gathered in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from triagedesk.errors import ConfigError

By = Literal["day", "week", "month", "auto"]
EARLIEST = datetime(1970, 1, 2, tzinfo=UTC).timestamp()
LATEST = datetime(2200, 1, 1, tzinfo=UTC).timestamp()
"""A moment outside these is a slip of the data and belongs to no day."""
MOST_DAYS, MOST_WEEKS = 62, 60
"""`auto` takes days up to so many, then weeks up to so many, then months."""
QUARTER_S = 900
"""Every zone's offset is a whole number of quarters of an hour (tz database, since 1970)."""
MAX_KNOWN = 50_000


class Zone:
    """A time zone. Raises ConfigError for an unknown name."""

    def __init__(self, name: str) -> None:
        try:
            self._info = ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ConfigError(f"--timezone: {name!r} is no time zone; give one such as Europe/Berlin") from None
        self.name = name
        self._known: dict[int, tuple[int, int]] = {}

    def day_and_hour(self, at: float) -> tuple[int, int] | None:
        """Return the local day (as an ordinal of `date`) and hour of a moment in s since 1970; None for no moment."""
        if not EARLIEST <= at < LATEST:
            return None
        quarter = int(at // QUARTER_S)
        known = self._known.get(quarter)
        if known is None:
            if len(self._known) >= MAX_KNOWN:
                self._known.clear()
            local = datetime.fromtimestamp(quarter * QUARTER_S, self._info)
            known = self._known[quarter] = (local.toordinal(), local.hour)
        return known

    def told(self, at: float) -> str:
        """Return a moment as "10 Nov 2026, 14:05 CET"."""
        local = datetime.fromtimestamp(at, self._info)
        return f"{day_text(local.date())}, {local:%H:%M %Z}"


def epoch(moment: datetime) -> float:
    """Return a moment in s since 1970. One without a zone is UTC, as everywhere in triagedesk."""
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def day_text(day: date) -> str:
    """Return a day as "3 Nov 2026"."""
    return f"{day.day} {day:%b %Y}"


@dataclass(frozen=True)
class Period:
    """A day, a week from Monday on, or a month. `short` is for an axis."""

    first: date
    last: date
    name: str
    short: str

    def days(self) -> range:
        """Return its days as ordinals."""
        return range(self.first.toordinal(), self.last.toordinal() + 1)


def chosen(by: By, first: int, last: int) -> Literal["day", "week", "month"]:
    """Return what "auto" means for a span of days."""
    if by != "auto":
        return by
    days = last - first + 1
    if days <= MOST_DAYS:
        return "day"
    return "week" if days <= 7 * MOST_WEEKS else "month"


def periods(by: Literal["day", "week", "month"], first: int, last: int) -> list[Period]:
    """Return the periods that cover two days and all between, empty ones included."""
    made = {"day": _days, "week": _weeks, "month": _months}[by]
    return list(made(date.fromordinal(first), date.fromordinal(last)))


def _days(first: date, last: date) -> Iterator[Period]:
    for ordinal in range(first.toordinal(), last.toordinal() + 1):
        day = date.fromordinal(ordinal)
        yield Period(day, day, f"{day:%a} {day_text(day)}", f"{day.day} {day:%b}")


def _weeks(first: date, last: date) -> Iterator[Period]:
    monday = first - timedelta(days=first.weekday())
    while monday <= last:
        sunday = monday + timedelta(days=6)
        yield Period(monday, sunday, f"week from {day_text(monday)}", f"{monday.day} {monday:%b}")
        monday += timedelta(days=7)


def _months(first: date, last: date) -> Iterator[Period]:
    day = first.replace(day=1)
    while day <= last:
        following = (day + timedelta(days=31)).replace(day=1)
        yield Period(day, following - timedelta(days=1), f"{day:%B %Y}", f"{day:%b %y}")
        day = following
