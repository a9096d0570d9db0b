"""How good the labels are: rules, a model, and both together, on labelled tickets.

    python benchmarks/quality.py rules                       # rules alone on dev and test, Markdown on stdout
    python benchmarks/quality.py model local/PATH.gguf       # model, rules and both on 100 development tickets

Macro-F1 is over labels with gold support; intervals are Wilson's for rates and a paired bootstrap's for macro-F1
(2,000 draws, percentile). Rules answers go through the whole desk, policy included.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
import numpy as np
from scipy.stats import binomtest
from sklearn.metrics import accuracy_score, f1_score

from triagedesk import Settings, Suggestion, Ticket, open_desk
from triagedesk.budget import Budget
from triagedesk.desk import Desk
from triagedesk.evidence import ground
from triagedesk.privacy import redact
from triagedesk.tidy import read

DATA = Path(__file__).parent.parent / "evals" / "datasets" / "support"
DIMENSIONS = ("urgency", "issue_type", "escalation")
MOST_SEVERE = "critical"


@dataclass(frozen=True)
class Row:
    """A gold ticket."""

    ticket: Ticket
    gold: dict[str, str]


def load(split: str) -> list[Row]:
    """Read a split."""
    lines = (DATA / f"{split}.jsonl").read_text("utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    return [Row(Ticket.parse(row["ticket"]), row["labels"]) for row in rows]


def macro_f1(gold: Sequence[str], said: Sequence[str]) -> float:
    """Macro-F1 over the labels that occur in gold."""
    return float(f1_score(gold, said, average="macro", labels=sorted(set(gold)), zero_division=0))


def interval(gold: Sequence[str], said: Sequence[str], draws: int = 2000) -> tuple[float, float]:
    """95 % percentile bootstrap of macro-F1."""
    y, p = np.array(gold), np.array(said)
    rng = np.random.default_rng(0)
    picks = (rng.integers(0, len(y), len(y)) for _ in range(draws))
    low, high = np.percentile([macro_f1(y[pick], p[pick]) for pick in picks], [2.5, 97.5])
    return float(low), float(high)


def rate(hits: int, n: int) -> str:
    """A rate with Wilson's 95 % interval."""
    if n == 0:
        return "–"
    low, high = binomtest(hits, n).proportion_ci(method="wilson")
    return f"{hits / n:.3f} ({low:.3f}–{high:.3f}, {hits} of {n})"


def table(title: str, gold: list[dict[str, str]], said: list[dict[str, str]]) -> list[str]:
    """One system on one set, as Markdown rows."""
    lines = [f"### {title} (n = {len(gold)})", "", "| figure | value (95 % interval) |", "| --- | --- |"]
    for name in DIMENSIONS:
        y, p = [row[name] for row in gold], [row[name] for row in said]
        low, high = interval(y, p)
        lines.append(f"| {name} macro-F1 | {macro_f1(y, p):.3f} ({low:.3f}–{high:.3f}) |")
        lines.append(f"| {name} accuracy | {rate(round(accuracy_score(y, p) * len(y)), len(y))} |")
    critical = [row["urgency"] == MOST_SEVERE for row in gold]
    called = [row["urgency"] == MOST_SEVERE for row in said]
    recalled = sum(c and s for c, s in zip(critical, called, strict=True))
    false = sum(s and not c for c, s in zip(critical, called, strict=True))
    lines.append(f"| critical recall | {rate(recalled, sum(critical))} |")
    lines.append(f"| others called critical | {rate(false, len(gold) - sum(critical))} |")
    return [*lines, ""]


def by_language(rows: list[Row], said: list[dict[str, str]]) -> list[str]:
    """Macro-F1 by language; small slices say so by their n."""
    lines = ["| language | n | urgency | issue type | escalation |", "| --- | --- | --- | --- | --- |"]
    languages = sorted({row.ticket.language or "?" for row in rows})
    for language in languages:
        picked = [(row.gold, one) for row, one in zip(rows, said, strict=True) if row.ticket.language == language]
        figures = [f"{macro_f1([g[d] for g, _ in picked], [s[d] for _, s in picked]):.2f}" for d in DIMENSIONS]
        lines.append(f"| {language} | {len(picked)} | " + " | ".join(figures) + " |")
    return [*lines, ""]


def labels_of(suggestion: Suggestion) -> dict[str, str]:
    """The three required labels."""
    return {name: suggestion.labels[name].label for name in DIMENSIONS}


async def suggest_all(desk: Desk, rows: list[Row]) -> list[Suggestion]:
    """Through the whole desk, one after the other."""
    return [await desk.suggest(row.ticket) for row in rows]


async def rules(splits: Sequence[str]) -> list[str]:
    """Rules alone on each split."""
    lines = []
    async with open_desk(Settings(model="rules")) as desk:
        for split in splits:
            rows = load(split)
            said = [labels_of(one) for one in await suggest_all(desk, rows)]
            lines += table(f"Rules alone, {split}", [row.gold for row in rows], said)
            lines += by_language(rows, said)
    return lines


@dataclass
class Asked:
    """What one real call gave."""

    labels: dict[str, str] | None
    quotes: int
    grounded: int
    seconds: float
    prompt: int
    cached: int
    reason: str | None


async def ask_model(desk: Desk, row: Row) -> Asked:
    """The model's own answer, before policy: its labels, and how many of its quotes stand in the ticket."""
    asking = desk._asking
    assert asking is not None
    reading = read(row.ticket, desk.playbook.document.languages)
    hidden = redact(reading.text)
    subject, _, body = hidden.text.partition("\n\n") if reading.subject else ("", "", hidden.text)
    began = time.perf_counter()
    asked = await asking.ask(asking.question(subject, body), Budget(desk.settings.deadline_s))
    seconds = time.perf_counter() - began
    if asked.answer is None:
        return Asked(None, 0, 0, seconds, 0, 0, asked.reason)
    found = ground(asked.answer, reading, hidden.restore)
    labels = {name: found.labels[name].label for name in DIMENSIONS}
    quotes = sum(bool(said.quote) for said in asked.answer.said.values())
    grounded = sum(bool(choice.reasons) for choice in found.labels.values())
    tokens = asked.answer.tokens
    return Asked(labels, quotes, grounded, seconds, tokens.prompt, tokens.cached, None)


def kept(file: Path) -> dict[str, Asked]:
    """Read the calls of an earlier run, so that a changed playbook need not ask again."""
    if not file.exists():
        return {}
    rows = (json.loads(line) for line in file.read_text("utf-8").splitlines())
    return {row.pop("id"): Asked(**row) for row in rows}


async def model(name: str, limit: int, deadline_s: float, folder: Path) -> list[str]:
    """A model on the first development tickets: alone, beside rules, and both together.

    `folder` keeps the answers and what each call took: a second run asks nothing twice.
    """
    rows = load("dev")[:limit]
    calls = folder / "calls.jsonl"
    known = kept(calls)
    given: dict[str, Any] = {"model": name, "deadline_s": deadline_s, "cache_dir": folder / "cache"}
    async with open_desk(Settings(model="rules")) as desk:
        by_rules = [labels_of(one) for one in await suggest_all(desk, rows)]
    asked, together = [], []
    async with open_desk(Settings.from_env(**given)) as desk:
        for number, row in enumerate(rows, 1):
            if row.ticket.id not in known:
                known[row.ticket.id] = one = await ask_model(desk, row)
                with calls.open("a", encoding="utf-8") as out:
                    out.write(json.dumps({"id": row.ticket.id, **vars(one)}) + "\n")
            asked.append(known[row.ticket.id])
            together.append(await desk.suggest(row.ticket))
            print(f"\r{number} of {len(rows)}", end="", flush=True)
    print()
    gold = [row.gold for row in rows]
    alone = [one.labels or dict.fromkeys(DIMENSIONS, "none") for one in asked]
    fresh = [one for one in asked if one.prompt]
    quotes = sum(one.quotes for one in asked)
    shown = [r for one in together for c in one.labels.values() for r in c.reasons if r.quote is not None]
    standing = sum(_stands(reason, one) for one, row in zip(together, rows, strict=True)
                   for choice in one.labels.values() for reason in choice.reasons if reason.quote is not None
                   for one in [row.ticket])  # fmt: skip
    seconds = sorted(one.seconds for one in fresh)
    lines = [f"## {name.rsplit('/', 1)[-1]}, {len(rows)} development tickets", ""]
    lines += [
        f"- valid suggestions: {len(together)} of {len(rows)}; the model itself answered "
        f"{sum(one.labels is not None for one in asked)} of them",
        f"- quotes shown that stand in the ticket, character for character: {standing} of {len(shown)}; "
        f"of the model's own {quotes} quotes {sum(one.grounded for one in asked)} were found and the rest dropped",
        f"- seconds per call: median {statistics.median(seconds):.1f}, 95th percentile "
        f"{seconds[int(0.95 * (len(seconds) - 1))]:.1f}",
        f"- prompt tokens: median {statistics.median(one.prompt for one in fresh):.0f}, of them from the prefix cache "
        f"{statistics.median(one.cached for one in fresh):.0f}",
        "",
        "| accuracy | rules alone | model alone | both (the desk) |", "| --- | --- | --- | --- |",
    ]  # fmt: skip
    both = [labels_of(one) for one in together]
    for dimension in DIMENSIONS:
        cells = [_right(gold, said, dimension) for said in (by_rules, alone, both)]
        lines.append(f"| {dimension} | " + " | ".join(cells) + " |")
    return [*lines, ""]


def _stands(reason: Any, ticket: Ticket) -> bool:
    source = ticket.subject if reason.field == "subject" else ticket.body
    return bool(source[reason.start : reason.end] == reason.quote)


def _right(gold: list[dict[str, str]], said: list[dict[str, str]], dimension: str) -> str:
    return rate(sum(g[dimension] == s[dimension] for g, s in zip(gold, said, strict=True)), len(gold))


def main() -> None:
    """Print Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["rules", "model"])
    parser.add_argument("name", nargs="?")
    parser.add_argument("--limit", type=int, default=100)
    parser.add_argument("--deadline", type=float, default=120.0)
    parser.add_argument("--keep", type=Path, default=Path("quality-run"), help="folder of answers and timings")
    parser.add_argument("--splits", nargs="+", default=["dev", "test"])
    given = parser.parse_args()
    given.keep.mkdir(parents=True, exist_ok=True)
    lines = (
        anyio.run(rules, given.splits)
        if given.what == "rules"
        else anyio.run(model, given.name, given.limit, given.deadline, given.keep)
    )
    print(f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, Python {platform.python_version()}", "", sep="\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
