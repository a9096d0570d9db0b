"""The flow of rows through the desk: alone one after the other, with a model side by side."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from triagedesk.batch.asker import Asker, Purse
from triagedesk.batch.gate import Gate
from triagedesk.batch.job import Job
from triagedesk.batch.output import Output
from triagedesk.batch.pace import Pace
from triagedesk.batch.rows import Row
from triagedesk.batch.tally import Tally
from triagedesk.errors import TicketError
from triagedesk.models import Suggestion

if TYPE_CHECKING:
    from triagedesk.desk import Desk

BREATH = 16
"""After so many rows without a wait the event loop gets its turn, so that Ctrl-C is heard."""

AHEAD = 8
"""Rows may be so many times the concurrency ahead of the first that is not written; their answers are in the log."""

Numbered = tuple[int, Row]
"""A row with its number in the whole input, from 0."""

Watch = Callable[[Tally, int], None]
"""Called after every row with the tally and the bytes read."""


class Flow:
    """One pass over the rows that are not done yet."""

    def __init__(self, desk: Desk, job: Job, output: Output, pace: Pace, watch: Callable[[Tally], object]) -> None:
        self._desk, self._job, self.output, self._watch = desk, job, output, watch
        self.tally = Tally(resumed=output.counts.done, resumed_errors=output.counts.errors)
        self.tally.spent_usd = output.spent
        self.began_at = output.began
        self._purse = Purse(job.max_cost_usd, output.spent)
        self._gate = Gate(pace)
        self._asker = Asker(desk, self._gate, self.tally, self._purse, self.began_at)
        self._tasks: set[asyncio.Task[None]] = set()
        self._ended: list[asyncio.Task[None]] = []
        self._moved = asyncio.Event()
        self._began = time.monotonic()

    async def run(self, rows: Iterator[Numbered]) -> None:
        """Answer and write these rows. Raises OSError if the disk fails."""
        if self._desk.model is not None:
            await self._side_by_side(rows)
        elif self._job.processes > 1:
            from triagedesk.batch.processes import spread  # lazy: only who asks for several pays for it

            await spread(self, rows, self._desk.settings, self._job.processes)
        else:  # rules alone never wait: tasks would only cost
            await self._one_by_one(rows)
        self.tally.seconds = time.monotonic() - self._began

    async def _one_by_one(self, rows: Iterator[Numbered]) -> None:
        for count, (number, row) in enumerate(rows):
            self._write(number, row, await self._by_rules(row))
            if count % BREATH == 0:
                await asyncio.sleep(0)

    async def _by_rules(self, row: Row) -> Suggestion | str:
        if row.ticket is None:
            return row.problem
        try:
            return await self._desk.suggest(row.ticket, now=self.began_at)
        except TicketError as wrong:
            return str(wrong)

    async def _side_by_side(self, rows: Iterator[Numbered]) -> None:
        """Keep tickets in flight; what is finished is written or logged at once, so a kill loses only those asked."""
        self._desk.remember_answers()
        self._desk.listen(self._gate.hear)
        try:
            for number, row in rows:
                await self._room_for(number)
                if self.tally.stopped:
                    break
                self._start(number, row)
            await self._until(lambda: not self._tasks and not self._ended)
        finally:
            self._desk.listen(None)
            self._gate.close()
            await self._give_up()

    async def _room_for(self, number: int) -> None:
        """Wait until another row may begin: not too many tasks, and not too far ahead of the first one unwritten."""
        ceiling = self._gate.pace.ceiling
        await self._until(
            lambda: (
                self.tally.stopped
                or (len(self._tasks) < 2 * ceiling and number - self.output.first_open < AHEAD * ceiling)
            )
        )

    async def _until(self, holds: Callable[[], bool]) -> None:
        while not holds():
            self._moved.clear()
            await self._moved.wait()
            while self._ended:
                self._ended.pop().result()  # what went wrong in it goes wrong here

    def _start(self, number: int, row: Row) -> None:
        task = asyncio.create_task(self._one(number, row))
        self._tasks.add(task)
        task.add_done_callback(self._note_end)

    def _note_end(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._ended.append(task)
        self._moved.set()

    async def _one(self, number: int, row: Row) -> None:
        answer = await self._asker.answer(row)
        if answer is None:
            self.tally.stopped = True
            return
        if not isinstance(answer, str) and self._purse.pay(answer):
            self.output.spend(self._purse.spent_usd)
            self.tally.spent_usd = self._purse.spent_usd
        self._write(number, row, answer)

    def _write(self, number: int, row: Row, answer: Suggestion | str) -> None:
        if isinstance(answer, str):
            self.write_problem(number, row, answer)
        else:
            self.output.answer(number, answer)
            self.tally.add(answer, asks_a_model=self._desk.model is not None)
        self.report()

    def write_problem(self, number: int, row: Row, problem: str) -> None:
        """Write why a row has no answer, and count it."""
        ticket_id = row.id if row.ticket is None else row.ticket.id
        self.output.problem(number, row.line, problem, ticket_id, row.file)
        self.tally.errors += 1

    def report(self) -> None:
        """Tell who watches how things stand."""
        self.tally.seconds = time.monotonic() - self._began
        self.tally.concurrency = self._gate.pace.limit
        self._watch(self.tally)

    async def _give_up(self) -> None:
        """End what is still in flight; nothing is left running behind the batch."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, *self._ended, return_exceptions=True)
