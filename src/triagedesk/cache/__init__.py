"""The answer cache: text on disk, never unpickled; every fault is a counted miss."""

from __future__ import annotations

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

__all__ = [
    "DATABASE", "FOLDER", "MAX_VALUE_CHARS", "AnswerCache", "CacheKey", "CacheStats", "TextDisk", "cache_key",
    "open_cache",
]  # fmt: skip
