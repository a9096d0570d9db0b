"""Sending what was planned: nothing is followed, no reply's body is read, and every failure has one closed name.

This is the only place that retries within one sending; a queue that tries again later gives `attempts=1`.
"""

from __future__ import annotations

import random
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum

import anyio
import httpx2

from triagedesk.classifiers.transport import check_base_url, hush_vendors, open_client
from triagedesk.errors import ConfigError, FallbackReason, ModelError
from triagedesk.logs import get_logger
from triagedesk.service.desks.adapter import Request
from triagedesk.service.desks.receive import ADAPTERS
from triagedesk.service.desks.settings import DeskSettings

MAX_CONNECTIONS = 16
MAX_RETRY_AFTER_S = 3600.0
"""A longer wish is taken for an hour."""

CONNECTING = httpx2.Timeout(None, connect=5.0, pool=5.0)
"""Timed apart: without a connection nothing arrived. The rest is timed for the whole attempt."""

FIRST_PAUSE_S = 0.5
Sleep = Callable[[float], Awaitable[None]]


class SendFailure(StrEnum):
    """Why a desk did not take what was sent."""

    SWITCHED_OFF = "switched_off"  # the one switch, or a desk without an address
    BAD_ADDRESS = "bad_address"
    CONNECT = "connect"  # no connection; nothing arrived
    TLS = "tls"
    TIMEOUT = "timeout"
    BROKEN = "broken"  # the connection broke, or no HTTP came back
    REDIRECT = "redirect"
    OVERSIZE = "oversize"  # the reply announces more than we would read; whether it was taken is not known
    AUTH = "auth"  # 401, 403
    NOT_FOUND = "not_found"  # 404, 410: the ticket is gone
    CONFLICT = "conflict"  # 409: it was changed at the same time
    REJECTED = "rejected"  # another 4xx: asking again cannot help
    RATE_LIMITED = "rate_limited"  # 429
    SERVER_ERROR = "server_error"  # 5xx
    UNKNOWN_OUTCOME = "unknown_outcome"  # a note may have arrived: it is not sent twice


TRANSIENT = frozenset({
    SendFailure.CONNECT, SendFailure.TIMEOUT, SendFailure.BROKEN, SendFailure.CONFLICT, SendFailure.RATE_LIMITED,
    SendFailure.SERVER_ERROR,
})  # fmt: skip
"""What may pass; everything else stays as it is until somebody acts."""

_NOT_TAKEN = frozenset({SendFailure.CONNECT, SendFailure.CONFLICT, SendFailure.RATE_LIMITED})
"""Failures after which it is certain that nothing was done."""

_STATUSES = {
    401: SendFailure.AUTH, 403: SendFailure.AUTH, 404: SendFailure.NOT_FOUND, 410: SendFailure.NOT_FOUND,
    408: SendFailure.TIMEOUT, 409: SendFailure.CONFLICT, 425: SendFailure.CONFLICT, 429: SendFailure.RATE_LIMITED,
}  # fmt: skip
_TRANSPORT = {FallbackReason.REDIRECT: SendFailure.REDIRECT, FallbackReason.OVERSIZE: SendFailure.OVERSIZE}


@dataclass(frozen=True)
class Sent:
    """How one sending ended. `reason` is None when it was taken; `retry_after_s` is the desk's wish, if any."""

    reason: SendFailure | None = None
    status: int | None = None
    attempts: int = 1
    retry_after_s: float | None = None

    @property
    def ok(self) -> bool:
        """Say whether the desk took it."""
        return self.reason is None

    @property
    def transient(self) -> bool:
        """Say whether another try later may help."""
        return self.reason in TRANSIENT


class Sender:
    """Sends requests to desks. `allowed` is asked before every attempt: the switch stops what waits, too."""

    def __init__(
        self,
        client: httpx2.AsyncClient,
        *,
        attempts: int = 3,
        attempt_s: float = 10.0,
        total_s: float = 30.0,
        allowed: Callable[[], bool] = lambda: True,
        sleep: Sleep = anyio.sleep,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._client, self._attempts, self._attempt_s, self._total_s = client, attempts, attempt_s, total_s
        self._allowed, self._sleep, self._now = allowed, sleep, now
        self._log = get_logger("desks")

    async def send(self, settings: DeskSettings, request: Request) -> Sent:
        """Send one request, and again while that may help: at most `attempts` times and `total_s` seconds of waits.

        Never raises for what a desk does; the reason is returned, and logged with the desk's name alone.
        """
        waited, number = 0.0, 0
        while True:
            number += 1
            sent = await self._once(settings, request, number)
            pause = _pause(sent, number)
            if not sent.transient or number >= self._attempts or waited + pause > self._total_s:
                break
            waited += pause
            await self._sleep(pause)
        if sent.reason is not None:
            self._log.warning("write-back failed", desk=settings.name, reason=sent.reason.value, status=sent.status,
                              attempts=sent.attempts)  # fmt: skip
        return sent

    async def _once(self, settings: DeskSettings, request: Request, number: int) -> Sent:
        if not self._allowed() or settings.base_url is None:
            return Sent(SendFailure.SWITCHED_OFF, attempts=number)
        sent = Sent(SendFailure.TIMEOUT, attempts=number)
        with anyio.move_on_after(self._attempt_s):
            sent = await self._asked(settings, request, number)
        if request.once and sent.transient and sent.reason not in _NOT_TAKEN and sent.status != 503:
            return Sent(SendFailure.UNKNOWN_OUTCOME, sent.status, number)
        return sent

    async def _asked(self, settings: DeskSettings, request: Request, number: int) -> Sent:
        try:
            base = check_base_url(settings.base_url or "")
            headers = {**request.headers, **ADAPTERS[settings.kind].authorise(settings)}
            async with self._client.stream(
                request.method, base + request.path, headers=headers, json=request.json, timeout=CONNECTING
            ) as reply:
                return self._judged(reply, number)  # the status says it all: a body that drips is not waited for
        except ConfigError:
            return Sent(SendFailure.BAD_ADDRESS, attempts=number)
        except ModelError as wrong:  # our transport's own words: a redirect, or a reply larger than we read
            return Sent(_TRANSPORT.get(wrong.reason, SendFailure.BROKEN), attempts=number)
        except (httpx2.HTTPError, httpx2.InvalidURL) as wrong:
            return Sent(_failure(wrong), attempts=number)

    def _judged(self, reply: httpx2.Response, number: int) -> Sent:
        status = reply.status_code
        if 200 <= status < 300:
            return Sent(None, status, number)
        reason = _STATUSES.get(status) or (SendFailure.SERVER_ERROR if status >= 500 else SendFailure.REJECTED)
        return Sent(reason, status, number, retry_after(reply.headers.get("retry-after"), self._now()))


def _failure(wrong: Exception) -> SendFailure:
    cause: BaseException | None = wrong
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            return SendFailure.TLS
        cause = cause.__cause__ or cause.__context__
    if isinstance(wrong, (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)):
        return SendFailure.CONNECT
    return SendFailure.TIMEOUT if isinstance(wrong, httpx2.TimeoutException) else SendFailure.BROKEN


def retry_after(value: str | None, now: datetime) -> float | None:
    """Return the seconds that a Retry-After header asks for (a number or an HTTP date), 0 to 3600; None without one."""
    text = (value or "").strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:10]), MAX_RETRY_AFTER_S)
    try:
        then = parsedate_to_datetime(text) if text else None
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    if then is None:
        return None
    then = then if then.tzinfo is not None else then.replace(tzinfo=UTC)
    return min(max((then - now).total_seconds(), 0.0), MAX_RETRY_AFTER_S)


def _pause(sent: Sent, number: int) -> float:
    """Return how long to wait: what the desk asks for, else twice as long each time, scattered by half."""
    if sent.retry_after_s is not None:
        return sent.retry_after_s
    scatter = random.uniform(0.5, 1.0)  # noqa: S311 - spreads retries, keeps no secret
    return float(FIRST_PAUSE_S * 2 ** (number - 1) * scatter)


@asynccontextmanager
async def open_sender(
    *, attempts: int = 3, allowed: Callable[[], bool] = lambda: True, sleep: Sleep = anyio.sleep
) -> AsyncIterator[Sender]:
    """Open the one client of all write-backs and close it in the same place; it knows no redirects and no proxies."""
    hush_vendors()
    async with open_client(MAX_CONNECTIONS) as client:
        yield Sender(client, attempts=attempts, allowed=allowed, sleep=sleep)
