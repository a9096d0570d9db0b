"""The service under load: waiting times at half and at nine tenths of what it can do, webhooks beside, two replicas.

    python benchmarks/service_load.py [SECONDS]

Requests leave by the clock, whether answers came or not, and waiting counts from when a request was due: a server that
falls behind cannot hide it (no coordinated omission). By rules, a ticket that comes again; SQLite on this disk.
Replicas share the PostgreSQL that TRIAGEDESK_TEST_POSTGRES names.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import math
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count, repeat
from pathlib import Path

from figures import Figure, show
from made_up import tickets
from service import TRIAGEDESK, Contestant, new_key, postgres, running, served

SUGGEST = "POST /v1/suggestions"
SECRET = "a secret that is long enough"
PROMISE_MS = 200.0
CLIENTS = 32
SHARES = (0.5, 0.9)
DESKS = f"desks: {{shop: {{kind: zammad, secrets: {SECRET!r}, base_url: 'http://127.0.0.1:9', api_token: none}}}}\n"


async def by_the_clock(port: int, per_s: float, seconds: float, request: Callable[[], bytes]) -> list[float]:
    """Send requests at a rate over as many connections as it takes; return what each waited, in milliseconds."""
    free: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
    waited: list[float] = []
    began = time.perf_counter()

    async def one(due: float) -> None:
        reader, writer = free.pop() if free else await asyncio.open_connection("127.0.0.1", port)
        writer.write(request())
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        await reader.readexactly(int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0]))
        if head.startswith(b"http/1.1 20"):
            waited.append((time.perf_counter() - due) * 1000)
            free.append((reader, writer))
        elif head.startswith(b"http/1.1 503 "):
            waited.append(math.inf)  # sent away: it shows in the quantiles
            writer.close()
        else:
            raise SystemExit(head.decode())

    async with asyncio.TaskGroup() as tasks:
        for number in range(int(per_s * seconds)):
            due = began + number / per_s
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            tasks.create_task(one(due))
    for _, writer in free:
        writer.close()
    return sorted(waited)


def delivery() -> Iterator[bytes]:
    """Yield signed deliveries of Zammad, each of a ticket of its own."""
    for number in count(1):
        ticket = {"id": number, "title": "Down", "priority": {"name": "2 normal"}}
        article = {"id": number, "sender": "Customer", "internal": False, "type": "email", "content_type": "text/plain",
                   "body": "We are completely down, nobody can log in."}  # fmt: skip
        body = json.dumps({"ticket": ticket, "article": article}).encode()
        proof = hmac.new(SECRET.encode(), body, hashlib.sha1).hexdigest()
        head = "POST /v1/webhooks/shop HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        head += f"X-Hub-Signature: sha1={proof}\r\nX-Zammad-Delivery: {os.getpid()}-{number}\r\n"
        yield f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


async def most(services: list[Contestant], rounds: int = 3) -> tuple[float, float]:
    """Return requests/s of services together with all clients at once, and CPU ms a request."""
    per_s, cpu_ms = [], []
    for _ in range(rounds):
        before = [len(service.per_s[CLIENTS]) for service in services]
        began = time.perf_counter()
        await asyncio.gather(*(service.measure(CLIENTS) for service in services))
        done = sum(len(service.waited_ms[CLIENTS]) for service in services)
        per_s.append(done / (time.perf_counter() - began))
        cpu_ms.append(
            statistics.mean(service.cpu_us[CLIENTS][at] for service, at in zip(services, before, strict=True))
        )
        for service in services:
            service.waited_ms[CLIENTS].clear()
    return statistics.median(per_s), statistics.median(cpu_ms) / 1000


def _quantiles(waited: list[float]) -> str:
    return ", ".join(f"p{part} {waited[len(waited) * part // 100]:.1f} ms" for part in (50, 95, 99))


async def under_load(service: Contestant, seconds: float) -> list[Figure]:
    """Measure waiting at shares of the most that one service can do, and webhooks beside half of it."""
    top, cpu_ms = await most([service])
    found = [Figure("load", f"most with {CLIENTS} clients", top, "requests/s", more_is_better=True,
                    note=f"{cpu_ms:.2f} ms CPU a request")]  # fmt: skip
    port = service.address[1]
    for share in SHARES:
        waited = await by_the_clock(port, top * share, seconds, service.request)
        p99 = waited[len(waited) * 99 // 100]
        found.append(Figure("load", f"p99 at {share:.0%} of it", p99, "ms", note=_quantiles(waited)))
    deliveries = delivery()
    other = asyncio.ensure_future(by_the_clock(port, top * SHARES[0], seconds, service.request))
    waited = await by_the_clock(port, 10, seconds, lambda: next(deliveries))
    await other
    note = f"10/s beside suggestions at {SHARES[0]:.0%}; {_quantiles(waited)}"
    return [*found, Figure("load", "webhook to 202, p99", waited[len(waited) * 99 // 100], "ms", PROMISE_MS, note=note)]


def figures(seconds: float = 20) -> list[Figure]:
    """Return the waiting times, and what a second replica brings."""
    body = json.dumps({"body": next(iter(tickets(1)))}).encode()
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        Path(folder, "desks.yaml").write_text(DESKS, "utf-8")

        def start(env: dict[str, str], key: str) -> Contestant:
            return Contestant(stack.enter_context(running([*TRIAGEDESK, "serve"], env)), SUGGEST, repeat(body), key)

        env = served(folder, f"sqlite:///{folder}/service.db", TRIAGEDESK_SERVICE_WEBHOOKS=f"{folder}/desks.yaml")
        found = asyncio.run(under_load(start(env, new_key(env)), seconds))
        if shared := stack.enter_context(postgres()):
            env = served(folder, shared)
            key = new_key(env)
            both = [start(env, key) for _ in range(2)]
            for number in (1, 2):
                top, cpu_ms = asyncio.run(most(both[:number]))
                found.append(Figure("load", f"{number} on one PostgreSQL, most", top, "requests/s", more_is_better=True,
                                    note=f"{cpu_ms:.2f} ms CPU a request"))  # fmt: skip
        return found


if __name__ == "__main__":
    show(figures(float(sys.argv[1]) if len(sys.argv) > 1 else 20))
