"""Which two runs make a cascade, and what is told of a run on tickets that the classifier knows by heart."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from evals_pairs import right, write_run, write_set, wrong_at
from trained_parts import playbook, write_gold
from triagedesk.classifiers.trained_file import to_bytes
from triagedesk.cli import main
from triagedesk.evals.cascade import cascade_curve
from triagedesk.evals.conduct import reopened
from triagedesk.evals.folder import RunFolder
from triagedesk.training import Recipe, train

N = 40


@pytest.fixture(autouse=True)
def _elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    for name in ("TRIAGEDESK_MODEL", "OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("TRIAGEDESK_LOG", "off")
    monkeypatch.chdir(tmp_path)
    return iter(())


def rewritten(folder: Path, **more: Any) -> Path:
    """Write into every line of a run what `more` says; a function gets the line's place."""
    file = folder / "predictions.jsonl"
    lines = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    for i, line in enumerate(lines):
        line.update({key: value(i) if callable(value) else value for key, value in more.items()})
    file.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    return folder


def cheap_run(evals: Path, name: str = "cheap", said: Any = right) -> Path:
    """A run that the trained classifier answered, surer and surer."""
    return rewritten(write_run(evals, name, said), provenance={"source": "trained"}, sureness=lambda i: 0.5 + i / 100)


def refused(capsys: pytest.CaptureFixture[str], *command: Path | str) -> str:
    """Run a command that must end with one line and exit code 2; return the line."""
    capsys.readouterr()
    assert main([str(part) for part in command]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert said.count("\n") == 1
    return said


def test_a_cascade_wants_a_run_that_a_model_answered_and_another_one_than_its_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evals = write_set(tmp_path, N)
    cheap, model = cheap_run(evals), write_run(evals, "model", model="openai/x")
    rules = rewritten(write_run(evals, "rules"), provenance={"source": "rules"})
    assert "no model answered" in refused(capsys, "eval", "threshold", cheap, "--cascade", rules)
    own = refused(capsys, "eval", "threshold", model, "--cascade", model.parent / "." / model.name)
    assert "are the same run" in own
    assert main(["eval", "threshold", str(cheap), "--cascade", str(model)]) == 0


def test_a_cascade_of_runs_on_other_tickets_or_on_a_part_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = write_run(write_set(tmp_path / "a", N), "model", model="openai/x")
    other = cheap_run(write_set(tmp_path / "b", N - 4))
    assert "not the same tickets: 36 in RUN, 40 in MODEL_RUN" in refused(
        capsys, "eval", "threshold", other, "--cascade", model
    )
    part = cheap_run(tmp_path / "a" / "evals", said=lambda i, gold: gold if i < 30 else None)
    assert "RUN: 10 of 40 tickets were never put to it" in refused(
        capsys, "eval", "threshold", part, "--cascade", model
    )


def test_tickets_that_a_model_answered_in_the_cheap_run_are_asked_about_at_every_threshold(tmp_path: Path) -> None:
    evals = write_set(tmp_path, N)
    cheap = rewritten(
        cheap_run(evals, said=wrong_at(*range(8), urgency="nonsense")),
        sureness=lambda i: None if i < 8 else 0.5 + i / 100,
    )
    points = cascade_curve(reopened(cheap)[1], reopened(write_run(evals, "model", model="openai/x"))[1])
    assert points[-1].asked == pytest.approx(8 / N)
    assert all(point.at >= 0 for point in points)
    assert all(delta.unmoved for point in points for delta in point.deltas["urgency"].values())


@pytest.fixture
def taught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A config of the trained classifier on its own training file, beside a file that it has not seen."""
    known, fresh = write_gold(tmp_path / "known.jsonl", 60), write_gold(tmp_path / "fresh.jsonl", 60, seed=1)
    file = tmp_path / "tiny.trained.safetensors"
    file.write_bytes(to_bytes(train([known], [fresh], playbook(), Recipe(name="tiny", most=2000, passes=10))))
    write_gold(tmp_path / "unseen.jsonl", 60, seed=2)
    monkeypatch.setenv("TRIAGEDESK_TRAINED", str(file))
    config = tmp_path / "trained.toml"
    config.write_text('dataset = "known.jsonl"\nsystem = "trained"\ndraws = 20\n')
    return config


def made(config: Path, capsys: pytest.CaptureFixture[str]) -> tuple[Path, str]:
    """Run a config; return the run's folder and what stands on stderr."""
    capsys.readouterr()
    assert main(["eval", "run", str(config), "--runs", str(config.parent / "runs"), "--json"]) == 0
    out, err = capsys.readouterr()
    return Path(json.loads(out)["run"]), err


def test_a_run_on_the_classifiers_own_training_tickets_says_so_and_nothing_is_chosen_on_it(
    taught: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, err = made(taught, capsys)
    warned = "the trained classifier, which gave 60 of the answers, learned from this set: figures flatter\n"
    assert warned in err
    assert RunFolder(folder).manifest["trained_on_this_set"] is True
    assert "learned from this set" in (folder / "report.html").read_text("utf-8")
    for command in ("calibrate", "threshold"):
        assert "learned from this set" in refused(capsys, "eval", command, folder)
    assert "learned from this set" in refused(capsys, "eval", "threshold", folder, "--cascade", folder)


def test_a_run_on_tickets_that_the_classifier_has_not_seen_is_taken_as_it_is(
    taught: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    taught.write_text(taught.read_text().replace("known", "unseen"))
    folder, err = made(taught, capsys)
    assert "learned" not in err + (folder / "report.html").read_text("utf-8")
    assert RunFolder(folder).manifest["trained_on_this_set"] is False
    assert main(["eval", "calibrate", str(folder), "-o", str(folder / "c.json")]) == 0


def test_rules_are_no_classifier_that_could_have_learned(taught: Path, capsys: pytest.CaptureFixture[str]) -> None:
    taught.write_text(taught.read_text().replace('"trained"', '"rules"'))
    folder, err = made(taught, capsys)
    assert "learned" not in err
    assert RunFolder(folder).manifest["trained_on_this_set"] is False
