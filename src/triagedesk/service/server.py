"""The HTTP server under the application: patient with nobody who is slow, and quiet about what strangers send.

uvicorn has no time limit for a request's head; without one, a thousand connections that say nothing stay for ever.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from typing import Any

import h11
from fastapi import FastAPI
from pydantic_core import to_json
from uvicorn import Config, Server
from uvicorn.protocols.http.h11_impl import H11Protocol

from triagedesk.logs import get_logger
from triagedesk.service.problems import MEDIA_TYPE, TYPE
from triagedesk.service.runtime import Runtime
from triagedesk.service.settings import ServiceSettings
from triagedesk.taskgroups import unwrapped

KEEP_ALIVE_S = 15
BACKLOG = 2048


class Protocol(H11Protocol):
    """HTTP/1.1 whose heads arrive in time, and whose errors are problem documents."""

    head_timeout_s = 10.0
    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's is
        """Send small answers at once, and begin to wait for the first head.

        asyncio switches Nagle's algorithm off only for sockets that were made with a protocol number.
        """
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super().connection_made(transport)
        self._await_head()

    def data_received(self, data: bytes) -> None:
        """Take bytes; while they make up no request, the clock runs on."""
        super().data_received(data)
        if self._between_requests():
            if self._head_timer is None:
                self._await_head()
        else:
            self._stop_waiting()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._stop_waiting()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - ours says it by a code
        """Answer what is no HTTP."""
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):  # an answer is on its way already
            self.transport.close()
            return
        body = to_json(
            {"type": f"{TYPE}not_http", "title": "This is not HTTP/1.1", "status": 400, "code": "not_http"}
        )  # fmt: skip
        headers = [
            (b"content-type", MEDIA_TYPE.encode()), (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
        ]  # fmt: skip
        for event in (h11.Response(status_code=400, headers=headers, reason=b"Bad Request"), h11.Data(data=body)):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.write(self.conn.send(h11.EndOfMessage()) or b"")
        self.transport.close()

    def _between_requests(self) -> bool:
        return self.conn.their_state is h11.IDLE

    def _await_head(self) -> None:
        self._head_timer = self.loop.call_later(self.head_timeout_s, self._give_up)

    def _stop_waiting(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _give_up(self) -> None:
        self._head_timer = None
        if self._between_requests() and not self.transport.is_closing():
            self.transport.close()


class GracefulServer(Server):
    """A server that answers what it accepted before it stops, and then exits as one that was asked to.

    `ready` is called when it has started: from then on it answers.
    """

    def __init__(self, config: Config, app: FastAPI, shutdown_s: float, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._app, self._shutdown_s, self._ready = app, shutdown_s, ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the application, then serve; say so where that came about."""
        await super().startup(sockets)
        if self.started:
            self._ready()

    async def on_tick(self, counter: int) -> bool:
        """End with the application: once its parts have ended, requests would be taken and never worked on."""
        failed: BaseException | None = self._app.state.failed
        if failed is not None:
            get_logger("service").error("service ended", reason=type(unwrapped(failed)).__name__)
        return await super().on_tick(counter) or failed is not None

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop accepting; let the desk come to an end in time; answer; close."""
        runtime: Runtime | None = getattr(self._app.state, "runtime", None)
        if runtime is not None:
            runtime.duty.drain(self._shutdown_s)
        await super().shutdown(sockets)
        self._captured_signals = [caught for caught in self._captured_signals if caught != TERM]


TERM = 15
"""SIGTERM: what a supervisor sends; after it, 0 is the exit code of a server that lost nothing."""


def build_server(
    app: FastAPI, service: ServiceSettings, *, ready: Callable[[], None] = lambda: None, **more: Any
) -> GracefulServer:
    """Build the server of an application: no access log, no proxy headers, nothing said about itself."""
    protocol = type("TimedProtocol", (Protocol,), {"head_timeout_s": service.body_timeout_s})
    config = Config(
        app, host=service.host, port=service.port, http=protocol, ws="none", loop="asyncio", lifespan="on",
        log_config=None, log_level=logging.CRITICAL, access_log=False, proxy_headers=False, server_header=False,
        h11_max_incomplete_event_size=service.max_header_bytes + 8192, timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=max(1, round(service.shutdown_s + 0.5)), backlog=BACKLOG, **more,
    )  # fmt: skip
    return GracefulServer(config, app, service.shutdown_s, ready)
