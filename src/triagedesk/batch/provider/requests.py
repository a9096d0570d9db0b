"""The request lines of a batch: a name that says nothing of the ticket, and the very body of a live call."""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncIterator, Iterator
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import anyio.lowlevel

from triagedesk.batch.provider.options import News, PrepayOptions
from triagedesk.batch.provider.state import State
from triagedesk.batch.provider.store import Questions
from triagedesk.batch.rows import Row
from triagedesk.budget import Budget
from triagedesk.classifiers.batch_api import ENDPOINT
from triagedesk.errors import TicketError

if TYPE_CHECKING:
    from triagedesk.asking import Asking, Question
    from triagedesk.classifiers.llm import ModelClassifier
    from triagedesk.desk import Desk

BREATH = 32
"""After so many rows the event loop gets its turn and the plan is written down."""

CACHE_S = 2.0
"""So long a cache elsewhere may take to say whether it knows a question."""


def name_of(question: str, secret: bytes) -> str:
    """Return a question's custom_id: its keyed BLAKE2b hash, under a secret that never leaves the state's folder."""
    return f"q-{blake2b(question.encode(), digest_size=20, key=secret, person=b'triagedesk').hexdigest()}"


class RequestLines:
    """Writes lines whose bodies differ in the question alone: everything before and behind it is built once."""

    def __init__(self, before: bytes, behind: bytes) -> None:
        self._before, self._behind = before, behind

    @classmethod
    async def of(cls, model: ModelClassifier) -> RequestLines:
        """Take the body of a live call apart where its question stands."""
        mark = secrets.token_hex(16)
        body = json.dumps(await model.request_body(mark)).encode()
        before, behind = body.split(mark.encode())
        return cls(before, behind)

    def line(self, name: str, question: str) -> bytes:
        """Return one request line."""
        head = f'{{"custom_id":"{name}","method":"POST","url":"{ENDPOINT}","body":'.encode()
        return head + self._before + json.dumps(question)[1:-1].encode() + self._behind + b"}\n"


class PartWriter:
    """Fills one file after the other, each within the provider's limits."""

    def __init__(self, state: State, max_requests: int, max_bytes: int, first: int = 1) -> None:
        self._state, self._max_requests, self._max_bytes = state, max_requests, max_bytes
        self._stream: BinaryIO | None = None
        self._first = first
        self.parts: list[list[int]] = []

    def room_for(self, size: int) -> int:
        """Return the number of the part that the next line, of `size` bytes, goes to."""
        last = self.parts[-1] if self.parts else None
        if last is None or last[1] >= self._max_requests or last[2] + size > self._max_bytes:
            self.close()
            self.parts.append([self._first + len(self.parts), 0, 0])
        return self.parts[-1][0]

    def write(self, line: bytes) -> None:
        """Append a line to the part that `room_for` named."""
        last = self.parts[-1]
        if self._stream is None:
            path = self._state.requests_file(last[0])
            path.unlink(missing_ok=True)
            path.touch(0o600)
            self._stream = path.open("wb")
        self._stream.write(line)
        last[1] += 1
        last[2] += len(line)

    def close(self) -> None:
        """Close the part that is open."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None


class Planner:
    """Goes over the rows and puts each question that has no answer yet into a part, once."""

    def __init__(self, desk: Desk, asking: Asking, state: State, questions: Questions, options: PrepayOptions) -> None:
        self._desk, self._asking, self._state, self._questions = desk, asking, state, questions
        self._options = options

    async def plan(self, rows: Iterator[Row], news: News) -> AsyncIterator[News]:
        """Write all parts, and in the journal, as the last thing, that they are complete."""
        self._questions.forget()
        lines = await RequestLines.of(self._asking.model)
        writer = PartWriter(self._state, self._options.max_requests, self._options.max_file_bytes)
        try:
            for batch in _in_groups(rows):
                with self._questions.together():
                    for number, row in batch:
                        await self._take(number, row, lines, writer, news)
                yield news
                await anyio.lowlevel.checkpoint()
        finally:
            writer.close()
        self._state.write("planned", parts=writer.parts)

    async def _take(self, number: int, row: Row, lines: RequestLines, writer: PartWriter, news: News) -> None:
        news.rows += 1
        question = None if self._is_written(number) else self.question(row)
        if question is None:
            return
        if await self._asking.knows(question, Budget(CACHE_S)):
            news.cached += 1
            return
        name = name_of(question.text, self._state.secret)
        if self._questions.find(name) is not None:
            news.duplicates += 1
            return
        line = lines.line(name, question.text)
        self._questions.add(name, writer.room_for(len(line)))
        writer.write(line)
        news.requests += 1

    async def mark_written(self, rows: Iterator[Row], news: News) -> AsyncIterator[News]:
        """Take the answers of rows that OUT holds as spent, so that a question is counted once over all runs."""
        for number, row in enumerate(rows):
            question = self.question(row) if self._is_written(number) else None
            if question is not None:
                self._questions.spend(name_of(question.text, self._state.secret))
            if number % BREATH == 0:
                yield news
                await anyio.lowlevel.checkpoint()

    def _is_written(self, number: int) -> bool:
        return self._options.written is not None and self._options.written(number)

    def question(self, row: Row) -> Question | None:
        """Return the question of a row, if the model would be asked about it."""
        if row.ticket is None:
            return None
        try:
            return self._desk.question(row.ticket, now=self._options.now)
        except TicketError:  # the batch itself writes this row's error
            return None


def _in_groups(rows: Iterator[Row]) -> Iterator[list[tuple[int, Row]]]:
    held: list[tuple[int, Row]] = []
    for pair in enumerate(rows):
        held.append(pair)
        if len(held) == BREATH:
            yield held
            held = []
    yield held


def split_lines(path: Path, state: State, requests: int) -> tuple[list[list[int]], dict[int, list[str]]]:
    """Write a part's lines into two new parts. Returns these, and the names of the questions in each."""
    writer = PartWriter(state, (requests + 1) // 2, 2**62, first=max(state.parts) + 1)
    names: dict[int, list[str]] = {}
    with path.open("rb") as stream:
        for line in stream:
            names.setdefault(writer.room_for(len(line)), []).append(json.loads(line)["custom_id"])
            writer.write(line)
    writer.close()
    return writer.parts, names
