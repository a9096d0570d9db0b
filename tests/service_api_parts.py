"""What the tests of the HTTP API share: a service on a real socket, and a model server beside it."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
import httpx2
from fastapi import FastAPI

from misbehaving import answer_for, completion
from triagedesk.playbook.load import DEFAULT
from triagedesk.service.app import create_app
from triagedesk.service.keys import create_key
from triagedesk.service.runtime import Clocks, Runtime
from triagedesk.service.server import GracefulServer, build_server
from triagedesk.service.settings import ServiceSettings
from triagedesk.service.store.database import open_store
from triagedesk.settings import Settings

ENGLISH = "\n".join(
    "languages: [en]" if line.startswith("languages:") else line for line in DEFAULT.read_text().splitlines()
)
"""The playbook that ships, reading one language: it starts in a tenth of the time."""

RULES = Settings(model="rules")
SCOPES = ("suggest", "feedback", "read", "admin")


@dataclass
class Service:
    """A service that runs, and a client of it without a key."""

    app: FastAPI
    server: GracefulServer
    port: int
    loop: asyncio.AbstractEventLoop
    http: httpx2.Client

    @property
    def runtime(self) -> Runtime:
        """The running parts."""
        runtime: Runtime = self.app.state.runtime
        return runtime

    def call(self, work: Callable[[], Any]) -> Any:
        """Run a coroutine function on the service's own loop."""
        return asyncio.run_coroutine_threadsafe(work(), self.loop).result(10)

    def suggest(self, body: str, **given: Any) -> dict[str, Any]:
        """Ask for a suggestion, which must come."""
        answer = self.http.post("/v1/suggestions", json={"body": body, **given})
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found


def service_settings(folder: Path, **given: Any) -> ServiceSettings:
    """Settings of a service that keeps everything in a folder, and limits no rate unless told to."""
    url = f"sqlite:///{folder / 'service.db'}"
    return ServiceSettings(
        **{"port": 0, "database_url": url, "rate_burst": 100_000, "rate_per_minute": 1e9, "shutdown_s": 3, **given}
    )


@contextmanager
def running(
    service: ServiceSettings,
    settings: Settings = RULES,
    *,
    clocks: Clocks | None = None,
    build: Callable[..., FastAPI] = create_app,
) -> Iterator[Service]:
    """Run a service in a thread of its own, on a free port; it ends as at SIGTERM."""
    app = build(service, settings, clocks=clocks)
    server = build_server(app, service)
    listener = socket.create_server(("127.0.0.1", 0), backlog=512)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_until_complete, args=(server.serve([listener]),), daemon=True)
    thread.start()
    port = listener.getsockname()[1]
    try:
        until(lambda: server.started or not thread.is_alive(), 120)
        assert server.started, app.state.failed
        with httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=20) as http:
            yield Service(app, server, port, loop, http)
    finally:
        server.should_exit = True
        thread.join(20)
        assert not thread.is_alive()
        loop.close()


@contextmanager
def serving(folder: Path, **env: str) -> Iterator[tuple[subprocess.Popen[bytes], httpx2.Client]]:
    """Run `triagedesk serve` as a process of its own, which keeps everything in a folder unless told otherwise."""
    common = {
        **os.environ, "TRIAGEDESK_SERVICE_DATABASE_URL": f"sqlite:///{folder / 'service.db'}",
        "TRIAGEDESK_SERVICE_PORT": "0", "TRIAGEDESK_SERVICE_JOB_LEASE_S": "1", "TRIAGEDESK_CACHE": "false",
        "TRIAGEDESK_SERVICE_RATE_PER_MINUTE": "1e9", "TRIAGEDESK_SERVICE_RATE_BURST": "100000", **env,
    }  # fmt: skip
    if (folder / "desks.yaml").exists():
        common["TRIAGEDESK_SERVICE_WEBHOOKS"] = str(folder / "desks.yaml")
    process = subprocess.Popen([sys.executable, "-m", "triagedesk", "serve"], env=common, stderr=subprocess.PIPE)
    try:
        assert process.stderr is not None
        said = process.stderr.readline().decode()
        address = next(word for word in said.split() if word.startswith("http://"))
        with httpx2.Client(base_url=address, timeout=20) as http:
            yield process, http
    finally:
        process.kill()
        process.wait(10)
        assert process.stderr is not None
        process.stderr.close()


def until(true: Callable[[], object], seconds: float = 10.0) -> None:
    """Wait until something is so."""
    ends = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < ends, "it never came about"
        time.sleep(0.01)


def make_key(service: ServiceSettings, *scopes: str, budget: float | None = None) -> tuple[str, str]:
    """Make a key and return its id and its secret."""

    async def made() -> tuple[str, str]:
        async with open_store(service.database_url.get_secret_value()) as store:
            new = await create_key(
                store.keys, "test", scopes or ("admin",), daily_budget_usd=budget, now=datetime.now(UTC)
            )  # fmt: skip
            return new.key.id, new.secret

    return anyio.run(made)


def bearer(secret: str) -> dict[str, str]:
    """Return the header that shows a key."""
    return {"Authorization": f"Bearer {secret}"}


@dataclass
class Model:
    """An OpenAI-compatible server on loopback. Until `free` is set, questions wait."""

    port: int = 0
    asked: int = 0
    hung_up: int = 0
    free: threading.Event = field(default_factory=threading.Event)

    def wait_again(self) -> None:
        """Begin anew: nothing was asked, and questions wait."""
        self.asked = self.hung_up = 0
        self.free.clear()

    def settings(self, **given: Any) -> Settings:
        """Settings of a desk that asks it."""
        address = f"http://127.0.0.1:{self.port}/v1"
        return Settings(**{"model": "openai/made-up", "base_url": address, "cache": False, "deadline_s": 5.0,
                           "max_late_answers": 0, **given})  # fmt: skip

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection's questions."""
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                lines = head.decode().lower().split("\r\n")
                length = next((int(line.split(":")[1]) for line in lines if line.startswith("content-length")), 0)
                body = json.loads(await reader.readexactly(length) or b"{}")
                await self._answer(body, reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _answer(self, body: dict[str, Any], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        made: Any = {"data": []}
        if body:
            self.asked += 1
            while not self.free.is_set():
                if reader.at_eof():
                    self.hung_up += 1
                    raise ConnectionError
                await asyncio.sleep(0.01)
            made = completion(answer_for(body["response_format"]["json_schema"]["schema"]))
        data = json.dumps(made).encode()
        kind = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: "
        writer.write(kind + str(len(data)).encode() + b"\r\n\r\n" + data)
        await writer.drain()


@contextmanager
def model_server() -> Iterator[Model]:
    """Run a model server in a thread."""
    model, loop, ready = Model(), asyncio.new_event_loop(), threading.Event()
    stop = asyncio.Event()

    async def serve() -> None:
        server = await asyncio.start_server(model.serve, "127.0.0.1", 0)
        model.port = server.sockets[0].getsockname()[1]
        ready.set()
        await stop.wait()
        server.close()
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), daemon=True)
    thread.start()
    assert ready.wait(5)
    try:
        yield model
    finally:
        model.free.set()
        loop.call_soon_threadsafe(stop.set)
        thread.join(5)
        loop.close()
