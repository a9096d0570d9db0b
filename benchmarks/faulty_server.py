"""The misbehaving model server of the tests, in a mixture: the ticket's own word decides what happens to it.

    python benchmarks/faulty_server.py      prints its port, then serves until it is stopped

A ticket that begins with `fault=hang` is answered as tests/misbehaving.py's `hang` does.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import misbehaving


async def mixed(request: misbehaving.Request, writer: misbehaving.Writer) -> None:
    """Misbehave as the ticket says."""
    question = request.body.get("messages", [{"content": ""}])[-1]["content"]
    wanted = question.partition("fault=")[2].split(" ")[0] or "good"
    await misbehaving.FAULTS[wanted](request, writer)


@contextmanager
def running() -> Iterator[str]:
    """Run the server in a process of its own; give its base URL."""
    child = subprocess.Popen([sys.executable, str(Path(__file__).resolve())], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    try:
        yield f"http://127.0.0.1:{child.stdout.readline().strip()}/mixed/v1"
    finally:
        child.terminate()
        child.wait()


if __name__ == "__main__":
    misbehaving.FAULTS["mixed"] = mixed
    try:
        asyncio.run(misbehaving.main())
    except KeyboardInterrupt:
        sys.exit(0)
