"""The service over real sockets: POST /v1/suggestions by rules, beside a bare FastAPI handler that echoes the body.

    python benchmarks/service.py [ROUNDS]

P8: every server is a process of its own (uvicorn, h11, no access log); CPU is user + system time of that process.
Contestants take turns, with 1 and with 32 clients of one connection each; ratios are paired within a round, medians
are shown. The client is this process; of two cores it takes one. The service stores what it answers durably: in SQLite
on this disk, and in PostgreSQL where TRIAGEDESK_TEST_POSTGRES names a server. TRIAGEDESK_BENCH_BESIDE is the `src` of
another checkout to measure in the same rounds.
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
from typing import Any

import model_server
from figures import Figure, show
from made_up import tickets

GOAL = 1.6
REQUESTS = {1: 200, 32: 960}
"""How many requests a round has, by the number of clients."""

TICKS = os.sysconf("SC_CLK_TCK")
ECHO, LIVE, KNOWN, NEW = "bare FastAPI, echo", "GET /livez", "a ticket that comes again", "new tickets"
ALONE, CACHED = "the desk on a bare route, nothing kept", "a ticket that comes again, from the cache of a model"
POSTGRES, BESIDE = "a ticket that comes again, PostgreSQL", "a ticket that comes again, the other checkout"
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
    refused: int = 0
    """Answers that said that the database cannot be reached now: a disk that others keep busy."""
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
            if head.startswith(b"http/1.1 503 "):
                self.refused += 1
                continue
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
    _serve(app, uvicorn)


def alone() -> None:
    """Serve what P8 asks without what the service promises: no key, nothing kept, nobody told."""
    import uvicorn
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

    from triagedesk.desk import Desk
    from triagedesk.models import Ticket
    from triagedesk.playbook import load_playbook
    from triagedesk.settings import Settings

    desk = Desk(Settings(model="rules"), load_playbook())

    async def answer(request: Request) -> Response:
        ticket = Ticket.parse(json.loads(await request.body()))
        return Response((await desk.suggest(ticket)).model_dump_json(), media_type="application/json")

    _serve(Starlette(routes=[Route("/alone", answer, methods=["POST"])]), uvicorn)


def _serve(app: Any, uvicorn: Any) -> None:
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
        port = int(said.partition("http://127.0.0.1:")[2].split()[0])
        while not _open(port):
            time.sleep(0.05)
        yield child.pid, port
    finally:
        child.terminate()
        child.communicate()


def _open(port: int) -> bool:
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) == 0


def served(folder: str, database: str, **env: str) -> dict[str, str]:
    """Return the environment of a service by rules that limits no rate."""
    return {
        **os.environ, "TRIAGEDESK_MODEL": "rules", "TRIAGEDESK_SERVICE_DATABASE_URL": database,
        "TRIAGEDESK_SERVICE_RATE_PER_MINUTE": "1e9", "TRIAGEDESK_SERVICE_RATE_BURST": "1000000",
        "TRIAGEDESK_SERVICE_PORT": "0", "TRIAGEDESK_CACHE_DIR": f"{folder}/cache", **env,
    }  # fmt: skip


def new_key(env: dict[str, str]) -> str:
    """Make a key that may suggest."""
    made = subprocess.run(
        [*TRIAGEDESK, "keys", "create", "bench", "--scope", "suggest"], env=env, capture_output=True, check=True
    )
    return made.stdout.decode().strip()


@contextmanager
def postgres() -> Iterator[str | None]:
    """Give an empty schema in the server that TRIAGEDESK_TEST_POSTGRES names, or None."""
    place = os.environ.get("TRIAGEDESK_TEST_POSTGRES")
    if not place:
        yield None
        return
    from sqlalchemy import create_engine, make_url

    url, schema = make_url(place).set(drivername="postgresql+psycopg"), f"bench_{os.getpid()}"
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE SCHEMA {schema}")
        inside = url.update_query_dict({"options": f"-csearch_path={schema}"})
        yield inside.render_as_string(hide_password=False)
        connection.exec_driver_sql(f"DROP SCHEMA {schema} CASCADE")


@contextmanager
def contestants(count: int) -> Iterator[dict[str, Contestant]]:
    """Start the servers, and warm them up with tickets that are not measured."""
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        texts = (json.dumps({"body": text}, ensure_ascii=False).encode() for text in tickets(count + 400))
        again, suggest = next(texts), "POST /v1/suggestions"

        def start(database: str, **more: str) -> tuple[Address, str]:
            env = served(folder, database, **more)
            key = new_key(env)
            return stack.enter_context(running([*TRIAGEDESK, "serve"], env)), key

        def bare(name: str) -> Address:
            return stack.enter_context(running([sys.executable, __file__, name], dict(os.environ)))

        ours, key = start(f"sqlite:///{folder}/service.db")
        model = stack.enter_context(model_server.running())
        asks = {"TRIAGEDESK_MODEL": "openai/made-up", "TRIAGEDESK_BASE_URL": model,
                "OPENAI_API_KEY": "none"}  # fmt: skip
        cached, its_key = start(f"sqlite:///{folder}/cached.db", **asks)
        found = {
            ECHO: Contestant(bare("echo"), "POST /echo", repeat(again)),
            ALONE: Contestant(bare("alone"), "POST /alone", repeat(again)),
            LIVE: Contestant(ours, "GET /livez", repeat(b"")),
            KNOWN: Contestant(ours, suggest, repeat(again), key),
            CACHED: Contestant(cached, suggest, repeat(again), its_key),
            NEW: Contestant(ours, suggest, texts, key),
        }
        if shared := stack.enter_context(postgres()):
            found[POSTGRES] = Contestant(*_and_key(start(shared), suggest, again))
        if other := os.environ.get("TRIAGEDESK_BENCH_BESIDE"):
            found[BESIDE] = Contestant(*_and_key(start(f"sqlite:///{folder}/o.db", PYTHONPATH=other), suggest, again))
        yield found


def _and_key(started: tuple[Address, str], line: str, body: bytes) -> tuple[Address, str, Iterator[bytes], str]:
    return started[0], line, repeat(body), started[1]


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
    ) + (f", {own.refused} × 503" if own.refused else "")
    cpu = statistics.median(own.cpu_us[clients])
    if own is floor:
        return Figure("P8", f"{name}, {clients} clients", cpu, "µs CPU", note=told)
    share = statistics.median(a / b for a, b in zip(own.cpu_us[clients], floor.cpu_us[clients], strict=True))
    goal = GOAL if name in (KNOWN, CACHED) else None
    return Figure("P8", f"{name}, × {ECHO}, {clients} clients", share, "×", goal, note=f"{cpu:,.0f} µs CPU; {told}")


if __name__ == "__main__":
    if sys.argv[1:] in (["echo"], ["alone"]):
        {"echo": echo, "alone": alone}[sys.argv[1]]()
    else:
        print(
            f"{os.cpu_count()} cores ({platform.machine()}), load {os.getloadavg()[0]:.1f}, {platform.python_version()}"
        )
        show(figures(int(sys.argv[1]) if len(sys.argv) > 1 else 5))
