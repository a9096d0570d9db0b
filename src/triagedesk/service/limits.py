"""What a stranger may cost us: requests at once, sizes of headers and bodies, and time for a body to arrive.

One ASGI layer around everything else; it also turns the last unforeseen error into a problem document.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

import anyio
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from triagedesk.logs import get_logger
from triagedesk.service.problems import Code, Refused
from triagedesk.service.settings import ServiceSettings

BATCH_PATH = "/v1/suggestions:batch"
ALWAYS_ANSWERED = frozenset(("/livez", "/readyz"))
"""A balancer must hear from a busy server that it lives."""

LINGER_S = 1.0
"""So long is read on what a refused client still sends: a reset would take our answer from it."""

SECURITY_HEADERS = ((b"x-content-type-options", b"nosniff"), (b"cache-control", b"no-store"))

Watch = Callable[[Scope, int, float], None]
"""Told of every answer: scope, status, seconds."""


@dataclass
class Door:
    """How many requests are inside now."""

    inside: int = 0


class Limits:
    """The layer. `watch` is told of every answer."""

    def __init__(self, app: ASGIApp, *, service: ServiceSettings, door: Door, watch: Watch) -> None:
        self._app, self._service, self._door, self._watch = app, service, door, watch
        self._log = get_logger("service")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request in, within its limits."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.monotonic()
        exchange = _Exchange(scope, receive, send, self._cap(scope["path"]), self._service.body_timeout_s)
        self._door.inside += 1
        try:
            await self._inside(scope, exchange)
        finally:
            self._door.inside -= 1
            self._watch(scope, exchange.status, time.monotonic() - began)

    def _cap(self, path: str) -> int:
        return self._service.max_batch_bytes if path == BATCH_PATH else self._service.max_body_bytes

    async def _inside(self, scope: Scope, exchange: _Exchange) -> None:
        refused = self._refusal(scope, exchange)
        if refused is not None:
            await refused.response()(scope, exchange.receive, exchange.send)
            return
        try:
            await self._app(scope, exchange.receive, exchange.send)
        except Exception as bug:  # noqa: BLE001 - the web edge: nobody meets a traceback, and none gets into the log
            self._log.error("bug", reason=type(bug).__name__, path=_route(scope))
            if not exchange.status:
                await Refused(Code.INTERNAL).response()(scope, exchange.receive, exchange.send)

    def _refusal(self, scope: Scope, exchange: _Exchange) -> Refused | None:
        if self._door.inside > self._service.max_connections and scope["path"] not in ALWAYS_ANSWERED:
            return Refused(Code.BUSY, retry_after_s=1)
        if sum(len(name) + len(value) for name, value in scope["headers"]) > self._service.max_header_bytes:
            return Refused(Code.HEADERS)
        if exchange.announced > exchange.cap:
            return exchange.too_large()
        return None


class _Exchange:
    """One request and its answer, counted and timed."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, cap: int, body_timeout_s: float) -> None:
        self._receive, self._send = receive, send
        self.cap, self._timeout_s = cap, body_timeout_s
        self._ends = asyncio.get_running_loop().time() + body_timeout_s
        self._read, self.status = 0, 0
        headers = dict(scope["headers"])
        self.announced = _length(headers)
        self._body_open = bool(self.announced) or b"transfer-encoding" in headers

    def too_large(self) -> Refused:
        """Return the refusal of a body."""
        return Refused(Code.TOO_LARGE, f"at most {self.cap} bytes")

    async def receive(self) -> Message:
        """Give the app the next part of the body. Raises Refused where it is too large or too slow."""
        if not self._body_open:
            return await self._receive()
        try:
            async with asyncio.timeout_at(self._ends):  # a fifth of what anyio's costs; uvicorn runs on asyncio
                message = await self._receive()
        except TimeoutError:
            raise Refused(Code.BODY_TIMEOUT, f"a body must have arrived after {self._timeout_s:g} s") from None
        self._count(message)
        if self._read > self.cap:
            raise self.too_large()
        return message

    def _count(self, message: Message) -> None:
        self._read += len(message.get("body", b""))
        self._body_open = bool(message.get("more_body", False))

    async def send(self, message: Message) -> None:
        """Pass a part of the answer on; where the body was not read to its end, the connection closes gently."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message = {**message, "headers": [*message.get("headers", ()), *self._more_headers()]}
        elif self._body_open and not message.get("more_body", False):
            await self._send({**message, "more_body": True})
            await self._linger()
            message = {"type": "http.response.body", "body": b"", "more_body": False}
        await self._send(message)

    def _more_headers(self) -> tuple[tuple[bytes, bytes], ...]:
        return (*SECURITY_HEADERS, (b"connection", b"close")) if self._body_open else SECURITY_HEADERS

    async def _linger(self) -> None:
        with anyio.move_on_after(LINGER_S):
            while self._body_open:
                self._count(await self._receive())


def _length(headers: MutableMapping[bytes, bytes]) -> int:
    text = headers.get(b"content-length", b"0")
    return int(text) if text.isdigit() and len(text) < 20 else 0


def _route(scope: Scope) -> str:
    """Return the route's template, never the path: it may hold anything."""
    route: Any = scope.get("route")
    return str(getattr(route, "path", "unknown"))
