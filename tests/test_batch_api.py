"""A batch paid for beforehand through OpenAI's Batch API: each question once, whatever happens on the way."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio.lowlevel
import pytest

from batch_api_parts import BODIES, CANARY, HERE, good, open_small_desk, playbook, rows_of, run_through, settings
from fake_batch_api import Batch, FakeBatchApi, fake_batch_api
from triagedesk.batch.provider.conduct import cancel, prepay
from triagedesk.batch.provider.options import PrepayOptions
from triagedesk.batch.provider.state import open_state
from triagedesk.desk import Desk, open_desk
from triagedesk.errors import ConfigError
from triagedesk.models import Ticket
from triagedesk.remembered import View
from triagedesk.second_line import SecondLine
from triagedesk.wiring import open_asking

FULL_PRICE = (176 * 2.0 + 1024 * 0.5 + 90 * 8.0) / 1_000_000
"""One reply of the fake: 1,200 prompt tokens, 1,024 of them cached, 90 of completion."""


@pytest.fixture
def api() -> Iterator[FakeBatchApi]:
    """A provider that answers everything."""
    with fake_batch_api() as made:
        made.says = good
        yield made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "out.jsonl.batch-api"


def bodies_sent(api: FakeBatchApi) -> list[dict[str, Any]]:
    return [json.loads(line)["body"] for file in api.uploads for line in file.data.splitlines()]


def test_every_question_is_answered_once_as_the_models_at_half_the_price(api: FakeBatchApi, folder: Path) -> None:
    ran = run_through(api.base_url, folder, [*BODIES, BODIES[0]])
    assert ran.sources == ["model"] * 5 + ["cache"]
    assert ran.cost == pytest.approx(5 * FULL_PRICE / 2)
    assert [one.provenance.tokens.cached for one in ran.suggestions] == [1024] * 5 + [0]
    assert {one.provenance.attempts for one in ran.suggestions[:5]} == {1}
    assert sorted(api.bill.values()) == [1] * 5
    assert api.live == []


@pytest.mark.parametrize("way", ["json_schema", "json", "tools"])
def test_a_request_line_holds_the_very_body_of_a_live_call(api: FakeBatchApi, folder: Path, way: str) -> None:
    api.says = lambda body: (400, {"error": {}})
    body = 'My "order" \\ ünïcode 😀 \u2028 has not come'
    run_through(api.base_url, folder, [body], {"structured_output": way}, then="live")
    assert bodies_sent(api) == api.live[:1]


def test_nothing_the_provider_is_told_beside_the_question_says_anything_of_the_ticket(
    api: FakeBatchApi, folder: Path
) -> None:
    run_through(api.base_url, folder)
    run_through(api.base_url, folder.with_name("second"))
    lines = [json.loads(line) for file in api.uploads for line in file.data.splitlines()]
    names = [line["custom_id"] for line in lines]
    assert len(set(names)) == 10  # the same questions, another secret
    beside = repr([names, [batch.metadata for batch in api.batches.values()], [file.name for file in api.uploads]])
    assert CANARY not in beside
    assert CANARY not in (folder / "journal.jsonl").read_text()
    assert not list(folder.glob("part-*"))
    assert api.files == {}  # the provider keeps no ticket


def test_a_question_that_the_cache_answers_is_not_sent_and_answers_fill_the_cache(
    api: FakeBatchApi, folder: Path, tmp_path: Path
) -> None:
    given = {"cache": True, "cache_dir": tmp_path / "cache"}
    assert run_through(api.base_url, folder, BODIES[:2], given).sources == ["model"] * 2
    ran = run_through(api.base_url, folder.with_name("second"), BODIES, given)
    assert ran.sources == ["cache"] * 2 + ["model"] * 3
    assert sorted(api.bill.values()) == [1] * 5


def test_a_question_that_the_cascade_spares_is_not_sent(api: FakeBatchApi, folder: Path) -> None:
    class Sure(SecondLine):
        def spares_the_model(self, view: View) -> bool:
            return "number 3" in view.reading.text

    async def work() -> None:
        chosen = settings(api.base_url)
        async with open_asking(chosen, playbook()) as asking:
            desk = Desk(chosen, playbook(), asking, second_line=Sure())
            options = PrepayOptions(first_poll_s=0.001)
            (await prepay(desk, lambda: rows_of(BODIES), folder, options=options)).close()

    anyio.run(work)
    assert len(api.bill) == 4
    assert not any("number 3" in str(body["messages"][-1]) for body in bodies_sent(api))


def test_when_the_batch_is_closed_the_desk_asks_live_again(api: FakeBatchApi, folder: Path) -> None:
    async def work() -> str:
        async with open_small_desk(settings(api.base_url)) as desk:
            options = PrepayOptions(first_poll_s=0.001)
            (await prepay(desk, lambda: rows_of(BODIES), folder, options=options)).close()
            return (await desk.suggest(Ticket(body=BODIES[0]))).provenance.source.value

    assert anyio.run(work) == "model"
    assert len(api.live) == 1


@pytest.mark.parametrize("limit", [{"max_requests": 2}, {"max_file_bytes": 40_000}], ids=["requests", "bytes"])
def test_a_large_batch_becomes_several_within_the_limits(
    api: FakeBatchApi, folder: Path, limit: dict[str, Any]
) -> None:
    ran = run_through(api.base_url, folder, **limit)
    assert ran.sources == ["model"] * 5
    assert len(api.batches) >= 2
    assert len(bodies_sent(api)) == 5
    assert all(len(file.data) <= limit.get("max_file_bytes", 10**9) for file in api.uploads)
    assert all(file.data.count(b"\n") <= limit.get("max_requests", 10**9) for file in api.uploads)


def wrong_label(body: dict[str, Any]) -> dict[str, Any]:
    return {**good(body), "urgency": {**good(body)["urgency"], "label": "apocalyptic"}}


ERRORS: dict[str, tuple[object, str]] = {
    "a-label-that-is-none": (wrong_label, "invalid_output"),
    "no-json": (lambda body: "Sure! It is urgent.", "invalid_output"),
    "no-completion": (lambda body: (200, {"error": {}}), "bad_reply"),
    "error-400": (lambda body: (400, {"error": {"message": CANARY}}), "provider_4xx"),
    "error-401": (lambda body: (401, {"error": {}}), "auth"),
    "error-429": (lambda body: (429, {"error": {"code": "rate_limit_exceeded"}}), "batch_failed"),
    "out-of-quota": (lambda body: (429, {"error": {"code": "insufficient_quota"}}), "quota"),
    "error-500": (lambda body: (500, {"error": {}}), "provider_5xx"),
    "too-long": (lambda body: (400, {"error": {"code": "context_length_exceeded"}}), "too_long"),
    "a-status-that-is-none": (lambda body: (7, {}), "provider_5xx"),
}


@pytest.mark.parametrize("case", ERRORS)
def test_a_line_that_failed_comes_from_the_rules_with_its_reason(api: FakeBatchApi, folder: Path, case: str) -> None:
    says, reason = ERRORS[case]
    api.says = lambda body: says(body) if "number 3" in str(body["messages"][-1]) else good(body)  # type: ignore[operator]
    ran = run_through(api.base_url, folder)
    assert ran.reasons == [None, None, None, reason, None]
    assert ran.sources[3] == "rules"
    assert api.live == []  # no surprise bills


@pytest.mark.parametrize(
    ("end", "reason", "lost"),
    [
        pytest.param(("expired", 2), "batch_expired", 3, id="expired-with-two-of-five"),
        pytest.param(("expired", 0), "batch_expired", 5, id="expired-with-nothing"),
        pytest.param(("failed", None), "batch_failed", 5, id="refused-as-a-whole"),
    ],
)
@pytest.mark.parametrize("then", ["rules", "live"])
def test_what_a_batch_leaves_open_goes_as_then_says(
    api: FakeBatchApi, folder: Path, end: tuple[str, int | None], reason: str, lost: int, then: str
) -> None:
    api.ends = [end]
    ran = run_through(api.base_url, folder, then=then)
    if then == "rules":
        assert sorted(filter(None, ran.reasons)) == [reason] * lost
        assert api.live == []
    else:
        assert ran.sources == ["model"] * 5
        assert len(api.live) == lost
        assert ran.cost == pytest.approx((5 - lost) * FULL_PRICE / 2 + lost * FULL_PRICE)


def test_why_a_file_was_refused_is_told_in_codes_and_never_in_the_providers_words(
    api: FakeBatchApi, folder: Path
) -> None:
    api.ends = [("failed", None)]
    ran = run_through(api.base_url, folder)
    assert ran.notes == ["the provider refused part 1: invalid_request, first at line 2 of its file"]


def test_lines_that_no_file_holds_are_missing(api: FakeBatchApi, folder: Path) -> None:
    api.lost = {1, 3}
    assert sorted(filter(None, run_through(api.base_url, folder).reasons)) == ["batch_missing"] * 2


def test_hostile_lines_in_a_result_file_change_nothing(api: FakeBatchApi, folder: Path) -> None:
    api.extra_lines = [
        b"not json\n", b"[1]\n", b'{"custom_id": 7}\n', b"\xff\xfe\n", b"\n",
        b'{"custom_id": "q-somebody-elses", "response": null, "error": {"code": "batch_expired"}}\n',
        b'{"custom_id": "' + b"a" * 2_000_000 + b'"}\n', b"[" * 100_000 + b"\n",
    ]  # fmt: skip
    assert run_through(api.base_url, folder).sources == ["model"] * 5


CALLS = ["POST /files", "GET /files", "POST /batches", "GET /batches/*", "GET /files/*/content", "DELETE /files/*"]


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    "faults",
    [
        pytest.param([429, 500, "drop before"], id="busy-broken-and-away"),
        pytest.param(["drop after", "drop after"], id="done-but-not-told"),
    ],
)
def test_no_fault_of_a_single_call_has_anything_paid_twice(
    api: FakeBatchApi, folder: Path, call: str, faults: list[int | str]
) -> None:
    api.faults = {call: faults}
    ran = run_through(api.base_url, folder)
    assert ran.sources == ["model"] * 5
    assert sorted(api.bill.values()) == [1] * 5
    assert len(api.batches) == 1


def test_a_download_that_breaks_off_is_made_again(api: FakeBatchApi, folder: Path) -> None:
    api.faults = {"GET /files/*/content": ["cut"]}
    assert run_through(api.base_url, folder).sources == ["model"] * 5
    assert api.calls["GET /files/*/content"] == 2


def test_a_refused_key_stops_the_batch_in_one_line_and_the_state_stays(api: FakeBatchApi, folder: Path) -> None:
    api.faults = {"POST /batches": [401]}
    with pytest.raises(ConfigError, match=r"the key was refused.*nothing is lost, the same command goes on"):
        run_through(api.base_url, folder)
    assert run_through(api.base_url, folder).sources == ["model"] * 5
    assert len(api.uploads) == len(api.batches) == 1


@pytest.mark.parametrize("address", ["http://127.0.0.1:9/v1", "http://localhost:9/v1"])
def test_a_server_that_refuses_the_first_connection_is_not_waited_for(folder: Path, address: str) -> None:
    async def wait(seconds: float) -> None:
        raise AssertionError("it waited for a server that is not there")

    async def work() -> None:
        async with open_small_desk(settings(address)) as desk:
            for _ in ("planned now", "planned before"):
                with pytest.raises(ConfigError, match=r"no connection .*check base_url .*the same command goes on"):
                    await prepay(desk, lambda: rows_of(BODIES), folder, options=PrepayOptions(sleep=wait))

    anyio.run(work)


def test_a_server_that_goes_away_later_is_waited_for_and_each_pause_is_told(api: FakeBatchApi, folder: Path) -> None:
    api.faults = {"GET /batches/*": [500, 429, "drop before"]}
    ran = run_through(api.base_url, folder)
    assert ran.sources == ["model"] * 5
    assert len(ran.notes) == 3
    for note, reason, tried in zip(ran.notes, ("provider_5xx", "rate_limited", "connect"), (2, 3, 4), strict=True):
        assert reason in note
        assert f"{tried} of 10" in note


def test_polls_come_less_and_less_often(api: FakeBatchApi, folder: Path) -> None:
    pauses = run_through(api.base_url, folder, first_poll_s=30.0, longest_poll_s=60.0).pauses
    assert pauses == [30.0, 45.0, 60.0]  # validating, in progress, finalizing


def test_killed_in_every_phase_the_same_command_goes_on_and_nothing_is_paid_twice(
    api: FakeBatchApi, folder: Path
) -> None:
    for moment in (
        "before POST /files", "after POST /files", "after POST /batches", "before GET /batches/*",
        "after GET /files/*/content", "before DELETE /files/*",
    ):  # fmt: skip
        killed_at(moment, api, folder)
    out, err = process(api, folder).communicate(timeout=60)
    assert err == ""
    assert json.loads(out) == {"sources": ["model"] * 5, "cost": pytest.approx(5 * FULL_PRICE / 2)}
    assert sorted(api.bill.values()) == [1] * 5
    assert len(api.batches) == 1
    assert len(api.uploads) == 1
    assert api.files == {}


def killed_at(moment: str, api: FakeBatchApi, folder: Path) -> None:
    """Run a process and kill it when the provider gets, or has just done, what `moment` names."""
    running = process(api, folder)

    def kill(what: str) -> bool:
        if what == moment and running.poll() is None:
            os.kill(running.pid, signal.SIGKILL)
            running.wait(10)
            return True
        return False

    api.seen = kill
    assert running.wait(60) == -signal.SIGKILL, moment
    running.communicate()
    api.seen = lambda what: None


def process(api: FakeBatchApi, folder: Path) -> subprocess.Popen[str]:
    """Start a run in a process of its own."""
    command = [sys.executable, str(HERE / "batch_api_parts.py"), api.base_url, str(folder)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_kill_while_results_are_written_down_costs_no_answer(api: FakeBatchApi, folder: Path) -> None:
    not_merged(api, folder)
    (folder / "part-0001.output").write_bytes(b"")
    (folder / "part-0001.errors").write_bytes(b"")
    assert run_through(api.base_url, folder).sources == ["model"] * 5
    assert sorted(api.bill.values()) == [1] * 5


def not_merged(api: FakeBatchApi, folder: Path) -> None:
    """Leave a batch as a kill does when its results are read and "merged" is half written."""
    api.faults = {"DELETE /files/*": [500] * 2}
    run_through(api.base_url, folder)
    journal = folder / "journal.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    assert [json.loads(line)["event"] for line in lines[-2:]] == ["merged", "cleaned"]
    journal.write_bytes(b"".join(lines[:-2]) + lines[-2][:10])


def test_a_result_file_that_a_kill_left_short_is_fetched_anew_and_costs_no_answer(
    api: FakeBatchApi, folder: Path
) -> None:
    not_merged(api, folder)
    with closing(sqlite3.connect(folder / "questions.db", isolation_level=None)) as questions:
        questions.execute("UPDATE questions SET answer = NULL, reason = NULL")
    result = api.files["file-batch_1-output"].data
    (folder / "part-0001.output").write_bytes(result[: len(result) // 2])
    ran = run_through(api.base_url, folder)
    assert ran.sources == ["model"] * 5
    assert ran.notes == []
    assert api.files == {}


def test_where_the_files_hold_less_than_the_provider_counts_a_note_says_so_and_the_batch_ends(
    api: FakeBatchApi, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.lost = {1, 3}
    shown = Batch.shown
    counts = {"total": 5, "completed": 5, "failed": 0}
    monkeypatch.setattr(Batch, "shown", lambda batch: {**shown(batch), "request_counts": counts})
    ran = run_through(api.base_url, folder)
    assert sorted(filter(None, ran.reasons)) == ["batch_missing"] * 2
    assert ran.notes == [
        "the provider counts 5 of part 1's requests as done, its files hold 3 that can be read; "
        "the others are batch_missing"
    ]


def test_a_resumed_run_counts_an_answer_once_over_all_runs(api: FakeBatchApi, folder: Path) -> None:
    bodies = [BODIES[0], BODIES[1], BODIES[0], BODIES[2]]
    whole = run_through(api.base_url, folder, bodies)
    rest = run_through(api.base_url, folder, bodies, skip=2, written=lambda number: number < 2)
    assert whole.sources == ["model", "model", "cache", "model"]
    assert rest.sources == whole.sources[2:]


def test_a_full_queue_at_the_provider_has_the_batch_go_on_in_smaller_parts(
    api: FakeBatchApi, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("triagedesk.batch.provider.delivery.LEAST_SPLIT", 1)
    api.token_limit = 3
    ran = run_through(api.base_url, folder)
    assert ran.sources == ["model"] * 5
    assert sorted(api.bill.values()) == [1] * 5
    assert ran.notes == ["the provider's queue is full: part 1 goes on in 2 smaller ones"]
    assert api.files == {}


def test_a_small_part_waits_for_room_in_the_providers_queue(api: FakeBatchApi, folder: Path) -> None:
    api.token_limit = 0

    def make_room(what: str) -> None:
        if len(api.batches) == 3:
            api.token_limit = None

    api.seen = make_room
    assert run_through(api.base_url, folder).sources == ["model"] * 5
    assert sorted(api.bill.values()) == [1] * 5


def interrupted(api: FakeBatchApi, folder: Path) -> None:
    """Begin a batch that hangs, and leave it at the provider as Ctrl-C does."""
    api.ends = [("stuck", None)]

    async def work() -> None:
        async with open_small_desk(settings(api.base_url)) as desk:
            with anyio.CancelScope() as scope:

                async def sleep(_: float) -> None:
                    if api.calls["GET /batches/*"] >= 2:
                        scope.cancel()
                    await anyio.lowlevel.checkpoint()

                await prepay(desk, lambda: rows_of(BODIES), folder, options=PrepayOptions(sleep=sleep))

    anyio.run(work)


def stop(api: FakeBatchApi, folder: Path, **given: Any) -> int:
    async def work() -> int:
        async with open_small_desk(settings(api.base_url, **given)) as desk:
            return await cancel(desk, folder)

    return anyio.run(work)


def test_interrupted_the_batch_runs_on_at_the_provider_and_is_taken_up_again(api: FakeBatchApi, folder: Path) -> None:
    interrupted(api, folder)
    assert [batch.status for batch in api.batches.values()] == ["in_progress"]
    next(iter(api.batches.values())).ends = "completed"
    assert run_through(api.base_url, folder).sources == ["model"] * 5
    assert len(api.batches) == 1


def test_cancelled_what_was_answered_is_kept_and_the_rest_has_its_reason(api: FakeBatchApi, folder: Path) -> None:
    interrupted(api, folder)
    assert stop(api, folder) == 1
    ran = run_through(api.base_url, folder)
    assert ran.sources.count("model") == len(api.bill) == 2
    assert sorted(filter(None, ran.reasons)) == ["batch_cancelled"] * 3


def test_a_batch_that_was_created_just_before_the_interruption_is_found_and_cancelled(
    api: FakeBatchApi, folder: Path
) -> None:
    interrupted(api, folder)
    journal = folder / "journal.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    assert b'"created"' in lines.pop()
    journal.write_bytes(b"".join(lines))
    assert stop(api, folder) == 1
    assert [batch.status for batch in api.batches.values()] == ["cancelling"]


def test_cancelling_as_another_batch_is_refused_and_keeps_the_answers_that_were_paid(
    api: FakeBatchApi, folder: Path
) -> None:
    run_through(api.base_url, folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(ConfigError, match="holds another prepaid batch"):
        stop(api, folder, model="openai/another")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert run_through(api.base_url, folder).sources == ["model"] * 5
    assert len(api.batches) == 1


def test_what_is_over_at_the_provider_is_not_cancelled(api: FakeBatchApi, folder: Path) -> None:
    interrupted(api, folder)
    next(iter(api.batches.values())).status = "completed"
    assert stop(api, folder) == 0
    assert api.calls["POST /batches/*/cancel"] == 0


@pytest.mark.parametrize("lines", [1, 2, 3, 4, 5])
def test_of_a_damaged_journal_the_first_line_is_enough_to_cancel_every_batch(
    api: FakeBatchApi, folder: Path, lines: int
) -> None:
    interrupted(api, folder)
    ours = next(iter(api.batches.values()))
    run, _, rest = ours.metadata["triagedesk"].partition("-") if ours.metadata else ("", "", "")
    for number, (metadata, status) in enumerate([
        ({"triagedesk": f"{run}-2-1"}, "in_progress"), ({"triagedesk": f"{run}-3-1"}, "completed"),
        ({"triagedesk": f"{run[::-1]}-{rest}"}, "in_progress"), (None, "in_progress"),
    ]):  # fmt: skip
        api.batches[f"more_{number}"] = Batch(f"more_{number}", ours.input, metadata, status=status)
    journal = folder / "journal.jsonl"
    kept = journal.read_bytes().splitlines(keepends=True)[:lines]
    journal.write_bytes(b"".join(kept) + b"\x00\x00\n")
    before = journal.read_bytes()
    assert stop(api, folder) == 2
    assert [one.id for one in api.batches.values() if one.status == "cancelling"] == [ours.id, "more_0"]
    assert journal.read_bytes() == before


@pytest.mark.parametrize("left", [None, b"", b"\x00\x00\n"], ids=["gone", "empty", "no-line"])
def test_without_the_journals_first_line_cancelling_is_refused(
    api: FakeBatchApi, folder: Path, left: bytes | None
) -> None:
    interrupted(api, folder)
    journal = folder / "journal.jsonl"
    journal.unlink() if left is None else journal.write_bytes(left)
    with pytest.raises(ConfigError, match=r"is damaged.*cancel its batches at the provider"):
        stop(api, folder)


def test_there_is_nothing_to_cancel_where_no_batch_runs(api: FakeBatchApi, folder: Path) -> None:
    with pytest.raises(ConfigError, match="there is nothing to cancel"):
        stop(api, folder)


def test_two_runs_on_one_output_refuse_each_other(api: FakeBatchApi, folder: Path) -> None:
    folder.mkdir()
    with open_state(folder, "a"), pytest.raises(ConfigError, match="another process works on this batch"):
        run_through(api.base_url, folder)


def test_the_state_of_another_batch_is_refused_while_the_provider_works_on_it(api: FakeBatchApi, folder: Path) -> None:
    interrupted(api, folder)
    with pytest.raises(ConfigError, match="holds another prepaid batch"):
        run_through(api.base_url, folder, identity="another input")


def test_the_state_of_another_batch_that_is_over_makes_room(api: FakeBatchApi, folder: Path) -> None:
    run_through(api.base_url, folder)
    assert run_through(api.base_url, folder, identity="another input").sources == ["model"] * 5
    assert len(api.batches) == 2


def test_rules_alone_have_nothing_to_prepay(tmp_path: Path, folder: Path) -> None:
    async def work() -> None:
        async with open_desk(settings("http://127.0.0.1:9", model="rules")) as desk:
            await prepay(desk, lambda: rows_of(BODIES), folder)

    with pytest.raises(ConfigError, match="--via batch-api: asks an OpenAI model"):
        anyio.run(work)
    assert not folder.exists()


def test_pages_of_batches_are_searched_to_their_end(api: FakeBatchApi, folder: Path) -> None:
    """Two hundred batches of other programs are younger than ours when the reply to its creation is lost."""
    others = 0

    def crowd(what: str) -> None:
        nonlocal others
        if what == "after POST /batches" and not others:
            others = 200
            ours = next(iter(api.batches.values()))
            for number in range(others):
                api.batches[f"other_{number}"] = type(ours)(f"other_{number}", ours.input, {"job": "nightly"})

    api.seen = crowd
    api.faults = {"POST /batches": ["drop after"]}
    assert run_through(api.base_url, folder).sources == ["model"] * 5
    assert len(api.batches) == 201


def test_a_run_tells_how_far_it_is(api: FakeBatchApi, folder: Path) -> None:
    told = run_through(api.base_url, folder, [*BODIES, BODIES[0]], max_requests=3).told
    assert list(dict.fromkeys(news.phase for news in told)) == ["reading", "sending", "waiting", "merging", "done"]
    last = told[-1]
    assert (last.rows, last.requests, last.duplicates, last.cached) == (6, 5, 1, 0)
    assert (last.parts, last.parts_over, last.completed, last.failed) == (2, 2, 5, 0)
    assert {"validating": 2} in [news.statuses for news in told]
