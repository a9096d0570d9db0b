"""The service over real sockets: POST /v1/suggestions by rules, beside a bare FastAPI handler that echoes the body.

    python benchmarks/service.py [ROUNDS]

P8: every server is a process of its own (uvicorn, h11, no access log); CPU is user + system time of that process.
Contestants take turns, with 1 and with 32 clients of one connection each; ratios are paired within a round, medians
are shown. The client is this process; of two cores it takes one. The service stores what it answers, in SQLite on this
disk.
"""

from __future__ import annotations

import asyncio
import json
import os
import platform
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import repeat
from pathlib import Path

from figures import Figure, show
from made_up import tickets

GOAL = 1.6
REQUESTS = {1: 200, 32: 640}
"""How many requests a round has, by the number of clients."""

TICKS = os.sysconf("SC_CLK_TCK")
ECHO, LIVE, KNOWN, NEW = "bare FastAPI, echo", "GET /livez", "a ticket that comes again", "new tickets"
TRIAGEDESK = [sys.executable, "-m", "triagedesk"]
Address = tuple[int, int]
"""Process id and port."""


@dataclass
class Contestant:
    """A server and what it is asked; what came of it, by the number of clients."""

    address: Address
    line: str
    bodies: Iterator[bytes]
    key: str = ""
    cpu_us: dict[int, list[float]] = field(default_factory=lambda: {each: [] for each in REQUESTS})
    per_s: dict[int, list[float]] = field(default_factory=lambda: {each: [] for each in REQUESTS})
    waited_ms: dict[int, list[float]] = field(default_factory=lambda: {each: [] for each in REQUESTS})

    def request(self) -> bytes:
        """Return the bytes of the next request."""
        body = next(self.bodies)
        head = f"{self.line} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n"
        head += f"Authorization: Bearer {self.key}\r\n" if self.key else ""
        return head.encode() + (b"Content-Type: application/json\r\n\r\n" if body else b"\r\n") + body

    def cpu_s(self) -> float:
        """Return the CPU seconds that the server has taken so far."""
        fields = Path(f"/proc/{self.address[0]}/stat").read_text("utf-8").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    async def measure(self, clients: int) -> None:
        """Let clients ask, and write down what that took."""
        cpu, began, done = self.cpu_s(), time.perf_counter(), REQUESTS[clients]
        found = await asyncio.gather(*(self._ask(done // clients) for _ in range(clients)))
        took = time.perf_counter() - began
        self.cpu_us[clients].append((self.cpu_s() - cpu) / done * 1e6)
        self.per_s[clients].append(done / took)
        self.waited_ms[clients] += [each * 1000 for waited in found for each in waited]

    async def _ask(self, times: int) -> list[float]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.address[1])
        waited = []
        for _ in range(times):
            request, began = self.request(), time.perf_counter()
            writer.write(request)
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            body = await reader.readexactly(int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0]))
            waited.append(time.perf_counter() - began)
            if not head.startswith(b"http/1.1 200 ") or b'"overloaded"' in body:
                raise SystemExit(f"{self.line}: {head.decode()}{body.decode()}")
        writer.close()
        await writer.wait_closed()
        return waited


def echo() -> None:
    """Serve the floor: a handler that reads the ticket by a model and sends it back."""
    import fastapi
    import uvicorn
    from pydantic import BaseModel

    class Body(BaseModel):
        """A ticket's text."""

        body: str

    async def answer(ticket: Body) -> Body:
        return ticket

    answer.__annotations__.update({"ticket": Body, "return": Body})
    app = fastapi.FastAPI()
    app.post("/echo")(answer)
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # so, asyncio stops Nagle
    listener.bind(("127.0.0.1", 0))
    print(f"http://127.0.0.1:{listener.getsockname()[1]} ", file=sys.stderr, flush=True)
    config = uvicorn.Config(app, http="h11", loop="asyncio", log_level="critical", access_log=False)
    uvicorn.Server(config).run(sockets=[listener])


@contextmanager
def running(command: list[str], env: dict[str, str]) -> Iterator[Address]:
    """Run a server that names its address on stderr."""
    child = subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True)
    assert child.stderr is not None
    try:
        said = next((line for line in child.stderr if "http://127.0.0.1:" in line), None)
        if said is None:
            raise SystemExit(f"did not start: {command}")
        yield child.pid, int(said.partition("http://127.0.0.1:")[2].split()[0])
    finally:
        child.terminate()
        child.communicate()


@contextmanager
def contestants(count: int) -> Iterator[dict[str, Contestant]]:
    """Start both servers, and warm them up with tickets that are not measured."""
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        env = {
            **os.environ, "TRIAGEDESK_MODEL": "rules", "TRIAGEDESK_SERVICE_DATABASE_URL": f"sqlite:///{folder}/service.db",
            "TRIAGEDESK_SERVICE_RATE_PER_MINUTE": "1e9", "TRIAGEDESK_SERVICE_RATE_BURST": "1000000",
            "TRIAGEDESK_SERVICE_PORT": "0",
        }  # fmt: skip
        made = subprocess.run(
            [*TRIAGEDESK, "keys", "create", "bench", "--scope", "suggest"], env=env, capture_output=True, check=True
        )
        key = made.stdout.decode().strip()
        ours = stack.enter_context(running([*TRIAGEDESK, "serve"], env))
        theirs = stack.enter_context(running([sys.executable, __file__, "echo"], env))
        texts = (json.dumps({"body": text}, ensure_ascii=False).encode() for text in tickets(count + 400))
        again = next(texts)
        suggest = "POST /v1/suggestions"
        yield {
            ECHO: Contestant(theirs, "POST /echo", repeat(again)),
            LIVE: Contestant(ours, "GET /livez", repeat(b"")),
            KNOWN: Contestant(ours, suggest, repeat(again), key),
            NEW: Contestant(ours, suggest, texts, key),
        }


async def measure(rounds: int) -> dict[str, Contestant]:
    """Measure in turns; the first round only warms up."""
    with contestants((rounds + 1) * sum(REQUESTS.values())) as found:
        for number in range(rounds + 1):
            for clients in REQUESTS:
                for contestant in found.values():
                    await contestant.measure(clients)
            if not number:
                for contestant in found.values():
                    for kept in (contestant.cpu_us, contestant.per_s, contestant.waited_ms):
                        kept.update({each: [] for each in REQUESTS})
        return found


def figures(rounds: int = 5) -> list[Figure]:
    """Return what P8 asks."""
    found = asyncio.run(measure(rounds))
    return [_figure(name, found[name], found[ECHO], clients) for clients in REQUESTS for name in found]


def _figure(name: str, own: Contestant, floor: Contestant, clients: int) -> Figure:
    waited = sorted(own.waited_ms[clients])
    told = (
        f"{statistics.median(own.per_s[clients]):,.0f} requests/s, p50 {waited[len(waited) // 2]:.1f} ms, "
        f"p99 {waited[len(waited) * 99 // 100]:.1f} ms"
    )
    cpu = statistics.median(own.cpu_us[clients])
    if own is floor:
        return Figure("P8", f"{name}, {clients} clients", cpu, "µs CPU", note=told)
    share = statistics.median(a / b for a, b in zip(own.cpu_us[clients], floor.cpu_us[clients], strict=True))
    goal = GOAL if name == KNOWN else None
    return Figure("P8", f"{name}, × {ECHO}, {clients} clients", share, "×", goal, note=f"{cpu:,.0f} µs CPU; {told}")


if __name__ == "__main__":
    if sys.argv[1:] == ["echo"]:
        echo()
    else:
        print(
            f"{os.cpu_count()} cores ({platform.machine()}), load {os.getloadavg()[0]:.1f}, {platform.python_version()}"
        )
        show(figures(int(sys.argv[1]) if len(sys.argv) > 1 else 5))
