"""What falls due when: by day, in the next hours, and how long after arrival."""

from __future__ import annotations

from triagedesk.report.lines import Due
from triagedesk.report.timeline import Daily
from triagedesk.report.zone import EARLIEST, LATEST, Zone, epoch

WINDOWS_H = (1, 4, 8, 24, 72)
"""How many hours after the newest ticket the report looks."""
MINUTE_S, HOUR_S = 60, 3600
MAX_MINUTES = 60_000
"""So many minutes with their urgencies are held: ten days of four urgencies, each minute of them."""
FIRST, RESOLUTION = "first_response", "resolution"


class Ahead:
    """Due times by minute and urgency, as far as they may still lie ahead of the newest ticket."""

    def __init__(self) -> None:
        self._counts: dict[tuple[int, str], int] = {}
        self.lost = 0

    def count(self, due: float, urgency: str, newest: float | None) -> None:
        """Count a due time; those that the newest ticket has passed are forgotten when room is short."""
        key = (int(due // MINUTE_S), urgency)
        if key not in self._counts and len(self._counts) >= MAX_MINUTES:
            self._make_room(newest)
        self._counts[key] = self._counts.get(key, 0) + 1

    def _make_room(self, newest: float | None) -> None:
        passed = (newest or EARLIEST) // MINUTE_S
        ahead = sorted(key for key in self._counts if key[0] >= passed)
        kept = ahead[: MAX_MINUTES // 2]
        self.lost += len(ahead) - len(kept)
        self._counts = {key: self._counts[key] for key in kept}

    def within(self, now: float, hours: int) -> dict[str, int]:
        """Return by urgency what falls due from the minute of `now` on, so many hours long."""
        first = int(now // MINUTE_S)
        last = int((now + hours * HOUR_S) // MINUTE_S)
        found: dict[str, int] = {}
        for (minute, urgency), times in self._counts.items():
            if first <= minute < last:
                found[urgency] = found.get(urgency, 0) + times
        return found


class Times:
    """Durations in whole minutes, coarser the longer: exact to 1 minute up to 2 h, to a quarter of an hour beyond."""

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}

    def count(self, seconds: float) -> None:
        """Count a duration; one below nought or beyond two years is a slip of the data."""
        minutes = round(seconds / MINUTE_S)
        if 0 <= minutes < 2 * 366 * 1440:
            step = minutes if minutes <= 120 else minutes // 15 * 15
            self._counts[step] = self._counts.get(step, 0) + 1

    def quantile(self, share: float) -> int | None:
        """Return the duration in minutes that this share does not exceed; None of nothing."""
        total, passed = sum(self._counts.values()), 0
        for minutes in sorted(self._counts):
            passed += self._counts[minutes]
            if passed >= share * total:
                return minutes
        return None


class Dues:
    """The due times of all suggestions."""

    def __init__(self, zone: Zone) -> None:
        self._zone = zone
        self.by_day = {FIRST: Daily(), RESOLUTION: Daily()}
        self.ahead = {FIRST: Ahead(), RESOLUTION: Ahead()}
        self.allowed: dict[str, dict[str, Times]] = {}

    def count(self, response: Due, urgency: str, created: float | None, newest: float | None) -> None:
        """Count a suggestion's two due times."""
        for name, moment in ((FIRST, response.first_response_due), (RESOLUTION, response.resolution_due)):
            due = epoch(moment)
            place = self._zone.day_and_hour(due)
            if place is None:
                continue
            self.by_day[name].count(place[0], urgency)
            self.ahead[name].count(due, urgency, newest)
            if created is not None and EARLIEST <= created < LATEST:
                self._allowed(name, urgency).count(due - created)

    def _allowed(self, name: str, urgency: str) -> Times:
        times = self.allowed.setdefault(name, {})
        if urgency not in times and len(times) >= 100:
            urgency = ""
        return times.setdefault(urgency, Times())
