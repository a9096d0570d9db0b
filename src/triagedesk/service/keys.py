"""API keys: made, verified, revoked; what each may do, how often, and for how much money a day."""

from __future__ import annotations

import hashlib
import hmac
import math
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Protocol

from triagedesk.errors import TicketError, TriageError
from triagedesk.service.keyring import KeyRing
from triagedesk.service.store.ids import new_id
from triagedesk.service.store.keys import NANO, Keys
from triagedesk.service.store.records import ApiKey, Scope, Spent

MARK = "tdk_"
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_BYTES = 32
_LENGTH = 43
"""62 ** 43 is just above 2 ** 256."""
_SHOWN = 8
"""The characters after the mark that are kept in clear to find a key by; 208 bits stay secret."""
_MAX_NAME = 100
MAX_USD = 1_000_000.0


class KeyProblem(StrEnum):
    """Why a request is refused: closed names, which are also the `code` of the problem document."""

    MISSING = "key_missing"
    UNKNOWN = "key_unknown"  # malformed, never made, or with a wrong ending
    REVOKED = "key_revoked"
    SCOPE = "scope_missing"
    RATE = "rate_limited"
    BUDGET = "budget_spent"

    @property
    def status(self) -> int:
        """The HTTP status that says it."""
        return {KeyProblem.SCOPE: 403, KeyProblem.RATE: 429, KeyProblem.BUDGET: 429}.get(self, 401)


class KeyRefused(TriageError):
    """A request may not go on; `retry_after_s` is when it may, for a rate or a budget."""

    def __init__(self, problem: KeyProblem, *, retry_after_s: float | None = None) -> None:
        self.problem, self.retry_after_s = problem, retry_after_s
        super().__init__(problem.value)


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key just made. `secret` is what the caller sends; it is shown once and kept nowhere."""

    key: ApiKey
    secret: str = field(repr=False)


def new_secret() -> str:
    """Return `tdk_` and 32 random bytes in base 62."""
    return MARK + base62(secrets.token_bytes(_BYTES))


def base62(data: bytes) -> str:
    """Write 32 bytes as 43 digits, the highest first."""
    number, digits = int.from_bytes(data, "big"), []
    for _ in range(_LENGTH):
        number, digit = divmod(number, 62)
        digits.append(_DIGITS[digit])
    return "".join(reversed(digits))


def digest(secret: str) -> bytes:
    """Hash a key for keeping. 256 random bits need no slow hash: there is nothing to guess."""
    return hashlib.sha256(b"triagedesk api key\0" + secret.encode("utf-8", "surrogatepass")).digest()


def bearer(authorization: str | None) -> str | None:
    """Return the key of an `Authorization: Bearer …` header; None where there is none."""
    kind, _, secret = (authorization or "").strip().partition(" ")
    return secret.strip() or None if kind.lower() == "bearer" else None


async def create_key(
    keys: Keys, name: str, scopes: Collection[str], *, daily_budget_usd: float | None = None, now: datetime
) -> NewKey:
    """Make a key and keep its hash.

    Raises TicketError for a name, a scope or a budget that cannot be: one line says which.
    """
    made = ApiKey(new_id("k", now), _name(name), _scopes(scopes), now, None, _budget(daily_budget_usd))
    secret = new_secret()
    await keys.add(made, prefix=_prefix(secret), digest=digest(secret))
    return NewKey(made, secret)


class Findable(Protocol):
    """Where keys are found: the table, or what is remembered of it."""

    async def by_prefix(self, prefix: str) -> list[tuple[ApiKey, bytes]]:
        """Return every key that begins so, revoked ones too, with its digest."""
        ...


async def verify_key(keys: Findable, secret: str | None) -> ApiKey:
    """Return the key that a secret proves. Raises KeyRefused; only who holds the whole key learns that it is revoked.

    Every candidate is compared in constant time.
    """
    if not secret:
        raise KeyRefused(KeyProblem.MISSING)
    if not _well_formed(secret):
        raise KeyRefused(KeyProblem.UNKNOWN)
    presented, proven = digest(secret), None
    for key, kept in await keys.by_prefix(_prefix(secret)):
        if hmac.compare_digest(presented, kept):
            proven = key
    if proven is None:
        raise KeyRefused(KeyProblem.UNKNOWN)
    if proven.revoked_at is not None:
        raise KeyRefused(KeyProblem.REVOKED)
    return proven


def allows(key: ApiKey, scope: Scope) -> bool:
    """Say whether a key may do something; an admin key may do everything."""
    return scope in key.scopes or Scope.ADMIN in key.scopes


class RateLimiter:
    """A token bucket for each key, in this process: `rate_per_s` on average, `burst` at once.

    `clock` counts seconds and never goes back.
    """

    def __init__(
        self, rate_per_s: float, burst: int, *, clock: Callable[[], float] = time.monotonic, max_keys: int = 10_000
    ) -> None:
        self._rate, self._burst, self._clock, self._max_keys = rate_per_s, float(burst), clock, max_keys
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, key_id: str, tokens: int = 1) -> float:
        """Take tokens and return 0.0; or take none and return after how many seconds to come back.

        More tokens than the bucket holds are given when it is full, and owed for: a batch is one call.
        """
        now = self._clock()
        left, at = self._buckets.pop(key_id, (self._burst, now))
        left = min(self._burst, left + max(0.0, now - at) * self._rate)
        needed = min(float(tokens), self._burst)
        granted = left >= needed - 1e-9  # a wait that was told is long enough, whatever floats make of it
        self._buckets[key_id] = (left - tokens if granted else left, now)
        while len(self._buckets) > self._max_keys:
            self._buckets.popitem(last=False)
        return 0.0 if granted else (needed - left) / self._rate


class KeyGate:
    """What stands between a request and the desk: key, scope, rate and budget, in this order."""

    def __init__(
        self, keys: Keys, limiter: RateLimiter, *, now: Callable[[], datetime], ring: KeyRing | None = None
    ) -> None:
        self._keys, self._limiter, self._now = keys, limiter, now
        self.ring = ring or KeyRing(keys, 0.0)

    async def admit(self, secret: str | None, scope: Scope, *, tokens: int = 1, spends: bool = False) -> ApiKey:
        """Return the key that may do this now. `spends` asks the day's budget too. Raises KeyRefused."""
        key = await verify_key(self.ring, secret)
        if not allows(key, scope):
            raise KeyRefused(KeyProblem.SCOPE)
        self.take(key, tokens)
        if spends:
            await self.check_budget(key)
        return key

    def take(self, key: ApiKey, tokens: int = 1) -> None:
        """Take tokens of a key's rate, as for the tickets of a batch once they are counted. Raises KeyRefused."""
        wait_s = self._limiter.take(key.id, tokens)
        if wait_s > 0:
            raise KeyRefused(KeyProblem.RATE, retry_after_s=wait_s)

    async def check_budget(self, key: ApiKey) -> None:
        """Refuse a key whose money for the day (UTC) is spent. Raises KeyRefused with the seconds to midnight."""
        if key.daily_budget_usd is None:
            return
        now = self._now().astimezone(UTC)
        if await self._keys.spent(key.id, _day(now)) >= key.daily_budget_usd:
            midnight = datetime(now.year, now.month, now.day, tzinfo=UTC) + timedelta(days=1)
            raise KeyRefused(KeyProblem.BUDGET, retry_after_s=(midnight - now).total_seconds())

    def bill(self, key: ApiKey | None, usd: float | None) -> Spent | None:
        """Say what an answer adds to the key's day, to be written down with it; None where it cost nothing.

        Calls in flight may carry a key over its budget; the next one is refused.
        """
        if key is None or usd is None or not (usd > 0 and math.isfinite(usd)):
            return None
        return Spent(key.id, _day(self._now()), round(min(usd, MAX_USD) * NANO))


def _day(now: datetime) -> str:
    return now.astimezone(UTC).date().isoformat()


def _prefix(secret: str) -> str:
    return secret[len(MARK) : len(MARK) + _SHOWN]


def _well_formed(secret: str) -> bool:
    body = secret.removeprefix(MARK)
    return len(secret) == len(MARK) + _LENGTH == len(MARK) + len(body) and all(sign in _DIGITS for sign in body)


def _name(name: str) -> str:
    tidy = " ".join(name.split())
    if not tidy or len(tidy) > _MAX_NAME or not tidy.isprintable():
        raise TicketError(f"name: give 1 to {_MAX_NAME} printable characters")
    return tidy


def _scopes(scopes: Collection[str]) -> frozenset[Scope]:
    known = {scope.value for scope in Scope}
    if not scopes or not set(scopes) <= known:
        raise TicketError(f"scope: give one or more of {', '.join(Scope)}")
    return frozenset(map(Scope, scopes))


def _budget(usd: float | None) -> float | None:
    if usd is not None and not 0 <= usd <= MAX_USD:  # nor is NaN
        raise TicketError(f"budget: give USD a day, 0 to {MAX_USD:,.0f}")
    return usd
