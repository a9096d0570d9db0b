"""What tracing costs a ticket at the desk: switched off beside none at all, and on with a collector on loopback.

    python benchmarks/tracing.py [ROUNDS]

Rules answer, so that nothing hides behind a model's time. "fresh" tickets were never seen; "remembered" ones come
again, which is the least that a suggestion can cost. Ways take turns, CPU seconds of all threads count (encoding and
sending included), and ratios are paired within a round.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import anyio
from figures import Figure, in_turns, middle, ratio, show
from made_up import tickets

from triagedesk.classifiers.rules import RulesClassifier
from triagedesk.desk import Desk, open_desk
from triagedesk.models import Ticket
from triagedesk.policy import Policy
from triagedesk.settings import Settings
from triagedesk.telemetry import open_telemetry
from triagedesk.tracing import Tracer, traced_by

ROUNDS, TICKETS = 30, 100
COLLECTOR = """
import http.server
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200); self.send_header("Content-Length", "0"); self.end_headers()
    def log_message(self, *_): pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
"""


@contextmanager
def collector() -> Iterator[str]:
    """Run a collector that reads spans and forgets them, in a process of its own."""
    with subprocess.Popen([sys.executable, "-c", COLLECTOR], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(child.stdout.readline())}"
        finally:
            child.kill()


@contextmanager
def untraceable() -> Iterator[None]:
    """Take the spans out of the code, as if they had never been written."""
    import triagedesk.desk as desk

    whole: list[tuple[object, str]] = [
        (Desk, "consider"), (RulesClassifier, "classify"), (Policy, "judge"), (desk, "read")
    ]  # fmt: skip
    held = [(owner, name, getattr(owner, name)) for owner, name in whole]
    for owner, name, step in held:
        setattr(owner, name, step.__wrapped__)
    try:
        yield
    finally:
        for owner, name, step in held:
            setattr(owner, name, step)


async def spent(rounds: int, tracer: Tracer, made: Callable[[int, int], Ticket]) -> dict[str, list[float]]:
    """Return CPU µs a ticket without spans, with them switched off, and on."""
    async with open_desk(Settings(model="rules")) as desk:

        async def ask(turn: int) -> int:
            for number in range(TICKETS):
                await desk.suggest(made(turn, number))
            return TICKETS

        async def none(round_: int) -> int:
            with untraceable():
                return await ask(3 * round_)

        async def off(round_: int) -> int:
            return await ask(3 * round_ + 1)

        async def on(round_: int) -> int:
            with traced_by(tracer):
                return await ask(3 * round_ + 2)

        await ask(-1)
        return await in_turns({"none": none, "off": off, "on": on}, rounds)


def figures(rounds: int = ROUNDS) -> list[Figure]:
    """Measure tracing."""
    texts = tickets(TICKETS, seed=5)

    def fresh(turn: int, number: int) -> Ticket:
        return Ticket(id="t", body=f"{texts[number]} {turn}")

    def remembered(_: int, number: int) -> Ticket:
        return Ticket(id="t", body=texts[number])

    found = []
    with collector() as url:
        os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = url
        with open_telemetry(True) as tracer:
            assert tracer is not None
            for name, made in (("fresh", fresh), ("remembered", remembered)):
                took = anyio.run(spent, rounds, tracer, made)
                note = f"none {middle(took, 'none'):.0f}, off {middle(took, 'off'):.0f}, on {middle(took, 'on'):.0f} µs"
                found.append(Figure("T1", f"a {name} ticket, tracing off / no spans in the code",
                                    ratio(took, "off", "none"), "×", note=note))  # fmt: skip
                found.append(Figure("T2", f"a {name} ticket, tracing on / off", ratio(took, "on", "off"), "×",
                                    note=note))  # fmt: skip
    return found


if __name__ == "__main__":
    show(figures(int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS))
