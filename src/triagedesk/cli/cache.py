"""`triagedesk cache stats|clear`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

from triagedesk.cache import AnswerCache, open_cache
from triagedesk.cli.options import Options
from triagedesk.cli.terminal import say
from triagedesk.errors import ConfigError
from triagedesk.settings import Settings


def stats(options: Options) -> int:
    """Print what the cache holds. Raises ConfigError if its folder cannot be used."""
    settings = options.settings()
    with opened(settings) as cache:
        say(f"folder   {settings.cache_dir}")
        for name, value in _facts(cache.stats()).items():
            say(f"{name:<8} {value}")
    return 0


def clear(options: Options) -> int:
    """Forget every answer. Raises ConfigError if the folder cannot be used."""
    settings = options.settings()
    with opened(settings) as cache:
        say(f"removed {cache.clear()} answers from {settings.cache_dir}")
    return 0


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


def _facts(counted: object) -> Mapping[str, Any]:
    """Return what stands on disk; hits and misses of this short process say nothing."""
    return {name: getattr(counted, name) for name in ("entries", "bytes")}
