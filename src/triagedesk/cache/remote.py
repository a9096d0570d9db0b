"""Answers that several machines share through a Redis or Valkey server; a fault of it is a counted miss.

Has the words of `AnswerCache`; `get` and `claim` may have to wait for the server, so they may return an awaitable. What
lies on the server is text under a keyed name and a seal; see docs/decisions/0008-shared-cache.md.
"""

from __future__ import annotations

import asyncio
import math
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager, suppress
from hashlib import blake2b
from hmac import compare_digest

import anyio
from pydantic import SecretStr

from triagedesk.cache import line
from triagedesk.cache.answers import MAX_VALUE_CHARS, CacheStats
from triagedesk.cache.line import Line, Reply
from triagedesk.cache.memory import AnswerMemory
from triagedesk.settings import Settings

OPEN_S = 0.25
"""How long opening waits for the server, in seconds; the desk then opens without it."""

CLOSE_S = 0.25
"""How long closing waits for what is still to be written, in seconds."""

_ENTRY, _CLAIM = "triagedesk:answer:", "triagedesk:claim:"
_SEAL_CHARS = 40
_MAX_BYTES = 4 * MAX_VALUE_CHARS + _SEAL_CHARS
_DAY_MS, _LONGEST_MS = 86_400_000, 3_650 * 86_400_000
_SCANNED, _REMOVED = 1_000, 500

_RELEASE = "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) end return 0"
"""Gives a claim back only to its owner: one that ran out may be somebody else's by now."""


@asynccontextmanager
async def open_remote(settings: Settings, *, call_s: float | None = None) -> AsyncIterator[RemoteCache]:
    """Open the shared cache of these settings; a server that is away does not keep anybody waiting, nor raises.

    Raises ConfigError for an address with options that are not known.
    """
    assert settings.cache_url is not None
    cache = RemoteCache(settings, settings.cache_url, line.CALL_S if call_s is None else call_s)
    serving = asyncio.create_task(cache.line.serve(), name="triagedesk-cache")
    try:
        await cache.line.tried(OPEN_S if call_s is None else call_s)
        yield cache
    finally:
        with anyio.CancelScope(shield=True):
            await cache.line.finish(CLOSE_S)
            serving.cancel()
            with suppress(asyncio.CancelledError):
                await serving
        cache.close()


class RemoteCache:
    """Text by key, for a time, on a server. No fault of it costs more than `line.CALL_S`, and none raises."""

    secret = b""
    """Keys are hashed without a secret here: they stay in this process, and their names on the server are keyed."""

    def __init__(self, settings: Settings, url: SecretStr, call_s: float) -> None:
        given = settings.cache_secret
        secret = None if given is None else blake2b(given.get_secret_value().encode(), digest_size=32).digest()
        self._counts: Counter[str] = Counter()
        self._faults: Counter[str] = Counter()
        self.line = Line(url.get_secret_value(), self._faults, secret=secret, call_s=call_s)
        self._ttl_ms = max(1, min(int(settings.cache_ttl_days * _DAY_MS), _LONGEST_MS))
        self._memory = AnswerMemory()
        self._claimed: dict[str, str] = {}
        self._held = (0, 0)
        self._closed = False

    @property
    def problem(self) -> str | None:
        """What is wrong with the server now, in one line, or None."""
        return None if self.line.up else self.line.problem or f"{self.line.place}: it does not answer in time"

    # --- the words ---

    def get(self, key: str) -> str | Awaitable[str | None] | None:
        """Return the value of a key, or None; from the server it is awaited. Every fault is a miss, counted."""
        value = self._memory.get(key)
        if value is not None:
            self._counts["hits"] += 1
            return value
        return self._fetch(key)

    async def _fetch(self, key: str) -> str | None:
        name = self._name(_ENTRY, key)
        value = self._opened(key, await self.line.ask(("GETRANGE", name, 0, _MAX_BYTES), ("PTTL", name)))
        self._counts["hits" if value is not None else "misses"] += 1
        return value

    def _opened(self, key: str, replies: list[Reply] | None) -> str | None:
        """Read what the server gave for a key: only what bears our seal, and only as text."""
        match replies:
            case None | [Exception(), _] | [b"", _]:  # no server, an error that is counted, or no such name
                return None
            case [bytes() as data, int() as left_ms] if len(data) <= _MAX_BYTES:
                seal, text = data[:_SEAL_CHARS], data[_SEAL_CHARS:]
            case other:
                self._faults["oversize" if isinstance(other[0], bytes) else "foreign"] += 1
                return None
        if not compare_digest(seal, self._seal(key, text)):
            self._faults["foreign"] += 1
            return None
        value = text.decode("utf-8", "surrogatepass")
        self._memory.put(key, value, min(self._ttl_ms if left_ms < 0 else left_ms, self._ttl_ms) / 1000)
        return value

    def refuse(self) -> None:
        """Count the hit just given as a miss after all: its value was none of ours ("foreign")."""
        self._counts["hits"] -= 1
        self._counts["misses"] += 1
        self._faults["foreign"] += 1

    def put(self, key: str, value: str) -> None:
        """Keep a value: in memory at once, on the server soon. Where that cannot be, it is counted as "dropped"."""
        if self._closed:
            return
        if len(value) > MAX_VALUE_CHARS:
            self._faults["oversize"] += 1
            return
        self._memory.put(key, value, self._ttl_ms / 1000)
        data = value.encode("utf-8", "surrogatepass")
        self.line.tell(
            ("SET", self._name(_ENTRY, key), self._seal(key, data) + data, "PX", self._ttl_ms), chars=len(data)
        )

    async def claim(self, key: str, seconds: float) -> bool:
        """Say if this caller shall ask the question: true for one caller at all desks until `seconds` are over.

        Where the server cannot say, every caller shall ask: twice is better than never.
        """
        if not self.line.up:
            self._faults["resting"] += 1
            return True
        token = self._claimed[key] = secrets.token_hex(16)
        left_ms = max(1, math.ceil(min(seconds, 3_600.0) * 1000))
        said: list[Reply] | None = None
        heard = False
        try:
            said = await self.line.ask(("SET", self._name(_CLAIM, key), token, "NX", "PX", left_ms))
            heard = True
        finally:
            if not heard:  # the caller went away; the server may have granted it
                self.release(key)
        if said == [None]:
            self._claimed.pop(key, None)
            return False
        return True

    def release(self, key: str) -> None:
        """Give a claim back, if it is this cache's own, after all that was put before; else it runs out by itself."""
        token = self._claimed.pop(key, None)
        if token is not None:
            self.line.tell(("EVAL", _RELEASE, 1, self._name(_CLAIM, key), token))

    def stats(self) -> CacheStats:
        """Say what happened since it was opened, and what the cache held when it was last measured."""
        hits, misses = self._counts["hits"], self._counts["misses"]
        return CacheStats(*self._held, hits, misses, dict(self._faults), self.problem, self.line.place)

    def close(self) -> None:
        """Answer misses from now on."""
        self._closed = True
        self._memory.clear()

    # --- housekeeping ---

    async def measure(self) -> CacheStats:
        """Count the answers on the server and their bytes; it takes a look at every name there."""
        names = await self._names(_ENTRY)
        size = 0
        for chunk in _chunks(names):
            sizes = await self.line.ask(*(("STRLEN", name) for name in chunk))
            size += sum(each for each in sizes or () if isinstance(each, int))
        self._held = (len(names), size)
        return self.stats()

    async def clear(self) -> int:
        """Remove all answers and claims from the server, not its secret. Returns how many answers there were."""
        self._memory.clear()
        removed = 0
        for prefix in (_ENTRY, _CLAIM):
            for chunk in _chunks(await self._names(prefix)):
                said = await self.line.ask(("UNLINK", *chunk))
                removed += said[0] if prefix == _ENTRY and said and isinstance(said[0], int) else 0
        return removed

    async def _names(self, prefix: str) -> list[bytes]:
        found: dict[bytes, None] = {}
        cursor: bytes = b"0"
        while True:
            said = await self.line.ask(("SCAN", cursor, "MATCH", f"{prefix}*", "COUNT", _SCANNED))
            match said:
                case [[bytes() as cursor, [*names]]]:
                    found.update(dict.fromkeys(name for name in names if isinstance(name, bytes)))
                case _:
                    return list(found)
            if cursor == b"0":
                return list(found)

    # --- names and seals ---

    def _name(self, prefix: str, key: str) -> str:
        made = blake2b(key.encode(), digest_size=20, key=self.line.secret, person=b"triagedesk-name")
        return prefix + made.hexdigest()

    def _seal(self, key: str, data: bytes) -> bytes:
        """Bind a value to its key and the secret: nobody without that can write an answer, or move one."""
        made = blake2b(key.encode(), digest_size=20, key=self.line.secret, person=b"triagedesk-seal")
        made.update(b"\0" + data)
        return made.hexdigest().encode()


def _chunks(names: list[bytes]) -> list[list[bytes]]:
    return [names[start : start + _REMOVED] for start in range(0, len(names), _REMOVED)]
