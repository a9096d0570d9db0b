"""Rows of a batch file: JSON Lines or CSV, read one at a time; what is no ticket becomes a row that says why."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from pydantic_core import from_json

from triagedesk.batch.columns import Columns
from triagedesk.errors import ConfigError, TicketError
from triagedesk.models import Ticket

MAX_LINE_BYTES = 8 * 1024 * 1024
"""A longer line is an error of its row and is never held in memory whole."""

FORMATS = {".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".tsv": "csv"}
_DELIMITERS = (",", ";", "\t")
_WRONG_ENCODINGS = (b"\xff\xfe", b"\xfe\xff")


def format_of(path: Path) -> str:
    """Return "jsonl" or "csv" by the file's suffix. Raises ConfigError that names what is supported."""
    found = FORMATS.get(path.suffix.lower())
    if found is None:
        raise ConfigError(f"{path}: {path.suffix or 'no suffix'} is not supported; give {', '.join(FORMATS)}")
    return found


class Row(NamedTuple):
    """One row: the line it starts on (1-based), and a ticket or the problem that makes it none."""

    line: int
    ticket: Ticket | None
    problem: str = ""


class Rows:
    """The rows of an open file. `words` are the playbook's channels and tiers, which CSV may write as "Live Chat".

    Raises ConfigError when a CSV file has no usable header.
    """

    def __init__(self, stream: BinaryIO, path: Path, words: frozenset[str] = frozenset()) -> None:
        self._stream, self._path, self._words = stream, path, words
        self._kind = format_of(path)
        self._problem = ""  # of the physical lines since the last row
        self._number = 0
        head = stream.read(3)
        if head.startswith(_WRONG_ENCODINGS):
            raise ConfigError(f"{path}: is UTF-16; save it as UTF-8")
        if head != b"\xef\xbb\xbf":
            stream.seek(0)
        self._header = self._csv_header() if self._kind == "csv" else None

    @property
    def position(self) -> int:
        """Bytes read so far."""
        return self._stream.tell()

    def after(self, skipped: int) -> Iterator[Row]:
        """Yield the rows that follow the first `skipped`."""
        return self._json_rows(skipped) if self._header is None else self._csv_rows(skipped, *self._header)

    def _lines(self) -> Iterator[bytes]:
        """Yield physical lines; of one that is too long only the beginning, with the problem noted."""
        readline = self._stream.readline
        while line := readline(MAX_LINE_BYTES):
            self._number += 1
            if len(line) == MAX_LINE_BYTES and line[-1:] != b"\n":
                self._problem = f"line longer than {MAX_LINE_BYTES // 1024 // 1024} MB"
                rest = line
                while rest and rest[-1:] != b"\n":
                    rest = readline(MAX_LINE_BYTES)
                line = line[:100] + b"\n"
            yield line

    def _json_rows(self, skipped: int) -> Iterator[Row]:
        for line in self._lines():
            problem, self._problem = self._problem, ""
            if not problem and line.isspace():
                continue
            if skipped:
                skipped -= 1
            elif problem:
                yield Row(self._number, None, problem)
            else:
                yield self._from_json(line)

    def _from_json(self, line: bytes) -> Row:
        try:
            return Row(self._number, ticket_of(from_json(line.rstrip(), allow_inf_nan=False), self._number))
        except ValueError as wrong:
            return Row(self._number, None, f"not JSON: {str(wrong).replace(' at line 1 column', ' at column')}")
        except TicketError as wrong:
            return Row(self._number, None, str(wrong))

    def _text_lines(self) -> Iterator[str]:
        for line in self._lines():
            try:
                yield line.decode("utf-8")
            except UnicodeDecodeError:
                self._problem = "not UTF-8 text"
                yield line.decode("utf-8", "replace")

    def _csv_header(self) -> tuple[Columns, str]:
        header = next(self._text_lines(), "")
        if self._problem:
            raise ConfigError(f"{self._path}: the first line is {self._problem}; save the file as UTF-8 CSV")
        delimiter = max(_DELIMITERS, key=header.count)
        names = next(csv.reader([header], delimiter=delimiter), [])
        return Columns(names, str(self._path), self._words), delimiter

    def _csv_rows(self, skipped: int, columns: Columns, delimiter: str) -> Iterator[Row]:
        csv.field_size_limit(MAX_LINE_BYTES)
        reader = csv.reader(self._text_lines(), delimiter=delimiter, strict=True)
        for start, cells, problem in self._records(reader):
            if skipped:
                skipped -= 1
            else:
                yield self._from_cells(columns, cells, problem, start)

    def _records(self, reader: Any) -> Iterator[tuple[int, list[str], str]]:
        """Yield every record with the line it starts on and what is wrong with it, if anything."""
        while True:
            start, cells, problem = self._number + 1, [], ""
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as wrong:
                problem = f"not CSV: {wrong}"
            problem, self._problem = self._problem or problem, ""
            if cells or problem:
                yield start, cells, problem

    def _from_cells(self, columns: Columns, cells: list[str], problem: str, start: int) -> Row:
        if problem:
            return Row(start, None, problem)
        try:
            return Row(start, ticket_of(columns.ticket(cells), start))
        except TicketError as wrong:
            return Row(start, None, str(wrong))


def ticket_of(data: Any, line: int) -> Ticket:
    """Build a ticket; one without an id is named after its line, so that a second run names it alike."""
    if isinstance(data, dict) and data.get("id") in (None, ""):
        data["id"] = f"line-{line}"
    return Ticket.parse(data)
