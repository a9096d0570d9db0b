"""Local models by llama.cpp inside this process: seconds a ticket on one core, prefix cached, through the whole desk.

    BENCH_MODELS=/path/with/gguf python benchmarks/local.py [TICKETS]

Needs the `local` extra and GGUF files; without them it is absent. Figures are upper bounds on a shared machine.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

from figures import Outcome, Table, number
from made_up import tickets

from triagedesk.desk import open_desk
from triagedesk.models import Source, Ticket
from triagedesk.settings import Settings

DEADLINE_S = 120.0


async def measure(model: Path, count: int) -> tuple[float, float, int]:
    """Return wall seconds and completion tokens a ticket, and how many were answered by the model."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(
            model=f"local/{model}", cache_dir=Path(folder), cache=False, deadline_s=DEADLINE_S, local_threads=1,
            max_concurrency=1,
        )  # fmt: skip
        async with open_desk(settings) as desk:
            await desk.suggest(Ticket(body="Where is my order? It was due yesterday."))
            began, tokens, answered = time.monotonic(), 0, 0
            for body in tickets(count, seed=51, language="en"):
                said = (await desk.suggest(Ticket(body=body))).provenance
                answered += said.source is Source.MODEL
                tokens += said.tokens.completion
            return (time.monotonic() - began) / count, tokens / count, answered


def outcome(*, quick: bool = False, count: int = 8) -> Outcome:
    """Measure every model of the folder that $BENCH_MODELS names."""
    folder = os.environ.get("BENCH_MODELS")
    if find_spec("xllamacpp") is None:
        return Outcome(absent={"llama.cpp": "the `local` extra is not installed"})
    if not folder or not sorted(Path(folder).glob("*.gguf")):
        return Outcome(absent={"llama.cpp": "BENCH_MODELS names no folder with GGUF files"})
    rows, seconds = [], {}
    for model in sorted(Path(folder).glob("*.gguf")):
        took, tokens, answered = asyncio.run(measure(model, 2 if quick else count))
        seconds[model.stem] = round(took, 2)
        rows.append(
            (model.stem, number(took), number(tokens), number(tokens / took), f"{answered} of {2 if quick else count}")
        )
    columns = ("model", "s a ticket", "completion tokens", "tokens/s", "answered by the model")
    note = "llama.cpp in this process, one thread, one at a time, static prompt cached."
    return Outcome(tables=[Table("Local models", columns, rows, note)], series={"seconds": seconds})


if __name__ == "__main__":
    found = outcome(count=int(sys.argv[1]) if len(sys.argv) > 1 else 8)
    print(found.absent, *(found.tables[0].rows if found.tables else ()), sep="\n")
