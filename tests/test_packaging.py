"""The wheel holds everything that the product reads, and works outside the checkout."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

from desk_parts import clean_environment

ROOT = Path(__file__).parents[1]
NO_BACKEND = ("No matching distribution", "Could not find a version", "No module named pip", "Connection")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel from a copy of what git would ship. Skips where pip finds no build backend."""
    folder = tmp_path_factory.mktemp("wheel")
    isolated = [] if importlib.util.find_spec("hatchling") is None else ["--no-build-isolation"]
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--quiet", *isolated, "-w", str(folder), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode and any(words in done.stderr for words in NO_BACKEND):
        pytest.skip("pip cannot build here: the build backend is neither installed nor within reach")
    assert done.returncode == 0, done.stderr
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Unpack the wheel into a folder far from the checkout."""
    folder = tmp_path_factory.mktemp("installed")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def test_the_wheel_holds_prompts_playbook_lexicon_samples_and_types(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    source = ROOT / "src"
    shipped = {
        file.relative_to(source).as_posix() for file in source.rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }  # fmt: skip
    assert shipped <= names
    assert {"triagedesk/py.typed", "triagedesk/playbook/default.yaml", "triagedesk/samples/tickets.jsonl"} <= names
    for prompt in (ROOT / "prompts").iterdir():
        assert f"triagedesk/_prompts/{prompt.name}" in names
    assert not [name for name in names if name.startswith(("tests/", "evals/", "benchmarks/"))]


def test_the_wheel_asks_for_the_floors_and_knows_its_extras(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("METADATA"))
        told = Parser().parsestr(archive.read(name).decode())
    wanted = told.get_all("Requires-Dist") or []
    assert "instructor<2,>=1.17" in wanted
    assert "openai<4,>=3.3" in wanted
    assert {"local", "dev"} <= set(told.get_all("Provides-Extra") or [])
    assert told["Requires-Python"] == ">=3.11"


def outside(installed: Path, folder: Path, program: str) -> str:
    """Run a program over the unpacked wheel, with nothing of the checkout on the path."""
    head = f"import sys; sys.path.insert(0, {str(installed)!r})\n"
    done = subprocess.run(
        [sys.executable, "-I", "-c", head + program], cwd=folder, env=clean_environment(folder), capture_output=True,
        text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_wheel_works_outside_the_checkout(installed: Path, tmp_path: Path) -> None:
    where = outside(installed, tmp_path, "import triagedesk; print(triagedesk.__file__)")
    assert where.startswith(str(installed))
    told = outside(
        installed, tmp_path,
        "from triagedesk.cli import main\n"
        "sys.exit(main(['classify', '--json', '--model', 'rules', 'The charger caught fire.']))",
    )  # fmt: skip
    assert json.loads(told)["labels"]["urgency"]["label"] == "critical"
    outside(installed, tmp_path, "from triagedesk.cli import main; sys.exit(main(['demo']))")


def test_the_wheel_finds_its_prompt_outside_the_checkout(installed: Path, tmp_path: Path) -> None:
    told = outside(
        installed, tmp_path,
        "from triagedesk.prompts import load_prompt\n"
        "from triagedesk.playbook import load_playbook\n"
        "print(load_prompt().identity, len(load_prompt().messages(load_playbook())))",
    )  # fmt: skip
    assert told.startswith("classify@")
