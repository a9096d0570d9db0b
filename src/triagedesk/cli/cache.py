"""`triagedesk cache stats|clear`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

from triagedesk.cache import AnswerCache, CacheStats, open_cache, shared_cache
from triagedesk.cli.loop import run as run_loop
from triagedesk.cli.options import Options
from triagedesk.cli.terminal import say
from triagedesk.errors import ConfigError
from triagedesk.settings import Settings

PATIENCE_S = 2.0
"""How long these commands wait for each reply of a shared cache's server; a desk waits for none that long."""


def stats(options: Options) -> int:
    """Print what the cache holds. Raises ConfigError if its folder or its server cannot be used."""
    settings = options.settings()
    found = measured(settings)
    say(f"{'folder' if settings.cache_url is None else 'server':<8} {place(settings, found)}")
    for name, value in _facts(found).items():
        say(f"{name:<8} {value}")
    return 0


def clear(options: Options) -> int:
    """Forget every answer. Raises ConfigError if the folder or the server cannot be used."""
    settings = options.settings()
    if settings.cache_url is not None:
        removed, found = run_loop(_clear_shared(settings))
        say(f"removed {removed} answers from {found.where}")
        return 0
    with opened(settings) as cache:
        say(f"removed {cache.clear()} answers from {settings.cache_dir}")
    return 0


def measured(settings: Settings) -> CacheStats:
    """Say what the cache of these settings holds. Raises ConfigError where the desk would carry on without one."""
    if settings.cache_url is not None:
        return run_loop(_measure_shared(settings))
    with opened(settings) as cache:
        return cache.stats()


def place(settings: Settings, found: CacheStats) -> str:
    """Say where the answers are, without user or password."""
    return str(settings.cache_dir) if settings.cache_url is None else found.where


@contextlib.contextmanager
def opened(settings: Settings) -> Iterator[AnswerCache]:
    """Open the cache. Raises ConfigError where the desk would carry on without one."""
    cache = open_cache(settings)
    try:
        if cache.problem:
            raise ConfigError(f"cache: {cache.problem}; choose another folder with --cache-dir")
        yield cache
    finally:
        cache.close()


async def _measure_shared(settings: Settings) -> CacheStats:
    async with shared_cache(settings, PATIENCE_S) as cache:
        return _usable(await cache.measure())


async def _clear_shared(settings: Settings) -> tuple[int, CacheStats]:
    async with shared_cache(settings, PATIENCE_S) as cache:
        removed = await cache.clear()
        return removed, _usable(cache.stats())


def _usable(found: CacheStats) -> CacheStats:
    if found.problem:
        raise ConfigError(f"cache: {found.problem}; check TRIAGEDESK_CACHE_URL")
    return found


def _facts(counted: object) -> Mapping[str, Any]:
    """Return what is kept; hits and misses of this short process say nothing."""
    return {name: getattr(counted, name) for name in ("entries", "bytes")}
