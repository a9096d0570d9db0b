"""The house rules that a tool can hold: what no file imports, calls, or is named."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "triagedesk"
FILES = sorted(SOURCE.rglob("*.py"))
LOCKS = sorted([*ROOT.glob("requirements*.lock"), *Path(__file__).parent.glob("*.lock")])


def imports(file: Path) -> Iterator[str]:
    """Name every module that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(file.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def calls(file: Path) -> Iterator[tuple[str, ast.Call]]:
    """Yield every call with the name that is called."""
    for node in ast.walk(ast.parse(file.read_bytes())):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def importers(module: str) -> set[str]:
    """Name the files that import a module or a part of it."""
    return {
        file.relative_to(SOURCE).as_posix()
        for file in FILES
        if any(name == module or name.startswith(f"{module}.") for name in imports(file))
    }


@pytest.mark.parametrize("module", ["pickle", "marshal", "shelve", "dill", "cloudpickle", "re", "regex", "unittest"])
def test_nobody_imports(module: str) -> None:
    assert importers(module) == set()


def test_requests_is_spoken_where_the_exporter_of_spans_does_alone() -> None:
    assert importers("requests") == {"telemetry.py"}


@pytest.mark.parametrize(
    ("module", "folder"),
    [("diskcache", "cache/"), ("redis", "cache/"), ("openai", "classifiers/"), ("instructor", "classifiers/")],
)
def test_only_its_own_folder_imports(module: str, folder: str) -> None:
    found = importers(module)
    assert found
    assert all(name.startswith(folder) for name in found)


@pytest.mark.parametrize("file", FILES, ids=[file.relative_to(SOURCE).as_posix() for file in FILES])
def test_nothing_runs_what_it_reads(file: Path) -> None:
    for name, call in calls(file):
        assert name not in ("eval", "exec", "compile", "os.system", "__import__"), name
        assert "unsafe" not in name.lower()
        assert not any(keyword.arg == "shell" for keyword in call.keywords)
        if name in ("yaml.load", "yaml.load_all"):
            (loader,) = (ast.unparse(keyword.value) for keyword in call.keywords if keyword.arg == "Loader")
            made = ast.walk(ast.parse(file.read_bytes()))
            safe = "getattr(yaml, 'CSafeLoader', yaml.SafeLoader)"
            values = [node.value for node in made if isinstance(node, ast.Assign | ast.AnnAssign) and node.value]
            assert loader in ("_Loader", "_LOADER")
            assert safe in map(ast.unparse, values)


def test_no_file_is_a_drawer() -> None:
    drawers = {"utils", "util", "helpers", "helper", "common", "misc", "base", "manager", "managers", "shared"}
    names = {part for file in FILES for part in (*file.relative_to(SOURCE).parent.parts, file.stem)}
    assert not names & drawers


@pytest.mark.parametrize("file", FILES, ids=[file.relative_to(SOURCE).as_posix() for file in FILES])
def test_no_function_is_over_fifty_lines(file: Path) -> None:
    long = [
        (node.name, node.end_lineno - node.lineno + 1)
        for node in ast.walk(ast.parse(file.read_bytes()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno is not None
        and node.end_lineno - node.lineno + 1 > 50
    ]
    assert long == []


@pytest.mark.parametrize("file", FILES, ids=[file.relative_to(SOURCE).as_posix() for file in FILES])
def test_every_module_and_public_name_has_a_docstring_that_is_a_sentence(file: Path) -> None:
    tree = ast.parse(file.read_bytes())
    for node in (tree, *tree.body):
        if isinstance(node, ast.Module | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            if getattr(node, "name", "").startswith("_"):
                continue
            told = ast.get_docstring(node)
            assert told, f"{file.name}: {getattr(node, 'name', 'module')}"


def test_no_label_of_the_default_playbook_is_known_to_the_code() -> None:
    """The names of dimensions may stand there; a label may not."""
    labels = {
        "critical", "safety", "security_privacy", "account_access", "billing_payment", "order_delivery",
        "product_inquiry",
        "sla_breach", "customer_service", "operational",
    }  # fmt: skip
    found = {
        (file.relative_to(SOURCE).as_posix(), node.value)
        for file in FILES
        for node in ast.walk(ast.parse(file.read_bytes()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in labels
    }
    assert found == set()


@pytest.mark.parametrize("lock", LOCKS, ids=[lock.name for lock in LOCKS])
def test_the_lock_holds_hashes_and_names_no_registry(lock: Path) -> None:
    lines = [
        line for line in lock.read_text(encoding="utf-8").splitlines() if line.strip() and not line.startswith("#")
    ]
    assert not [line for line in lines if "://" in line or "index-url" in line or "find-links" in line]
    pinned = [line for line in lines if not line.startswith(" ")]
    assert pinned
    assert all("==" in line for line in pinned)
    assert sum("--hash=sha256:" in line for line in lines) >= len(pinned)


def test_the_lock_holds_the_floors_that_a_resolver_must_not_go_under() -> None:
    """`pip install openai instructor` alone would resolve to releases of years ago."""
    lines = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    pins = dict(line.split(" ")[0].split("==") for line in lines if "==" in line and not line.startswith(" "))
    assert tuple(map(int, pins["instructor"].split(".")[:2])) >= (1, 17)
    assert tuple(map(int, pins["openai"].split(".")[:2])) >= (3, 3)


def test_the_project_file_promises_what_the_issue_asks() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["requires-python"] == ">=3.11"
    assert {"local", "dev"} <= set(project["optional-dependencies"])
    wanted = " ".join(project["dependencies"])
    assert "instructor>=1.17,<2" in wanted
    assert "openai>=3.3,<4" in wanted
    assert project["scripts"] == {"triagedesk": "triagedesk.cli:main"}


def test_importing_the_package_costs_nothing_and_reads_nothing() -> None:
    source = (SOURCE / "__init__.py").read_text(encoding="utf-8")
    top = {
        name
        for node in ast.parse(source).body
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([node.module] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names])
    }
    assert top <= {"__future__", "importlib", "typing"}
