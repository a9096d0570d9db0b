"""What a stranger found in the harness: figures surer than their rows, splits believed, files sought elsewhere."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evals_pairs import PLAYBOOK, gold_labels, right, write_run, write_set, wrong_at
from triagedesk.cli import main
from triagedesk.errors import ConfigError
from triagedesk.evals import Gold, Run, assert_no_regression, make_sheet, read_gold
from triagedesk.evals.adapters import csv_lines
from triagedesk.evals.baseline import bless
from triagedesk.evals.comparison import compare
from triagedesk.evals.conduct import reopened
from triagedesk.evals.curves import best_curve
from triagedesk.evals.folder import RUNNING, RunFolder
from triagedesk.evals.gate import Verdict, bounded
from triagedesk.evals.metrics.calibration import log_loss
from triagedesk.evals.predictions import Prediction
from triagedesk.evals.report.verdict import verdict_of

RULES = 'system = "rules"\ndraws = 20\n'


@pytest.fixture(autouse=True)
def _elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    for name in ("TRIAGEDESK_MODEL", "OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("TRIAGEDESK_LOG", "off")
    monkeypatch.chdir(tmp_path)
    return iter(())


def rows_of(n: int, groups: int) -> list[Gold]:
    return [Gold(i, f"t-{i}", {"body": "x"}, gold_labels(i), group=f"g-{i % groups}") for i in range(n)]


def lines(n: int = 8) -> str:
    rows = ({"ticket": {"id": f"t-{i}", "body": f"The lamp {i} flickers."}, "labels": gold_labels(i)} for i in range(n))
    return "".join(json.dumps(row) + "\n" for row in rows)


def a_config(folder: Path, text: str, name: str = "small.toml") -> Path:
    """A config beside a file gold.jsonl of eight tickets."""
    folder.mkdir(exist_ok=True)
    (folder / "gold.jsonl").write_text(lines(), "utf-8")
    path = folder / name
    path.write_text(text + RULES if "system" not in text else text, "utf-8")
    return path


def refused(capsys: pytest.CaptureFixture[str], *command: str) -> str:
    """Run a command that must end with one line and exit code 2; return the line."""
    capsys.readouterr()
    assert main([str(part) for part in command]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert said.count("\n") == 1
    return said


def run(config: Path, *options: str) -> int:
    return main(["eval", "run", str(config), "--runs", str(config.parent / "runs"), "--json", *options])


def made(capsys: pytest.CaptureFixture[str]) -> Path:
    return Path(json.loads(capsys.readouterr().out)["run"])


def test_groups_without_an_error_leave_a_rate_wilsons_interval_and_other_figures_none() -> None:
    rows = rows_of(40, 4)
    scores = Run(make_sheet(rows, [Prediction(row.id, labels=row.labels) for row in rows], PLAYBOOK), 200).metrics
    urgency = scores.dimensions["urgency"].figures
    four_of_four = 4 / (4 + 1.959964**2)
    assert urgency["accuracy"].low == pytest.approx(four_of_four, abs=1e-4)
    # i % 4 is group and urgency at once: one group alone holds the critical tickets
    assert urgency["critical_recall"].low == pytest.approx(1 / (1 + 1.959964**2), abs=1e-4)
    assert scores.joint_exact.low == pytest.approx(four_of_four, abs=1e-4)
    assert (urgency["macro_f1"].value, urgency["macro_f1"].low, urgency["macro_f1"].high) == (1.0, None, None)
    assert bounded("urgency_macro_f1", urgency["macro_f1"], 0.5).verdict is Verdict.INCONCLUSIVE
    assert bounded("urgent_miss", urgency["urgent_miss"], 0.05).verdict is Verdict.INCONCLUSIVE


def test_a_file_has_the_split_of_its_name_and_no_other_is_believed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = a_config(tmp_path / "a", 'dataset = "gold.jsonl"\n')
    assert "--split nosuch" in refused(capsys, "eval", "run", str(config), "--split", "nosuch")
    assert "--split calibration" in refused(capsys, "eval", "run", str(config), "--split", "calibration")
    assert run(config) == 0
    assert RunFolder(made(capsys)).manifest["dataset"]["split"] == "gold"
    config.write_text('split = "calibration"\n' + config.read_text())
    assert run(config, "--split", "calibration") == 0
    assert RunFolder(made(capsys)).manifest["dataset"]["split"] == "calibration"


def test_files_are_sought_beside_the_config_first_and_a_run_reopens_from_any_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = a_config(tmp_path / "a", 'dataset = "gold.jsonl"\n')
    (tmp_path / "gold.jsonl").write_text(lines(3), "utf-8")
    assert main(["eval", "run", "a/small.toml", "--runs", "runs", "--json"]) == 0
    folder = tmp_path / made(capsys)
    assert RunFolder(folder).manifest["dataset"]["file"] == str(config.with_name("gold.jsonl").resolve())
    monkeypatch.chdir("/")
    assert main(["eval", "report", str(folder)]) == 0


def test_nothing_answered_is_no_comparison_and_strict_raises_what_cannot_be_told(tmp_path: Path) -> None:
    evals = write_set(tmp_path, 40)
    whole = reopened(write_run(evals, "a"))[1]
    silent = reopened(write_run(evals, "b", lambda i, gold: {}))[1]
    with pytest.raises(ConfigError, match="B answered no ticket"):
        compare(whole, silent)
    with pytest.raises(ConfigError, match="A answered no ticket"):
        assert_no_regression(whole, silent)
    almost = reopened(write_run(evals, "c", wrong_at(3, urgency="high")))[1]
    assert_no_regression(almost, whole)
    assert_no_regression(whole, whole, strict=True)
    with pytest.raises(AssertionError, match="cannot be told: urgency accuracy"):
        assert_no_regression(almost, whole, strict=True)


@pytest.mark.parametrize("command", ["score", "noise", "dedup", "agree"])
def test_a_sealed_file_that_a_command_reads_is_counted_as_opened(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sealed = tmp_path / "test.jsonl"
    sealed.write_text(lines(), "utf-8")
    said = tmp_path / "said.jsonl"
    said.write_text('{"id": "t-1", "ticket_id": "t-1", "labels": {"urgency": "medium"}}\n')
    given = ["eval", "score"] if command == "score" else ["eval", "data", command]
    others = [str(said)] if command in ("score", "agree") else []
    main([*given, str(sealed), *others])
    assert not (tmp_path / "openings.jsonl").exists(), "a file named test is not sealed yet"
    (tmp_path / "card.md").touch()
    main([*given, str(sealed), *others])
    main([*given, str(sealed), *others])
    assert "opened 2 times so far" in capsys.readouterr().err
    counted = [json.loads(line)["run"] for line in (tmp_path / "openings.jsonl").read_text().splitlines()]
    assert counted == [" ".join(given)] * 2 if command == "score" else [f"eval data {command}"] * 2


@pytest.mark.parametrize(
    ("table", "says"),
    [
        pytest.param("[prevalence.mood]\nlow = 1.0\n", "prevalence.mood: is no dimension", id="dimension"),
        pytest.param("[prevalence.urgency]\nlow = .5\nhuge = .5\n", "'huge' is no label", id="label"),
        pytest.param("[prevalence.urgency]\nlow = 1.0\n", "is missing", id="missing"),
        pytest.param("[prevalence.urgency]\nlow=1.1\nmedium=-.1\nhigh=0\ncritical=0\n", "add up to 1", id="negative"),
        pytest.param("[prevalence.urgency]\nlow=.5\nmedium=.1\nhigh=.1\ncritical=.1\n", "add up to 1", id="sum"),
    ],
)
def test_shares_that_cannot_be_are_refused(
    table: str, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = table.replace("=.", "=0.").replace("= .", "= 0.").replace("=-.", "=-0.")
    config = a_config(tmp_path / "a", f'dataset = "gold.jsonl"\n{RULES}{table}')
    said = refused(capsys, "eval", "run", str(config))
    assert says in said
    assert "small.toml" in said


def test_a_csv_that_is_not_utf_8_is_one_line_everywhere(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "gold.csv"
    path.write_bytes("body,labels.urgency\nLa lámpara,low\n".encode("latin-1"))
    config = a_config(tmp_path, f'dataset = "{path}"\n')
    for command in (["eval", "data", "check"], ["eval", "data", "noise"], ["eval", "data", "dedup"]):
        assert "save it as UTF-8" in refused(capsys, *command, str(path))
    assert "save it as UTF-8" in refused(capsys, "eval", "run", str(config))


def test_a_folder_is_no_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_folder = write_run(write_set(tmp_path, 8), "a")
    for place in (".", str(tmp_path), "/"):
        assert "is a folder" in refused(capsys, "eval", "report", str(run_folder), "--html", place)


def test_columns_of_a_csv_are_named_in_a_file_and_unknown_fields_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gold, said, columns = tmp_path / "gold.csv", tmp_path / "said.jsonl", tmp_path / "columns.toml"
    gold.write_text('Nr,Text,Prio\na,"two\nlines",low\nb,one,high\n', "utf-8")
    said.write_text('{"ticket_id": "a", "labels": {"urgency": "low"}}\n', "utf-8")
    columns.write_text('[columns]\nid = "Nr"\nbody = "Text"\nlabels.urgency = "Prio"\n', "utf-8")
    by = ("--columns", str(columns))
    assert main(["eval", "score", str(gold), str(said), "--json", *by]) == 0
    assert json.loads(capsys.readouterr().out)["n"] == 2
    assert main(["eval", "data", "check", str(gold), *by]) == 0
    mapped = {"id": "Nr", "body": "Text", "labels.urgency": "Prio"}
    assert [number for number, _ in csv_lines(gold, mapped)] == [2, 4], "a record bears its first line's number"
    columns.write_text('[columns]\nboddy = "Text"\n', "utf-8")
    assert "columns.boddy: is no field" in refused(capsys, "eval", "data", "check", str(gold), *by)


def test_a_run_that_has_not_ended_is_fitted_on_by_nothing_and_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evals = write_set(tmp_path, 40)
    part, whole = write_run(evals, "a", state=RUNNING), write_run(evals, "b")
    assert "has not ended" in refused(capsys, "eval", "calibrate", str(part), "-o", str(tmp_path / "c.json"))
    assert main(["eval", "report", str(part)]) == 0
    assert "has not ended" in capsys.readouterr().err
    assert "has not ended" in (part / "report.html").read_text("utf-8")
    assert main(["eval", "compare", str(part), str(whole)]) == 0
    shown = capsys.readouterr()
    assert "has not ended" in shown.err
    assert "(has not ended)" in shown.out
    folder, done = reopened(part)
    assert verdict_of(done, folder.manifest).headline.startswith("This run has not ended")


def test_a_limited_run_is_blessed_by_force_alone(tmp_path: Path) -> None:
    folder, done = reopened(write_run(write_set(tmp_path, 8), "a", right))
    manifest = folder.manifest
    folder.write("manifest.json", {**manifest, "dataset": {**manifest["dataset"], "rows": 20}})
    with pytest.raises(ConfigError, match="8 of 20 tickets were asked"):
        bless(folder, done, tmp_path / "baselines")
    assert bless(folder, done, tmp_path / "baselines", force=True).is_file()


def test_progress_of_a_retry_ends_at_its_total(tmp_path: Path) -> None:
    import anyio

    from triagedesk.evals import evaluate

    rows, journal = rows_of(6, 6), tmp_path / "predictions.jsonl"
    seen: list[tuple[int, int]] = []

    async def ask(system: Any, *, retry: bool) -> None:
        await evaluate(system, rows, playbook=PLAYBOOK, draws=0, journal=journal, retry_errors=retry,
                       watch=lambda now: seen.append((now.before + now.done, now.total)))  # fmt: skip

    anyio.run(lambda: ask(lambda ticket: {} if ticket.id != "t-1" else 1 / 0, retry=False))
    seen.clear()
    anyio.run(lambda: ask(lambda ticket: {}, retry=True))
    assert seen == [(6, 6)]


def test_a_rate_that_is_worse_than_the_strength_is_not_shipped_from_30_tickets_on() -> None:
    strength = np.asarray([0.97, 0.03] * 18)
    outcome = np.asarray([1.0, 0.0] * 18)
    curve, held = best_curve(strength, outcome, np.arange(36))
    assert curve.method == "identity"
    assert log_loss(held, outcome) <= log_loss(strength, outcome) + 1e-9
    assert best_curve(strength[:28], outcome[:28], np.arange(28))[0].method == "rate", "too few to try it"
    assert best_curve(strength, outcome, np.zeros(36, dtype=np.int64))[0].method == "rate", "one group: no trial"


def test_a_run_that_cannot_start_leaves_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = a_config(tmp_path / "a", 'dataset = "gold.jsonl"\nsystem = "desk"\nmodel = "local/none.gguf"\n')
    refused(capsys, "eval", "run", str(config), "--runs", str(tmp_path / "runs"))
    assert not (tmp_path / "runs").exists()


def test_a_config_error_names_file_and_key(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for text in ('system = "desk"\n', "[settings]\ndeadlin_s = 3\n"):
        config = a_config(tmp_path / "a", f'dataset = "gold.jsonl"\n{text if "system" in text else RULES + text}')
        said = refused(capsys, "eval", "run", str(config))
        assert "small.toml" in said
        assert "ticket:" not in said
        assert "model: " in said or "deadlin_s" in said


@pytest.mark.parametrize("value", ["95%", True, "nan", [0.9]])
def test_what_is_no_probability_is_refused_as_such(
    value: object, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "gold.jsonl").write_text(lines(), "utf-8")
    said = {"ticket_id": "t-1", "labels": {"urgency": {"label": "low", "confidence": value}}}
    (tmp_path / "said.jsonl").write_text(json.dumps(said), "utf-8")
    assert "is a probability from 0 to 1" in refused(capsys, "eval", "score", "gold.jsonl", "said.jsonl")


def test_a_slice_that_is_none_is_named_with_those_that_are(tmp_path: Path) -> None:
    (tmp_path / "gold.jsonl").write_text(lines(), "utf-8")
    rows = read_gold("gold.jsonl", PLAYBOOK)
    done = Run(make_sheet(rows, [Prediction(row.id, labels=row.labels) for row in rows], PLAYBOOK), 0)
    with pytest.raises(ConfigError, match="no slice 'lang'; there are channel, tier, language"):
        done.slices("lang")
    assert done.slices("trait") == {}


def test_resuming_what_has_ended_says_that_nothing_was_left(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = a_config(tmp_path / "a", 'dataset = "gold.jsonl"\n')
    assert run(config) == 0
    capsys.readouterr()
    assert run(config, "--resume") == 0
    assert "nothing was left to ask" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "own"),
    [('base_url = "http://127.0.0.1:1/v1"', "base_url"), ('model = "openai/x"', "model"),
     ("deadline_s = 3", "deadline_s"), ("max_concurrency = 1", "concurrency"),
     ('playbook = "p.yaml"', "playbook"), ('prompt = "p.md"', "prompt"), ('calibration = "c.json"', "calibration")],
    ids=["address", "model", "deadline", "calls at once", "playbook", "prompt", "calibration"],
)  # fmt: skip
def test_a_setting_with_a_key_of_its_own_is_refused_under_settings(
    line: str, own: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = a_config(tmp_path / "a", f'dataset = "gold.jsonl"\nsystem = "rules"\n[settings]\n{line}\n')
    said = refused(capsys, "eval", "run", str(config), "--dry-run")
    assert f"small.toml: settings.{line.split(' ')[0]}: " in said
    assert f"give {own} = " in said
