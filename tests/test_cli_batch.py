"""`triagedesk batch` as a user meets it: exit codes, the summary, the progress, and two at once."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from desk_parts import hear_interrupts
from triagedesk.batch import Tally
from triagedesk.cli import main
from triagedesk.cli.batch import summarise
from triagedesk.cli.progress import PLAIN_LINE_S, Progress

SAMPLES = Path(__file__).parents[1] / "src" / "triagedesk" / "samples" / "tickets.jsonl"


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith(("TRIAGEDESK_", "OPENAI_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


def batch(*arguments: str) -> int:
    return main(["batch", *arguments, "--model", "rules"])


def test_the_samples_are_done_and_summed_up(capsys: pytest.CaptureFixture[str]) -> None:
    assert batch(str(SAMPLES), "out.jsonl") == 0
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "answered" in shown.err
    assert "rules 16" in shown.err
    lines = [json.loads(line) for line in Path("out.jsonl").read_text().splitlines()]
    assert [line["ticket_id"] for line in lines] == [f"demo-{number:02}" for number in range(1, 17)]


def test_csv_goes_in_and_out(capsys: pytest.CaptureFixture[str]) -> None:
    Path("in.csv").write_text("Ticket ID,Text,Tier\r\n7,The charger caught fire,VIP\r\n")
    assert batch("in.csv", "out.csv") == 0
    (row,) = csv.DictReader(Path("out.csv").read_text().splitlines())  # reasons hold commas
    assert (row["ticket_id"], row["urgency"], row["issue_type"]) == ("7", "critical", "safety")


def test_bad_rows_make_exit_code_1_and_an_error_file(capsys: pytest.CaptureFixture[str]) -> None:
    Path("in.jsonl").write_text('{"body":"hello"}\n{"body":"secret","channel":"pigeon"}\nsecret\n')
    assert batch("in.jsonl", "out.jsonl") == 1
    assert "2 → out.jsonl.errors.jsonl" in capsys.readouterr().err
    problems = Path("out.jsonl.errors.jsonl").read_text()
    assert [json.loads(line)["line"] for line in problems.splitlines()] == [2, 3]
    assert "secret" not in problems
    assert len(Path("out.jsonl").read_text().splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        pytest.param(("in.jsonl", "out.xlsx"), ".xlsx is not supported; give .jsonl", id="spreadsheet-out"),
        pytest.param(("in.xlsx", "out.jsonl"), ".xlsx is not supported; give .jsonl", id="spreadsheet-in"),
        pytest.param(("in.jsonl", "-"), "give a file", id="standard-output"),
        pytest.param(("in.jsonl", "out.jsonl", "--concurrency", "0"), "from 1 to 1024, or auto", id="none-in-flight"),
        pytest.param(("in.jsonl", "out.jsonl", "--concurrency", "many"), "or auto", id="concurrency-in-words"),
        pytest.param(("in.jsonl", "out.jsonl", "--map", "body"), "write it as OUR=THEIRS", id="map-without-equals"),
        pytest.param(("in.jsonl", "out.jsonl", "--map", "text=x"), "there are id, subject, body", id="map-of-no-field"),
        pytest.param(
            ("in.jsonl", "out.jsonl", "--map", "body=b.c"),
            "no row has 'b.c' for body; there are body",
            id="map-of-no-path",
        ),
        pytest.param(("in.jsonl", "out.jsonl", "--max-cost", "inf"), "give an amount in USD", id="no-amount"),
        pytest.param(
            ("in.jsonl", "out.jsonl", "--max-cost", "1", "--base-url", "http://127.0.0.1:9/v1"),
            "set TRIAGEDESK_PRICE_PROMPT",
            id="limit-without-prices",
        ),
        pytest.param(
            ("in.jsonl", "out.jsonl", "--processes", "2", "--base-url", "http://127.0.0.1:9/v1"),
            "--processes: is for batches that ask no model",
            id="processes-with-a-model",
        ),
        pytest.param(
            ("in.jsonl", "out.jsonl", "--pack", "4", "--model", "rules"), "--pack: is for a model", id="packs-of-rules"
        ),
        pytest.param(
            ("in.jsonl", "out.jsonl", "--pack", "4", "--model", "trained"), "leave it out", id="packs-of-trained"
        ),
        pytest.param(("in.jsonl", "out.jsonl", "--pack", "4"), "--pack: is for a model", id="packs-of-no-model"),
        pytest.param(("missing.jsonl", "out.jsonl"), "missing.jsonl: No such file", id="missing-input"),
        pytest.param(("in.jsonl", "in.jsonl"), "same file", id="same-file"),
        pytest.param((".", "out.jsonl"), "out.jsonl: stands in the folder that is read", id="output-in-the-input"),
        pytest.param(("*.jsonl", "out.jsonl"), "out.jsonl: matches the pattern of IN", id="output-matches-the-input"),
        pytest.param(("in.jsonl", "done.jsonl"), "done.jsonl: exists already; pass --overwrite", id="output-exists"),
        pytest.param(("no-header.csv", "out.jsonl"), "no column for the text", id="csv-without-text"),
        pytest.param(("in.jsonl", "no/out.jsonl"), "its folder does not exist", id="missing-folder"),
    ],
)
def test_an_unusable_batch_is_one_line(
    arguments: tuple[str, str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("in.jsonl").write_text('{"body":"hello"}\n')
    Path("done.jsonl").write_text("mine\n")
    Path("no-header.csv").write_text("a,b\nc,d\n")
    before = sorted(Path().rglob("*"))
    assert main(["batch", *arguments]) == 2
    shown = capsys.readouterr()
    assert shown.err.startswith("error: ")
    assert says in shown.err
    assert shown.err.count("\n") == 1
    assert Path("done.jsonl").read_text() == "mine\n"
    assert sorted(path for path in Path().rglob("*") if "cache" not in path.parts) == before


@pytest.mark.parametrize("source", ["out.jsonl.errors.jsonl", "out.jsonl.journal.jsonl"])
def test_an_input_that_the_batch_would_delete_is_refused(source: str) -> None:
    Path(source).write_text('{"body":"hello"}\n')
    if source.endswith("journal.jsonl"):
        os.link(source, "out.jsonl.journal")
    assert batch(source, "out.jsonl") == 2
    assert Path(source).read_text() == '{"body":"hello"}\n'


def test_overwrite_starts_again() -> None:
    Path("in.jsonl").write_text('{"id":"a","body":"hello"}\n')
    Path("out.jsonl").write_text("mine\n")
    assert batch("in.jsonl", "out.jsonl", "--overwrite") == 0
    assert json.loads(Path("out.jsonl").read_text())["ticket_id"] == "a"


def test_the_missing_model_is_named_once(capsys: pytest.CaptureFixture[str]) -> None:
    Path("in.jsonl").write_text('{"body":"hello"}\n' * 5)
    assert main(["batch", "in.jsonl", "out.jsonl"]) == 0
    assert capsys.readouterr().err.count("No model key") == 1


def test_a_summary_shows_tokens_cost_fallbacks_and_what_stood_there(capsys: pytest.CaptureFixture[str]) -> None:
    tally = Tally(resumed=3, resumed_errors=1, answered=10, errors=2, seconds=2.0, cost_usd=0.5, prompt_tokens=12_000,
                  cached_tokens=9000, completion_tokens=800, duplicates=4, review=5, same_question=2,
                  asked_again=6, spared=1, spent_usd=1.25,
                  sources=Counter(model=7, rules=3), fallbacks=Counter(timeout=3))  # fmt: skip
    summarise(tally, Path("out.jsonl"))
    shown = capsys.readouterr().err
    for piece in ("12 in 2.0 s, 6 rows/s", "model 7, rules 3", "timeout 3", "12,000 prompt (9,000 cached, 75%), 800",
                  "$0.5000 ($1.2500 with earlier runs)", "same question    2 (20.0%)", "asked again      6",
                  "model spared     1 (10.0%)", "to review        5 (50.0%)", "3 rows, kept",
                  "3 → out.jsonl.errors.jsonl"):  # fmt: skip
        assert piece in shown


def test_progress_in_a_log_is_a_plain_line_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    stream = io.StringIO()
    progress = Progress(1000, stream)
    for step in range(11):
        counts = Counter(model=step - step // 4, rules=step // 4)
        tally = Tally(answered=step, seconds=float(step), sources=counts, cost_usd=step / 100, concurrency=16)
        progress.watch(tally, step * 100)
        now += PLAIN_LINE_S / 4
    progress.close()
    assert stream.getvalue() == (
        "4 rows, 40%, 1 rows/s, 45s left, model 75% rules 25%, $0.0400, 16 in flight, 0 errors\n"
        "8 rows, 80%, 1 rows/s, 15s left, model 75% rules 25%, $0.0800, 16 in flight, 0 errors\n"
    )


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_on_a_terminal_is_a_bar_that_goes_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    progress = Progress(100, Terminal(), notice="No model key")
    progress._next = 0.0
    progress.watch(Tally(answered=7, seconds=1.0, sources=Counter(cache=7)), 50)
    progress.close()
    shown = progress._stream.getvalue()  # type: ignore[attr-defined]
    assert "No model key" in shown
    assert "50%" in shown
    assert "cache 100%" in shown


def start(source: Path, target: Path) -> subprocess.Popen[bytes]:
    bare = {name: value for name, value in os.environ.items() if not name.startswith(("OPENAI_", "TRIAGEDESK_"))}
    bare["PYTHONPATH"] = str(
        SAMPLES.parents[2]
    )  # the tests run in a folder of their own: a relative path leads nowhere
    return subprocess.Popen(
        [sys.executable, "-m", "triagedesk", "batch", str(source), str(target), "--model", "rules"],
        stderr=subprocess.PIPE, env=bare, preexec_fn=hear_interrupts,
    )  # fmt: skip


def end(process: subprocess.Popen[bytes]) -> tuple[int, str]:
    with process:
        said = process.communicate(timeout=120)[1].decode()
    return process.returncode, said


ROWS = 60_000
"""So many that the first process is still at work when the second has started."""


def test_ctrl_c_keeps_what_is_done_and_a_second_process_stays_out(tmp_path: Path) -> None:
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text('{"body":"The charger caught fire and I cannot log in"}\n' * ROWS)
    first = start(source, target)
    while first.poll() is None and not (target.exists() and target.stat().st_size):
        time.sleep(0.01)
    code, said = end(start(source, target))
    assert (code, said.count("\n")) == (2, 1)
    assert "another batch is writing it" in said
    first.send_signal(signal.SIGINT)
    code, said = end(first)
    lines = target.read_bytes().splitlines(keepends=True)
    assert code == 130
    assert said == f"stopped after {len(lines)} rows; the same command goes on from there\n"
    assert end(start(source, target))[0] == 0
    written = target.read_bytes().splitlines(keepends=True)
    assert len(written) == ROWS
    assert written[: len(lines)] == lines
