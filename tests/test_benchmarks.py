"""The benchmarks' own machinery: who drops out is named, what is computed is right and the same each time."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from triagedesk.classifiers.answer import answer_model
from triagedesk.playbook import load_playbook

FOLDER = Path(__file__).parents[1] / "benchmarks"
STEADY = """
import asyncio, sys
sys.path.insert(0, {folder!r})
from contest import Stopwatch, play
async def prepare():
    async def turn(asked):
        watch = Stopwatch()
        {body}
        return watch.per(asked["calls"])
    {before}
    return turn
asyncio.run(play(prepare))
"""


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Import modules of the benchmarks, and forget them afterwards."""
    monkeypatch.syspath_prepend(str(FOLDER))
    before = set(sys.modules)
    yield import_module
    for name in set(sys.modules) - before:
        if getattr(sys.modules[name], "__file__", None) and str(FOLDER) in str(sys.modules[name].__file__):
            del sys.modules[name]


def contestant(folder: Path, name: str, *, body: str = "pass", before: str = "pass") -> list[str]:
    """Write a program that takes part in a contest."""
    script = folder / f"{name}.py"
    script.write_text(STEADY.format(folder=str(FOLDER), body=body, before=before), "utf-8")
    return [sys.executable, str(script)]


def test_a_contestant_that_fails_is_named_with_the_reason_and_the_others_go_on(tmp_path: Path, bench: Any) -> None:
    given = {
        "steady": contestant(tmp_path, "steady", body="sum(range(100_000))"),
        "chatty": contestant(tmp_path, "chatty", body="print('noise on standard output')"),
        "not installed": contestant(tmp_path, "missing", before="import a_library_that_is_not_there"),
        "never there": [str(tmp_path / "no-python")],
        "dies": contestant(tmp_path, "dies", body="import os; os._exit(3)"),
        "hangs": contestant(tmp_path, "hangs", body="import time; time.sleep(60)"),
        "breaks": contestant(tmp_path, "breaks", body="raise ValueError('of no use')"),
    }
    with bench("contest").contest(given) as held:
        held.round({"calls": 10}, 3.0, keep=False)
        held.round({"calls": 10}, 3.0)
        spent = held.take("cpu_us")

    assert {name: len(values) for name, values in spent.items()} == {"steady": 1, "chatty": 1}
    assert spent["steady"][0] > 0
    assert held.absent == {
        "not installed": "ModuleNotFoundError: No module named 'a_library_that_is_not_there'",
        "never there": "No such file or directory", "dies": "it ended with 3", "hangs": "no answer in 3 s",
        "breaks": "ValueError: of no use",
    }  # fmt: skip


def test_every_rival_is_locked_by_hash_and_no_registry_is_named(bench: Any) -> None:
    rivals = bench("rivals")
    lock = rivals.LOCK.read_text("utf-8")
    found = list(rivals.requirements(lock))

    assert len(found) > 50
    assert all("==" in each and "--hash=sha256:" in each for each in found)
    assert "://" not in lock


@pytest.mark.parametrize("entries", [2_000, 20_000, 10**9], ids=["hardly-any-room", "some-room", "all-the-room"])
def test_the_hit_rate_by_formula_is_that_of_drawn_requests(entries: int, bench: Any) -> None:
    import numpy as np

    scale = bench("scale")
    told = {"templates": 5_000, "zipf": 1.05, "ttl_days": 1e6, "cache_entries": entries}
    drawn = scale.drawn_hit_rate(0.4, np.random.default_rng(3), entries, 5_000, 1.05)

    assert scale.hit_rate(1.0, 0.4, told) == pytest.approx(drawn, abs=0.01)


def test_a_day_is_the_same_for_the_same_seed_and_loses_no_ticket(tmp_path: Path, bench: Any) -> None:
    scale = bench("scale")
    told, ours = scale.load(), scale.measured(tmp_path)
    cases = [scale.Case(1e5, 0.3, "none", 1e12, 1e18), scale.Case(1e5, 0.3, "tight", 60, 1e18)]
    free, tight = scale.simulate(cases, told, ours)

    assert scale.simulate(cases, told, ours) == [free, tight]
    assert free.calls == pytest.approx(1e5 * (1 - free.hit_rate), rel=0.02)
    assert free.rules < 0.001
    assert 0.3 < tight.rules < 1 - tight.hit_rate  # one a second goes through, at night all of them
    assert tight.calls + tight.rules * 1e5 == pytest.approx(1e5 * (1 - tight.hit_rate), rel=0.02)


def test_what_people_wrote_around_the_tables_stays(tmp_path: Path, bench: Any) -> None:
    report, page = bench("report"), tmp_path / "page.md"
    page.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n", "utf-8")
    report.replace(page, "new")
    report.replace(page, "newer")

    assert page.read_text("utf-8") == f"before\n{report.BEGIN}\nnewer\n{report.END}\nafter\n"


def test_a_missed_goal_says_why_and_a_part_that_did_not_run_says_so(bench: Any) -> None:
    report, figures = bench("report"), bench("figures")
    outcome = figures.Outcome(
        [figures.Figure("P11", "memory", 3.0, "×", 1.3), figures.Figure("P7", "hostile", 0.2, "ms", 10)]
    )
    result = {"date": "2026-11-22", "machine": "2 cores", "outcome": outcome.as_json()}
    told = "\n".join(report.goals({"startup": result, "rules": {"part": "rules", "problem": "not done within 1 s"}}))

    assert "| P11 | memory | ≤ 1.3 | ≤ 1.1 | 3.00 × | **missed** | FastAPI, SQLAlchemy" in told
    assert "| P7 | hostile | ≤ 10 ms | ≤ 1 ms | 0.20 ms | met |" in told
    assert "| P1 | CPU of a cold ticket, whole pipeline, × `.parse` | ≤ 0.50 | ≤ 0.30 | not measured |" in told
    assert "Did not run: not done within 1 s." in report.page(
        {"rules": {"part": "rules", "problem": "not done within 1 s"}}, {}
    )


def test_instructor_finds_nothing_to_walk_in_the_response_model() -> None:
    """It goes through all fields, and all that is below them, four times a call: that was a tenth of a cold ticket."""
    model = answer_model(load_playbook())

    assert not model.model_fields
    assert set(model.model_json_schema()["required"]) >= {"urgency", "issue_type", "escalation"}
