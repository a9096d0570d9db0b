"""What a prepaid batch costs this machine: CPU and memory of planning and of reading the answers, without a provider.

    python benchmarks/batch_api.py [QUESTIONS]      # default 2,000

The provider is the tests' fake, in a process of its own; the times are CPU of this process alone.
"""

from __future__ import annotations

import multiprocessing
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import anyio

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from batch_api_parts import good, open_small_desk, settings
from fake_batch_api import fake_batch_api
from triagedesk.batch.provider.conduct import prepay
from triagedesk.batch.provider.options import News, PrepayOptions
from triagedesk.batch.rows import Row
from triagedesk.models import Ticket


def rows(count: int) -> Iterator[Row]:
    """Make up so many different short tickets."""
    for number in range(count):
        yield Row(number, Ticket(id=f"T-{number}", body=f"My parcel {number} has not come and I wait since Monday."))


def serve(wire: Connection) -> None:
    """Be the provider until told to end."""
    with fake_batch_api() as api:
        api.says = good
        wire.send(api.base_url)
        wire.recv()


async def measure(base_url: str, count: int, folder: Path) -> dict[str, float]:
    """Run one prepaid batch; returns CPU seconds by phase and sizes."""
    marks: dict[str, float] = {}

    def watch(news: News) -> None:
        marks.setdefault(news.phase, time.process_time())
        if news.phase == "sending":
            marks["bytes"] = float(sum(path.stat().st_size for path in folder.glob("part-*.jsonl")))

    async def sleep(_: float) -> None:
        await anyio.sleep(0.02)

    async with open_small_desk(settings(base_url)) as desk:
        began = time.process_time()
        paid = await prepay(desk, lambda: rows(count), folder, options=PrepayOptions(sleep=sleep), watch=watch)
        ended = time.process_time()
        answered = paid.answered
        paid.close()
    assert answered == count
    return {"plan": marks["sending"] - began, "send and merge": ended - marks["sending"], "bytes": marks["bytes"]}


def main() -> None:
    """Measure, and print a line for each figure."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 2_000
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    provider = context.Process(target=serve, args=(theirs,))
    provider.start()
    try:
        with tempfile.TemporaryDirectory() as folder:
            found = anyio.run(measure, ours.recv(), count, Path(folder) / "state")
    finally:
        ours.send(None)
        provider.join()
    print(f"{count} questions, {found['bytes'] / count / 1000:.1f} kB each")
    for phase in ("plan", "send and merge"):
        print(f"{phase}: {found[phase] / count * 1e6:,.0f} us of CPU a question")
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MB")


if __name__ == "__main__":
    main()
