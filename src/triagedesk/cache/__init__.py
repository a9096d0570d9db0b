"""The answer cache: text on disk or on a server, never unpickled; every fault is a counted miss."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING

from triagedesk.cache.answers import (
    DATABASE,
    FOLDER,
    MAX_VALUE_CHARS,
    AnswerCache,
    CacheStats,
    open_cache,
)
from triagedesk.cache.disk import TextDisk
from triagedesk.cache.keys import CacheKey, cache_key
from triagedesk.errors import ConfigError

if TYPE_CHECKING:
    from triagedesk.cache.remote import RemoteCache
    from triagedesk.settings import Settings

__all__ = [
    "DATABASE", "FOLDER", "MAX_VALUE_CHARS", "AnswerCache", "CacheKey", "CacheStats", "TextDisk", "cache_key",
    "open_cache", "shared_cache",
]  # fmt: skip


def shared_cache(settings: Settings, call_s: float | None = None) -> AbstractAsyncContextManager[RemoteCache]:
    """Return the cache at `cache_url`, to be entered. Raises ConfigError if the package redis is not installed."""
    try:
        from triagedesk.cache.remote import open_remote  # lazy: only who shares a cache has redis-py
    except ModuleNotFoundError:
        raise ConfigError("cache_url needs the package redis: pip install 'triagedesk[redis]'") from None
    return open_remote(settings, call_s=call_s)
