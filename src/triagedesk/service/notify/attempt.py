"""One attempt to tell somebody: what came of it, as one closed name. No address, key or reply is kept."""

from __future__ import annotations

import math
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum

import anyio
import httpx2

from triagedesk.errors import FallbackReason, ModelRefused

LONGEST_RETRY_AFTER_S = 3_600.0
"""No server's wish holds an alarm back for longer."""


class Failure(StrEnum):
    """Why an alarm did not arrive: one closed name per way of failing."""

    TIMEOUT = "timeout"
    CONNECT = "connect"  # no connection, or it broke
    TLS = "tls"  # certificate or handshake, or the server offers none where it was asked for
    UNAVAILABLE = "unavailable"  # 5xx, or a mail server's 4xx
    RATE_LIMITED = "rate_limited"  # 429
    REFUSED = "refused"  # another 4xx, or a mail server's 5xx: the same again cannot help
    AUTH = "auth"  # 401, 403, 404, 410: key, address or password is wrong or revoked
    REDIRECT = "redirect"  # the server pointed elsewhere; nothing was sent on
    BAD_REPLY = "bad_reply"  # not HTTP, too large, or compressed against our wish
    BUG = "bug"  # ours: an alarm that could not be written
    QUEUE_FULL = "queue_full"  # too many wait for the target
    SHUTDOWN = "shutdown"  # the service stopped before it was the alarm's turn
    UNKNOWN_TARGET = "unknown_target"  # none of that name is in the file any more

    @property
    def retried(self) -> bool:
        """Say whether the same again may help."""
        return self in (Failure.TIMEOUT, Failure.CONNECT, Failure.UNAVAILABLE, Failure.RATE_LIMITED)

    @property
    def passing(self) -> bool:
        """Say whether another try much later may help."""
        return self.retried or self in (Failure.QUEUE_FULL, Failure.SHUTDOWN)


@dataclass(frozen=True)
class Attempt:
    """What came of one attempt: no failure is success. `retry_after_s` is the server's wish, 3,600 at most."""

    failure: Failure | None = None
    retry_after_s: float | None = None


@dataclass(frozen=True)
class Outgoing:
    """A request that is ready to be sent. Its repr tells nothing: the address may be the secret."""

    url: str = field(repr=False)
    body: bytes = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)


async def post(client: httpx2.AsyncClient, request: Outgoing, *, timeout_s: float, now: datetime) -> Attempt:
    """Send a request, within `timeout_s` in all. Never raises for what a server does."""
    try:
        with anyio.fail_after(timeout_s):
            reply = await client.post(request.url, content=request.body, headers=dict(request.headers))
    except TimeoutError:
        return Attempt(Failure.TIMEOUT)
    except ModelRefused as wrong:  # the shared client's caps speak of models; its reasons are as true here
        redirected = wrong.reason is FallbackReason.REDIRECT
        return Attempt(Failure.REDIRECT if redirected else Failure.BAD_REPLY)
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as wrong:
        return Attempt(_broken(wrong))
    return Attempt(_said(reply.status_code), retry_after(reply.headers.get("retry-after"), now))


def _broken(wrong: Exception) -> Failure:
    if isinstance(wrong, httpx2.TimeoutException):
        return Failure.TIMEOUT
    cause: BaseException | None = wrong
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            return Failure.TLS
        cause = cause.__cause__ or cause.__context__
    return Failure.CONNECT if isinstance(wrong, httpx2.NetworkError | OSError) else Failure.BAD_REPLY


def _said(status: int) -> Failure | None:
    if 200 <= status < 300:
        return None
    if status == 429:
        return Failure.RATE_LIMITED
    if status >= 500 or status == 408:
        return Failure.UNAVAILABLE
    return Failure.AUTH if status in (401, 403, 404, 410) else Failure.REFUSED


def retry_after(header: str | None, now: datetime) -> float | None:
    """Read a Retry-After header, seconds or a date, as seconds from now; None where it makes no sense."""
    if header is None or not header.isascii():
        return None
    text = header.strip()
    if text.isdigit():
        return min(float(text[:6]), LONGEST_RETRY_AFTER_S)
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return None
    wait = (moment.replace(tzinfo=moment.tzinfo or UTC) - now).total_seconds()
    return min(max(wait, 0.0), LONGEST_RETRY_AFTER_S) if math.isfinite(wait) else None
