"""Runs side by side, as the Markdown that stands in evals/README.md.

    triagedesk eval run evals/configs/rules.toml           # and others
    python benchmarks/quality.py evals/runs/A evals/runs/B [--write evals/README.md --part dev]

Figures come with their 95 % intervals as `triagedesk eval` computes them. With --write, the block between
`<!-- PART: start -->` and `<!-- PART: end -->` of that file is replaced.
"""

from __future__ import annotations

import argparse
import os
import platform
from datetime import UTC, datetime
from pathlib import Path

from triagedesk.evals.conduct import reopened
from triagedesk.evals.figures import Figure
from triagedesk.evals.folder import RunFolder
from triagedesk.evals.run import Run

SHOWN = (
    ("urgency", "macro_f1"), ("urgency", "accuracy"), ("urgency", "qwk"), ("urgency", "critical_recall"),
    ("urgency", "critical_false_alarm"), ("urgency", "urgent_miss"), ("urgency", "severe_under_triage"),
    ("urgency", "triage_cost"), ("issue_type", "macro_f1"), ("issue_type", "accuracy"), ("escalation", "macro_f1"),
    ("escalation", "accuracy"), ("escalation", "escalated_recall"),
)  # fmt: skip


def cell(figure: Figure | None) -> str:
    """A figure with its interval."""
    if figure is None or figure.value is None:
        return "–"
    if figure.low is None or figure.high is None:
        return f"{figure.value:.3f}"
    return f"{figure.value:.3f} ({figure.low:.3f}–{figure.high:.3f})"


def title(folder: RunFolder) -> str:
    """What was run, on what."""
    manifest = folder.manifest
    return f"{manifest['name']}, {manifest['dataset']['split']} (n = {manifest['dataset']['asked']})"


def table(runs: list[tuple[RunFolder, Run]]) -> list[str]:
    """Return the table, then a line a run on what it took."""
    scores = [run.metrics for _, run in runs]
    lines = ["| figure | " + " | ".join(title(folder) for folder, _ in runs) + " |", "| --- |" + " --- |" * len(runs)]
    for dimension, name in SHOWN:
        cells = [cell(each.dimensions[dimension].figures.get(name)) for each in scores if dimension in each.dimensions]
        lines.append(f"| {dimension} {name.replace('_', ' ')} | " + " | ".join(cells) + " |")
    lines.append("| all three right | " + " | ".join(cell(each.joint_exact) for each in scores) + " |")
    lines.append("")
    for (folder, _), each in zip(runs, scores, strict=True):
        latency = f"{each.latency.p50_ms:,.0f} ms, p95 {each.latency.p95_ms:,.0f} ms" if each.latency.n else "cached"
        answered = ", ".join(f"{name} {n}" for name, n in each.sources.items())
        failed = ", ".join(f"{name} {n}" for name, n in each.fallback_reasons.items()) or "none"
        lines.append(
            f"- {title(folder)}: answered by {answered}; fallbacks {failed}; quotes in the ticket "
            f"{cell(each.quotes_grounded)} of {each.quotes}; median {latency}; `{folder.manifest['playbook']}`."
        )
    return lines


def by_language(runs: list[tuple[RunFolder, Run]]) -> list[str]:
    """Accuracy by language of the first run; slices under 30 tickets say little."""
    _, run = runs[0]
    lines = ["", "| language | n | urgency | issue type | escalation |", "| --- | --- | --- | --- | --- |"]
    for language, scores in run.slices("language")["language"].items():
        cells = [cell(scores.dimensions[name].get("accuracy")) for name in ("urgency", "issue_type", "escalation")]
        lines.append(f"| {language} | {scores.n} | " + " | ".join(cells) + " |")
    return lines


def replaced(text: str, part: str, block: str) -> str:
    """Return text with the part's block replaced. Raises ValueError where its markers are missing."""
    start, end = f"<!-- {part}: start -->", f"<!-- {part}: end -->"
    before, _, rest = text.partition(start)
    _, _, after = rest.partition(end)
    if not rest or end not in rest:
        raise ValueError(f"no {start} … {end}")
    return f"{before}{start}\n{block}\n{end}{after}"


def main() -> None:
    """Print or write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--write", type=Path)
    parser.add_argument("--part", default="dev")
    given = parser.parse_args()
    runs = [reopened(path) for path in given.runs]
    head = f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, Python {platform.python_version()}."
    block = "\n".join([head, "", *table(runs), *by_language(runs)])
    if given.write is None:
        print(block)
    else:
        given.write.write_text(replaced(given.write.read_text("utf-8"), given.part, block), "utf-8")


if __name__ == "__main__":
    main()
