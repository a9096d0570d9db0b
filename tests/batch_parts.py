"""What the tests of batches share: a model server on loopback that keeps count, and a process that can be killed."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from misbehaving import Request, completion, good_answer

SOURCE_FOLDER = Path(__file__).parents[1] / "src"


@dataclass
class Said:
    """What the server answers with, if not with a good answer: a status, headers, and after how many seconds."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    after_s: float = 0.0


Decide = Callable[[int], Said]
"""Says what to do with the n-th question, counted from 0."""


class ModelServer:
    """An OpenAI-compatible server in a thread of its own. `asked` are the tickets' bodies as they came, in order."""

    def __init__(self, decide: Decide, pages: Mapping[str, object] | None = None) -> None:
        self._decide, self._pages = decide, pages or {}
        self.asked: list[str] = []
        self.refused = 0
        self.in_flight = self.most_in_flight = 0
        self.address = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection's requests."""
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
                size = next((int(line[15:]) for line in head.split("\r\n") if line.startswith("content-length:")), 0)
                body = await reader.readexactly(size)
                path = head.split(" ", 2)[1]
                said, reply = await self._chat(body) if path.endswith("/chat/completions") else self._page(path)
                data = json.dumps(reply).encode()
                headers = "".join(f"{name}: {value}\r\n" for name, value in said.headers.items())
                start = f"HTTP/1.1 {said.status} x\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\n"
                writer.write(f"{start}{headers}\r\n".encode() + data)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()

    def _page(self, path: str) -> tuple[Said, object]:
        return (Said(), self._pages[path]) if path in self._pages else (Said(404), {"error": {"message": "no"}})

    async def _chat(self, body: bytes) -> tuple[Said, object]:
        request = Request(body, len(self.asked))
        said = self._decide(len(self.asked) + self.refused)
        if said.status != 200:
            self.refused += 1
            return said, {"error": {"message": "no", "type": "x"}}
        self.asked.append(json.loads(request.body["messages"][-1]["content"])["body"])
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            await asyncio.sleep(said.after_s)
        finally:
            self.in_flight -= 1
        return said, completion(good_answer(request))


@contextmanager
def model_server(decide: Decide, pages: Mapping[str, object] | None = None) -> Iterator[ModelServer]:
    """Run a server; its `address` ends in /v1."""
    server = ModelServer(decide, pages)
    loop = asyncio.new_event_loop()
    listening = loop.run_until_complete(asyncio.start_server(server.serve, "127.0.0.1", 0, limit=1 << 22))
    server.address = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/v1"
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield server
    finally:
        asyncio.run_coroutine_threadsafe(_stop(listening), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


async def _stop(listening: asyncio.Server) -> None:
    listening.close()
    others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await asyncio.sleep(0.01)  # closed connections are taken down in the loop's next rounds


# A process that has everything imported, and forks one for each command {"argv": …, "env": …, "kill_at": n}. The fork
# kills itself with SIGKILL at its n-th step on the disk, and of a write half of the bytes have been written by then.
_FORKING = """
import asyncio, functools, json, os, signal, sys
import openai, instructor, pyarrow.parquet, rich.table, rich.progress
from triagedesk.cli import main
from triagedesk.models import Ticket
from triagedesk.settings import Settings
import triagedesk.desk, triagedesk.deskfiles, triagedesk.wiring, triagedesk.batch.parquet, triagedesk.cli.batch

STEPS = ("write", "pwrite", "replace", "fsync", "unlink", "ftruncate")

def warm_up():
    # the playbook is loaded once for all forks, and what the first desk with a model pays is paid
    load = functools.cache(triagedesk.deskfiles.load_playbook)
    triagedesk.deskfiles.load_playbook = load
    async def both():
        for given in ({"model": "rules"}, {"base_url": "http://127.0.0.1:9/v1", "cache": False}):
            async with triagedesk.desk.open_desk(Settings(**given)) as desk:
                await desk.suggest(Ticket(body="Where is my order?"))
    asyncio.run(both())

def step_by_step(kill_at):
    count = 0
    def stepping(name, real):
        def step(*args, **more):
            nonlocal count
            if name == "write" and args[0] <= 2:
                return real(*args, **more)
            count += 1
            if count == kill_at:
                if name == "write":
                    real(args[0], args[1][: len(args[1]) // 2])
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*args, **more)
        return step
    for name in STEPS:
        setattr(os, name, stepping(name, getattr(os, name)))

def child(told):
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0), os.dup2(null, 1), os.dup2(os.open(told["stderr"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
    os.environ.update(told["env"])
    if told["kill_at"]:
        step_by_step(told["kill_at"])
    code = main(told["argv"])
    sys.stderr.flush()
    os._exit(code)

warm_up()
print("ready", flush=True)
for line in sys.stdin:
    process = os.fork()
    if not process:
        child(json.loads(line))
    print(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), flush=True)
"""


class Forks:
    """Runs commands, each in a process of its own that begins with everything imported."""

    def __init__(self, process: subprocess.Popen[str], stderr: Path) -> None:
        self._process, self._stderr = process, stderr

    def run(self, *argv: str, kill_at: int = 0, **env: str) -> int:
        """Run a command; it kills itself at its n-th step on the disk. Returns the exit code, −9 if it was killed."""
        told = {"argv": argv, "env": env, "kill_at": kill_at, "stderr": str(self._stderr)}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(told) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    @property
    def said(self) -> str:
        """What the last command wrote on stderr."""
        return self._stderr.read_text()


@contextmanager
def forks(stderr: Path) -> Iterator[Forks]:
    """Start the process that forks, and end it."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("OPENAI_", "TRIAGEDESK_"))}
    with subprocess.Popen(
        [sys.executable, "-c", _FORKING], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env={**env, "PYTHONPATH": str(SOURCE_FOLDER), "OPENBLAS_NUM_THREADS": "1"},
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield Forks(process, stderr)
        assert process.stdin is not None
        process.stdin.close()
        process.wait(30)


def write_tickets(path: Path, lines: int, *, seed: int = 1) -> Path:
    """Write so many lines: every seventh is no ticket, every fifth asks what one before it asked."""
    made = []
    for number in range(lines):
        if number % 7 == 3:
            made.append("{no ticket\n")
            continue
        asks = f"Order {number - number % 5} has not come" if number % 5 == 4 else f"Order {number} has not come"
        ticket: dict[str, Any] = {"id": f"t{number}", "body": asks, "created_at": "2026-11-01T09:00:00Z"}
        made.append(json.dumps(ticket) + "\n")
    path.write_text("".join(made))
    return path


def wait_until(holds: Callable[[], bool], seconds: float = 30.0) -> None:
    """Wait for what another process does."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not come about in time"
        time.sleep(0.005)
