"""Batch by rules alone, JSONL to JSONL: CPU per row beside the work that cannot be left out, and peak memory.

    python benchmarks/batch.py [ROWS]

The floor is reading JSON, finding the rules' signals, and writing the same answer as JSON, with pydantic-core, without
the ticket's and the suggestion's validation, tidying, policy, provenance, resume and summary. Default: 5,000 rows.
"""

from __future__ import annotations

import asyncio
import io
import os
import resource
import sys
import tempfile
import time
from pathlib import Path

from figures import Figure, show
from made_up import compile_all
from pydantic_core import from_json, to_json

from triagedesk.batch import Job, run_batch
from triagedesk.desk import open_desk
from triagedesk.playbook import load_playbook
from triagedesk.settings import Settings

SAMPLES = Path(__file__).parents[1] / "src" / "triagedesk" / "samples" / "tickets.jsonl"


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


def figures(rows: int = 5000) -> list[Figure]:
    """Measure both in this process, and the growth of its peak memory."""
    samples = SAMPLES.read_bytes().splitlines()
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "in.jsonl")
        with source.open("wb") as stream:
            for number in range(rows):
                row = samples[number % len(samples)].replace(b'"demo-', b'"%d-' % number)
                stream.write(row.replace(b'"body":"', b'"body":"No. %d: ' % number) + b"\n")  # each its own words
        least = floor(source)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        cost = asyncio.run(ours(source, Path(folder, "out.jsonl")))
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 - before
    return [
        Figure("batch", f"{rows:,} sample tickets by rules, JSONL to JSONL", 1e6 / cost, "rows/s",
               note=f"{cost:,.0f} µs CPU a row; reading, signals and writing alone {least:,.0f} µs"),
        Figure("P9b", "peak memory over that of the floor, playbook compiled", grown, "MB", 30),
    ]  # fmt: skip


if __name__ == "__main__":
    show(figures(int(sys.argv[1]) if len(sys.argv) > 1 else 5000))
