"""The clock counts what a desk counts, whatever the calendar, the season and the ticket's own time say."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from triagedesk.errors import PlaybookError
from triagedesk.playbook.terms import Calendar
from triagedesk.policy.sla import EARLIEST, LATEST, MAX_MINUTES, Clock, ClockName, holidays_of

BERLIN = ZoneInfo("Europe/Berlin")
KINDS: tuple[ClockName, ...] = ("always", "working_days", "business_hours", "off_peak")


def berlin(month: int, day: int, hour: int = 0, minute: int = 0, year: int = 2026) -> datetime:
    return datetime(year, month, day, hour, minute, tzinfo=BERLIN)


GERMAN = Calendar(timezone="Europe/Berlin", opens="08:00", closes="18:00", holidays="DE")


@pytest.mark.parametrize(
    ("kind", "start", "minutes", "due"),
    [
        pytest.param("always", berlin(11, 22, 10), 240, berlin(11, 22, 14), id="a Sunday counts around the clock"),
        pytest.param("business_hours", berlin(11, 20, 17), 120, berlin(11, 23, 9), id="Friday evening runs to Monday"),
        pytest.param("business_hours", berlin(11, 20, 17), 60, berlin(11, 20, 18), id="closing time is still in time"),
        pytest.param("business_hours", berlin(11, 21, 12), 0, berlin(11, 23, 8), id="no minutes mean the next opening"),
        pytest.param("business_hours", berlin(12, 24, 17), 120, berlin(12, 28, 9), id="Christmas and its weekend rest"),
        pytest.param("business_hours", berlin(12, 31, 17), 120, berlin(1, 4, 9, year=2027), id="New Year rests too"),
        pytest.param("working_days", berlin(11, 20, 12), 1440, berlin(11, 23, 12), id="a weekend is no working day"),
        pytest.param("working_days", berlin(11, 19, 12), 1440, berlin(11, 20, 12), id="midnight does not stop a day"),
        pytest.param("working_days", berlin(4, 2, 12), 1440, berlin(4, 7, 12), id="Easter takes four days"),
        pytest.param("off_peak", berlin(11, 23, 12), 60, berlin(11, 23, 19), id="off-peak starts when the desk closes"),
        pytest.param("off_peak", berlin(11, 23, 19), 14 * 60, berlin(11, 24, 19), id="off-peak skips the open hours"),
        pytest.param("off_peak", berlin(11, 21, 9), 480, berlin(11, 21, 17), id="the whole weekend is off-peak"),
        pytest.param("off_peak", berlin(12, 25, 9), 480, berlin(12, 25, 17), id="a holiday is off-peak"),
    ],
)
def test_minutes_are_counted_on_the_clock_named(kind: ClockName, start: datetime, minutes: int, due: datetime) -> None:
    assert Clock(GERMAN, kind).add(start, minutes) == due


@pytest.mark.parametrize(
    ("start", "hours"),
    [
        pytest.param(berlin(3, 28, 12), 23, id="the day of the spring change has 23 hours"),
        pytest.param(berlin(10, 24, 12), 25, id="the day of the autumn change has 25 hours"),
    ],
)
def test_noon_to_noon_across_a_clock_change_takes_the_hours_that_really_pass(start: datetime, hours: int) -> None:
    every_day = Calendar(timezone="Europe/Berlin", days=("mon", "tue", "wed", "thu", "fri", "sat", "sun"))
    due = Clock(every_day, "working_days").add(start, hours * 60)
    assert due.astimezone(BERLIN).replace(tzinfo=None) == start.replace(tzinfo=None) + timedelta(days=1)


def test_business_hours_keep_their_wall_clock_time_after_a_clock_change() -> None:
    due = Clock(GERMAN, "business_hours").add(berlin(10, 23, 17), 120)
    assert due.astimezone(BERLIN) == berlin(10, 26, 9)


calendars = st.builds(
    Calendar,
    timezone=st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe",
                              "America/Havana", "Pacific/Apia"]),
    days=st.sets(st.sampled_from(["mon", "tue", "wed", "thu", "fri", "sat", "sun"]), min_size=1, max_size=6).map(tuple),
    opens=st.sampled_from(["00:00", "02:30", "08:00", "09:15"]),
    closes=st.sampled_from(["10:30", "17:30", "24:00"]),
    holidays=st.sampled_from([None, "DE", "US", "US-NY", "GB-ENG"]),
)  # fmt: skip
kinds = st.sampled_from(KINDS)
starts = st.datetimes(datetime(2011, 6, 1), datetime(2028, 1, 1), timezones=st.just(UTC)).map(
    lambda moment: moment.replace(second=0, microsecond=0)
)
minutes_added = st.integers(0, 5 * 1440)


def counts(calendar: Calendar, kind: ClockName, moment: datetime) -> bool:
    """Say the slow and plain way whether the minute after `moment` counts."""
    local = moment.astimezone(ZoneInfo(calendar.timezone))
    names = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
    works = names[local.weekday()] in calendar.days
    if calendar.holidays is not None and local.date() in holidays_of(calendar.holidays, local.year):
        works = False
    is_open = works and calendar.opens <= f"{local:%H:%M}" < calendar.closes
    return {"always": True, "working_days": works, "business_hours": is_open, "off_peak": not is_open}[kind]


def counted(calendar: Calendar, kind: ClockName, start: datetime, minutes: int) -> datetime:
    """Count minute by minute."""
    moment, left = start, minutes
    while left or (minutes == 0 and not counts(calendar, kind, moment)):
        left -= bool(left) and counts(calendar, kind, moment)
        moment += timedelta(minutes=1)
    return moment


plain_zones = calendars.filter(lambda calendar: calendar.timezone in ("UTC", "Europe/Berlin", "America/New_York"))


@settings(max_examples=60, deadline=None)
@given(plain_zones.filter(lambda calendar: calendar.opens != "02:30"), kinds, starts, st.integers(0, 1200))
def test_the_clock_agrees_with_counting_minute_by_minute(
    calendar: Calendar, kind: ClockName, start: datetime, minutes: int
) -> None:
    assert Clock(calendar, kind).add(start, minutes) == counted(calendar, kind, start, minutes)


@settings(max_examples=150, deadline=None)
@given(calendars, kinds, starts, minutes_added, minutes_added)
def test_more_minutes_are_never_due_earlier(
    calendar: Calendar, kind: ClockName, start: datetime, one: int, other: int
) -> None:
    clock = Clock(calendar, kind)
    less, more = sorted((one, other))
    assert start <= clock.add(start, less) <= clock.add(start, more)


@settings(max_examples=150, deadline=None)
@given(calendars, kinds, starts, minutes_added)
def test_what_is_due_is_due_while_the_clock_runs_or_as_it_stops(
    calendar: Calendar, kind: ClockName, start: datetime, minutes: int
) -> None:
    clock = Clock(calendar, kind)
    due = clock.add(start, minutes)
    assert clock.runs_at(due) or clock.runs_at(due - timedelta(microseconds=1))


@settings(max_examples=100, deadline=None)
@given(calendars, kinds, starts, st.integers(1, 2000), st.integers(0, 2000))
def test_counting_in_two_goes_comes_to_the_same_moment(
    calendar: Calendar, kind: ClockName, start: datetime, one: int, other: int
) -> None:
    clock = Clock(calendar, kind)
    halfway = clock.add(start, one)
    assert clock.add(halfway, other) == clock.add(start, one + other) or other == 0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "start",
    [
        pytest.param(datetime.min.replace(tzinfo=UTC), id="the year one"),
        pytest.param(datetime.max.replace(tzinfo=UTC), id="the year 9999"),
        pytest.param(datetime.min.replace(tzinfo=ZoneInfo("Asia/Tokyo")), id="before the year one in UTC"),
        pytest.param(datetime.max.replace(tzinfo=ZoneInfo("America/New_York")), id="after the year 9999 in UTC"),
    ],
)
def test_a_date_out_of_this_world_is_moved_into_it(kind: ClockName, start: datetime) -> None:
    assert EARLIEST <= Clock(GERMAN, kind).add(start, 60) <= LATEST + timedelta(days=7)


def test_the_longest_target_is_reached_on_the_scarcest_clock() -> None:
    scarce = Calendar(days=("mon",), opens="09:00", closes="10:00")
    assert Clock(scarce, "business_hours").add(berlin(11, 20), MAX_MINUTES) > berlin(11, 20)


@pytest.mark.parametrize(
    ("calendar", "kind", "says"),
    [
        pytest.param({"timezone": "Mars/Olympus"}, "always", "unknown time zone", id="a time zone on Mars"),
        pytest.param({"timezone": "../etc/passwd"}, "always", "unknown time zone", id="a path for a time zone"),
        pytest.param({"opens": "18:00", "closes": "09:00"}, "always", "closing must come later", id="closing first"),
        pytest.param({"opens": "09:60"}, "always", "no time of day", id="sixty minutes past nine"),
        pytest.param({"closes": "24:01"}, "always", "no time of day", id="past the end of the day"),
        pytest.param({"days": ()}, "business_hours", "hardly runs", id="a desk that never opens"),
        pytest.param(
            {"days": ("mon", "tue", "wed", "thu", "fri", "sat", "sun"), "opens": "00:00", "closes": "24:00"},
            "off_peak", "hardly runs", id="a desk that never closes has no off-peak",
        ),
    ],
)  # fmt: skip
def test_an_unusable_calendar_is_refused_in_one_line(calendar: dict[str, object], kind: ClockName, says: str) -> None:
    with pytest.raises(PlaybookError, match=says) as refused:
        Clock(Calendar.model_validate(calendar), kind)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("code", ["ZZ", "DE-QQ", "12"])
def test_holidays_of_an_unknown_place_are_refused(code: str) -> None:
    with pytest.raises(PlaybookError, match="unknown place"):
        holidays_of(code, 2026)


def test_holidays_are_known_by_country_and_by_part() -> None:
    assert date(2026, 12, 25) in holidays_of("DE", 2026)
    assert date(2026, 1, 6) in holidays_of("DE-BY", 2026) - holidays_of("DE", 2026)
