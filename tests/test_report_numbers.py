"""The report's numbers, each against a computation of its own: pandas, scipy, or by hand."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from scipy import stats

from report_parts import DAYS, FIRST, PILE_UP, URGENCIES, rows, suggestion, ticket, write_batch, write_lines
from triagedesk.playbook import load_playbook
from triagedesk.report import Job, make_report
from triagedesk.report.groups import Share
from triagedesk.report.spikes import Series, find_spikes, tail
from triagedesk.report.zone import EARLIEST, Zone, chosen, periods

N = 3000
BERLIN = "Europe/Berlin"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Ten weeks of tickets with their suggestions."""
    return write_batch(tmp_path_factory.mktemp("batch"), N)


@pytest.fixture(scope="module")
def made(files: tuple[Path, Path]) -> dict[str, Any]:
    """All numbers of the report, by day and in Berlin's time."""
    return numbers(files[1], files[0], by="day", timezone=BERLIN)


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    """The same batch as a table of pandas."""
    told = []
    for came, said in rows(N):
        labels = {name: choice["label"] for name, choice in said["labels"].items()}
        due = said["response"]
        told.append(
            {**came, **labels, "first": due["first_response_due"], "resolution": due["resolution_due"],
             "breached": due["breached"], "queue": said["queue"], "review": said["needs_review"],
             "source": said["provenance"]["source"], "cost": said["provenance"]["cost_usd"]}
        )  # fmt: skip
    table = pd.DataFrame(told)
    for name in ("created_at", "first", "resolution"):
        table[name] = pd.to_datetime(table[name], utc=True, format="ISO8601")
    table["local"] = table["created_at"].dt.tz_convert(BERLIN)
    return table


def numbers(out: Path, tickets: Path | None, **more: Any) -> dict[str, Any]:
    """Return a report as JSON has it."""
    return make_report(Job(out, tickets, **more), load_playbook()).as_json()


def of_pairs(folder: Path, pairs: list[tuple[dict[str, Any], dict[str, Any]]], **more: Any) -> dict[str, Any]:
    """Return the report on a few tickets and their suggestions."""
    tickets = write_lines(folder / "in.jsonl", [came for came, _ in pairs])
    return numbers(write_lines(folder / "out.jsonl", [said for _, said in pairs]), tickets, **more)


def counted(table: list[dict[str, Any]], value: str = "tickets") -> dict[str, int]:
    """Return a table as name → count."""
    return {row["name"]: row[value] for row in table}


@pytest.mark.parametrize(
    ("key", "column"),
    [("urgency", "urgency"), ("issue_type", "issue_type"), ("escalation", "escalation"), ("channel", "channel"),
     ("tier", "customer_tier"), ("region", "region"), ("product", "product")],
)  # fmt: skip
def test_volumes_are_those_of_pandas(made: dict[str, Any], frame: pd.DataFrame, key: str, column: str) -> None:
    assert counted(made["sections"]["volumes"][key]) == frame[column].value_counts().to_dict()


def test_tickets_by_local_day_and_urgency_are_those_of_pandas(made: dict[str, Any], frame: pd.DataFrame) -> None:
    crossed = pd.crosstab(frame["local"].dt.date, frame["urgency"])
    table = made["sections"]["calendar"]["over_time"]
    assert len(table) == (crossed.index.max() - crossed.index.min()).days + 1
    told = {datetime.strptime(row["period"], "%a %d %b %Y").date(): row for row in table}
    for day, by_urgency in crossed.iterrows():
        row = told[day]
        assert {name: row[name] for name in URGENCIES} == by_urgency.to_dict()
        assert row["all"] == by_urgency.sum()


def test_tickets_by_weekday_and_hour_are_those_of_pandas(made: dict[str, Any], frame: pd.DataFrame) -> None:
    crossed = Counter(zip(frame["local"].dt.day_of_week, frame["local"].dt.hour, strict=True))
    table = made["sections"]["calendar"]["week_hours"]
    told = {(day, hour): row[f"{hour:02d}"] for day, row in enumerate(table) for hour in range(24)}
    assert {place: n for place, n in told.items() if n} == crossed


def test_issue_by_urgency_is_that_of_pandas(made: dict[str, Any], frame: pd.DataFrame) -> None:
    crossed = pd.crosstab(frame["issue_type"], frame["urgency"])
    for row in made["sections"]["volumes"]["issue_by_urgency"]:
        assert {name: row[name] for name in URGENCIES} == crossed.loc[row["issue_type"]].to_dict()


def test_past_due_and_review_shares_are_those_of_pandas(made: dict[str, Any], frame: pd.DataFrame) -> None:
    by_channel = frame.groupby("channel")["breached"].agg(["sum", "size"])
    for row in made["sections"]["sla"]["breached_by_channel"]:
        held = by_channel.loc[row["name"]]
        assert (row["breached"], row["tickets"]) == (held["sum"], held["size"])
        low, high = stats.binomtest(int(held["sum"]), int(held["size"])).proportion_ci(method="wilson")
        assert (row["share"]["low"], row["share"]["high"]) == pytest.approx((low, high))
    by_tier = frame.groupby("customer_tier")["review"].sum()
    for row in made["sections"]["people"]["by_tier"]:
        assert row["review"]["count"] == by_tier[row["name"]]


def test_what_falls_due_next_is_counted_from_the_newest_ticket(made: dict[str, Any], frame: pd.DataFrame) -> None:
    newest = frame["created_at"].max().floor("min")
    for row in made["sections"]["sla"]["ahead"]:
        column = frame["first" if row["what"] == "First responses" else "resolution"]
        until = (frame["created_at"].max() + timedelta(hours=int(row["within"].split()[0]))).floor("min")
        falling = frame[(column >= newest) & (column < until)]
        assert {name: row[name] for name in URGENCIES} == {
            name: int((falling["urgency"] == name).sum()) for name in URGENCIES
        }


def test_due_times_by_urgency_are_the_medians(made: dict[str, Any]) -> None:
    told = {row["urgency"]: (row["first_response"], row["resolution"]) for row in made["sections"]["sla"]["by_urgency"]}
    assert told == URGENCIES


def test_the_busiest_day_of_a_queue_is_that_of_pandas(made: dict[str, Any], frame: pd.DataFrame) -> None:
    by_day = frame.groupby(["queue", frame["local"].dt.date]).size()
    for row in made["sections"]["load"]["queues"][:5]:
        assert row["busiest"] == by_day[row["name"]].max()
        day = datetime.strptime(row["on"], "%a %d %b %Y").date()
        assert by_day[row["name"], day] == row["busiest"]


def test_money_is_what_model_answers_cost_and_the_cache_saved(made: dict[str, Any], frame: pd.DataFrame) -> None:
    told = {row["name"]: row["usd"] for row in made["sections"]["machine"]["money"]}
    paid = frame.loc[frame["source"] == "model", "cost"].sum()
    assert told["spent"] == pytest.approx(paid)
    assert told["per 1,000 tickets"] == pytest.approx(1000 * paid / len(frame))
    assert told["saved by the cache"] == pytest.approx(frame.loc[frame["source"] == "cache", "cost"].sum())
    assert made["figures"]["cost"] == pytest.approx(paid)


def test_headline_numbers_are_those_of_pandas(made: dict[str, Any], frame: pd.DataFrame) -> None:
    assert made["figures"] | {"cost": 0} == {
        "tickets": len(frame), "severe": (frame["urgency"] == "critical").sum(),
        "escalated": (frame["escalation"] != "none").sum(), "review": frame["review"].sum(),
        "breached": frame["breached"].sum(), "model": frame["source"].isin(["model", "cache"]).sum(), "cost": 0,
    }  # fmt: skip


def test_confidences_fall_into_the_bins_that_hold_them(made: dict[str, Any]) -> None:
    values = [said["labels"]["urgency"]["confidence"] for _, said in rows(N)]
    expected = Counter(min(int(round(value * 1000) // 50), 19) for value in values)
    told = {row["confidence"]: row["tickets"] for row in made["sections"]["machine"]["confidence_urgency_measured"]}
    assert told == {f"{5 * step}–{5 * step + 5} %": n for step, n in expected.items()}


def test_the_pile_up_is_told_once_by_the_series_that_explains_it(made: dict[str, Any]) -> None:
    (found,) = made["sections"]["problems"]["pile_ups"]
    first, last = ((FIRST + timedelta(days=day)).date() for day in PILE_UP)
    assert (found["issue_type"], found["product"], found["region"]) == ("billing_payment", "Router X", "DE")
    assert found["days"] == f"{first.day} {first:%b %Y} to {last.day} {last:%b %Y}"
    assert found["times"] > 10
    assert "billing payment, Router X, DE" in made["findings"][0]


def poisson(rng: random.Random, mean: float) -> int:
    """Return a draw from Poisson's distribution (Knuth)."""
    limit, n, product = 2.718281828459045**-mean, 0, rng.random()
    while product > limit:
        n, product = n + 1, product * rng.random()
    return n


def test_a_steady_desk_with_busy_mondays_has_no_pile_up() -> None:
    rng, alarms = random.Random(3), 0
    first = FIRST.date().toordinal()
    for _ in range(20):
        series = Series()
        for day in range(first, first + DAYS):
            for issue, mean in (("a", 30.0), ("b", 8.0), ("c", 2.0)):
                for _ in range(poisson(rng, mean * (1.6 if (day - first) % 7 == 0 else 0.9))):
                    series.count(day, issue, rng.choice("xyz"), rng.choice("uv"))
        alarms += len(find_spikes(series, first, first + DAYS - 1))
    assert alarms <= 1


@pytest.mark.parametrize("count", [0, 1, 5, 17, 60])
@pytest.mark.parametrize(("shape", "scale"), [(0.5, 1 / 28), (14.5, 1 / 28), (200.5, 1 / 4), (3.2, 1 / 7)])
def test_the_tail_is_the_negative_binomials(count: int, shape: float, scale: float) -> None:
    expected = stats.nbinom.sf(count - 1, shape, 1 / (1 + scale))
    assert tail(count, shape, scale) == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize(("hits", "n"), [(0, 5), (5, 5), (1, 3), (37, 1000), (999, 1000), (1, 1)])
def test_the_interval_of_a_share_is_wilsons(hits: int, n: int) -> None:
    found = stats.binomtest(hits, n).proportion_ci(method="wilson")
    assert Share(hits, n).interval == pytest.approx((found.low, found.high), abs=1e-12)


def test_nothing_of_nothing_has_no_share() -> None:
    assert (Share(0, 0).value, Share(0, 0).interval) == (None, (0.0, 1.0))


CLOCK_CHANGES = [
    pytest.param("2026-10-24T22:30:00Z", date(2026, 10, 25), 0, id="half-past-midnight-in-summer-time"),
    pytest.param("2026-10-25T00:30:00Z", date(2026, 10, 25), 2, id="half-past-two-the-first-time"),
    pytest.param("2026-10-25T01:30:00Z", date(2026, 10, 25), 2, id="half-past-two-the-second-time"),
    pytest.param("2026-10-25T23:30:00Z", date(2026, 10, 26), 0, id="midnight-in-winter-time"),
    pytest.param("2026-10-25T22:30:00Z", date(2026, 10, 25), 23, id="the-25th-hour-of-that-day"),
    pytest.param("2026-03-29T01:00:00Z", date(2026, 3, 29), 3, id="two-o-clock-does-not-exist"),
]


@pytest.mark.parametrize(("moment", "day", "hour"), CLOCK_CHANGES)
def test_days_and_hours_are_the_desks_when_clocks_change(moment: str, day: date, hour: int) -> None:
    at = datetime.fromisoformat(moment).timestamp()
    assert Zone(BERLIN).day_and_hour(at) == (day.toordinal(), hour)


@pytest.mark.parametrize("zone", ["Asia/Kathmandu", "Australia/Lord_Howe", "America/St_Johns"])
def test_zones_with_odd_offsets_are_those_of_pandas(zone: str) -> None:
    ours = Zone(zone)
    for moment in pd.date_range("2026-03-28", "2026-04-06", freq="17min", tz="UTC"):
        local = moment.tz_convert(zone)
        assert ours.day_and_hour(moment.timestamp()) == (local.date().toordinal(), local.hour)


def test_a_day_of_the_desk_is_not_a_day_of_utc(tmp_path: Path) -> None:
    at = datetime(2026, 10, 24, 22, 30, tzinfo=UTC)
    for zone, day in (("UTC", "Sat 24 Oct 2026"), (BERLIN, "Sun 25 Oct 2026")):
        made = of_pairs(tmp_path, [(ticket(1, at), suggestion(1, at))], timezone=zone)
        assert [row["period"] for row in made["sections"]["calendar"]["over_time"]] == [day]


def test_a_date_without_a_zone_is_utc_as_everywhere(tmp_path: Path) -> None:
    at = datetime(2026, 10, 24, 23, 59)
    made = of_pairs(tmp_path, [(ticket(1, at), suggestion(1, at))], timezone="UTC")
    assert made["period"] == "24 Oct 2026"


def spread(days: list[date]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    for number, day in enumerate(days):
        at = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
        yield ticket(number, at), suggestion(number, at)


def test_weeks_begin_on_monday_and_empty_ones_stand_there(tmp_path: Path) -> None:
    days = [date(2026, 1, 4), date(2026, 1, 5), date(2026, 1, 11), date(2026, 1, 19)]
    table = of_pairs(tmp_path, list(spread(days)), by="week")["sections"]["calendar"]["over_time"]
    assert [(row["period"], row["all"]) for row in table] == [
        ("week from 29 Dec 2025", 1), ("week from 5 Jan 2026", 2), ("week from 12 Jan 2026", 0),
        ("week from 19 Jan 2026", 1),
    ]  # fmt: skip


def test_months_are_calendar_months(tmp_path: Path) -> None:
    days = [date(2026, 1, 31), date(2026, 2, 1), date(2026, 2, 28), date(2026, 4, 1)]
    table = of_pairs(tmp_path, list(spread(days)), by="month")["sections"]["calendar"]["over_time"]
    assert [(row["period"], row["all"]) for row in table] == [
        ("January 2026", 1), ("February 2026", 2), ("March 2026", 0), ("April 2026", 1)
    ]  # fmt: skip


@pytest.mark.parametrize(("days", "by"), [(1, "day"), (62, "day"), (63, "week"), (420, "week"), (421, "month")])
def test_auto_takes_the_period_that_fits_a_chart(days: int, by: str) -> None:
    assert chosen("auto", 1, days) == by


def test_periods_cover_every_day_once() -> None:
    first, last = date(2023, 12, 30).toordinal(), date(2026, 3, 2).toordinal()
    for by in ("week", "month"):
        every = [day for period in periods(by, first, last) for day in period.days()]
        assert every == list(range(every[0], every[-1] + 1))
        assert every[0] <= first < last <= every[-1]


def test_a_stray_date_does_not_stretch_the_chart_and_is_told(tmp_path: Path) -> None:
    days = [date(2026, 5, 1) + timedelta(days=number % 20) for number in range(400)]
    made = of_pairs(tmp_path, [*spread([date(1999, 1, 1), *days])])
    table = made["sections"]["calendar"]["over_time"]
    assert (table[0]["period"], len(table)) == ("Fri 1 May 2026", 20)
    assert sum(row["all"] for row in table) == 400
    assert made["figures"]["tickets"] == 401


def test_a_moment_beyond_all_calendars_belongs_to_no_day(tmp_path: Path) -> None:
    assert Zone("UTC").day_and_hour(EARLIEST - 1) is None
    at = datetime(2026, 5, 1, tzinfo=UTC)
    early = datetime(1, 1, 1, tzinfo=UTC)
    made = of_pairs(tmp_path, [(ticket(1, early), suggestion(1, at)), (ticket(2, at), suggestion(2, at))])
    assert made["period"] == "1 May 2026"
    assert any(
        "Tickets without a usable created_at, not in the charts over time: 1." in line for line in made["warnings"]
    )


def test_a_promise_broken_on_arrival_is_told(tmp_path: Path) -> None:
    at = datetime(2026, 5, 1, 12, tzinfo=UTC)
    pairs = [(ticket(number, at, due_at=(at + timedelta(hours=hours)).isoformat()), suggestion(number, at))
             for number, hours in enumerate((-1, 1, 2, 3))]  # fmt: skip
    told = of_pairs(tmp_path, pairs)["warnings"]
    broken = "Tickets that arrived with a promise already broken: 1 (25\N{NO-BREAK SPACE}% of those with a due_at)."
    assert broken in told
