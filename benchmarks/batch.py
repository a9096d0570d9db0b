"""Batches: CPU per row beside the work that cannot be left out, memory by size, wall beside the ideal, two processes.

    python benchmarks/batch.py [ROWS]                 everything, scaled: ROWS of rules (default 5,000)
    python benchmarks/batch.py --memory 10000 1000000 peak memory of the command by rows, by rules and trained
    python benchmarks/batch.py --waiting 100000       wall with a model that takes 200 ms, 64 in flight
    python benchmarks/batch.py --processes 5000       rows a second by one process and by two

The floor of rules is reading JSON, finding the rules' signals, and writing the same answer as JSON, with pydantic-core,
without the ticket's and the suggestion's validation, tidying, policy, provenance, resume and summary.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import model_server
from figures import Figure, show
from made_up import compile_all, tickets
from pydantic_core import from_json, to_json

from triagedesk.batch import Job, run_batch
from triagedesk.desk import open_desk
from triagedesk.playbook import load_playbook
from triagedesk.settings import Settings

HERE = Path(__file__).parents[1]
SAMPLES = HERE / "src" / "triagedesk" / "samples" / "tickets.jsonl"
LATENCY_S = 0.2
IN_FLIGHT = 64
DISTINCT = 200
"""So many texts are repeated in the memory's and the server's tickets: it is not the rules that are measured there."""


def floor(source: Path) -> float:
    """Return CPU µs per row of reading, matching and writing."""
    playbook = load_playbook()
    compile_all(playbook)
    finder = playbook.finder
    rows = 0
    began = time.process_time()
    with source.open("rb") as stream, io.FileIO(os.devnull, "w") as out:
        for line in stream:
            rows += 1
            data = from_json(line)
            hits = finder.find(f"{data['subject']}\n\n{data['body']}")
            out.write(to_json({"ticket_id": data["id"], "hits": list(hits)}) + b"\n")
    return (time.process_time() - began) / rows * 1e6


async def ours(source: Path, target: Path) -> float:
    """Return CPU µs per row of the batch."""
    async with open_desk(Settings(model="rules")) as desk:
        warm = source.with_name("warm.jsonl")
        warm.write_bytes(SAMPLES.read_bytes())
        await run_batch(desk, Job(warm, warm.with_name("warm.out.jsonl"), overwrite=True))
        began = time.process_time()
        tally = await run_batch(desk, Job(source, target))
        return (time.process_time() - began) / tally.rows * 1e6


def by_rules(rows: int, folder: Path) -> list[Figure]:
    """Measure ours and the floor in this process, and the growth of its peak memory."""
    source = sample_rows(folder / "in.jsonl", rows)
    least = floor(source)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    cost = asyncio.run(ours(source, folder / "out.jsonl"))
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 - before
    return [
        Figure("batch", f"{rows:,} sample tickets by rules, JSONL to JSONL", 1e6 / cost, "rows/s",
               note=f"{cost:,.0f} µs CPU a row; reading, signals and writing alone {least:,.0f} µs"),
        Figure("P9", "batch by rules, CPU a row, × reading, signals and writing", cost / least, "×", 1.5, stretch=1.2),
        Figure("P9b", "peak memory over that of the floor, playbook compiled", grown, "MB", 30),
    ]  # fmt: skip


def sample_rows(path: Path, rows: int) -> Path:
    """Write so many of the bundled samples, each with words of its own."""
    samples = SAMPLES.read_bytes().splitlines()
    with path.open("wb") as stream:
        for number in range(rows):
            row = samples[number % len(samples)].replace(b'"demo-', b'"%d-' % number)
            stream.write(row.replace(b'"body":"', b'"body":"No. %d: ' % number) + b"\n")
    return path


def repeated_rows(path: Path, rows: int) -> Path:
    """Write so many tickets out of 200 texts."""
    lines = [json.dumps({"id": "%d", "body": text}) + "\n" for text in tickets(DISTINCT)]
    with path.open("w") as stream:
        stream.writelines(lines[number % DISTINCT].replace("%d", f"t{number}", 1) for number in range(rows))
    return path


def command(folder: Path, source: Path, target: str, *more: str, **env: str) -> tuple[float, float]:
    """Run `triagedesk batch` in a process of its own; return its wall seconds and its peak memory in MB."""
    bare = {name: value for name, value in os.environ.items() if not name.startswith(("OPENAI_", "TRIAGEDESK_"))}
    argv = [sys.executable, "-m", "triagedesk", "batch", str(source), str(folder / target), "--overwrite", *more]
    began = time.perf_counter()
    process = subprocess.Popen(argv, stderr=subprocess.PIPE, env={**bare, "PYTHONPATH": str(HERE / "src"), **env})
    said = process.stderr.read().decode()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    process.stderr.close()
    if process.returncode:
        raise SystemExit(said)
    return time.perf_counter() - began, used.ru_maxrss / 1024


def memory(sizes: list[int], folder: Path, target: str = "out.jsonl") -> list[Figure]:
    """Peak memory of the command by the input's size; flat means that the last is hardly more than the first."""
    figures, least = [], 0.0
    for rows in sizes:
        seconds, peak = command(folder, repeated_rows(folder / "memory.jsonl", rows), target, "--model", "trained")
        least = least or peak
        figures.append(
            Figure("batch", f"peak memory at {rows:,} rows by rules and trained, to {Path(target).suffix}", peak, "MB",
                   note=f"{seconds:.0f} s; {peak - least:+.0f} MB over {sizes[0]:,} rows")
        )  # fmt: skip
    return figures


def waiting(rows: int, folder: Path, ways: Sequence[str] = (str(IN_FLIGHT), "auto")) -> list[Figure]:
    """Wall of a batch whose model takes 200 ms, beside rows × latency ÷ concurrency; start and end included."""
    source = folder / "waiting.jsonl"
    texts = tickets(DISTINCT)
    with source.open("w") as stream:
        for number in range(rows):
            stream.write(json.dumps({"id": f"t{number}", "body": f"No. {number}: {texts[number % DISTINCT]}"}) + "\n")
    ideal = rows * LATENCY_S / IN_FLIGHT
    figures = []
    with slow_server() as address:
        for how in ways:
            cache = folder / f"cache-{how}"
            seconds, peak = command(
                folder, source, "waiting.out.jsonl", "--base-url", address, "--concurrency", how,
                XDG_CACHE_HOME=str(cache), TRIAGEDESK_DEADLINE_S="30",
            )  # fmt: skip
            figures.append(
                Figure("batch", f"{rows:,} rows, a model of 200 ms, concurrency {how}: wall ÷ ideal", seconds / ideal,
                       "×", note=f"{seconds:.0f} s, ideal {ideal:.0f} s; peak {peak:.0f} MB")
            )  # fmt: skip
    return figures


def two_processes(rows: int, folder: Path) -> list[Figure]:
    """Rows a second of the command by one process and by two, start included."""
    source = sample_rows(folder / "processes.jsonl", rows)
    rates = []
    for processes in ("1", "2"):
        seconds, _ = command(folder, source, "processes.out.jsonl", "--model", "rules", "--processes", processes)
        rates.append(rows / seconds)
    note = f"{rates[0]:,.0f} rows/s by one, {rates[1]:,.0f} by two; start included"
    return [Figure("batch", f"{rows:,} rows by rules, two processes ÷ one", rates[1] / rates[0], "×", note=note)]


@contextmanager
def slow_server() -> Iterator[str]:
    """Run a server that takes 200 ms for each answer; give its base URL."""
    with model_server.running() as address:
        model_server.think(address, LATENCY_S * 1000)
        yield address


def figures(rows: int = 5000) -> list[Figure]:
    """Measure everything, scaled by the number of rows."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        return [
            *by_rules(rows, folder),
            *memory([2 * rows, 20 * rows], folder),
            *waiting(rows, folder),
            *two_processes(rows, folder),
        ]


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("rows", nargs="?", type=int, default=5000)
    parser.add_argument("--memory", nargs="+", type=int)
    parser.add_argument("--waiting", type=int)
    parser.add_argument("--processes", type=int)
    parser.add_argument("--out", default="out.jsonl", help="of --memory: another format")
    parser.add_argument("--concurrency", help="of --waiting: this one only")
    told = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if told.memory:
            show(memory(told.memory, folder, told.out))
        elif told.waiting:
            show(waiting(told.waiting, folder, [told.concurrency] if told.concurrency else (str(IN_FLIGHT), "auto")))
        elif told.processes:
            show(two_processes(told.processes, folder))
        else:
            show(figures(told.rows))


if __name__ == "__main__":
    main()
