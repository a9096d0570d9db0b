"""The batch itself: rows through the desk, at most so many at once, written in the order in which they came."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from triagedesk.batch.journal import journal_path
from triagedesk.batch.output import Output, errors_path, open_output
from triagedesk.batch.rows import Row, Rows, format_of
from triagedesk.batch.tally import Tally
from triagedesk.errors import ConfigError, TicketError
from triagedesk.models import Suggestion

if TYPE_CHECKING:
    from triagedesk.desk import Desk

Waiting = deque[tuple[Row, "asyncio.Task[Suggestion | str]"]]

BREATH = 16
"""After so many rows without a wait the event loop gets its turn, so that Ctrl-C is heard."""

Watch = Callable[[Tally, int], None]
"""Called after every row with the tally and the bytes read."""


@dataclass(frozen=True)
class Job:
    """One batch: from where, to where, how many tickets in flight, and what to do with what OUT holds."""

    source: Path
    target: Path
    concurrency: int = 8
    resume: bool = True
    overwrite: bool = False

    def check(self) -> None:
        """Raise ConfigError if the files cannot be a batch's."""
        format_of(self.source)
        format_of(self.target)
        if self.target.is_symlink() or (self.target.exists() and not self.target.is_file()):
            raise ConfigError(f"{self.target}: is a folder, a symbolic link or a device; give a file")
        for path, name in (
            (self.target, "OUT"),
            (errors_path(self.target), "OUT's error file"),
            (journal_path(self.target), "OUT's journal"),
        ):
            if _same_file(self.source, path):
                raise ConfigError(f"{self.target}: IN and {name} are the same file; choose another OUT")
        if not self.target.absolute().parent.is_dir():
            raise ConfigError(f"{self.target}: its folder does not exist; create it first")


def _same_file(one: Path, other: Path) -> bool:
    return one.resolve() == other.resolve() or (one.exists() and other.exists() and one.samefile(other))


async def run_batch(desk: Desk, job: Job, watch: Watch | None = None) -> Tally:
    """Answer every row of the job's input.

    A row that is no ticket goes to the error file and is counted. Cancelled or killed, the same call goes on where it
    stopped. Raises ConfigError if input or output cannot be used, OSError if the disk fails.
    """
    job.check()
    with _opened(job.source) as stream:
        rows = Rows(stream, job.source, _words(desk))
        names = tuple(desk.playbook.dimensions)
        identity = _identity(desk, job)
        with open_output(job.target, names, identity, resume=job.resume, overwrite=job.overwrite) as output:
            run = _Run(desk, rows, output, watch)
            await run.all(job.concurrency)
            return run.tally


def _opened(source: Path) -> BinaryIO:
    if source.exists() and not source.is_file():
        raise ConfigError(f"{source}: is not a file; give a .jsonl or .csv file")
    try:
        return source.open("rb")
    except OSError as wrong:
        raise ConfigError(f"{source}: {wrong.strerror}; give a file that can be read") from None


def _words(desk: Desk) -> frozenset[str]:
    document = desk.playbook.document
    return frozenset((*document.channels, *document.tiers))


def _identity(desk: Desk, job: Job) -> str:
    """Name the batch by all that decides its answers: input, playbook, model, prompt, and OUT's format."""
    digest = hashlib.blake2b(digest_size=16)
    for path in (job.source, desk.settings.prompt):
        if path is not None:
            with path.open("rb") as stream:
                digest.update(hashlib.file_digest(stream, "blake2b").digest())
    digest.update("\n".join((desk.playbook.identity, desk.model or "rules", format_of(job.target))).encode())
    return f"batch-1 {digest.hexdigest()}"


class _Run:
    """One pass over the rows that are not done yet."""

    def __init__(self, desk: Desk, rows: Rows, output: Output, watch: Watch | None) -> None:
        self._desk, self._rows, self._output, self._watch = desk, rows, output, watch
        self.tally = Tally(resumed=output.done, resumed_errors=output.errors)
        self._began = time.monotonic()

    async def all(self, concurrency: int) -> None:
        rows = self._rows.after(self._output.done)
        if self._desk.model is None:  # rules alone never wait: tasks would only cost
            await self._one_by_one(rows)
        else:
            await self._side_by_side(rows, concurrency)
        self.tally.seconds = time.monotonic() - self._began

    async def _one_by_one(self, rows: Iterator[Row]) -> None:
        for count, row in enumerate(rows):
            self._write(row, await self._answer(row))
            if count % BREATH == 0:
                await asyncio.sleep(0)

    async def _side_by_side(self, rows: Iterator[Row], concurrency: int) -> None:
        """Keep `concurrency` tickets in flight; answers wait for slower ones before them, within bounds.

        With the cache an answer that waits is not lost by a kill; without it no more than `concurrency` are.
        """
        slots = asyncio.Semaphore(concurrency)
        room = concurrency * (2 if self._desk.settings.cache else 1)
        waiting: Waiting = deque()
        try:
            for row in rows:
                await slots.acquire()
                task = asyncio.create_task(self._answer(row))
                task.add_done_callback(lambda _: slots.release())
                waiting.append((row, task))
                await self._write_until(waiting, room)
            await self._write_until(waiting, 1)
        except asyncio.CancelledError:
            self._write_done(waiting)
            raise
        finally:
            await _give_up(waiting)

    async def _write_until(self, waiting: Waiting, room: int) -> None:
        """Write finished answers from the front, and wait for them while `room` or more are in line."""
        while waiting and (len(waiting) >= room or waiting[0][1].done()):
            row, task = waiting[0]
            answer = await asyncio.shield(task)
            waiting.popleft()
            self._write(row, answer)

    def _write_done(self, waiting: Waiting) -> None:
        """Interrupted: what was answered is written as far as the order allows."""
        while waiting and waiting[0][1].done() and not waiting[0][1].cancelled():
            row, task = waiting.popleft()
            self._write(row, task.result())

    async def _answer(self, row: Row) -> Suggestion | str:
        if row.ticket is None:
            return row.problem
        try:
            return await self._desk.suggest(row.ticket)
        except TicketError as wrong:
            return str(wrong)

    def _write(self, row: Row, answer: Suggestion | str) -> None:
        if isinstance(answer, str):
            self._output.problem(row.line, answer, row.id if row.ticket is None else row.ticket.id)
            self.tally.errors += 1
        else:
            self._output.answer(answer)
            self.tally.add(answer)
        if self._watch is not None:
            self.tally.seconds = time.monotonic() - self._began
            self._watch(self.tally, self._rows.position)


async def _give_up(waiting: Waiting) -> None:
    """End what is still in flight; nothing is left running behind the batch."""
    for _, task in waiting:
        task.cancel()
    await asyncio.gather(*(task for _, task in waiting), return_exceptions=True)
