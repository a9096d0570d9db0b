"""Tables of figures at every width: a row without its name says nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from evals_pairs import write_run, write_set, wrong_at
from triagedesk.cli import main
from triagedesk.cli.eval_grid import print_grid

DIMENSIONS = ("urgency", "issue_type", "escalation", "sentiment", "customer_effort")
FIGURES = ("accuracy", "macro f1", "severe under triage")


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    """Gold labels and predictions of sixteen tickets."""
    gold = write_set(tmp_path, 16) / "datasets" / "hand" / "dev.jsonl"
    said = tmp_path / "said.jsonl"
    rows = [json.loads(line) for line in gold.read_text("utf-8").splitlines()]
    said.write_text("".join(json.dumps({"ticket_id": r["ticket"]["id"], "labels": r["labels"]}) + "\n" for r in rows))
    return ["eval", "score", str(gold), str(said)]


def five(rows: tuple[str, ...] = FIGURES) -> tuple[list[str], list[list[str]]]:
    return ["", *DIMENSIONS], [[name, *(["0.812 (0.780–0.840)"] * len(DIMENSIONS))] for name in rows]


@pytest.mark.parametrize("columns", [80, 100, 30, 10])
def test_every_table_of_five_dimensions_names_its_rows_and_cuts_no_figure(
    columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    print_grid(*five())
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines() if line.strip()]
    named = [line for line in lines if line.startswith(FIGURES)]
    headers = [line for line in lines if line.startswith(" ")]
    assert len(named) == len(FIGURES) * len(headers) == len(lines) - len(headers)
    assert sum(line.count("0.812 (0.780–0.840)") for line in named) == 15
    assert all(sum(name in line.split() for line in headers) == 1 for name in DIMENSIONS)
    if columns >= 45:
        assert max(map(len, lines)) <= columns


def test_in_a_pipe_five_dimensions_stand_side_by_side(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    print_grid(*five())
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 + len(FIGURES)
    assert lines[0].split() == list(DIMENSIONS)


def bare(out: str) -> list[str]:
    """Return the rows of figures that begin with no name."""
    return [line for line in out.splitlines() if line.startswith("  ") and any(char.isdigit() for char in line)]


def test_scores_in_a_pipe_name_every_row(files: list[str]) -> None:
    given = {key: value for key, value in os.environ.items() if key != "COLUMNS"} | {"TRIAGEDESK_LOG": "off"}
    out = subprocess.run([sys.executable, "-m", "triagedesk", *files], env=given, capture_output=True, text=True,
                         check=True, encoding="utf-8").stdout  # fmt: skip
    assert "severe under triage" in out
    assert bare(out) == []


@pytest.mark.parametrize("columns", ["80", "40"])
def test_scores_in_a_narrow_terminal_name_every_row(
    columns: str, files: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    assert main(files) == 0
    out = capsys.readouterr().out
    assert "severe under triage" in out
    assert "…" not in out
    assert bare(out) == []


def test_a_comparison_at_80_columns_names_every_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    evals = write_set(tmp_path, 16)
    runs = [str(write_run(evals, "a")), str(write_run(evals, "b", wrong_at(3, 7, urgency="high")))]
    assert main(["eval", "compare", *runs]) == 0
    out = capsys.readouterr().out
    assert out.count("issue_type macro f1") == 2, "figures and verdicts stand in two tables, each with the names"
    assert "…" not in out
