"""Run every benchmark and write what they show to docs/performance.md.

    python benchmarks/run.py          (about ten minutes on two cores)

What stands below the line of docs/performance.md marked for it is replaced; the words above and after stay.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from importlib import import_module
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path

from figures import Figure, show, shown

REPORT = Path(__file__).parents[1] / "docs" / "performance.md"
BEGIN, END = "<!-- figures: written by benchmarks/run.py -->", "<!-- end of figures -->"
PACKAGES = ("openai", "instructor", "pydantic", "google-re2", "diskcache")
NAMES = ("rules", "hits", "calls", "batch", "startup")


def main() -> int:
    """Run all and write the report, or only those named as arguments; 1 if a goal is missed."""
    found: list[Figure] = []
    for name in sys.argv[1:] or NAMES:
        with ProcessPoolExecutor(1, get_context("spawn")) as alone:  # so that none weighs on the next one's memory
            figures = alone.submit(_figures, name).result()
        show(figures)
        found += figures
    if not sys.argv[1:]:
        write(found)
    return 1 if any(figure.met is False for figure in found) else 0


def _figures(name: str) -> list[Figure]:
    figures: list[Figure] = import_module(name).figures()
    return figures


def write(found: list[Figure]) -> None:
    """Replace the table in the report."""
    text = REPORT.read_text(encoding="utf-8")
    head, _, rest = text.partition(BEGIN)
    tail = rest.partition(END)[2]
    REPORT.write_text(f"{head}{BEGIN}\n{table(found)}\n{END}{tail}", encoding="utf-8")


def table(found: list[Figure]) -> str:
    """Return the figures as a Markdown table under a line that says where and when."""
    rows = ["| # | what | measured | |", "| --- | --- | --- | --- |"]
    rows += [f"| {figure.name} | {figure.metric} | {shown(figure)} | {figure.note} |" for figure in found]
    return "\n".join([machine(), "", *rows])


def machine() -> str:
    """Say when and on what this was measured."""
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    when = datetime.now(UTC).strftime("%Y-%m-%d")
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    return (
        f"Measured {when}, commit {_commit()}, {os.cpu_count()} cores ({platform.machine()}), load {load:.1f}, "
        f"Python {platform.python_version()}; {packages}."
    )


def _commit() -> str:
    done = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


if __name__ == "__main__":
    sys.exit(main())
