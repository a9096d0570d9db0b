"""The deadline under faults and load: how much later than promised suggestions come.

    python benchmarks/deadline.py [SUGGESTIONS]

New tickets arrive at random (Poisson) and each meets its own fault of a model server on loopback: silence, a byte at a
time, 500s, 429s, resets, garbage, or a good answer. The breaker rests for a millisecond only, so that all are really
asked. Late is what passes beyond the deadline, on the caller's clock; the promise is the deadline + 50 ms. The last
table is a burst: all arrive in the same instant.
"""

from __future__ import annotations

import asyncio
import random
import sys
import tempfile
import time
from collections import Counter, defaultdict
from itertools import chain
from pathlib import Path

import faulty_server
from figures import Figure, Outcome, Table, number, show
from made_up import compile_all, tickets

from triagedesk.desk import Desk, open_desk
from triagedesk.models import Ticket
from triagedesk.settings import Settings

FAULTS = {
    "hang": "silence", "body_byte_by_byte": "a byte every 20 ms", "white_space_for_ever": "white space for ever",
    "error_500": "500 always", "rate_limit_soon": "429 always", "reset_in_the_body": "reset in the body",
    "no_http": "garbage", "broken_json": "half a reply", "slow_wrong_label": "wrong label, 0.4 s each",
    "good_after_0_2_s": "good, after 0.2 s",
}  # fmt: skip
DEADLINE_S, PROMISE_MS = 3.0, 50.0
SHARE, MOST_PER_S = 0.5, 50.0
"""Arrivals: this share of what one process can do here, measured first, but no more a second than the second figure:
four in ten tickets wait for the whole three seconds, so some 64 are in flight then."""

TRIED = 60
"""So many tickets say what one process can do."""

UNANSWERED = ("hang", "body_byte_by_byte", "white_space_for_ever")
"""The faults under which nothing but the deadline ends the wait: the chart shows these."""

BURST = 64
SHARES = (0.01, 0.05, 0.1, 0.25, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999, 1.0)


class Watch:
    """How late suggestions came, by fault, and what they came from."""

    def __init__(self) -> None:
        self.late_ms: defaultdict[str, list[float]] = defaultdict(list)
        self.took_ms: defaultdict[str, list[float]] = defaultdict(list)
        self.sources: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self.flying = self.most_flying = 0
        self.per_s = MOST_PER_S

    async def suggest(self, desk: Desk, fault: str, text: str) -> None:
        """Ask for one suggestion and note how late it came."""
        began = time.monotonic()
        self.flying += 1
        self.most_flying = max(self.most_flying, self.flying)
        said = (await desk.suggest(Ticket(body=f"fault={fault} {text}"))).provenance
        took = time.monotonic() - began
        self.flying -= 1
        self.late_ms[fault].append((took - DEADLINE_S) * 1000)
        self.took_ms[fault].append(took * 1000)
        self.sources[fault][said.fallback_reason or said.source.value] += 1


async def measure(count: int) -> tuple[Watch, Watch]:
    """Let tickets arrive one by one, then all at once."""
    rng, texts = random.Random(11), iter(tickets(count + BURST + TRIED, seed=21))
    watch, burst = Watch(), Watch()
    with faulty_server.running() as base_url, tempfile.TemporaryDirectory() as folder:
        settings = Settings(
            model="openai/made-up-1", base_url=base_url, api_key="none", cache_dir=Path(folder), max_concurrency=256,
            breaker_failures=1_000_000, breaker_probe_s=0.001, deadline_s=DEADLINE_S,
        )  # fmt: skip
        async with open_desk(settings) as desk, asyncio.TaskGroup() as tasks:
            compile_all(desk.playbook)
            watch.per_s = await _bearable(desk, [next(texts) for _ in range(TRIED)])
            due = time.monotonic()
            for _ in range(count):
                due += rng.expovariate(watch.per_s)
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                tasks.create_task(watch.suggest(desk, rng.choice(list(FAULTS)), next(texts)))
            await asyncio.sleep(2 * DEADLINE_S)
            for _ in range(BURST):
                tasks.create_task(burst.suggest(desk, rng.choice(list(FAULTS)), next(texts)))
    return watch, burst


async def _bearable(desk: Desk, texts: list[str]) -> float:
    """Return how many new tickets a second leave the process half idle."""
    began, waits = time.monotonic(), Watch()
    for text in texts:
        await waits.suggest(desk, "error_400", text)  # answered at once, never tried again
    return min(MOST_PER_S, SHARE * len(texts) / (time.monotonic() - began))


def _quantile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def _row(name: str, took: list[float], late: list[float], sources: Counter[str]) -> tuple[str, ...]:
    over = sum(ms > PROMISE_MS for ms in late)
    told = ", ".join(f"{name} {count}" for name, count in sources.most_common(3))
    waits = [number(_quantile(took, 0.5)), number(_quantile(took, 0.99)), number(max(took))]
    return (
        name,
        str(len(took)),
        *waits,
        number(max(0.0, _quantile(late, 0.99))),
        number(max(0.0, *late)),
        str(over),
        told,
    )


def _rows(watch: Watch) -> list[tuple[str, ...]]:
    rows = [_row(FAULTS[name], watch.took_ms[name], watch.late_ms[name], watch.sources[name]) for name in watch.took_ms]
    everything: Counter[str] = sum(watch.sources.values(), Counter())
    took, late = list(chain(*watch.took_ms.values())), list(chain(*watch.late_ms.values()))
    return [*sorted(rows), _row("**all**", took, late, everything)]


def outcome(*, quick: bool = False, count: int = 2500) -> Outcome:
    """Measure how late suggestions come."""
    watch, burst = asyncio.run(measure(200 if quick else count))
    columns = ("fault", "suggestions", "p50 ms", "p99 ms", "max ms", "late p99 ms", "late max ms",
               f"beyond +{PROMISE_MS:g} ms", "answered by or because")  # fmt: skip
    note = (
        f"Deadline {DEADLINE_S:g} s, {watch.per_s:.0f} new tickets a second (at most half of what the process can do), "
        f"at most {watch.most_flying} in flight."
    )
    late, late_in_burst = list(chain(*watch.late_ms.values())), chain(*burst.late_ms.values())
    waited = list(chain(*(watch.late_ms[name] for name in UNANSWERED)))
    met = sum(ms <= PROMISE_MS for ms in late) / len(late)
    return Outcome(
        [
            Figure("deadline", f"latest of {len(late):,} suggestions, ms beyond the deadline", max(0.0, *late), "ms",
                   PROMISE_MS, note=f"{met:.2%} within the promise; p99 {max(0.0, _quantile(late, 0.99)):.1f} ms late"),
            Figure("deadline", f"latest of a burst of {BURST}, ms beyond the deadline",
                   max(0.0, *late_in_burst), "ms", PROMISE_MS),
        ],
        [Table("Deadline under faults", columns, _rows(watch), note),
         Table(f"Deadline, {BURST} at the same instant", columns, _rows(burst)[-1:])],
        series={"quantile": {f"{share:g}": round(_quantile(waited, share), 1) for share in SHARES}},
    )  # fmt: skip


def figures(count: int = 2500) -> list[Figure]:
    """Measure; return the figures alone."""
    return outcome(count=count).figures


if __name__ == "__main__":
    show(figures(int(sys.argv[1]) if len(sys.argv) > 1 else 2500))
