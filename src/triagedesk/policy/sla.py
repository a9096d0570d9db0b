"""The SLA clock: minutes added on the time that counts, in a desk's time zone, across holidays and clock changes."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Literal
from zoneinfo import ZoneInfo

from triagedesk.errors import PlaybookError
from triagedesk.models import Response, Ticket
from triagedesk.playbook.document import Document
from triagedesk.playbook.terms import Calendar

ClockName = Literal["always", "working_days", "business_hours", "off_peak"]
Stretch = tuple[datetime, datetime]
"""Start and end, in UTC, of time that counts without a break; the end no longer counts."""

EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
LATEST = datetime(2200, 1, 1, tzinfo=UTC)
"""A start outside these is moved to the nearer one: no calendar means anything there, and dates must not overflow."""

DEFAULT_CALENDAR = "default"
MAX_MINUTES = 366 * 1440
"""The longest target that a clock counts, in minutes of its own time."""

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY = timedelta(days=1)
_LEAST_A_WEEK = timedelta(hours=1)
"""A clock that runs less than this in a week is taken for a slip: targets would lie years ahead."""


@lru_cache(maxsize=256)
def holidays_of(code: str, year: int) -> frozenset[date]:
    """Return the public holidays of a country ("DE") or one of its parts ("US-NY") in a year.

    Raises PlaybookError if the holidays library knows no such place.
    """
    import holidays  # lazy: it takes tens of milliseconds, and many playbooks never ask

    country, _, part = code.partition("-")
    try:
        return frozenset(holidays.country_holidays(country, subdiv=part or None, years=year))
    except NotImplementedError:
        raise PlaybookError(f"holidays: unknown place {code!r}; give a country code such as DE or US-NY") from None


class Clock:
    """One way of counting time in one calendar. Safe to share between threads.

    Raises PlaybookError for an unknown time zone, for hours that do not open before they close, and for a calendar
    in which this clock hardly runs.
    """

    def __init__(self, calendar: Calendar, kind: ClockName, *, where: str = "playbook") -> None:
        self.kind = kind
        self._zone = _zone(calendar.timezone, where)
        self._opens, self._closes = _offset(calendar.opens, where), _offset(calendar.closes, where)
        self._working = frozenset(_DAYS.index(day) for day in calendar.days)
        self._code = calendar.holidays
        if self._opens >= self._closes:
            raise PlaybookError(f"calendar opens {calendar.opens} and closes {calendar.closes}; "
                                "closing must come later on the same day", where=where)  # fmt: skip
        if self._in_a_week() < _LEAST_A_WEEK:
            raise PlaybookError(f"clock {kind!r} hardly runs in this calendar; mend its days or hours", where=where)
        self._of_day = lru_cache(maxsize=1024)(self._stretches)

    def _in_a_week(self) -> timedelta:
        """Return how long the clock runs in a week without holidays."""
        week, open_hours = 7 * _DAY, len(self._working) * (self._closes - self._opens)
        runs: dict[ClockName, timedelta] = {
            "always": week,
            "working_days": len(self._working) * _DAY,
            "business_hours": open_hours,
            "off_peak": week - open_hours,
        }
        return runs[self.kind]

    def add(self, start: datetime, minutes: int) -> datetime:
        """Return the moment, in UTC, at which `minutes` have been counted since `start`.

        A stretch's closing moment still is due in that stretch; with 0 minutes it is the first moment that counts.
        """
        left = timedelta(minutes=min(minutes, MAX_MINUTES))
        start = min(max(start, EARLIEST), LATEST).astimezone(UTC)
        if self.kind == "always":
            return start + left
        for opens, closes in self._from(start):
            begin = max(opens, start)
            if left <= closes - begin and begin < closes:
                return begin + left
            left -= max(closes - begin, timedelta(0))
        raise AssertionError("unreachable: days never end")

    def runs_at(self, moment: datetime) -> bool:
        """Say whether this clock counts the time right after `moment`."""
        if self.kind == "always":
            return True
        return any(opens <= moment < closes for opens, closes in self._of_day(moment.astimezone(self._zone).date()))

    def _from(self, start: datetime) -> Iterator[Stretch]:
        """Yield what counts from the day of `start` on, in order."""
        day = start.astimezone(self._zone).date()
        while True:
            yield from self._of_day(day)
            day += _DAY

    def _stretches(self, day: date) -> tuple[Stretch, ...]:
        works = day.weekday() in self._working and not self._is_holiday(day)
        if self.kind == "working_days":
            spans = [(timedelta(0), _DAY)] if works else []
        elif self.kind == "business_hours":
            spans = [(self._opens, self._closes)] if works else []
        else:
            spans = [(timedelta(0), self._opens), (self._closes, _DAY)] if works else [(timedelta(0), _DAY)]
        return tuple((self._utc(day, left), self._utc(day, right)) for left, right in spans if left < right)

    def _is_holiday(self, day: date) -> bool:
        if self._code is None:
            return False
        try:
            return day in holidays_of(self._code, day.year)
        except PlaybookError:  # an unknown place: `playbook check` tells, and no ticket goes unanswered for it
            return False

    def _utc(self, day: date, offset: timedelta) -> datetime:
        """Turn a wall-clock time into UTC; one that a clock change skips is read with the offset before it."""
        wall = datetime.combine(day, time.min) + offset
        return wall.replace(tzinfo=self._zone).astimezone(UTC)


def _zone(name: str, where: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise PlaybookError(f"unknown time zone {name[:80]!r}; give one such as Europe/Berlin", where=where) from None


def _offset(clock_time: str, where: str) -> timedelta:
    """Read "08:30" (up to "24:00") as the time since midnight."""
    hours, minutes = int(clock_time[:2]), int(clock_time[3:])
    offset = timedelta(hours=hours, minutes=minutes)
    if minutes > 59 or offset > _DAY:
        raise PlaybookError(f"{clock_time} is no time of day; give 00:00 to 24:00", where=where)
    return offset


class Agreement:
    """How fast each urgency is answered, by tier, channel and region. Clocks are made once.

    Raises PlaybookError when an urgency has no target, a target is longer than 366 days, or a calendar is unusable.
    """

    def __init__(self, document: Document, *, where: str = "playbook") -> None:
        self._document = document
        for urgency in document.dimensions["urgency"].names:
            target = document.targets.get(urgency)
            if target is None:
                raise PlaybookError(f"targets: urgency {urgency!r} has none; give it one", where=where)
            if max(target.first_response, target.resolution) > MAX_MINUTES:
                raise PlaybookError(f"targets: {urgency!r} is longer than 366 days", where=where)
        calendars = document.calendars or {DEFAULT_CALENDAR: Calendar()}
        kinds = {target.clock for target in document.targets.values()}
        self._clocks = {
            (region.upper(), kind): Clock(calendar, kind, where=where)
            for region, calendar in calendars.items()
            for kind in kinds
        }
        self._default = next((name for name in calendars if name == DEFAULT_CALENDAR), next(iter(calendars))).upper()
        self._codes = {calendar.holidays for calendar in calendars.values() if calendar.holidays}

    def warm_up(self, now: datetime) -> None:
        """Read every calendar's holidays of this year and the next. Raises PlaybookError for an unknown place."""
        for code in self._codes:
            for year in (now.year, now.year + 1):
                holidays_of(code, year)

    def response(self, urgency: str, ticket: Ticket, now: datetime, *, overdue: bool = False) -> Response:
        """Return when a ticket is due, counted from `created_at` (else now), and whether a due time has passed."""
        start = ticket.created_at or now
        target = self._document.targets[urgency]
        factor = self._factor(ticket)
        clock = self._clock(ticket.region, target.clock)
        first = clock.add(start, _scaled(target.first_response, factor))
        return Response(
            first_response_due=first,
            resolution_due=clock.add(start, _scaled(target.resolution, factor)),
            breached=overdue or first < now,
        )

    def _factor(self, ticket: Ticket) -> float:
        tier = self._document.tiers.get(ticket.customer_tier or "")
        channel = self._document.channels.get(ticket.channel or "")
        return (tier.target_factor if tier else 1.0) * (channel.target_factor if channel else 1.0)

    def _clock(self, region: str | None, kind: ClockName) -> Clock:
        """Find the calendar of a region ("DE", "de-BY"), else the default one."""
        name = (region or "").strip().upper()
        country = name.replace("_", "-").partition("-")[0]
        clocks = self._clocks
        return clocks.get((name, kind)) or clocks.get((country, kind)) or clocks[self._default, kind]


def _scaled(minutes: int, factor: float) -> int:
    """Scale a target; no target but nought falls under a minute."""
    return max(round(minutes * factor), min(minutes, 1))
