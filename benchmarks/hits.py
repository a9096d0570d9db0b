"""Cache hits through the public interface: memory beside validating the answer, disk beside diskcache itself.

    python benchmarks/hits.py [ROUNDS]

P4: one hit in memory through `Desk.suggest` beside `model_validate_json` of the answer alone. P5: one hit on disk
beside `diskcache.Cache.get`; the desk is opened anew on a filled cache, so that nothing of it is in memory.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path
from typing import Any

import diskcache
import model_server
from figures import Figure, in_turns, middle, ratio, show
from made_up import compile_all, tickets

from triagedesk.desk import Desk, open_desk
from triagedesk.models import ModelAnswer, Said, Source, Ticket, Tokens
from triagedesk.settings import Settings

KEYS = 100
REPEATS = 3


def _settings(base_url: str, folder: Path) -> Settings:
    return Settings(model="openai/made-up-1", base_url=base_url, api_key="none", cache_dir=folder, max_concurrency=16)


async def _all(desk: Desk, given: list[Ticket], source: Source) -> int:
    for ticket in given:
        suggestion = await desk.suggest(ticket)
        if suggestion.provenance.source is not source:
            raise SystemExit(f"expected {source}, got {suggestion.provenance}")
    return len(given)


def _tickets(bodies: list[str], region: str | None = None) -> list[Ticket]:
    return [Ticket(id=f"T-{number}", body=body, region=region) for number, body in enumerate(bodies)]


async def measure(rounds: int) -> list[Figure]:
    """Fill a cache over the mock model, then hit it."""
    bodies = tickets(KEYS, seed=7)
    with model_server.running() as base_url, tempfile.TemporaryDirectory() as folder:
        settings = _settings(base_url, Path(folder))
        async with open_desk(settings) as desk:
            await _all(desk, _tickets(bodies), Source.MODEL)
            memory = await _memory(desk, bodies, rounds)
        disk = await _disk(settings, bodies, rounds)
    return [
        Figure("P4", "memory hit, × validating the answer", ratio(memory, "hit", "validate"), "×", 6,
               note=f"{middle(memory, 'hit'):.0f} µs beside {middle(memory, 'validate'):.1f} µs"),
        Figure("P4", "memory hit, but other metadata, × validating", ratio(memory, "first", "validate"), "×",
               note=f"{middle(memory, 'first'):.0f} µs: read, redacted and judged by rules anew"),
        Figure("P5", "disk hit, × diskcache.get", ratio(disk, "hit", "get"), "×", 4,
               note=f"{middle(disk, 'hit'):.0f} µs beside {middle(disk, 'get'):.1f} µs"),
        Figure("P5", "disk hit for a ticket that is remembered, × diskcache.get", ratio(disk, "known", "get"), "×",
               note=f"{middle(disk, 'known'):.0f} µs"),
    ]  # fmt: skip


async def _memory(desk: Desk, bodies: list[str], rounds: int) -> dict[str, list[float]]:
    said = {
        name: Said(label=label, confidence=0.9, reason="The customer says that money is wrong.", quote=bodies[0][:40])
        for name, label in model_server.LABELS.items()
    }
    tokens = Tokens(prompt=1200, cached=1024, completion=120)
    text = ModelAnswer(said=said, model="made-up-1", tokens=tokens).model_dump_json()

    compile_all(desk.playbook)

    async def validate(_: int) -> int:
        for _ in range(2000):
            ModelAnswer.model_validate_json(text)
        return 2000

    async def hit(_: int) -> int:
        return sum([await _all(desk, given, Source.CACHE) for _ in range(REPEATS)])

    async def first(number: int) -> int:  # other metadata, same question
        return await _all(desk, others[number], Source.CACHE)

    given, others = _tickets(bodies), [_tickets(bodies, f"R{number}") for number in range(rounds)]
    return await in_turns({"validate": validate, "first": first, "hit": hit}, rounds)


async def _disk(settings: Settings, bodies: list[str], rounds: int) -> dict[str, list[float]]:
    """Hit the disk: each round opens a desk anew, outside of what is measured, and warms it with other tickets."""
    plain = diskcache.Cache(str(settings.cache_dir / "plain"), statistics=0, eviction_policy="none")
    for number, body in enumerate(bodies):
        plain.set(f"{number:040d}", body * 3)
    spent: dict[str, list[float]] = {"get": [], "hit": [], "known": []}
    for number in range(rounds):
        for name, values in (await _disk_round(settings, bodies, plain, seed=100 + number)).items():
            spent[name] += values
    plain.close()
    return spent


async def _disk_round(settings: Settings, bodies: list[str], plain: Any, seed: int) -> dict[str, list[float]]:
    given = _tickets(bodies)
    async with open_desk(settings) as desk:
        compile_all(desk.playbook)
        await _all(desk, _tickets(tickets(20, seed=seed)), Source.MODEL)

        async def get(_: int) -> int:
            for _ in range(10):
                for number in range(KEYS):
                    plain.get(f"{number:040d}")
            return 10 * KEYS

        async def hit(_: int) -> int:
            return await _all(desk, given, Source.CACHE)

        async def known(_: int) -> int:
            desk._asking.cache._memory.clear()  # as if many other answers had been read since
            return await _all(desk, given, Source.CACHE)

        return await in_turns({"get": get, "hit": hit, "known": known}, 1)


def figures(rounds: int = 7) -> list[Figure]:
    """Measure P4 and P5."""
    return asyncio.run(measure(rounds))


if __name__ == "__main__":
    show(figures(int(sys.argv[1]) if len(sys.argv) > 1 else 7))
