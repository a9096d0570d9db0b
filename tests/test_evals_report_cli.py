"""`triagedesk eval report` and `eval ls`, from a run that was made here."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evals_report_parts import gold_line
from triagedesk.cli.eval_report import list_runs, run
from triagedesk.evals.folder import RunFolder


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A run folder of twelve tickets that rules answered."""
    import anyio

    from triagedesk.evals.conduct import Wish, conduct, open_folder, prepare

    (tmp_path / "gold.jsonl").write_text("".join(json.dumps(gold_line(i)) + "\n" for i in range(12)))
    config = tmp_path / "tiny.toml"
    config.write_text(f'dataset = "{tmp_path / "gold.jsonl"}"\nsystem = "rules"\ndraws = 50\n')
    setup = prepare(config, Wish(runs=tmp_path / "runs"))
    folder = open_folder(setup)
    anyio.run(conduct, setup, folder)
    return folder.path


def test_report_writes_page_and_summary_and_prints_json(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page, summary = made.parent / "page.html", made.parent / "summary.md"
    assert run(made, html=page, markdown=summary, as_json=True) == 0
    assert json.loads(capsys.readouterr().out)["n"] == 12
    assert "Because" not in summary.read_text("utf-8")
    assert page.read_text("utf-8").startswith("<!doctype html>")


def test_report_stands_in_the_runs_folder_by_default(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (made / "report.html").unlink(missing_ok=True)
    assert run(made, html=None, markdown=None, as_json=False) == 0
    assert (made / "report.html").is_file()
    assert "report.html" in capsys.readouterr().out


def test_ls_lists_runs_and_names_what_is_none(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (made.parent / "stray").mkdir()
    assert list_runs(made.parent, as_json=True) == 0
    out, err = capsys.readouterr()
    (told,) = json.loads(out)
    assert told["run"] == str(made)
    assert told["state"] == "complete"
    assert told["accuracy"]["urgency"] is not None
    assert "stray: is no run" in err
    assert RunFolder(made).manifest["name"] == told["name"]


def test_ls_of_nothing_says_how_to_make_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert list_runs(tmp_path, as_json=False) == 0
    assert "no runs in" in capsys.readouterr().err
