"""What Ray costs: the same batch by rules in one process and on Ray with one and two actors.

    python benchmarks/ray_overhead.py [ROWS]

Every run is the command in a process of its own, on a cluster of its own. All processes that it starts are found by a
mark in their environment; their CPU seconds are added up, and their memory, shared pages counted once (PSS). Two sizes
are run: the difference between them is the cost of a row, what is left is the start. Default: 10,000 rows.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from figures import Figure, show

SAMPLES = Path(__file__).parents[1] / "src" / "triagedesk" / "samples" / "tickets.jsonl"
FEW = 100
MARK = "TRIAGEDESK_BENCHMARK_MARK"
LOOK_EVERY_S = 0.5
TICK_S = 1 / os.sysconf("SC_CLK_TCK")
CONTESTANTS = {
    "one process": (),
    "Ray, 1 actor": ("--engine", "ray", "--block-rows", "250", "--actors", "1"),
    "Ray, 2 actors": ("--engine", "ray", "--block-rows", "250", "--actors", "2"),
}


@dataclass
class Spent:
    """What a command and all that it started has taken: wall and CPU seconds, and at most so many bytes at once."""

    wall_s: float = 0.0
    most_bytes: int = 0
    cpu_of: dict[int, float] = field(default_factory=dict)
    others: set[str] = field(default_factory=set)

    @property
    def cpu_s(self) -> float:
        """CPU seconds of all processes, as last seen."""
        return sum(self.cpu_of.values())

    def look(self, mark: bytes) -> None:
        """Take the counters of every process that bears the mark."""
        held = 0
        for folder in self._marked(mark):
            try:
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
                self.cpu_of[int(folder.name)] = (int(fields[11]) + int(fields[12])) * TICK_S
                held += pss(folder)
            except OSError:  # it ended meanwhile
                continue
        self.most_bytes = max(self.most_bytes, held)

    def _marked(self, mark: bytes) -> Iterator[Path]:
        """Yield the folders of /proc of the processes whose environment holds the mark; others are looked at once."""
        for folder in Path("/proc").iterdir():
            if not folder.name.isdigit() or folder.name in self.others:
                continue
            try:
                is_ours = mark in (folder / "environ").read_bytes()
            except OSError:
                continue
            if is_ours:
                yield folder
            else:
                self.others.add(folder.name)


def pss(folder: Path) -> int:
    """Return a process's proportional share of memory in bytes."""
    for line in (folder / "smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return 0


def run(source: Path, target: Path, *options: str) -> Spent:
    """Run the batch and watch it."""
    mark, spent, ended = f"{MARK}={secrets.token_hex(8)}", Spent(), threading.Event()
    name, _, value = mark.partition("=")

    def watch() -> None:
        while not ended.wait(LOOK_EVERY_S):
            spent.look(mark.encode())

    watcher = threading.Thread(target=watch)
    watcher.start()
    began = time.monotonic()
    command = [sys.executable, "-m", "triagedesk", "batch", str(source), str(target), "--model", "rules", "--overwrite"]
    try:
        subprocess.run([*command, *options], check=True, env={**os.environ, name: value}, stderr=subprocess.DEVNULL)
        spent.wall_s = time.monotonic() - began
    finally:
        ended.set()
        watcher.join()
    return spent


def write(path: Path, rows: int) -> Path:
    """Write the sample tickets again and again, each with words of its own."""
    samples = SAMPLES.read_bytes().splitlines()
    with path.open("wb") as stream:
        for number in range(rows):
            row = samples[number % len(samples)].replace(b'"demo-', b'"%d-' % number)
            stream.write(row.replace(b'"body":"', b'"body":"No. %d: ' % number) + b"\n")
    return path


def figures(rows: int = 10_000) -> list[Figure]:
    """Measure every contestant at both sizes, in turns."""
    with tempfile.TemporaryDirectory() as folder:
        few, many = write(Path(folder, "few.jsonl"), FEW), write(Path(folder, "many.jsonl"), rows)
        starts = {name: run(few, Path(folder, "out.jsonl"), *options) for name, options in CONTESTANTS.items()}
        wholes = {name: run(many, Path(folder, "out.jsonl"), *options) for name, options in CONTESTANTS.items()}
    return [figure for name in CONTESTANTS for figure in _of(name, starts[name], wholes[name], rows)]


def _of(name: str, start: Spent, whole: Spent, rows: int) -> Iterator[Figure]:
    more = rows - FEW
    yield Figure("ray", f"{name}: start, and {FEW} rows", start.wall_s, "s", note=f"{start.cpu_s:.1f} s CPU")
    yield Figure("ray", f"{name}: rows a second beyond that", more / (whole.wall_s - start.wall_s), "rows/s",
                 note=f"{rows:,} rows in {whole.wall_s:.1f} s")  # fmt: skip
    yield Figure("ray", f"{name}: CPU of a row beyond that", (whole.cpu_s - start.cpu_s) / more * 1e6, "µs")
    yield Figure("ray", f"{name}: memory of all processes", whole.most_bytes / 1e6, "MB")


if __name__ == "__main__":
    show(figures(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000))
