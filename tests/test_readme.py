"""The README cannot rot: its offline commands run, its marked outputs come out, and every setting stands in it."""

from __future__ import annotations

import ast
import asyncio
import gzip
import json
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from desk_parts import clean_environment
from triagedesk import Settings

README = Path(__file__).parents[1] / "README.md"
TEXT = README.read_text(encoding="utf-8")
START, END = "<!-- settings: start -->\n", "<!-- settings: end -->"
SHOWN = {"api_key": "–", "cache_dir": "`~/.cache/triagedesk`"}


def blocks(kind: str) -> Iterator[str]:
    """Yield the fenced blocks of a kind."""
    for part in TEXT.split(f"\n```{kind}\n")[1:]:
        yield part.split("\n```")[0]


STAY = ("triagedesk serve", "triagedesk mcp")
"""What runs until it is told to stop: started for real in tests/test_service_api.py and tests/test_service_mcp.py."""


ELSEWHERE = ("--via batch-api", "--engine ray")
"""What needs a provider or a cluster: run for real in tests/test_cli_batch_api.py and tests/test_batch_ray.py."""


def commands() -> list[str]:
    """Every triagedesk command that the README shows and that ends by itself, without its comment."""
    lines = [line.removeprefix("$ ") for block in blocks("console") for line in block.splitlines()]
    shown = [line.split("  #")[0].strip().removeprefix(".venv/bin/") for line in lines]
    return [
        line for line in shown
        if line.startswith("triagedesk ") and line not in STAY and not any(option in line for option in ELSEWHERE)
    ]  # fmt: skip


def outputs() -> dict[str, str]:
    """What the README says the command before each mark prints, by the command."""
    found = {}
    for part in TEXT.split("<!-- output:")[1:]:
        before = reversed(TEXT[: TEXT.index(part)].splitlines())
        command = next(line for line in before if line.startswith("$") and "triagedesk " in line)
        said = part.split("```text\n")[1].split("\n```")[0]
        found[command.removeprefix("$ ").removeprefix(".venv/bin/").strip()] = said
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files that the commands name."""
    made = tmp_path_factory.mktemp("readme")
    (made / "ticket.json").write_text(json.dumps({"body": "My card was charged twice."}), encoding="utf-8")
    rows = "id,body\n1,My card was charged twice.\n2,Where is my invoice?\n"
    (made / "tickets.csv").write_text(rows, encoding="utf-8")
    labelled = (README.parent / "evals/datasets/support/dev.jsonl").read_text(encoding="utf-8").splitlines()[:200]
    (made / "accepted.jsonl").write_text("\n".join(labelled) + "\n", encoding="utf-8")
    (made / "export").mkdir()
    (made / "export/a.jsonl.gz").write_bytes(gzip.compress(b'{"body": "Where is my invoice?"}\n'))
    evals_folder(made)
    return made


def evals_folder(made: Path) -> None:
    """Lay out a few gold tickets, predictions, and two runs of which the first is blessed."""
    gold = (README.parent / "evals/datasets/support/smoke.jsonl").read_text(encoding="utf-8").splitlines()[:12]
    said = [{"ticket_id": (row := json.loads(line))["ticket"]["id"], "labels": row["labels"]} for line in gold]
    (made / "evals/configs").mkdir(parents=True)
    (made / "evals/datasets/support").mkdir(parents=True)
    for name in ("gold.jsonl", "evals/datasets/support/dev.jsonl"):
        (made / name).write_text("\n".join(gold) + "\n", encoding="utf-8")
    (made / "predictions.jsonl").write_text("\n".join(map(json.dumps, said)) + "\n", encoding="utf-8")
    shutil.copy(README.parent / "evals/configs/rules.toml", made / "evals/configs")
    done = run("triagedesk eval run evals/configs/rules.toml", made)
    assert done.returncode == 0, done.stderr
    first = next((made / "evals/runs").iterdir())
    shutil.copytree(first, made / "evals/runs/B")
    first.rename(made / "evals/runs/A")
    assert run("triagedesk eval bless evals/runs/A", made).returncode == 0


def run(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *shlex.split(command)], cwd=folder, env=clean_environment(folder), capture_output=True,
        text=True, timeout=60, check=False,
    )  # fmt: skip


def plain(text: str) -> list[str]:
    """Lines without what a terminal's width decides."""
    return [" ".join(line.split()) for line in text.splitlines() if line.strip()]


@pytest.mark.parametrize("command", commands())
def test_a_command_of_the_readme_runs_offline(command: str, folder: Path) -> None:
    done = run(command, folder)
    assert "Traceback" not in done.stderr
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_readme_marks_an_output() -> None:
    assert outputs()


@pytest.mark.parametrize("command", outputs())
def test_an_output_that_the_readme_marks_comes_out(command: str, folder: Path) -> None:
    printed, promised = plain(run(command, folder).stdout), plain(outputs()[command])
    assert [line for line in promised if line not in printed] == []
    places = [printed.index(line) for line in promised]
    assert places == sorted(places)


@pytest.mark.parametrize("number", range(len(list(blocks("python")))))
def test_the_readmes_python_runs(
    number: int, capsys: pytest.CaptureFixture[str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    program = list(blocks("python"))[number]
    code = compile(program, str(README), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    names: dict[str, object] = {}
    pending = eval(code, names)
    if pending is not None:
        asyncio.run(pending)
    said = capsys.readouterr().out.strip()
    assert "suggestion" in names or said == "high" or "value=1.0" in said


def table() -> str:
    """Write the table of settings as it must stand in the README."""
    rows = ["| setting | default | meaning |", "| --- | --- | --- |"]
    for name, field in Settings.model_fields.items():
        default = field.get_default(call_default_factory=True)
        shown = SHOWN.get(name) or ("–" if default is None else f"`{default}`")
        rows.append(f"| `{name}` | {shown} | {field.description} |")
    return "\n".join(rows) + "\n"


def test_every_setting_stands_in_the_readme() -> None:
    assert TEXT.split(START)[1].split(END)[0] == table(), f"put this between the marks:\n{table()}"


def test_the_readme_says_what_is_not_promised() -> None:
    assert "Names and postal addresses are not caught" in TEXT


@pytest.mark.parametrize("link", sorted({part.split(")")[0] for part in TEXT.split("](")[1:]}))
def test_what_the_readme_links_to_is_there(link: str) -> None:
    assert "://" in link or (README.parent / link.split("#")[0]).exists()


def test_the_two_commands_for_a_fresh_machine_stand_in_the_readme_and_in_the_makefile() -> None:
    makefile = (README.parent / "Makefile").read_text(encoding="utf-8")
    for target in ("demo", "test"):
        assert f"make {target}" in TEXT
        assert f"\n{target}:" in makefile
    assert "pip install --require-hashes -r requirements.lock" in TEXT
