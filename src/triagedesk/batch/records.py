"""Records of a CSV file, put together from physical lines, and found again after a quote that never closes."""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

MAX_RECORD_CHARS = 2_000_000
"""A record that goes on for longer over several lines has lost its quote: a body has a million characters at most."""

UNCLOSED = "not CSV: a quote is opened and never closed"


class TextLine(NamedTuple):
    """A physical line: its number in the file (1-based), and what was wrong with its bytes, if anything."""

    number: int
    text: str
    problem: str = ""


class Record(NamedTuple):
    """One record: the line it starts on, its cells (of a bad one those that could be read), and what is wrong."""

    line: int
    cells: list[str]
    problem: str = ""


class Records:
    """Reads record after record. A quote that never closes costs the line that opens it, not those after it."""

    def __init__(self, lines: Iterator[TextLine], delimiter: str) -> None:
        self._lines, self._delimiter = lines, delimiter
        self._again: deque[TextLine] = deque()
        self._held: list[TextLine] = []  # the lines of the record that is being read
        self._chars = 0
        self._lost = False

    def __iter__(self) -> Iterator[Record]:
        reader = csv.reader(_Feed(self), delimiter=self._delimiter, strict=True)
        while True:
            self._held, self._chars, self._lost = [], 0, False
            try:
                record = Record(0, next(reader))
            except StopIteration:
                return
            except (csv.Error, _RecordTooLongError) as wrong:
                record = self._bad(wrong)
            problem = next((line.problem for line in self._held if line.problem), record.problem)
            if record.cells or problem:
                yield Record(self._held[0].number, record.cells, problem)

    def feed(self) -> str:
        """Give the reader the next line. Raises StopIteration at the end, _RecordTooLongError past the limit."""
        self._lost = True  # unless a line is left
        if self._chars > MAX_RECORD_CHARS:
            raise _RecordTooLongError
        line = self._again.popleft() if self._again else next(self._lines)
        self._lost = False
        self._held.append(line)
        self._chars += len(line.text)
        return line.text

    def _bad(self, wrong: Exception) -> Record:
        """Judge a record that cannot be read; the lines after a quote that never closes are read again."""
        if not self._lost and not self._reopened():
            return Record(0, [], f"not CSV: {wrong}")
        self._again.extendleft(reversed(self._held[1:]))
        del self._held[1:]
        before = next(csv.reader([self._held[0].text], delimiter=self._delimiter), [])
        return Record(0, before[:-1], UNCLOSED)  # the last cell is the one that never ends

    def _reopened(self) -> bool:
        """Say if the quote that ended the record was meant to begin a cell of a later one."""
        if len(self._held) < 2:
            return False
        line = self._held[-1].text
        ending = line.replace('""', "  ").find('"')
        return ending == 0 or line[ending - 1 : ending] == self._delimiter


class _RecordTooLongError(Exception):
    """The record exceeds `MAX_RECORD_CHARS`."""


class _Feed:
    """The lines of the records as the iterator that csv.reader takes: unlike a generator it survives what it raises."""

    def __init__(self, records: Records) -> None:
        self._records = records

    def __iter__(self) -> _Feed:
        return self

    def __next__(self) -> str:
        return self._records.feed()
