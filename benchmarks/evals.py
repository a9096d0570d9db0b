"""Scoring and reporting a large file of predictions: seconds and peak memory of the very command that a user runs.

    python benchmarks/evals.py [ROWS]

Made-up tickets and predictions (three dimensions, confidences, quotes, a tenth of the rows in groups of five, one in a
hundred unanswered) are written to a temporary folder; `eval score --json --html` runs in a process of its own, with
2,000 draws. Default: 100,000 rows, the size of the goal: under a minute and 1 GB on two cores.
"""

from __future__ import annotations

import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from figures import Figure, show
from made_up import tickets

from triagedesk.playbook import Playbook, load_playbook

DRAWS = 2000
TEXTS = 2000
"""Texts are made up once and then numbered: what is measured is scoring, not reading words."""


def write(folder: Path, rows: int) -> tuple[Path, Path]:
    """Write gold and predictions; three in four labels are right."""
    rng, playbook, texts = random.Random(1), load_playbook(), tickets(TEXTS)
    gold, said = folder / "gold.jsonl", folder / "predictions.jsonl"
    with gold.open("w", encoding="utf-8") as ours, said.open("w", encoding="utf-8") as theirs:
        for number in range(rows):
            line = gold_line(rng, playbook, number, texts[number % TEXTS])
            ours.write(json.dumps(line) + "\n")
            if rng.random() > 0.01:
                theirs.write(json.dumps(prediction(rng, playbook, line)) + "\n")
    return gold, said


def gold_line(rng: random.Random, playbook: Playbook, number: int, text: str) -> dict[str, Any]:
    """Make a labelled ticket up."""
    ticket = {"id": f"t{number}", "body": f"No. {number}: {text}", "language": "en",
              "channel": rng.choice(("email", "voice", "live_chat")),
              "customer_tier": rng.choice(("standard", "premium"))}  # fmt: skip
    labels = {name: rng.choice(told.names) for name, told in playbook.dimensions.items()}
    group = f"g{number // 50}" if number % 50 < 5 else None
    return {"ticket": ticket, "labels": labels, "group": group, "traits": [rng.choice(("plain", "long", "angry"))]}


def prediction(rng: random.Random, playbook: Playbook, line: dict[str, Any]) -> dict[str, Any]:
    """Make a prediction up, in the shape of a suggestion's labels."""
    quote = line["ticket"]["body"][:24]
    labels = {
        name: {"label": gold if rng.random() < 0.75 else rng.choice(playbook.dimensions[name].names),
               "confidence": rng.choice((0.5, 0.7, 0.8, 0.9, 0.95)), "reasons": [{"quote": quote}]}
        for name, gold in line["labels"].items()
    }  # fmt: skip
    return {"ticket_id": line["ticket"]["id"], "labels": labels}


def command(gold: Path, said: Path, *options: str) -> tuple[float, float]:
    """Run `eval score` and return its seconds and peak memory in MB. Raises CalledProcessError when it fails."""
    arguments = [sys.executable, "-m", "triagedesk", "eval", "score", str(gold), str(said), "--draws", str(DRAWS),
                 "--json", *options]  # fmt: skip
    began = time.perf_counter()
    subprocess.run(arguments, check=True, stdout=subprocess.DEVNULL, env=os.environ | {"TRIAGEDESK_LOG": "off"})
    seconds = time.perf_counter() - began
    return seconds, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024


def figures(rows: int = 100_000) -> list[Figure]:
    """Measure the scores alone, then scores with the page."""
    with tempfile.TemporaryDirectory() as folder:
        gold, said = write(Path(folder), rows)
        bare, _ = command(gold, said)
        page = Path(folder, "report.html")
        seconds, peak = command(gold, said, "--html", str(page))
        size = page.stat().st_size / 1e6
    return [
        Figure("evals", f"{rows:,} predictions scored and reported, {DRAWS:,} draws", seconds, "s", 60,
               note=f"without the page {bare:.1f} s; the page has {size:.1f} MB"),
        Figure("evals-memory", "peak memory of it", peak, "MB", 1024),
    ]  # fmt: skip


if __name__ == "__main__":
    show(figures(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000))
