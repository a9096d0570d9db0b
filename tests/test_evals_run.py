"""The runner: every ticket asked once a repeat, written down before the next, and resumable wherever it was killed."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache, partial
from pathlib import Path
from typing import Any

import anyio
import pytest

from desk_parts import BASE_URL, FakeModel, answer, clean_environment, fake_model
from triagedesk.cli import main
from triagedesk.errors import ConfigError
from triagedesk.evals import DeskSystem, Gold, Run, evaluate, make_sheet, read_gold
from triagedesk.evals.conduct import Wish, prepare, reopened
from triagedesk.evals.folder import RunFolder
from triagedesk.evals.journal import Journal
from triagedesk.evals.metrics import LOWER_IS_BETTER
from triagedesk.evals.predictions import prediction_of
from triagedesk.evals.run import Progress
from triagedesk.models import Source, Ticket
from triagedesk.playbook import Playbook, load_playbook
from triagedesk.settings import Settings

URGENCIES = ("low", "medium", "high", "critical")
Lines = list[dict[str, Any]]


pytestmark = pytest.mark.usefixtures("clean_home")


@cache
def book() -> Playbook:
    """Load the playbook that ships, once."""
    return load_playbook()


def gold_line(number: int, **labels: str) -> dict[str, Any]:
    """Write a labelled ticket; its labels go round."""
    issues, escalations = book().dimensions["issue_type"].names, book().dimensions["escalation"].names
    urgency = labels.get("urgency", URGENCIES[number % 4])
    escalation = escalations[number % len(escalations)]
    said = {
        "urgency": urgency,
        "issue_type": issues[number % len(issues)],
        "escalation": "management" if urgency == "critical" and escalation == "none" else escalation,
    }
    body = f"Order {number} came without its cable, and nobody has said when it will follow."
    return {"ticket": {"id": f"t{number}", "body": body}, "labels": {**said, **labels}}


def write(path: Path, lines: Sequence[Mapping[str, Any]]) -> Path:
    """Write lines of JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    return path


def gold_rows(tmp_path: Path, n: int = 12) -> list[Gold]:
    """Write and read n labelled tickets."""
    return read_gold(write(tmp_path / "gold.jsonl", [gold_line(number) for number in range(n)]), book())


class Asked:
    """A system that knows gold, and writes a line for each call. `broken` ids raise; `wrong` ids get another label."""

    def __init__(self, rows: Sequence[Gold], log: Path, *, broken: Sequence[str] = (), wrong: Sequence[str] = ()):
        self.labels = {row.id: row.labels for row in rows}
        self.log, self.broken, self.wrong = log, set(broken), set(wrong)

    def __call__(self, ticket: Ticket) -> Mapping[str, str]:
        with self.log.open("a") as stream:
            stream.write(f"{ticket.id}\n")
        assert ticket.id is not None
        if ticket.id in self.broken:
            raise RuntimeError("a stranger's system fell over")
        low = {"urgency": "low"} if ticket.id in self.wrong else {}
        return {**self.labels[ticket.id], **low}

    @property
    def calls(self) -> Counter[str]:
        """How often each ticket was asked about, over processes."""
        return Counter(self.log.read_text().split()) if self.log.exists() else Counter()


def ask(system: Any, rows: Sequence[Gold], **options: Any) -> Run:
    """Evaluate, with few draws."""
    return anyio.run(partial(evaluate, system, rows, **{"playbook": book(), "draws": 50, **options}))


def figures(run: Run) -> dict[str, Any]:
    """Everything that was measured, but time."""
    return {name: value for name, value in run.metrics.as_json().items() if name != "latency"}


def lines_in(path: Path) -> Lines:
    """Read lines of JSON."""
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


# Controls


def test_a_perfect_system_scores_one_everywhere(tmp_path: Path) -> None:
    rows = gold_rows(tmp_path, 80)
    metrics = ask(Asked(rows, tmp_path / "calls"), rows).metrics
    assert metrics.joint_exact.value == 1.0
    for dimension in metrics.dimensions.values():
        for name, figure in dimension.figures.items():
            assert figure.value == (0.0 if name in LOWER_IS_BETTER else 1.0), name
        assert all(each.f1 == 1.0 for each in dimension.per_label.values())
    assert not any(metrics.rule_breaks.values())


def test_shuffled_labels_score_at_chance(tmp_path: Path) -> None:
    rows = gold_rows(tmp_path, 400)
    labels = [row.labels for row in rows]
    random.Random(3).shuffle(labels)
    said = dict(zip((row.id for row in rows), labels, strict=True))
    metrics = ask(lambda ticket: said[ticket.id], rows, draws=300).metrics
    for dimension in metrics.dimensions.values():
        for name in {"kappa", "mcc", "qwk"} & set(dimension.figures):
            figure = dimension.figures[name]
            assert figure.low is not None
            assert figure.high is not None
            assert figure.low < 0 < figure.high, name
    urgency = metrics.dimensions["urgency"].figures["accuracy"]
    assert urgency.low is not None
    assert urgency.high is not None
    assert urgency.low < 0.25 < urgency.high


def test_a_row_that_fails_stays_in_n_as_wrong_and_as_the_least_severe(tmp_path: Path) -> None:
    rows = gold_rows(tmp_path)
    metrics = ask(Asked(rows, tmp_path / "calls", broken=["t3", "t7"]), rows).metrics
    urgency = metrics.dimensions["urgency"]
    assert (metrics.n, urgency.n, metrics.answered, metrics.missing) == (12, 12, 10, 2)
    assert metrics.errors == {"RuntimeError": 2}
    assert urgency.figures["accuracy"].value == pytest.approx(10 / 12)
    assert urgency.figures["critical_recall"].value == pytest.approx(1 / 3)  # t3, t7 and t11 are critical
    assert urgency.figures["severe_under_triage"].value == pytest.approx(2 / 12)
    assert urgency.figures["no_answer"].value == pytest.approx(2 / 12)


@pytest.mark.parametrize("said", [None, {"urgency": 3}, "high", {"urgency": {"label": "high", "confidence": 95}}],
                         ids=["nothing", "a-number", "bare-text", "a-confidence-in-percent"])  # fmt: skip
def test_what_is_no_answer_is_that_rows_error_and_spoils_no_journal(said: Any, tmp_path: Path) -> None:
    rows, journal = gold_rows(tmp_path, 3), tmp_path / "predictions.jsonl"
    run = ask(lambda ticket: said if ticket.id == "t1" else {"urgency": "low"}, rows, journal=journal)
    assert (run.metrics.n, run.metrics.answered, sum(run.metrics.errors.values())) == (3, 2, 1)
    assert figures(ask(lambda ticket: {"urgency": "high"}, rows, journal=journal)) == figures(run), "all were asked"


def test_no_rows_measure_nothing(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nothing is measured"):
        ask(lambda ticket: {}, [])


# The journal


def test_each_answer_stands_in_the_file_before_the_next_ticket_is_asked(tmp_path: Path) -> None:
    rows, journal = gold_rows(tmp_path), tmp_path / "predictions.jsonl"
    seen = []

    def system(ticket: Ticket) -> Mapping[str, str]:
        seen.append(len(lines_in(journal)))
        return {"urgency": "low"}

    ask(system, rows, journal=journal, concurrency=1)
    assert seen == list(range(12))


CHILD = """
import os, signal, sys
from functools import partial
from pathlib import Path
import anyio
from triagedesk.evals import evaluate, read_gold
from triagedesk.playbook import load_playbook

folder, concurrency, die_at = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
book = load_playbook()
rows = read_gold(folder / "gold.jsonl", book)
labels = {row.id: row.labels for row in rows}
calls = 0

async def system(ticket):
    global calls
    calls += 1
    with (folder / "calls").open("a") as stream:
        stream.write(ticket.id + "\\n")
    if calls == die_at:
        os.kill(os.getpid(), signal.SIGKILL)
    await anyio.sleep(0)
    return labels[ticket.id]

journal = folder / "journal.jsonl"
anyio.run(partial(evaluate, system, rows, playbook=book, k=2, concurrency=concurrency, journal=journal))
"""


@pytest.mark.parametrize(("concurrency", "die_at"), [(1, 8), (4, 17)], ids=["one-at-a-time", "four-at-once-repeat-2"])
def test_killed_in_the_middle_it_goes_on_with_no_row_lost_or_asked_twice(
    concurrency: int, die_at: int, tmp_path: Path
) -> None:
    rows, journal = gold_rows(tmp_path), tmp_path / "journal.jsonl"
    arguments = [sys.executable, "-c", CHILD, str(tmp_path), str(concurrency), str(die_at)]
    child = subprocess.run(arguments, env=clean_environment(tmp_path), check=False, timeout=60)
    assert child.returncode == -signal.SIGKILL
    system = Asked(rows, tmp_path / "calls")
    before, written = system.calls, [(line["id"], line["k"]) for line in lines_in(journal)]
    assert die_at - concurrency <= len(written) < die_at
    assert before.total() == die_at

    run = ask(system, rows, k=2, journal=journal)
    after = system.calls - before
    expected = Counter(row.id for row in rows for _ in range(2)) - Counter(identity for identity, _ in written)
    assert after == expected, "only what had no answer was asked again"
    held = Counter((line["id"], line["k"]) for line in lines_in(journal))
    assert held == {(row.id, k): 1 for row in rows for k in range(2)}
    assert figures(run) == figures(ask(Asked(rows, tmp_path / "other"), rows, k=2))


def test_cut_off_at_any_byte_the_file_goes_on_to_the_same_figures(tmp_path: Path) -> None:
    rows, journal = gold_rows(tmp_path, 6), tmp_path / "predictions.jsonl"
    whole = ask(Asked(rows, tmp_path / "calls", wrong=["t2"]), rows, journal=journal)
    content = journal.read_bytes()
    for cut in range(0, len(content), 23):
        journal.write_bytes(content[:cut])
        system = Asked(rows, tmp_path / f"calls{cut}", wrong=["t2"])
        run = ask(system, rows, journal=journal)
        assert figures(run) == figures(whole)
        assert system.calls.total() == 6 - content[:cut].count(b"\n")
        assert [line["id"] for line in lines_in(journal)] == [row.id for row in rows]


def test_a_damaged_line_in_the_middle_is_named(tmp_path: Path) -> None:
    rows, journal = gold_rows(tmp_path, 3), tmp_path / "predictions.jsonl"
    ask(Asked(rows, tmp_path / "calls"), rows, journal=journal)
    journal.write_bytes(b'{"id": "t0", \n' + journal.read_bytes())
    with pytest.raises(ConfigError, match="line 1 is damaged"):
        ask(Asked(rows, tmp_path / "calls"), rows, journal=journal)


def test_a_second_writer_of_the_same_run_is_refused_and_asks_nothing(tmp_path: Path) -> None:
    rows, journal = gold_rows(tmp_path), tmp_path / "predictions.jsonl"
    system = Asked(rows, tmp_path / "calls")
    with Journal(journal), pytest.raises(ConfigError, match="another process writes this run"):
        ask(system, rows, journal=journal)
    assert not system.calls
    ask(system, rows, journal=journal)
    assert system.calls.total() == 12


def test_only_what_came_to_nothing_is_asked_again_on_wish(tmp_path: Path) -> None:
    rows, journal = gold_rows(tmp_path), tmp_path / "predictions.jsonl"
    broken = Asked(rows, tmp_path / "calls", broken=["t3", "t7"])
    ask(broken, rows, journal=journal)
    ask(broken, rows, journal=journal)
    assert broken.calls.total() == 12, "without the wish an error is an answer"
    mended = Asked(rows, tmp_path / "mended", broken=["t7"])
    run = ask(mended, rows, journal=journal, retry_errors=True)
    assert mended.calls == {"t3": 1, "t7": 1}
    assert run.metrics.errors == {"RuntimeError": 1}
    assert [(line["id"], line["attempt"]) for line in lines_in(journal)][12:] == [("t3", 2), ("t7", 2)]


def test_rules_that_answered_for_a_failing_model_are_worth_another_try(tmp_path: Path) -> None:
    rows, journal = gold_rows(tmp_path, 3), tmp_path / "predictions.jsonl"
    line = {"id": "t0", "k": 0, "attempt": 1, "labels": {"urgency": "low"},
            "provenance": {"source": "rules", "fallback_reason": "timeout"}}  # fmt: skip
    write(journal, [line, {**line, "id": "t1", "provenance": {"source": "rules", "fallback_reason": "no_model"}}])
    system = Asked(rows, tmp_path / "calls")
    ask(system, rows, journal=journal, retry_errors=True)
    assert system.calls == {"t0": 1, "t2": 1}


# Repeats, money, time


def test_three_repeats_show_how_often_an_answer_flips(tmp_path: Path) -> None:
    rows = gold_rows(tmp_path, 8)
    asked: Counter[str | None] = Counter()

    def moody(ticket: Ticket) -> Mapping[str, str]:
        asked[ticket.id] += 1
        return {"urgency": "high" if ticket.id in ("t0", "t1") and asked[ticket.id] == 2 else "low"}

    repeats = ask(moody, rows, k=3).metrics.repeats
    assert repeats is not None
    assert repeats.tickets == 8
    assert repeats.flip_rate["urgency"] == pytest.approx(2 / 8)
    assert repeats.pairwise_agreement["urgency"] == pytest.approx((6 + 2 / 3) / 8)
    assert set(asked.values()) == {3}


class Priced:
    """A system whose every answer costs a cent."""

    def __init__(self) -> None:
        self.calls = 0

    def open(self, k: int) -> Any:
        """Open."""
        return self

    async def __aenter__(self) -> Any:
        return self._answer

    async def __aexit__(self, *_: object) -> None: ...

    async def _answer(self, ticket: Ticket) -> dict[str, Any]:
        self.calls += 1
        return {"labels": {"urgency": "low"}, "provenance": {"source": "model", "cost_usd": 0.01}, "latency_ms": 5.0}


def test_nothing_is_asked_once_the_money_is_spent_and_resuming_counts_what_was(tmp_path: Path) -> None:
    rows, journal = gold_rows(tmp_path), tmp_path / "predictions.jsonl"
    system = Priced()
    run = ask(system, rows, k=2, journal=journal, max_cost_usd=0.05, concurrency=1)
    assert (run.stopped, system.calls, run.metrics.n) == ("max_cost", 5, 12)
    run = ask(system, rows, k=2, journal=journal, max_cost_usd=0.08, concurrency=1)
    assert (run.stopped, system.calls) == ("max_cost", 8)
    run = ask(system, rows, k=2, journal=journal, concurrency=1)
    assert (run.stopped, system.calls) == (None, 24)


def test_money_spent_on_an_attempt_that_failed_is_spent(tmp_path: Path) -> None:
    rows, journal = gold_rows(tmp_path, 2), tmp_path / "predictions.jsonl"
    line = {"id": "t0", "k": 0, "labels": {"urgency": "low"}, "provenance": {"source": "model", "cost_usd": 0.03}}
    write(journal, [{**line, "attempt": 1}, {**line, "attempt": 2}])
    system = Priced()
    assert ask(system, rows, journal=journal, max_cost_usd=0.06).stopped == "max_cost"
    assert system.calls == 0


def test_without_any_money_nothing_is_measured(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nothing is measured"):
        ask(Priced(), gold_rows(tmp_path), max_cost_usd=0)


def test_the_watcher_sees_every_row(tmp_path: Path) -> None:
    rows, journal = gold_rows(tmp_path), tmp_path / "predictions.jsonl"
    ask(Asked(rows[:5], tmp_path / "calls"), rows[:5], journal=journal)
    seen: list[tuple[int, int, int]] = []

    def watch(progress: Progress) -> None:
        seen.append((progress.before, progress.done, progress.total))

    ask(Asked(rows, tmp_path / "calls"), rows, journal=journal, watch=watch)
    assert seen == [(5, done, 12) for done in range(1, 8)]


def test_the_time_of_a_cached_answer_is_no_latency(tmp_path: Path) -> None:
    rows = gold_rows(tmp_path, 4)
    desk = ask(DeskSystem(lambda k: Settings(model="rules")), rows)
    assert desk.metrics.latency.n == 4
    line = {"k": 0, "labels": {"urgency": "low"}, "latency_ms": 900.0, "provenance": {"source": str(Source.CACHE)}}
    cached = [prediction_of({**line, "id": row.id}) for row in rows[:2]]
    fresh = [prediction_of({**line, "id": row.id, "provenance": {"source": "model"}}) for row in rows[2:]]
    latency = Run(make_sheet(rows, [*cached, *fresh], book()), 0).metrics.latency
    assert (latency.n, latency.p95_ms) == (2, 900.0)


# The command


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A config by rules, its dataset of 12 tickets in dev and test."""
    root = tmp_path / "evals"
    write(root / "datasets" / "small" / "dev.jsonl", [gold_line(number) for number in range(12)])
    write(root / "datasets" / "small" / "test.jsonl", [gold_line(number) for number in range(20, 26)])
    path = root / "configs" / "small.toml"
    path.parent.mkdir()
    path.write_text('dataset = "small"\nsystem = "rules"\ndraws = 50\nconcurrency = 1\n')
    return path


def eval_run(config: Path, *options: str, runs: Path | None = None) -> int:
    """Run the command in this process."""
    return main(["eval", "run", str(config), "--json", "--runs", str(runs or config.parent / "runs"), *options])


def said(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """Read what the command printed."""
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_a_run_leaves_a_folder_with_everything_in_it(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert eval_run(config) == 0
    shown = said(capsys)
    folder = Path(shown["run"])
    assert {path.name for path in folder.iterdir()} >= {
        "manifest.json", "predictions.jsonl", "metrics.json", "slices.json", "confusion.csv", "errors.csv",
    }  # fmt: skip
    assert json.loads((folder / "metrics.json").read_text()) == {k: v for k, v in shown.items() if k != "run"}
    manifest = RunFolder(folder).manifest
    assert (manifest["state"], manifest["k"], manifest["dataset"]["asked"]) == ("complete", 1, 12)
    assert manifest["dataset"]["openings"] == 0
    assert reopened(folder)[1].metrics.as_json() == {k: v for k, v in shown.items() if k != "run"}


def test_killed_from_outside_the_command_goes_on_to_the_same_figures(
    tmp_path: Path, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(config.parents[1] / "datasets" / "small" / "dev.jsonl", [gold_line(number) for number in range(40)])
    runs = tmp_path / "runs"
    command = [sys.executable, "-m", "triagedesk", "eval", "run", str(config), "--runs", str(runs)]
    nowhere = subprocess.DEVNULL
    child = subprocess.Popen(command, env=clean_environment(tmp_path), stdout=nowhere, stderr=nowhere)
    try:
        while child.poll() is None and not any(path.stat().st_size > 4000 for path in runs.glob("*/predictions.jsonl")):
            with suppress(subprocess.TimeoutExpired):
                child.wait(0.01)
    finally:
        child.kill()
        child.wait()
    assert child.returncode == -signal.SIGKILL
    (folder,) = runs.iterdir()
    assert RunFolder(folder).manifest["state"] == "running"
    before = (folder / "predictions.jsonl").read_bytes()
    kept = before[: before.rfind(b"\n") + 1]
    assert 0 < kept.count(b"\n") < 40

    assert eval_run(config, "--resume", runs=runs) == 0
    resumed = said(capsys)
    assert resumed["run"] == str(folder)
    assert (folder / "predictions.jsonl").read_bytes().startswith(kept), "what was answered is not touched"
    assert len({line["id"] for line in lines_in(folder / "predictions.jsonl")}) == 40
    assert len(lines_in(folder / "predictions.jsonl")) == 40
    assert eval_run(config, runs=tmp_path / "whole") == 0
    whole = said(capsys)
    assert {**resumed, "latency": 0, "run": ""} == {**whole, "latency": 0, "run": ""}


def test_a_folder_that_a_kill_left_empty_is_passed_over(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert eval_run(config) == 0
    whole = Path(said(capsys)["run"])
    (whole.parent / whole.name.replace("20", "99", 1)).mkdir()
    assert eval_run(config, "--resume") == 0
    assert said(capsys)["run"] == str(whole)


def test_a_run_that_another_process_writes_is_refused_with_exit_code_2(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert eval_run(config) == 0
    folder = Path(said(capsys)["run"])
    with Journal(folder / "predictions.jsonl"):
        assert eval_run(config, "--resume") == 2
    assert "another process writes this run" in capsys.readouterr().err


def test_a_limit_takes_the_first_tickets_and_a_resumed_run_may_lift_it(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert eval_run(config, "--limit", "5") == 0
    first = said(capsys)
    assert first["n"] == 5
    assert [line["id"] for line in lines_in(Path(first["run"]) / "predictions.jsonl")] == [f"t{n}" for n in range(5)]
    assert eval_run(config, "--resume") == 0
    second = said(capsys)
    assert (second["run"], second["n"]) == (first["run"], 12)
    assert len(reopened(Path(second["run"]))[1].sheet) == 12, "the manifest tells how many were asked"


def test_repeats_of_the_command_are_numbered_and_told(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert eval_run(config, "--k", "3") == 0
    shown = said(capsys)
    assert shown["repeats"]["tickets"] == 12
    assert set(shown["repeats"]["flip_rate"].values()) == {0.0}, "rules say the same thing each time"
    assert Counter(line["k"] for line in lines_in(Path(shown["run"]) / "predictions.jsonl")) == {0: 12, 1: 12, 2: 12}
    assert RunFolder(Path(shown["run"])).manifest["k"] == 3


@pytest.mark.parametrize(
    ("content", "options"),
    [("", ()), ("\n\n", ()), (None, ()), (json.dumps(gold_line(1)) + "\n", ("--limit", "0"))],
    ids=["empty", "blank-lines", "missing", "limit-0"],
)
def test_zero_rows_are_exit_code_2(
    content: str | None, options: tuple[str, ...], config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = config.parents[1] / "datasets" / "small" / "dev.jsonl"
    file.unlink() if content is None else file.write_text(content)
    assert eval_run(config, *options) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("error: ")
    assert shown.err.count("\n") == 1


def test_the_sealed_split_opens_by_its_option_only_and_counts(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = config.parents[1] / "datasets" / "small" / "openings.jsonl"
    assert eval_run(config) == 0
    assert not log.exists()
    for opening in (1, 2):
        capsys.readouterr()
        assert eval_run(config, "--split", "test") == 0
        manifest = RunFolder(Path(said(capsys)["run"])).manifest
        assert (manifest["dataset"]["split"], manifest["dataset"]["openings"]) == ("test", opening)
    assert eval_run(config, "--split", "test", "--resume") == 0
    assert len(lines_in(log)) == 2, "going on with a run opens nothing anew"
    config.write_text(config.read_text() + 'split = "test"\n')
    assert eval_run(config) == 2
    assert "--split test" in capsys.readouterr().err


def test_a_dry_run_asks_nothing_and_leaves_nothing(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert eval_run(config, "--dry-run", "--split", "test") == 0
    assert said(capsys)["calls"] == 0
    assert not (config.parent / "runs").exists()
    assert not (config.parents[1] / "datasets" / "small" / "openings.jsonl").exists()


# What names a run


MODEL = f'dataset = "small"\nsystem = "desk"\nmodel = "openai/made-up"\nbase_url = "{BASE_URL}"\n'
PROMPT = Path(__file__).parents[1] / "prompts" / "classify.md"
BOOK = Path(load_playbook.__code__.co_filename).with_name("default.yaml")


def identity(config: Path, text: str, **wish: Any) -> str:
    """Return the identity of a configuration."""
    config.write_text(text)
    return prepare(config, Wish(**wish)).identity


@pytest.mark.parametrize(
    "change",
    ['model = "openai/another"', 'system = "model"', "deadline_s = 5", "k = 2", "seed = 4",
     "[settings]\ntemperature = 0.5", "[settings]\nredact = false"],
)  # fmt: skip
def test_whatever_decides_an_answer_names_another_run(change: str, config: Path) -> None:
    key = change.split(" ")[0]
    kept = "".join(line + "\n" for line in MODEL.splitlines() if not line.startswith(f"{key} "))
    assert identity(config, f"{kept}{change}\n") != identity(config, MODEL)


def test_playbook_prompt_and_data_name_another_run(config: Path) -> None:
    first = identity(config, MODEL)
    (config.parent / "other.md").write_text(PROMPT.read_text("utf-8") + "\nOne more thing.\n")
    prompted = identity(config, MODEL + 'prompt = "other.md"\n')
    text = BOOK.read_text("utf-8")
    (config.parent / "other.yaml").write_text(text.replace("low: {low: 0, medium: 1,", "low: {low: 0, medium: 2,"))
    booked = identity(config, MODEL + 'playbook = "other.yaml"\n')
    write(config.parents[1] / "datasets" / "small" / "dev.jsonl", [gold_line(number) for number in range(13)])
    grown = identity(config, MODEL)
    assert len({first, prompted, booked, grown}) == 4


def test_settings_of_the_environment_name_another_run_of_a_model_but_not_of_rules(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules = MODEL.replace('"desk"', '"rules"')
    before = identity(config, MODEL), identity(config, rules)
    monkeypatch.setenv("TRIAGEDESK_TEMPERATURE", "0.7")
    assert identity(config, MODEL) != before[0]
    assert identity(config, rules) == before[1]


@pytest.mark.parametrize("change", ["name = 'other'", "concurrency = 2", "draws = 7", "[gates]\nurgent_miss = 0.1"])
def test_what_decides_no_answer_names_the_same_run(change: str, config: Path) -> None:
    assert identity(config, f"{MODEL}{change}\n") == identity(config, MODEL)


def test_the_limit_of_a_run_does_not_name_it(config: Path) -> None:
    assert identity(config, MODEL, limit=3) == identity(config, MODEL)


@pytest.fixture
def model(config: Path) -> Iterator[FakeModel]:
    """A model on the wire, and a config that asks it with prices set."""
    with fake_model() as wire:
        config.write_text(MODEL + 'deadline_s = 20\ndraws = 20\nconcurrency = 1\n'
                          '[settings]\napi_key = "k"\nprice_prompt = 1.0\nprice_completion = 1.0\n')  # fmt: skip
        wire.says = lambda seen: answer("high", quote=seen["body"][:8])
        yield wire


def test_a_second_run_is_answered_from_the_cache_and_another_configuration_is_not(
    config: Path, model: FakeModel, capsys: pytest.CaptureFixture[str]
) -> None:
    assert eval_run(config, "--limit", "4") == 0
    shown = said(capsys)
    assert (len(model.sent), shown["sources"], shown["latency"]["n"]) == (4, {"model": 4}, 4)
    assert eval_run(config, "--limit", "4") == 0
    again = said(capsys)
    assert (len(model.sent), again["sources"], again["latency"]["n"]) == (4, {"cache": 4}, 0)
    assert RunFolder(Path(again["run"])).manifest["cache"]["hits"] >= 4
    assert eval_run(config, "--limit", "4", "--no-cache") == 0
    assert (len(model.sent), said(capsys)["sources"]) == (8, {"model": 4})
    config.write_text(config.read_text().replace("deadline_s = 20", "deadline_s = 21"))
    assert eval_run(config, "--limit", "4") == 0
    assert (len(model.sent), said(capsys)["sources"]) == (12, {"model": 4}), "another configuration, another namespace"


def test_the_command_stops_when_the_money_is_spent_with_exit_code_2(
    config: Path, model: FakeModel, capsys: pytest.CaptureFixture[str]
) -> None:
    assert eval_run(config, "--max-cost", "0.0000001") == 2
    shown = capsys.readouterr()
    assert json.loads(shown.out)["n"] == 12
    assert len(model.sent) == 1
    assert "--resume goes on" in shown.err
    assert eval_run(config, "--resume") == 0
    assert len(model.sent) == 12


# Scoring a file


@pytest.fixture
def gold(tmp_path: Path) -> Path:
    """Eight labelled tickets, two of each urgency."""
    return write(tmp_path / "gold8.jsonl", [gold_line(number) for number in range(8)])


def told(number: int, **labels: str) -> dict[str, Any]:
    """Write a right prediction, but for the labels given."""
    return {"ticket_id": f"t{number}", "labels": {**gold_line(number)["labels"], **labels}}


def score(gold: Path, lines: Sequence[Mapping[str, Any]], *options: str) -> int:
    """Run the command on predictions."""
    path = write(gold.with_name("predictions.jsonl"), lines)
    return main(["eval", "score", str(gold), str(path), "--json", "--draws", "50", *options])


def test_scoring_prints_the_shape_that_the_issue_promises(gold: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert score(gold, [told(number) for number in range(8)]) == 0
    shown = said(capsys)
    assert shown["n"] == 8
    assert set(shown["dimensions"]) == {"urgency", "issue_type", "escalation"}
    for name in ("accuracy", "macro_f1", "qwk", "critical_recall", "urgent_miss", "severe_under_triage"):
        figure = shown["dimensions"]["urgency"][name]
        assert set(figure) == {"value", "low", "high"}
        assert figure["value"] == (1.0 if name not in LOWER_IS_BETTER else 0.0)
        if name in ("macro_f1", "qwk"):
            assert (figure["low"], figure["high"]) == (None, None), "no draw varies: its interval is unknown"
        else:
            assert 0 <= figure["low"] <= figure["value"] <= figure["high"] <= 1
    assert {"accuracy", "macro_f1"} <= set(shown["dimensions"]["issue_type"])
    assert {"accuracy", "macro_f1", "escalated_recall"} <= set(shown["dimensions"]["escalation"])


def test_missing_predictions_count_as_wrong_and_as_low(gold: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert score(gold, [told(number) for number in range(8) if number not in (3, 4)]) == 0
    shown = capsys.readouterr()
    urgency = json.loads(shown.out)["dimensions"]["urgency"]
    assert "2 of 8 tickets have no prediction" in shown.err
    assert urgency["accuracy"]["value"] == 6 / 8
    assert urgency["critical_recall"]["value"] == 1 / 2  # t3 is critical, t4 low
    assert urgency["severe_under_triage"]["value"] == 1 / 8
    assert urgency["under_triage"]["value"] == 1 / 8
    assert urgency["over_triage"]["value"] == 0.0


def test_labels_of_no_playbook_are_wrong_and_break_a_rule(gold: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [told(number) for number in range(8)]
    lines[3]["labels"]["urgency"] = "URGENT!!"
    assert score(gold, lines) == 0
    shown = said(capsys)
    assert shown["rule_breaks"]["unknown_label"] == 1
    assert shown["dimensions"]["urgency"]["no_answer"]["value"] == 1 / 8
    assert shown["dimensions"]["urgency"]["critical_recall"]["value"] == 1 / 2
    assert shown["dimensions"]["issue_type"]["accuracy"]["value"] == 1.0


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ([told(1), told(2), told(1, urgency="low")], "'t1' is predicted twice"),
        ([{"ticket_id": "x1", "labels": {"urgency": "low"}}], "ticket ids differ"),
        ([], "holds no prediction"),
        ([{"labels": {"urgency": "low"}}], "line 1: ticket_id is missing"),
        ([told(1), {"ticket_id": "t2"}], "line 2: labels is missing"),
        ([told(1), {"ticket_id": "t2", "labels": {"urgency": {"label": "low", "confidence": 95}}}],
         "line 2: labels.urgency: a confidence is a probability from 0 to 1"),
        ([told(1), ["secret"]], "line 2: a prediction is an object"),
    ],
    ids=["duplicate", "wrong-ids", "empty-file", "no-id", "no-labels", "percent", "no-object"],
)  # fmt: skip
def test_predictions_that_cannot_be_scored_are_one_line_and_exit_code_2(
    lines: Lines, says: str, gold: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert score(gold, lines) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert says in shown.err
    assert shown.err.count("\n") == 1
    assert "secret" not in shown.err


def test_predictions_of_other_tickets_are_told_and_left_out(gold: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [told(number) for number in range(8)]
    assert score(gold, [*lines, {"ticket_id": "x1", "labels": {"urgency": "low"}}]) == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out)["unknown_ids"] == 1
    assert "1 predictions belong to no ticket" in shown.err


def test_a_file_without_a_single_answer_measures_nothing(gold: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert score(gold, [{"ticket_id": f"t{number}", "error": "Timeout"} for number in range(8)]) == 2
    assert "no ticket was answered" in capsys.readouterr().err


def test_suggestions_are_predictions(gold: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tickets = gold.with_name("tickets.jsonl")
    write(tickets, [gold_line(number)["ticket"] for number in range(8)])
    made = gold.with_name("suggestions.jsonl")
    assert main(["batch", str(tickets), str(made), "--model", "rules"]) == 0
    capsys.readouterr()
    assert main(["eval", "score", str(gold), str(made), "--json", "--draws", "0"]) == 0
    shown = said(capsys)
    assert (shown["answered"], shown["sources"]) == (8, {"rules": 8})
    assert shown["quotes_grounded"]["value"] in (None, 1.0)
    assert not any(shown["rule_breaks"].values())
