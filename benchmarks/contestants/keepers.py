"""One cache hit, from the question to a validated answer. Run by hits.py: `keepers.py NAME CONFIG.json`.

`limit_*` read the bare text that an answer is kept as and are what any cache of that kind could reach at best.
"""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import callers  # sets the environment of the libraries, too
from contest import Stopwatch, Turn, play

SLOWEST_HIT_US = 40_000.0
"""The model thinks longer than this: who takes more did not hit."""


@dataclass
class Keeper:
    """What is done before each turn, unmeasured, and for each hit."""

    hit: Callable[[int], Awaitable[object]]
    before: Callable[[], object] | None = None


async def limit_validate(config: Turn) -> Keeper:
    """Validating the answer alone."""
    from triagedesk.models import ModelAnswer

    text = config["answer"]

    async def hit(_: int) -> object:
        return ModelAnswer.model_validate_json(text)

    return Keeper(hit)


async def limit_dict(config: Turn) -> Keeper:
    """A dict of finished objects."""
    kept = {f"{number:040d}": object() for number in range(config["keys"])}

    async def hit(number: int) -> object:
        return kept[f"{number:040d}"]

    return Keeper(hit)


async def limit_sqlite(config: Turn) -> Keeper:
    """One indexed row of SQLite in WAL mode."""
    base = sqlite3.connect(Path(config["folder"], "plain.sqlite"), isolation_level=None)
    base.execute("PRAGMA journal_mode=WAL")
    base.execute("CREATE TABLE IF NOT EXISTS kept (key TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID")
    rows = [(f"{number:040d}", config["answer"]) for number in range(config["keys"])]
    base.executemany("INSERT OR REPLACE INTO kept VALUES (?, ?)", rows)

    async def hit(number: int) -> object:
        return base.execute("SELECT value FROM kept WHERE key = ?", (f"{number:040d}",)).fetchone()

    return Keeper(hit)


async def limit_diskcache(config: Turn) -> Keeper:
    """diskcache.Cache.get of a text."""
    import diskcache

    kept = diskcache.Cache(str(Path(config["folder"], "plain")), statistics=0, eviction_policy="none")
    for number in range(config["keys"]):
        kept.set(f"{number:040d}", config["answer"])

    async def hit(number: int) -> object:
        return kept.get(f"{number:040d}")

    return Keeper(hit)


async def limit_redis(config: Turn) -> Keeper:
    """GET from Redis on loopback, by redis-py and asyncio."""
    import redis.asyncio

    kept = redis.asyncio.Redis(port=config["redis_port"] or 1)
    for number in range(config["keys"]):
        await kept.set(f"{number:040d}", config["answer"])

    async def hit(number: int) -> object:
        return await kept.get(f"{number:040d}")

    return Keeper(hit)


async def _filled(config: Turn) -> tuple[Any, list[Any]]:
    """Open a desk and let the model answer every ticket once."""
    from triagedesk.models import Ticket

    desk = await callers._open_desk(config)
    given = [Ticket(id=f"T-{number}", body=text) for number, text in enumerate(config["texts"])]
    for ticket in given:
        await desk.suggest(ticket)
    await asyncio.sleep(0.5)  # the thread that writes is behind
    return desk, given


async def _hit(desk: Any, given: list[Any], number: int) -> object:
    suggestion = await desk.suggest(given[number])
    if suggestion.provenance.source.value != "cache":
        raise RuntimeError(f"no hit: {suggestion.provenance.source}")
    return suggestion


async def desk_memory(config: Turn) -> Keeper:
    """triagedesk: a ticket that comes again."""
    return Keeper(partial(_hit, *await _filled(config)))


async def desk_disk(config: Turn) -> Keeper:
    """triagedesk: the ticket is remembered, its answer only on disk."""
    desk, given = await _filled(config)

    def forget() -> None:
        desk._asking.cache._memory.clear()

    return Keeper(partial(_hit, desk, given), forget)


async def desk_disk_new(config: Turn) -> Keeper:
    """triagedesk: a ticket that this process has not seen, answered by another one before."""
    from triagedesk.remembered import Remembered

    desk, given = await _filled(config)

    def forget() -> None:
        desk._remembered = Remembered()
        desk._asking.cache._memory.clear()
        desk._asking._read.cache_clear()

    return Keeper(partial(_hit, desk, given), forget)


async def _asked(config: Turn, ask: callers.Ask) -> Keeper:
    """Let a library fill its own cache, then ask the same again."""
    for text in config["texts"]:
        await ask(text)
    await asyncio.sleep(0.5)  # some store behind the answer
    await ask(config["texts"][0])  # and some import at their first hit

    async def hit(number: int) -> object:
        return await ask(config["texts"][number])

    return Keeper(hit)


async def langchain_memory(config: Turn) -> Keeper:
    """LangChain with its InMemoryCache."""
    from langchain_core.caches import InMemoryCache
    from langchain_core.globals import set_llm_cache

    set_llm_cache(InMemoryCache())
    return await _asked(config, await callers.langchain(config, callers.answer_model(config["labels"])))


async def langchain_sqlite(config: Turn) -> Keeper:
    """LangChain with its SQLiteCache."""
    from langchain_community.cache import SQLiteCache
    from langchain_core.globals import set_llm_cache

    set_llm_cache(SQLiteCache(str(Path(config["folder"], "langchain.sqlite"))))
    return await _asked(config, await callers.langchain(config, callers.answer_model(config["labels"])))


async def _litellm(config: Turn, **options: Any) -> Keeper:
    import litellm
    from litellm.caching.caching import Cache

    litellm.cache = Cache(max_messages=None, **options)  # it keeps nothing of more than four messages otherwise
    return await _asked(config, await callers.litellm(config, callers.answer_model(config["labels"])))


async def litellm_memory(config: Turn) -> Keeper:
    """LiteLLM with its cache in memory."""
    return await _litellm(config, type="local")


async def litellm_disk(config: Turn) -> Keeper:
    """LiteLLM with its cache on disk."""
    return await _litellm(config, type="disk", disk_cache_dir=str(Path(config["folder"], "litellm")))


async def gptcache(config: Turn) -> Keeper:
    """GPTCache with exact matches in memory, then one validation."""
    from gptcache import cache
    from gptcache.adapter.api import get, put
    from gptcache.processor.pre import get_prompt

    cache.init(pre_embedding_func=get_prompt)
    model = callers.answer_model(config["labels"])
    for text in config["texts"]:
        put(text, config["said"])

    async def hit(number: int) -> object:
        return model.model_validate_json(get(config["texts"][number]))

    return Keeper(hit)


CONTESTANTS: dict[str, Callable[[Turn], Awaitable[Keeper]]] = {
    each.__name__: each
    for each in (
        limit_validate, limit_dict, limit_sqlite, limit_diskcache, limit_redis, desk_memory, desk_disk, desk_disk_new,
        langchain_memory, langchain_sqlite, litellm_memory, litellm_disk, gptcache,
    )
}  # fmt: skip


async def _turn(keeper: Keeper, keys: int, _: Turn) -> Turn:
    if keeper.before is not None:
        keeper.before()
    watch = Stopwatch()
    for number in range(keys):
        if await keeper.hit(number) is None:
            raise RuntimeError("no hit")
    took = watch.per(keys)
    if took["wall_us"] > SLOWEST_HIT_US:
        raise RuntimeError(f"{took['wall_us']:,.0f} µs a hit: the model was asked")
    return took


def _own(config: Turn, name: str) -> Turn:
    """Give each contestant a folder of its own."""
    folder = Path(config["folder"], name)
    folder.mkdir()
    return {**config, "folder": str(folder)}


async def _prepare(name: str, file: str) -> Callable[[Turn], Awaitable[Turn]]:
    config = _own(callers.told(file), name)
    return partial(_turn, await CONTESTANTS[name](config), config["keys"])


if __name__ == "__main__":
    asyncio.run(play(partial(_prepare, *sys.argv[1:3])))
