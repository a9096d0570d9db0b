"""Run every benchmark, ours and theirs in one go, and write what they show: `make bench`.

    python benchmarks/run.py [--quick] [PART …]          (all of them: some 25 minutes on two cores)

Each part runs in a process of its own, with a time limit; one that fails is named with the reason and the others go on.
Results go to benchmarks/results/PART.json, tables to benchmarks/README.md, charts to benchmarks/charts, the goals to
docs/performance.md. `--quick` measures little, prints it, and writes nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from datetime import UTC, datetime
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import report
import rivals
from figures import Figure, Outcome, show

HERE = Path(__file__).parent
PACKAGES = ("openai", "instructor", "pydantic", "google-re2", "diskcache", "redis", "fastapi", "uvicorn", "ray",
            "pyarrow", "numpy")  # fmt: skip
PARTS: dict[str, tuple[int, tuple[Any, ...], tuple[Any, ...]]] = {
    "calls": (900, (), ()),
    "hits": (480, (), ()),
    "rules": (600, (), ()),
    "service": (420, (), (1,)),
    "service_load": (420, (10,), (2,)),
    "batch": (900, (2_000,), (200,)),
    "ray_overhead": (600, (6_000,), (200,)),
    "tracing": (240, (), (1,)),
    "startup": (420, (), ()),
    "deadline": (300, (), ()),
    "local": (600, (), ()),
    "sizes": (300, (), ()),
    "profiles": (240, (), ()),
    "scale": (120, (), ()),
}
"""Of each part its time limit in seconds, and what its `figures` is given in full and in quick runs."""

NEED_RIVALS = {"calls", "hits", "rules", "startup"}


def main() -> int:
    """Run all parts, or those that are named; 1 if one of them failed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--into", type=Path, help="run one part in this process and write its result there")
    told = parser.parse_args()
    if told.into:
        told.into.write_text(json.dumps(measured(told.parts[0], quick=told.quick)), "utf-8")
        return 0
    names = list(told.parts or PARTS)
    if NEED_RIVALS & set(names):
        _prepare_rivals()
    failed = [name for name in names if not _run(name, quick=told.quick)]
    if not told.quick:
        report.write(HERE / "results")
    print(f"failed: {', '.join(failed)}" if failed else "all parts ran")
    return 1 if failed else 0


def _prepare_rivals() -> None:
    print("preparing the rivals' environment …", flush=True)
    try:
        missing = rivals.prepare()
    except (OSError, subprocess.CalledProcessError) as wrong:
        print(f"no environment for the rivals, they will be absent: {wrong}")
        return
    if missing:
        print(f"not installed, so absent: {', '.join(missing)}")


def _run(name: str, *, quick: bool) -> bool:
    """Run a part in a process of its own, show it and keep it."""
    print(f"--- {name}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        into = Path(folder, "result.json")
        command = [sys.executable, __file__, name, "--into", str(into), *(["--quick"] if quick else [])]
        problem = _problem(command, PARTS[name][0])
        result = json.loads(into.read_text("utf-8")) if problem is None else {"part": name, "problem": problem}
    if problem is None:
        _print(result)
    else:
        print(f"it did not run: {problem}")
    if not quick:
        text = json.dumps(result, ensure_ascii=False, indent=1)
        (HERE / "results" / f"{name}.json").write_text(text + "\n", "utf-8")
    return problem is None


def _problem(command: list[str], seconds: float) -> str | None:
    """Run a command and what it starts; return why it came to nothing, in one line."""
    child = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        _, said = child.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        return f"not done within {seconds:g} s"
    finally:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)  # and the servers that it started
    last = (said.strip().splitlines() or ["no word"])[-1]
    return None if child.returncode == 0 else f"it ended with {child.returncode}: {last[:160]}"


def _print(result: dict[str, Any]) -> None:
    show([Figure(**figure) for figure in result["outcome"]["figures"]])
    for table in result["outcome"]["tables"]:
        print("\n".join(report.table(table)))
    for name, why in result["outcome"]["absent"].items():
        print(f"absent: {name} ({why})")
    print(f"{result['seconds']} s", flush=True)


def measured(name: str, *, quick: bool) -> dict[str, Any]:
    """Run a part in this process; return its outcome with machine, date and versions."""
    began, load = time.monotonic(), os.getloadavg()[0]
    module = import_module(name)
    if hasattr(module, "outcome"):
        found: Outcome = module.outcome(quick=quick)
    else:
        found = Outcome(module.figures(*PARTS[name][2 if quick else 1]))
    return {
        "part": name, "date": datetime.now(UTC).strftime("%Y-%m-%d"), "commit": _commit(), "quick": quick,
        "machine": machine(), "load_before": round(load, 1), "seconds": round(time.monotonic() - began),
        "versions": _versions(), "outcome": found.as_json(),
    }  # fmt: skip


def machine() -> str:
    """Say on what this was measured, without naming it."""
    kind = next(
        (line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")), ""
    )
    memory = next((int(line.split()[1]) for line in _lines("/proc/meminfo") if line.startswith("MemTotal")), 0)
    return (
        f"{os.cpu_count()} cores ({kind or platform.machine()}, {platform.machine()}), {memory / 1e6:.0f} GB, "
        f"{platform.system()}, Python {platform.python_version()}"
    )


def _lines(path: str) -> list[str]:
    return Path(path).read_text("utf-8").splitlines() if Path(path).exists() else []


def _versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found | rivals.versions()


def _commit() -> str:
    done = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False, cwd=HERE
    )
    return done.stdout.strip() or "unknown"


if __name__ == "__main__":
    sys.exit(main())
