"""A prepaid batch whose state is damaged or whose provider is odd: one line that helps, and nothing is paid twice."""

from __future__ import annotations

import errno
import json
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from batch_api_parts import Ran, good, run_through
from fake_batch_api import Batch, FakeBatchApi, fake_batch_api
from triagedesk.errors import ConfigError

Damage = Callable[[Path], object]


@pytest.fixture
def api() -> Iterator[FakeBatchApi]:
    """A provider that answers everything."""
    with fake_batch_api() as made:
        made.says = good
        yield made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "out.jsonl.batch-api"


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[FakeBatchApi, Path]]:
    """The state of a run that stopped once its batch was at the provider, and that provider."""
    folder = tmp_path_factory.mktemp("begun") / "out.jsonl.batch-api"
    with fake_batch_api() as api:
        api.says = good
        api.faults = {"GET /batches/*": [400]}
        with pytest.raises(ConfigError, match="nothing is lost"):
            run_through(api.base_url, folder)
        yield api, folder


def questions(statement: str) -> Damage:
    def damage(folder: Path) -> None:
        connection = sqlite3.connect(folder / "questions.db", isolation_level=None)
        connection.execute(statement)
        connection.close()

    return damage


def line(number: int, **changed: Any) -> Damage:
    """Change a line of the journal; None takes a field away."""

    def damage(folder: Path) -> None:
        path = folder / "journal.jsonl"
        lines = [json.loads(text) for text in path.read_text().splitlines()]
        told = {**lines[number], **changed}
        lines[number] = {name: value for name, value in told.items() if value is not None}
        path.write_text("".join(f"{json.dumps(one)}\n" for one in lines))

    return damage


DAMAGES: dict[str, Damage] = {
    "questions-are-no-database": lambda folder: (folder / "questions.db").write_bytes(b"garbage" * 1000),
    "questions-are-empty": lambda folder: (folder / "questions.db").write_bytes(b""),
    "questions-are-gone": lambda folder: (folder / "questions.db").unlink(),
    "one-question-is-gone": questions("DELETE FROM questions WHERE id = (SELECT MIN(id) FROM questions)"),
    "another-table": questions("ALTER TABLE questions DROP COLUMN attempts"),
    "an-answer-of-another-shape": questions("UPDATE questions SET answer = '{\"x\": 1}'"),
    "an-answer-that-is-no-json": questions("UPDATE questions SET answer = 'Sure!'"),
    "an-answer-without-labels": questions('UPDATE questions SET answer = \'{"said": {}, "model": "m"}\''),
    "a-reason-that-there-is-none": questions("UPDATE questions SET reason = 'because'"),
    "attempts-that-are-no-number": questions("UPDATE questions SET reason = 'timeout', attempts = 'many'"),
    "the-journal-is-empty": lambda folder: (folder / "journal.jsonl").write_bytes(b""),
    "the-journal-is-gone": lambda folder: (folder / "journal.jsonl").unlink(),
    "the-journal-is-no-text": lambda folder: (folder / "journal.jsonl").write_bytes(b"\xff\xfe\n"),
    "a-line-is-a-list": lambda folder: (folder / "journal.jsonl").write_text("[1]\n"),
    "no-secret": line(0, secret=None),
    "a-secret-that-is-no-hex": line(0, secret="zz"),
    "no-identity": line(0, identity=None),
    "no-event": line(1, event=None),
    "an-event-that-there-is-none": line(1, event="dreamt"),
    "parts-without-their-sizes": line(1, parts=[[1]]),
    "parts-of-words": line(1, parts=["one"]),
    "a-part-that-was-not-planned": line(2, part=7),
    "a-batch-without-a-name": line(-1, batch=None),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_damaged_state_is_refused_in_one_line_and_nothing_is_paid_anew(
    begun: tuple[FakeBatchApi, Path], folder: Path, damage: Damage
) -> None:
    api, state = begun
    shutil.copytree(state, folder)
    damage(folder)
    with pytest.raises(ConfigError, match=r"is damaged.*put it back as it was, or fetch or cancel its batches") as told:
        run_through(api.base_url, folder)
    assert str(told.value).startswith(str(folder))
    assert "\n" not in str(told.value)
    assert len(api.batches) == len(api.uploads) == 1


def test_answers_that_were_fetched_and_are_gone_are_missed(api: FakeBatchApi, folder: Path) -> None:
    run_through(api.base_url, folder)
    questions("UPDATE questions SET answer = NULL")(folder)
    with pytest.raises(ConfigError, match=r"is damaged \(questions.db lacks answers that were fetched\)"):
        run_through(api.base_url, folder)


@pytest.mark.parametrize("data", [None, b"{}\n"], ids=["gone", "cut-off"])
def test_requests_that_were_not_sent_yet_are_sent_whole_or_not_at_all(
    api: FakeBatchApi, folder: Path, data: bytes | None
) -> None:
    api.faults = {"GET /files": [400]}
    with pytest.raises(ConfigError, match="nothing is lost"):
        run_through(api.base_url, folder)
    path = folder / "part-0001.jsonl"
    path.unlink() if data is None else path.write_bytes(data)
    with pytest.raises(ConfigError, match=r"is damaged \(part-0001.jsonl is missing or not what was written\)"):
        run_through(api.base_url, folder)
    assert api.uploads == []


@pytest.mark.parametrize("line", range(1, 8))
def test_on_a_full_disk_a_line_of_the_journal_is_written_whole_or_not_at_all(
    api: FakeBatchApi, folder: Path, monkeypatch: pytest.MonkeyPatch, line: int
) -> None:
    journal, write, lines = folder / "journal.jsonl", os.write, 0

    def nearly_full(handle: int, data: bytes) -> int:
        nonlocal lines
        if not journal.exists() or not os.path.samestat(os.fstat(handle), journal.stat()):
            return write(handle, data)
        lines += 1
        if lines > line:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(handle, data[: len(data) // 2] if lines == line else data)

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", nearly_full)
        with pytest.raises(OSError, match="No space left"):
            run_through(api.base_url, folder)
    whole = journal.read_bytes().splitlines(keepends=True)
    assert len(whole) == line - 1
    assert all(one.endswith(b"}\n") for one in whole)
    assert run_through(api.base_url, folder).sources == ["model"] * 5
    assert sorted(api.bill.values()) == [1] * 5


def test_after_a_wrong_address_the_right_one_goes_on(api: FakeBatchApi, folder: Path) -> None:
    with pytest.raises(ConfigError, match="check base_url"):
        run_through("http://127.0.0.1:9/v1", folder)
    assert run_through(api.base_url, folder).sources == ["model"] * 5


def odd(monkeypatch: pytest.MonkeyPatch, **said: object) -> None:
    """Have the provider say something odd of every batch."""
    shown = Batch.shown
    monkeypatch.setattr(Batch, "shown", lambda batch: {**shown(batch), **said})


@pytest.mark.parametrize(
    "counts", [{"total": "x", "completed": "y", "failed": None}, {"completed": True, "failed": -1}, {}]
)
def test_counts_that_are_no_numbers_stop_nothing(
    api: FakeBatchApi, folder: Path, monkeypatch: pytest.MonkeyPatch, counts: dict[str, object]
) -> None:
    odd(monkeypatch, request_counts=counts)
    ran = run_through(api.base_url, folder)
    assert ran.sources == ["model"] * 5
    assert {news.completed for news in ran.told} == {0, 5}


def test_nothing_that_an_error_says_beside_codes_and_numbers_is_shown(
    api: FakeBatchApi, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd(monkeypatch, status="failed", errors={"data": [{"code": "\x1b[31mred", "line": "words of a ticket"}]})
    assert run_through(api.base_url, folder).notes == ["the provider refused part 1: unknown"]


class Clock:
    """A clock that goes on by a number of seconds at each look."""

    def __init__(self, step_s: float) -> None:
        self.now, self._step_s = 1_000_000.0, step_s

    def __call__(self) -> float:
        self.now += self._step_s
        return self.now


@pytest.mark.parametrize(
    ("said", "looks"),
    [
        pytest.param({"status": "paused"}, 26, id="24-hours-and-two-more"),
        pytest.param({"status": "in_progress", "expires_at": 1_000_000 + 3 * 3600}, 6, id="its-own-end-and-two-hours"),
        pytest.param({"status": "in_progress", "expires_at": 10**15}, 26, id="an-end-that-never-comes"),
        pytest.param({"status": "in_progress", "expires_at": "soon"}, 26, id="an-end-that-is-no-number"),
    ],
)
def test_a_batch_that_does_not_end_is_not_waited_for_for_ever(
    api: FakeBatchApi, folder: Path, monkeypatch: pytest.MonkeyPatch, said: dict[str, object], looks: int
) -> None:
    with monkeypatch.context() as patch:
        odd(patch, **said)
        with pytest.raises(ConfigError, match=f"part 1 is still '{said['status']}'.*same command again.*--cancel"):
            run_through(api.base_url, folder, clock=Clock(3600.0))
    assert looks <= api.calls["GET /batches/*"] <= looks + 2
    assert run_through(api.base_url, folder).sources == ["model"] * 5  # it has come round: nothing was lost
    assert sorted(api.bill.values()) == [1] * 5


def test_a_status_is_shown_only_if_it_looks_like_one(
    api: FakeBatchApi, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd(monkeypatch, status="\x1b[2Jpaused")
    with pytest.raises(ConfigError, match="is still 'unknown'"):
        run_through(api.base_url, folder, clock=Clock(40_000.0))


def test_a_list_without_an_end_is_given_up_and_no_second_batch_is_made(
    api: FakeBatchApi, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("triagedesk.classifiers.batch_api.MOST_PAGES", 5)
    api.faults = {"POST /batches": ["drop after"]}
    strange = {"id": "batch_of_others", "metadata": None, "status": "completed"}
    endless = {"object": "list", "data": [strange], "has_more": True}
    with monkeypatch.context() as patch:
        patch.setattr(api, "_batches", lambda rest, query: (200, endless))
        with pytest.raises(ConfigError, match="list of files or batches does not end"):
            run_through(api.base_url, folder)
    assert api.calls["GET /batches"] == 5
    assert run_through(api.base_url, folder).sources == ["model"] * 5
    assert len(api.batches) == 1


@pytest.mark.parametrize("status", [429, 503])
def test_however_long_a_server_asks_to_wait_the_pause_is_the_longest_poll_and_is_told(
    api: FakeBatchApi, folder: Path, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    ran = asked_to_wait(api, folder, monkeypatch, status, "86400")
    assert ran.sources == ["model"] * 5
    assert max(ran.pauses) == 60.0
    name = "rate_limited" if status == 429 else "provider_5xx"
    assert ran.notes == [f"{name}, the server asks for 86,400 s; asked again in 60 s (2 of 10)"]


def test_a_wish_for_a_shorter_pause_is_kept(api: FakeBatchApi, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert asked_to_wait(api, folder, monkeypatch, 429, "42").notes == ["rate_limited; asked again in 42 s (2 of 10)"]


def asked_to_wait(api: FakeBatchApi, folder: Path, monkeypatch: pytest.MonkeyPatch, status: int, wish: str) -> Ran:
    """Run with a provider that refuses the first creation, with a Retry-After."""
    api.faults = {"POST /batches": [status]}
    handle = api.handle

    def asks(request: Any) -> None:
        reply = request.reply
        request.reply = lambda code, body, headers: reply(
            code, body, {"Retry-After": wish} if code == status else headers
        )
        handle(request)

    monkeypatch.setattr(api, "handle", asks)
    return run_through(api.base_url, folder)
