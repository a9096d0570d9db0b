"""How a batch asks a model: at the server's pace, again where it was only busy, once what is the same, for so much."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from batch_parts import ModelServer, Said, model_server
from triagedesk import deskfiles
from triagedesk.batch import Job, Tally, run_batch
from triagedesk.batch.asker import TRIES
from triagedesk.batch.pace import FIRST, PATIENCE
from triagedesk.cache.holder import is_gone, new_holder
from triagedesk.desk import open_desk
from triagedesk.errors import ConfigError
from triagedesk.playbook import load_playbook
from triagedesk.settings import Settings

PRICES = {"price_prompt": 1.0, "price_completion": 1.0}
A_TICKET_USD = 1290 / 1_000_000
"""What the server's 1,200 and 90 tokens cost at these prices."""


@pytest.fixture(autouse=True, scope="module")
def _one_playbook() -> Iterator[None]:
    """Load the playbook once for all these tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(deskfiles, "load_playbook", cache(load_playbook))
        yield


def write(path: Path, bodies: list[str]) -> Path:
    path.write_text(
        "".join(json.dumps({"id": f"t{number}", "body": body}) + "\n" for number, body in enumerate(bodies))
    )
    return path


def questions(count: int) -> list[str]:
    return [f"Order {number} has not come" for number in range(count)]


def batch(
    server: ModelServer, source: Path, target: Path, *, settings: dict[str, Any] | None = None, **options: Any
) -> Tally:
    """Run a batch with a real desk against the server."""
    given: dict[str, Any] = {
        "base_url": server.address, "cache_dir": target.parent / "cache", "max_concurrency": 64, "deadline_s": 20.0,
        "breaker_probe_s": 0.1, **(settings or {}),
    }  # fmt: skip
    options = {"concurrency": None, **options}

    async def work() -> Tally:
        async with open_desk(Settings(**given)) as desk:
            return await run_batch(desk, Job(source, target, **options))

    return asyncio.run(work())


def sources_of(target: Path) -> Counter[str]:
    return Counter(json.loads(line)["provenance"]["source"] for line in target.read_bytes().splitlines())


def a_quota(each: int, seconds: float) -> Callable[[int], Said]:
    """Answer so many questions, then refuse so many times, and so on: a server with a limit."""

    def decide(number: int) -> Said:
        if number % (each + 2) >= each:
            return Said(429, {"retry-after-ms": f"{seconds * 1000:.0f}"})
        return Said(after_s=0.002)

    return decide


@pytest.mark.parametrize("concurrency", [pytest.param(None, id="auto"), pytest.param(16, id="fixed")])
def test_a_server_that_limits_its_rate_answers_every_row_in_the_end(tmp_path: Path, concurrency: int | None) -> None:
    source, target = write(tmp_path / "in.jsonl", questions(60)), tmp_path / "out.jsonl"
    with model_server(a_quota(20, 0.05)) as server:
        tally = batch(server, source, target, concurrency=concurrency)
    assert server.refused >= 4
    assert tally.sources == {"model": 60}
    assert Counter(server.asked).most_common(1)[0][1] == 1


def test_a_server_that_is_always_busy_is_not_waited_for_without_end(tmp_path: Path) -> None:
    source, target = write(tmp_path / "in.jsonl", questions(40)), tmp_path / "out.jsonl"
    with model_server(lambda _: Said(429, {"retry-after": "0.01"})) as server:
        tally = batch(server, source, target, settings={"breaker_probe_s": 0.02})
    assert (tally.answered, tally.sources["model"]) == (40, 0)
    assert set(tally.fallbacks) <= {"rate_limited", "breaker_open"}
    assert TRIES <= tally.asked_again <= 4 * PATIENCE  # a few rows patiently, then no more


def test_an_empty_account_is_no_reason_to_wait(tmp_path: Path) -> None:
    source, target = write(tmp_path / "in.jsonl", questions(40)), tmp_path / "out.jsonl"
    with model_server(lambda _: Said(401)) as server:
        tally = batch(server, source, target, settings={"breaker_probe_s": 5.0})
    assert (tally.asked_again, tally.answered, tally.sources["model"]) == (0, 40, 0)
    assert tally.seconds < 5


def test_what_the_headers_say_is_left_holds_the_batch_before_it_is_refused(tmp_path: Path) -> None:
    """The server allows ten requests a window and would refuse the eleventh: the batch never sends it."""
    source, target = write(tmp_path / "in.jsonl", questions(30)), tmp_path / "out.jsonl"
    left = [10]

    def decide(number: int) -> Said:
        left[0] = 10 if left[0] == 0 else left[0]
        left[0] -= 1
        told = {"x-ratelimit-remaining-requests": str(left[0]), "x-ratelimit-reset-requests": "30ms"}
        return Said(headers=told, after_s=0.001)

    with model_server(decide) as server:
        tally = batch(server, source, target, concurrency=1)
    assert tally.sources == {"model": 30}
    assert tally.seconds >= 2 * 0.03
    assert server.refused == 0


def test_auto_keeps_as_many_in_flight_as_a_local_server_has_slots(tmp_path: Path) -> None:
    source, target = write(tmp_path / "in.jsonl", questions(30)), tmp_path / "out.jsonl"
    with model_server(lambda _: Said(after_s=0.005), {"/props": {"total_slots": 3}}) as server:
        batch(server, source, target)
    assert server.most_in_flight == 3


def test_auto_finds_out_that_a_server_bears_more_than_it_began_with(tmp_path: Path) -> None:
    source, target = write(tmp_path / "in.jsonl", questions(150)), tmp_path / "out.jsonl"
    with model_server(lambda _: Said(after_s=0.05)) as server:
        batch(server, source, target)
    assert 2 * FIRST <= server.most_in_flight <= 64


@pytest.mark.parametrize("keeps", [pytest.param(True, id="cache"), pytest.param(False, id="no-cache")])
def test_the_same_question_is_asked_once_and_counted(tmp_path: Path, keeps: bool) -> None:
    source, target = (
        write(tmp_path / "in.jsonl", ["same", "other", "same", "same", "other"] * 6),
        tmp_path / "out.jsonl",
    )
    with model_server(lambda _: Said(after_s=0.01)) as server:
        tally = batch(server, source, target, settings={"cache": keeps, **PRICES})
    assert sorted(server.asked) == ["other", "same"]
    assert (tally.same_question, tally.sources) == (28, {"model": 2, "cache": 28})
    assert tally.cost_usd == pytest.approx(2 * A_TICKET_USD)


def test_words_that_are_the_same_without_personal_data_are_paid_once(tmp_path: Path) -> None:
    bodies = [f"Call me at +49 30 9018 {number:04}, my card was charged twice" for number in range(2000, 2006)]
    source, target = write(tmp_path / "in.jsonl", bodies), tmp_path / "out.jsonl"
    with model_server(lambda _: Said(after_s=0.05)) as server:
        tally = batch(server, source, target, settings=PRICES, concurrency=6)
    assert len(server.asked) == 1
    assert tally.cost_usd == pytest.approx(A_TICKET_USD)


def test_a_limit_stops_cleanly_and_a_higher_one_goes_on(tmp_path: Path) -> None:
    source, target = write(tmp_path / "in.jsonl", questions(40)), tmp_path / "out.jsonl"
    with model_server(lambda _: Said(after_s=0.002)) as server:
        options: dict[str, Any] = {"settings": PRICES, "concurrency": 4}
        first = batch(server, source, target, max_cost_usd=9.5 * A_TICKET_USD, **options)
        assert first.stopped
        assert len(server.asked) == 10  # the tenth reaches the limit; nothing else was in flight any more
        assert first.answered == len(server.asked) == len(target.read_bytes().splitlines())
        same = batch(server, source, target, max_cost_usd=9.5 * A_TICKET_USD, **options)
        assert (same.stopped, same.answered) == (True, 0)
        assert same.spent_usd == pytest.approx(first.answered * A_TICKET_USD)
        last = batch(server, source, target, max_cost_usd=1.0, **options)
    assert not last.stopped
    assert last.spent_usd == pytest.approx(40 * A_TICKET_USD)
    assert Counter(server.asked).most_common(1)[0][1] == 1
    assert len(target.read_bytes().splitlines()) == 40
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "in.jsonl", "out.jsonl"]


@pytest.mark.parametrize("concurrency", [pytest.param(None, id="auto"), pytest.param(64, id="fixed")])
def test_a_limit_is_not_passed_by_more_than_a_question_however_many_may_be_in_flight(
    tmp_path: Path, concurrency: int | None
) -> None:
    source, target = write(tmp_path / "in.jsonl", questions(200)), tmp_path / "out.jsonl"
    together: list[int] = []

    def decide(number: int) -> Said:
        together.append(server.in_flight)
        return Said(after_s=0.02)

    with model_server(decide) as server:
        tally = batch(server, source, target, settings=PRICES, concurrency=concurrency,
                      max_cost_usd=39.5 * A_TICKET_USD)  # fmt: skip
    assert tally.stopped
    assert tally.spent_usd == pytest.approx(40 * A_TICKET_USD)
    assert together[:2] == [0, 0]  # until a price is known they go one by one
    assert server.most_in_flight >= FIRST  # and then side by side


def test_a_price_of_nothing_holds_nobody_back(tmp_path: Path) -> None:
    source, target = write(tmp_path / "in.jsonl", questions(60)), tmp_path / "out.jsonl"
    with model_server(lambda _: Said(after_s=0.02)) as server:
        free = {"price_prompt": 0.0, "price_completion": 0.0}
        tally = batch(server, source, target, settings=free, concurrency=16, max_cost_usd=0.01)
    assert (tally.stopped, tally.answered) == (False, 60)
    assert server.most_in_flight >= 12


def test_a_limit_without_prices_is_refused(tmp_path: Path) -> None:
    source = write(tmp_path / "in.jsonl", questions(1))
    with model_server(lambda _: Said()) as server, pytest.raises(ConfigError, match="TRIAGEDESK_PRICE_PROMPT"):
        batch(server, source, tmp_path / "out.jsonl", max_cost_usd=1.0)
    assert server.asked == []


def test_a_batch_is_judged_at_the_moment_it_began_also_when_it_goes_on_later(tmp_path: Path) -> None:
    source, target = write(tmp_path / "in.jsonl", questions(20)), tmp_path / "out.jsonl"
    with model_server(lambda _: Said()) as server:
        batch(server, source, target, settings=PRICES, concurrency=2, max_cost_usd=5 * A_TICKET_USD)
        batch(server, source, target, settings=PRICES, concurrency=2)
    due = {json.loads(line)["response"]["first_response_due"] for line in target.read_bytes().splitlines()}
    assert len(due) == 1


def test_a_holder_that_was_killed_is_gone_and_a_living_or_foreign_one_is_not() -> None:
    made = subprocess.run(
        [sys.executable, "-c", "from triagedesk.cache.holder import new_holder; print(new_holder())"],
        capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    ).stdout.strip()  # fmt: skip
    assert is_gone(made)
    assert not is_gone(new_holder())
    assert not is_gone(made.replace("pid:[", "pid:[9"))  # numbers of another container
    assert not any(map(is_gone, ("", "0123456789abcdef", "a b c", None)))
