"""Rules on several cores: chunks of tickets go to processes of their own and come back as lines, in order.

Only rules (and the trained second line) are bound by the processor; with a model the batch waits for a server, and one
process does. Each worker opens its own desk from the same settings, once.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import AsyncExitStack
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from triagedesk.batch.lines import Line, line_for
from triagedesk.batch.tally import Tally
from triagedesk.desk import open_desk
from triagedesk.errors import ConfigError, TicketError
from triagedesk.models import Ticket
from triagedesk.settings import Settings

if TYPE_CHECKING:
    from triagedesk.batch.flow import Flow, Numbered

CHUNK_ROWS = 32
"""So many tickets travel together: some tens of milliseconds of work."""

CHUNKS_WAITING = 3
"""So many chunks for each process are under way, so that none is idle."""


class Done(NamedTuple):
    """What came of a chunk: for each ticket its line or its problem, and the count of them."""

    lines: list[bytes | str]
    tally: Tally


Chunk = list["Numbered"]


async def spread(flow: Flow, rows: Iterator[Numbered], settings: Settings, processes: int) -> None:
    """Answer rows in `processes` processes and write them in order. Raises ConfigError if one of them dies."""
    context = multiprocessing.get_context("spawn")  # forking a process with threads is no way to start one
    began, target = flow.began_at, flow.output.target
    pool = ProcessPoolExecutor(processes, context, initializer=_open, initargs=(settings, began, target))
    waiting: deque[tuple[Chunk, Future[Done]]] = deque()
    try:
        for chunk in _chunks(rows):
            tickets = [row.ticket for _, row in chunk if row.ticket is not None]
            waiting.append((chunk, pool.submit(_answer, tickets)))
            if len(waiting) >= CHUNKS_WAITING * processes:
                await _take(flow, *waiting.popleft())
        while waiting:
            await _take(flow, *waiting.popleft())
    except BrokenProcessPool:
        raise ConfigError("a worker process died; the same command goes on, perhaps with fewer --processes") from None
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


async def _take(flow: Flow, chunk: Chunk, coming: Future[Done]) -> None:
    done = await asyncio.wrap_future(coming)
    answers = iter(done.lines)
    for number, row in chunk:
        answer = row.problem if row.ticket is None else next(answers)
        if isinstance(answer, str):
            flow.write_problem(number, row, answer)
        else:
            flow.output.answer_line(number, answer)
            flow.tally.meet(row.ticket.id if row.ticket is not None else "")
    flow.tally.merge(done.tally)
    flow.report()


def _chunks(rows: Iterator[Numbered]) -> Iterator[Chunk]:
    chunk: Chunk = []
    for row in rows:
        chunk.append(row)
        if len(chunk) >= CHUNK_ROWS:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


class _Worker:
    """What a worker process holds: its desk on a loop of its own."""

    def __init__(self, settings: Settings, began: datetime, target: Path) -> None:
        self._runner = asyncio.Runner()
        self._stack = AsyncExitStack()
        self._desk = self._runner.run(self._stack.enter_async_context(open_desk(settings)))
        self._began = began
        self._line: Line = line_for(target, tuple(self._desk.playbook.dimensions))

    def answer(self, tickets: list[Ticket]) -> Done:
        return self._runner.run(self._all(tickets))

    async def _all(self, tickets: list[Ticket]) -> Done:
        lines: list[bytes | str] = []
        tally = Tally()
        for ticket in tickets:
            try:
                suggestion = await self._desk.suggest(ticket, now=self._began)
            except TicketError as wrong:
                lines.append(str(wrong))
            else:
                lines.append(self._line(suggestion))
                tally.add(suggestion)
        return Done(lines, tally)


_worker: _Worker


def _open(settings: Settings, began: datetime, target: Path) -> None:
    """Begin a worker: Ctrl-C is the parent's to hear, and with the parent the worker ends, even if that is killed."""
    global _worker
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _worker = _Worker(settings, began, target)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _answer(tickets: list[Ticket]) -> Done:
    return _worker.answer(tickets)
