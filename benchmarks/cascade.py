"""The cascade's curve: share of tickets put to a model × macro-F1 × urgent misses × money.

    python benchmarks/cascade.py PREDICTIONS [--write docs/confidence.md]

PREDICTIONS is `predictions.jsonl` of a model's run on development tickets (`eval run evals/configs/local.toml`). The
trained classifier is fitted anew without those tickets, so that it has not seen them; the rules were written on them,
and their votes are among its inputs, so the cheap side is flattered. Prices are those of the run.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from quality import replaced

from triagedesk import Settings, load_playbook
from triagedesk.classifiers.trained_file import to_bytes
from triagedesk.evals import make_sheet, read_gold
from triagedesk.evals.cascade import CascadePoint, cascade_curve, choose_threshold
from triagedesk.evals.gold import Gold
from triagedesk.evals.predictions import read_predictions
from triagedesk.evals.run import Run, evaluate
from triagedesk.evals.systems import DeskSystem
from triagedesk.training import Recipe, train

SUPPORT = Path(__file__).parents[1] / "evals/datasets/support"
MAX_LOSS = 0.02


def curve(predictions: Path) -> list[CascadePoint]:
    """Fit without the tickets that the model was asked about, let both answer those, and join them."""
    playbook = load_playbook()
    said = list(read_predictions(predictions))
    asked = {one.id for one in said}
    rows = [row for name in ("dev", "hard", "long", "extra") for row in read_gold(SUPPORT / f"{name}.jsonl", playbook)]
    held = [row for row in rows if row.id in asked]
    groups = {row.group for row in held if row.group}
    with tempfile.TemporaryDirectory() as folder:
        words = Path(folder) / "words.jsonl"
        kept = [row for row in rows if row.id not in asked and row.group not in groups]
        words.write_text("".join(line(row) for row in kept), "utf-8")
        trained = Path(folder) / "held.trained.safetensors"
        trained.write_bytes(to_bytes(train([words], [SUPPORT / "calibration.jsonl"], playbook, Recipe(name="held"))))
        settings = Settings(model="trained", trained=trained)
        cheap = asyncio.run(evaluate(DeskSystem(lambda _: settings), held, playbook=playbook))
    model = Run(make_sheet(held, [one for one in said if one.id in {row.id for row in held}], playbook))
    return cascade_curve(cheap, model)


def line(row: Gold) -> str:
    """Write a gold line."""
    return json.dumps({"ticket": row.data, "labels": dict(row.labels)}) + "\n"


def table(points: list[CascadePoint]) -> list[str]:
    """Return the curve as Markdown."""
    chosen = choose_threshold(points, MAX_LOSS)
    lines = [
        "| sure from | asked | urgency macro-F1 | urgent miss | issue macro-F1 | escalation macro-F1 | cost |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for point in points:
        figures = (("urgency", "macro_f1"), ("urgency", "urgent_miss"), ("issue_type", "macro_f1"),
                   ("escalation", "macro_f1"))  # fmt: skip
        cells = [f"{point.deltas[name][figure].b:.3f}" for name, figure in figures]
        at = "always ask" if point.at > 1 else f"{point.at:.2f}" + (" (chosen)" if point is chosen else "")
        cost = "–" if point.cost_usd is None else f"${point.cost_usd:.4f}"
        lines.append(f"| {at} | {point.asked:.0%} | " + " | ".join(cells) + f" | {cost} |")
    return lines


def main() -> None:
    """Print the curve, or put it into a page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("predictions", type=Path)
    parser.add_argument("--write", type=Path)
    given = parser.parse_args()
    points = curve(given.predictions)
    text = "\n".join([f"{datetime.now(UTC):%Y-%m-%d}, 2 shared cores.", "", *table(points)])
    if given.write is None:
        print(text)
    else:
        given.write.write_text(replaced(given.write.read_text("utf-8"), "cascade", text), "utf-8")


if __name__ == "__main__":
    main()
