"""Answers kept in memory only, while one batch runs: a question that comes again is not asked again."""

from __future__ import annotations

from triagedesk.cache.answers import CacheStats
from triagedesk.cache.memory import AnswerMemory

MAX_ANSWERS = 20_000
"""About 30 MB; the answers used longest ago make room."""

_KEPT_S = 10 * 365 * 86_400.0


class PassingAnswers:
    """A cache that ends with the process. Nothing in it waits, and nothing fails."""

    def __init__(self, max_answers: int = MAX_ANSWERS) -> None:
        self._memory = AnswerMemory(max_answers)
        self._entries = self._hits = self._misses = 0

    def get(self, key: str) -> str | None:
        """Return what is kept under a key."""
        found = self._memory.get(key)
        self._hits += found is not None
        self._misses += found is None
        return found

    def put(self, key: str, value: str) -> None:
        """Keep an answer."""
        self._entries += 1
        self._memory.put(key, value, _KEPT_S)

    def refuse(self) -> None:
        """An entry could not be read: nothing to do, it will be replaced."""

    def claim(self, key: str, seconds: float) -> bool:  # noqa: ARG002 - as every cache is asked
        """No other process asks through this cache."""
        return True

    def release(self, key: str) -> None:
        """No claim is held."""

    def stats(self) -> CacheStats:
        """Say what happened."""
        return CacheStats(min(self._entries, MAX_ANSWERS), 0, self._hits, self._misses, {}, where="memory")
