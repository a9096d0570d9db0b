"""The keys that were looked up a moment ago, so that a busy caller's key is not read for every request.

What is remembered is what the database says of a key, never that somebody proved it: the secret is compared each time.
A key that another process revokes (`triagedesk keys revoke`, another replica) is let in for `keep_s` seconds at most.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

from triagedesk.service.store.keys import Keys
from triagedesk.service.store.records import ApiKey

MAX_KEYS = 10_000

Found = list[tuple[ApiKey, bytes]]


class KeyRing:
    """Remembers keys by how they begin. `clock` counts seconds and never goes back."""

    def __init__(self, keys: Keys, keep_s: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._keys, self._keep_s, self._clock = keys, keep_s, clock
        self._found: OrderedDict[str, tuple[float, Found]] = OrderedDict()
        self._changes = keys.changes
        self._any = False
        self._none_until = float("-inf")

    async def by_prefix(self, prefix: str) -> Found:
        """Return every key that begins so, with its digest, as it was `keep_s` seconds ago or later."""
        self._forget_what_changed()
        until, found = self._found.get(prefix, (float("-inf"), []))
        if self._clock() < until:
            return found
        asked = self._clock()
        found = await self._keys.by_prefix(prefix)
        if found:  # a key that does not exist is not remembered: strangers make up as many as they like
            self._found[prefix] = (asked + self._keep_s, found)
            self._found.move_to_end(prefix)
        else:
            self._found.pop(prefix, None)
        while len(self._found) > MAX_KEYS:
            self._found.popitem(last=False)
        return found

    async def any(self) -> bool:
        """Say whether a key was ever made; that none was is remembered for `keep_s`, that one was for good."""
        self._forget_what_changed()
        if not self._any and self._clock() >= self._none_until:
            asked = self._clock()
            self._any = await self._keys.any()
            self._none_until = asked + self._keep_s
        return self._any

    def _forget_what_changed(self) -> None:
        """Look anew where this very process made or revoked a key."""
        if self._changes != self._keys.changes:
            self._changes = self._keys.changes
            self._found.clear()
            self._none_until = float("-inf")
