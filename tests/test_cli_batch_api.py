"""`triagedesk batch --via batch-api` and `--pack` as a user meets them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from batch_api_parts import BODIES, CANARY, good
from desk_parts import hear_interrupts
from fake_batch_api import FakeBatchApi, fake_batch_api
from triagedesk.cli import batch_api, main


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeBatchApi]:
    """A provider, an input of five tickets, and no pauses worth mentioning."""
    for name in [name for name in os.environ if name.startswith(("TRIAGEDESK_", "OPENAI_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("TRIAGEDESK_SECOND_LINE", "rules")
    monkeypatch.setenv("TRIAGEDESK_PRICE_PROMPT", "2")
    monkeypatch.setenv("TRIAGEDESK_PRICE_COMPLETION", "8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(batch_api, "FIRST_POLL_S", 0.001)
    monkeypatch.setattr(batch_api, "LONGEST_POLL_S", 0.01)
    rows = [{"id": f"T-{number}", "body": body} for number, body in enumerate(BODIES)]
    Path("in.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    with fake_batch_api() as made:
        made.says = good
        yield made


def command(api: FakeBatchApi, *more: str) -> list[str]:
    return ["batch", "in.jsonl", "out.jsonl", "--model", "openai/made-up", "--base-url", api.base_url, *more]


def via(api: FakeBatchApi, *more: str) -> int:
    return main(command(api, "--via", "batch-api", *more))


def lines() -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path("out.jsonl").read_text().splitlines()]


def sources() -> list[str]:
    return [line["provenance"]["source"] for line in lines()]


def test_a_batch_by_the_batch_api_is_told_step_by_step_and_summed_up_at_half_the_price(
    api: FakeBatchApi, capsys: pytest.CaptureFixture[str]
) -> None:
    assert via(api) == 0
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "batch API: 0 of 1 batches over, 0 of 5 questions answered (1 validating)" in shown.err
    assert "batch API: 1 of 1 batches over, 5 of 5 questions answered" in shown.err
    assert "model 5" in shown.err
    assert "6,000 prompt (5,120 cached, 85%), 450 completion" in shown.err
    assert "$0.0078" in shown.err  # half of 5 × (1,200 × 2 + 90 × 8) millionths
    assert sources() == ["model"] * 5
    assert [path.name for path in Path().iterdir() if "out" in path.name] == ["out.jsonl"]
    assert api.live == []


def test_asked_again_nothing_is_sent_and_nothing_is_paid(api: FakeBatchApi, capsys: pytest.CaptureFixture[str]) -> None:
    via(api)
    assert via(api) == 2
    assert "exists already; pass --overwrite" in capsys.readouterr().err
    assert via(api, "--overwrite") == 0
    assert "every question is known already; nothing is sent" in capsys.readouterr().err
    assert sources() == ["cache"] * 5
    assert len(api.batches) == 1


@pytest.mark.parametrize(("then", "found"), [((), "rules"), (("--then", "live"), "model")], ids=["rules", "live"])
def test_what_the_provider_did_not_answer_goes_as_then_says(
    api: FakeBatchApi, capsys: pytest.CaptureFixture[str], then: tuple[str, ...], found: str
) -> None:
    api.ends = [("expired", 3)]
    assert via(api, *then) == 0
    assert sorted(sources()) == sorted(["model"] * 3 + [found] * 2)
    assert ("batch_expired 2" in capsys.readouterr().err) == (found == "rules")


@pytest.mark.parametrize(
    ("more", "says"),
    [
        pytest.param(("--max-cost", "1"), "does not bound what the Batch API bills", id="a-limit-it-cannot-keep"),
        pytest.param(("--pack", "2"), "leave --pack out", id="packs"),
        pytest.param(("--model", "rules"), "asks an OpenAI model", id="rules"),
        pytest.param(("--then", "perhaps"), "--then: give rules or live", id="a-then-that-is-none"),
        pytest.param(("--via", "pigeon"), "--via: give live or batch-api", id="a-way-that-is-none"),
        pytest.param(("--via", "live", "--cancel"), "belong to --via batch-api", id="nothing-to-cancel-in-live-calls"),
        pytest.param(("--cancel",), "there is nothing to cancel", id="nothing-to-cancel"),
    ],
)
def test_what_does_not_go_together_is_refused_in_one_line(
    api: FakeBatchApi, capsys: pytest.CaptureFixture[str], more: tuple[str, ...], says: str
) -> None:
    assert via(api, *more) == 2
    told = capsys.readouterr().err.strip().splitlines()
    assert len(told) == 1
    assert says in told[0]
    assert api.uploads == []


def test_ctrl_c_leaves_the_batch_at_the_provider_and_cancel_ends_it(
    api: FakeBatchApi, capsys: pytest.CaptureFixture[str]
) -> None:
    api.ends = [("stuck", None)]
    process = subprocess.Popen(
        [sys.executable, "-m", "triagedesk", *command(api, "--via", "batch-api")], stderr=subprocess.PIPE, text=True,
        preexec_fn=hear_interrupts,
    )  # fmt: skip
    end = time.monotonic() + 60
    while not api.batches and process.poll() is None and time.monotonic() < end:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    assert "the batch runs on at the provider: the same command takes it up again, and with --cancel ends it" in err
    assert CANARY not in err
    assert via(api, "--cancel") == 0
    assert "1 batches are being cancelled" in capsys.readouterr().err
    assert via(api) == 0
    assert sorted(sources()) == ["model"] * 2 + ["rules"] * 3
    assert len(api.batches) == 1


def test_a_run_killed_among_its_rows_ends_with_the_same_output(api: FakeBatchApi) -> None:
    assert via(api, "--no-cache") == 0
    whole = Path("out.jsonl").read_bytes()
    Path("out.jsonl").unlink()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("triagedesk.batch.output.Output.answer_line", Stop(after=3))
        with pytest.raises(SystemExit):
            via(api, "--no-cache")
    assert len(lines()) == 3
    assert via(api, "--no-cache") == 0
    assert [timeless(line) for line in lines()] == [timeless(json.loads(line)) for line in whole.splitlines()]
    assert len(api.batches) == 2  # the one of the first command, and the one of the second and third


class Stop:
    """Ends the process, as it were, when so many rows are written."""

    def __init__(self, after: int) -> None:
        from triagedesk.batch.output import Output

        self._left, self._write = after, Output.answer_line

    def __get__(self, output: Any, _: object) -> Any:
        """Be a method of the output."""

        def answer_line(row: int, line: bytes) -> None:
            if not self._left:
                raise SystemExit
            self._left -= 1
            self._write(output, row, line)

        return answer_line


def timeless(line: dict[str, Any]) -> dict[str, Any]:
    """Leave out what differs from run to run: times."""
    provenance = {name: value for name, value in line["provenance"].items() if name != "elapsed_ms"}
    return {**line, "provenance": provenance, "response": None}


def packs(body: dict[str, Any]) -> object:
    """Answer a pack, each ticket with a quote of its own."""
    seen = json.loads(body["messages"][-1]["content"])
    (item,) = (body["response_format"]["json_schema"]["schema"]["properties"].get(name) for name in ("answers",))
    if item is None:
        return good(body)
    single = good({"response_format": {"json_schema": {"schema": item["items"]}}})
    return {"answers": [with_quotes(single, ticket) for ticket in seen["tickets"]]}


def with_quotes(single: dict[str, Any], ticket: dict[str, str]) -> dict[str, Any]:
    quoted = {
        name: {**said, "quote": ticket["body"][-16:]} if isinstance(said, dict) else said
        for name, said in single.items()
    }
    return {**quoted, "id": ticket["id"]}


def test_packed_tickets_share_requests_and_the_summary_tells_their_tokens(
    api: FakeBatchApi, capsys: pytest.CaptureFixture[str]
) -> None:
    api.says = packs
    assert main(command(api, "--pack", "5", "--concurrency", "5")) == 0
    assert len(api.live) == 1
    assert sources() == ["model"] * 5
    assert "1,200 prompt (1,024 cached, 85%), 90 completion" in capsys.readouterr().err
    assert all(line["provenance"]["tokens"]["prompt"] == 240 for line in lines())
    assert "+pack@" in lines()[0]["provenance"]["prompt"]
