"""The rivals' own environment: what users would pick instead, at the versions and hashes of requirements-rivals.lock.

    python benchmarks/rivals.py [FOLDER]      makes it (default .venv-rivals, or $BENCH_RIVALS)

A package that cannot be installed here is left out and named; the contestants that need it are then absent.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

HERE = Path(__file__).parent
LOCK = HERE / "requirements-rivals.lock"
FOLDER = Path(os.environ.get("BENCH_RIVALS") or HERE.parent / ".venv-rivals")
NAMED = ("litellm", "langchain-openai", "langchain-core", "pydantic-ai-slim", "gptcache", "spacy", "hyperscan",
         "ahocorasick-rs", "llm", "redis")  # fmt: skip


def python(folder: Path = FOLDER) -> str:
    """Return the environment's Python, whether or not it is there."""
    return str(folder / "bin" / "python")


def prepare(folder: Path = FOLDER) -> list[str]:
    """Make the environment where it is missing or old; return what could not be installed."""
    stamp, lock = folder / "installed.json", sha256(LOCK.read_bytes()).hexdigest()
    known: dict[str, list[str]] = json.loads(stamp.read_text("utf-8")) if stamp.exists() else {}
    if lock not in known:
        venv.create(folder, clear=True, symlinks=True, with_pip=True)
        known = {lock: [] if _install(folder, LOCK) else _one_by_one(folder)}
        stamp.write_text(json.dumps(known), "utf-8")
    return known[lock]


def _install(folder: Path, lock: Path) -> bool:
    pip = [python(folder), "-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes", "-r", str(lock)]
    return subprocess.run(pip, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False).returncode == 0


def _one_by_one(folder: Path) -> list[str]:
    """Install each requirement alone, so that one without a wheel for this machine does not cost us the others."""
    missing, single = [], folder / "one.lock"
    for requirement in requirements(LOCK.read_text("utf-8")):
        single.write_text(requirement, "utf-8")
        if not _install(folder, single):
            missing.append(requirement.partition(" ")[0])
    return missing


def requirements(lock: str) -> Iterator[str]:
    """Yield each requirement of a lock with its hashes."""
    held: list[str] = []
    for line in lock.splitlines():
        if held and not line.startswith(" "):
            yield "\n".join(held)
            held = []
        held.append(line)
    if held:
        yield "\n".join(held)


def versions(folder: Path = FOLDER) -> dict[str, str]:
    """Return the versions of the rivals that are there."""
    code = (
        "import importlib.metadata as m, json, sys\n"
        "there = {d.metadata['Name'].lower().replace('_', '-'): d.version for d in m.distributions()}\n"
        "print(json.dumps({n: there[n] for n in sys.argv[1:] if n in there}))"
    )
    try:
        done = subprocess.run([python(folder), "-c", code, *NAMED], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return {}
    found: dict[str, str] = json.loads(done.stdout)
    return found


if __name__ == "__main__":
    left_out = prepare(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
    print(
        f"rivals: {versions(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)}; not installed: {left_out or 'none'}"
    )
