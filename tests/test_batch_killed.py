"""A batch killed with SIGKILL, again and again, ends as if it had not been: nothing lost, nothing asked twice."""

from __future__ import annotations

import csv
import gzip
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from batch_parts import Forks, Said, forks, model_server, write_tickets

KILLS = 20
CONCURRENCY = 4
ROWS = 100
FRESH = ("source", "attempts", "tokens", "cost_usd", "elapsed_ms")
"""What an answer's provenance says of how this run came by it."""


@pytest.fixture(scope="module")
def forking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forks]:
    with forks(tmp_path_factory.mktemp("forks") / "stderr") as running:
        yield running


def killed_again_and_again(forking: Forks, *argv: str, seed: int, **env: Any) -> int:
    """Run the command until it ends by itself, killed at random steps up to twenty times; returns how often."""
    steps = random.Random(seed)
    for kills in range(KILLS):
        code = forking.run(*argv, kill_at=steps.randint(1, 10), **env)
        if code != -9:
            assert code == 1, forking.said
            return kills
    assert forking.run(*argv, **env) == 1, forking.said
    return KILLS


def records(target: Path) -> list[dict[str, Any]]:
    """Read OUT as plain data, without what differs between any two runs."""
    if target.suffix == ".parquet":
        rows: list[dict[str, Any]] = pq.read_table(target).to_pylist()
        return [{**row, "elapsed_ms": 0} for row in rows]
    if target.suffix == ".gz":
        with gzip.open(target, "rt", newline="") as table:
            return [{**row, "elapsed_ms": 0} for row in csv.DictReader(table)]
    lines = [json.loads(line) for line in target.read_bytes().splitlines()]
    return [{**line, "provenance": {**line["provenance"], "elapsed_ms": 0}} for line in lines]


def settled(record: dict[str, Any]) -> dict[str, Any]:
    """Leave out how this run came by the answer."""
    told = record.get("provenance", record)
    kept = {name: value for name, value in told.items() if name not in FRESH and not name.endswith("_tokens")}
    return {**record, "provenance": kept} if "provenance" in record else kept


def leftovers(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name.startswith("out"))


WAYS = [
    pytest.param("out.jsonl", (), id="in-order"),
    pytest.param("out.jsonl", ("--unordered",), id="as-they-finish"),
    pytest.param("out.parquet", (), id="parquet"),
]


@pytest.mark.parametrize(("name", "more"), [*WAYS, pytest.param("out.csv.gz", (), id="packed-csv")])
def test_rules_alone_end_with_the_same_bytes(tmp_path: Path, forking: Forks, name: str, more: tuple[str, ...]) -> None:
    source = write_tickets(tmp_path / "in.jsonl", ROWS)
    whole, target = tmp_path / "whole" / name, tmp_path / name
    whole.parent.mkdir()
    base = ("batch", str(source), "--model", "rules", *more)
    assert forking.run(*base, str(whole)) == 1, forking.said
    kills = killed_again_and_again(forking, *base, str(target), seed=7)
    assert kills >= 10
    assert records(target) == records(whole)
    errors = f"{name}.errors.jsonl"
    assert (tmp_path / errors).read_bytes() == (whole.parent / errors).read_bytes()
    assert leftovers(tmp_path) == sorted([name, errors])


@pytest.mark.parametrize(
    ("name", "more"),
    [
        pytest.param("out.jsonl", (), id="in-order"),
        pytest.param("out.jsonl", ("--unordered", "--no-cache"), id="as-they-finish-without-cache"),
        pytest.param("out.parquet", (), id="parquet"),
    ],
)
def test_with_a_model_nothing_acknowledged_is_lost_or_asked_again(
    tmp_path: Path, forking: Forks, name: str, more: tuple[str, ...]
) -> None:
    source = write_tickets(tmp_path / "in.jsonl", ROWS)
    whole, target = tmp_path / "whole" / name, tmp_path / name
    whole.parent.mkdir()
    slow = random.Random(3)
    with model_server(lambda _: Said(after_s=slow.choice((0.0, 0.002, 0.02)))) as server:
        argv = ("batch", str(source), "--base-url", server.address, "--concurrency", str(CONCURRENCY), *more)
        assert forking.run(*argv, str(whole), XDG_CACHE_HOME=str(tmp_path / "one")) == 1, forking.said
        questions = sorted(server.asked)
        assert len(set(questions)) == len(questions)  # those that come again are asked once
        server.asked.clear()
        kills = killed_again_and_again(forking, *argv, str(target), seed=11, XDG_CACHE_HOME=str(tmp_path / "two"))
        again = len(server.asked) - len(set(server.asked))
    assert kills >= 10
    assert set(server.asked) == set(questions)
    assert again <= kills * CONCURRENCY
    got, expected = (sorted(records(path), key=lambda record: record["ticket_id"]) for path in (target, whole))
    if "--unordered" not in more:
        assert [record["ticket_id"] for record in records(target)] == [f"t{n}" for n in range(ROWS) if n % 7 != 3]
    assert [settled(record) for record in got] == [settled(record) for record in expected]
    assert leftovers(tmp_path) == sorted([name, f"{name}.errors.jsonl"])
