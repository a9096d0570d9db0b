"""What a report costs: CPU seconds and peak memory, beside the least there is, which is reading the lines as JSON.

`python benchmarks/report_page.py [ROWS …]` writes OUT and IN of so many rows (default 10,000 and 100,000), makes
the page with and without the tickets in a process of its own, and prints one line for each.
"""

from __future__ import annotations

import asyncio
import json
import resource
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from pydantic_core import from_json

from triagedesk import Settings, Ticket, load_playbook, open_desk

SAMPLES = Path(__file__).parents[1] / "src" / "triagedesk" / "samples" / "tickets.jsonl"
FIRST = datetime(2026, 8, 31, tzinfo=UTC)
SECONDS_APART = 55
CHANNELS = ("email", "email", "live_chat", "voice", "self_service", "social_media")
REGIONS = ("DE", "DE", "GB", "US", "FR", "ES", "IT")
TIERS = ("standard", "standard", "standard", "premium", "vip")
PRODUCTS = ("Router X", "Router Y", "TV Box", "Mobile S")
ROUNDS = 3


async def labelled() -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Return the sample tickets with the rules' suggestions."""
    tickets = [json.loads(line) for line in SAMPLES.read_text("utf-8").splitlines()]
    async with open_desk(Settings(model="rules", cache=False)) as desk:
        return [(one, json.loads((await desk.suggest(Ticket.parse(one))).model_dump_json())) for one in tickets]


def write(folder: Path, rows: int) -> tuple[Path, Path]:
    """Write so many rows, each with an id, a time and traits of its own."""
    tickets, out = folder / "in.jsonl", folder / "out.jsonl"
    traits = zip(cycle(CHANNELS), cycle(REGIONS), cycle(TIERS), cycle(PRODUCTS), strict=False)
    pairs = zip(cycle(asyncio.run(labelled())), traits, strict=False)
    with tickets.open("w", encoding="utf-8") as came, out.open("w", encoding="utf-8") as said:
        for number, ((ticket, made), (channel, region, tier, product)) in enumerate(islice(pairs, rows)):
            at = FIRST + timedelta(seconds=SECONDS_APART * number * 100_000 // rows)
            more = {"id": f"T-{number}", "channel": channel, "region": region, "customer_tier": tier,
                    "product": product, "created_at": at.isoformat()}  # fmt: skip
            due = {"first_response_due": (at + timedelta(hours=4)).isoformat(),
                   "resolution_due": (at + timedelta(hours=48)).isoformat(), "breached": number % 19 == 0}  # fmt: skip
            came.write(json.dumps(ticket | more) + "\n")
            said.write(json.dumps(made | {"ticket_id": f"T-{number}", "response": due}) + "\n")
    return tickets, out


def one(out: Path, tickets: Path | None) -> None:
    """Make one page and print its CPU seconds, those of reading JSON alone, and the peak memory."""
    from triagedesk.report import Job, make_report
    from triagedesk.report.page import page

    playbook = load_playbook()
    began = time.process_time()
    made = make_report(Job(out, tickets), playbook)
    counted = time.process_time()
    text = page(made)
    drawn = time.process_time()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    with out.open("rb") as stream:
        for line in stream:
            from_json(line)
    told = {"count_s": counted - began, "draw_s": drawn - counted, "json_s": time.process_time() - drawn,
            "peak_mb": peak, "page_kb": len(text.encode()) / 1024}  # fmt: skip
    print(json.dumps(told))


def measured(out: Path, tickets: Path | None) -> dict[str, float]:
    """Return the medians of some rounds, each in a process of its own."""
    command = [sys.executable, __file__, "--one", str(out), *([str(tickets)] if tickets else [])]
    rounds = [json.loads(subprocess.run(command, check=True, capture_output=True).stdout) for _ in range(ROUNDS)]
    return {name: sorted(each[name] for each in rounds)[ROUNDS // 2] for name in rounds[0]}


def main(sizes: list[int]) -> None:
    """Measure every size, with and without tickets."""
    for rows in sizes:
        with tempfile.TemporaryDirectory() as folder:
            tickets, out = write(Path(folder), rows)
            for given in (None, tickets):
                found = measured(out, given)
                print(
                    f"{rows:>9,} rows {'with tickets   ' if given else 'without tickets'}  "
                    f"count {found['count_s']:6.1f} s ({found['count_s'] / found['json_s']:.1f} × reading its JSON)  "
                    f"draw {found['draw_s']:4.1f} s  peak {found['peak_mb']:4.0f} MB  page {found['page_kb']:4.0f} KB",
                    flush=True,
                )


if __name__ == "__main__":
    arguments = sys.argv[1:]
    if arguments[:1] == ["--one"]:
        one(Path(arguments[1]), Path(arguments[2]) if len(arguments) > 2 else None)
    else:
        main([int(each.replace(",", "")) for each in arguments] or [10_000, 100_000])
