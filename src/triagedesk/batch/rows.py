"""Rows of a batch file: JSON Lines or CSV, read one at a time; what is no ticket becomes a row that says why."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from pydantic_core import from_json

from triagedesk.batch.columns import Columns, told_id
from triagedesk.batch.records import Records, TextLine
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
    """One row: the line it starts on (1-based), and a ticket, or what makes it none and the id that it tells."""

    line: int
    ticket: Ticket | None
    problem: str = ""
    id: str = ""


class Rows:
    """The rows of an open file. `words` are the playbook's channels and tiers, which CSV may write as "Live Chat".

    Raises ConfigError when a CSV file has no usable header.
    """

    def __init__(self, stream: BinaryIO, path: Path, words: frozenset[str] = frozenset()) -> None:
        self._stream, self._path, self._words = stream, path, words
        self._kind = format_of(path)
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

    def _lines(self) -> Iterator[tuple[bytes, str]]:
        """Yield physical lines; of one that is too long only the beginning, and the problem."""
        readline = self._stream.readline
        while line := readline(MAX_LINE_BYTES):
            self._number += 1
            if len(line) < MAX_LINE_BYTES or line[-1:] == b"\n":
                yield line, ""
                continue
            rest = line
            while rest and rest[-1:] != b"\n":
                rest = readline(MAX_LINE_BYTES)
            yield line[:100] + b"\n", f"line longer than {MAX_LINE_BYTES // 1024 // 1024} MB"

    def _json_rows(self, skipped: int) -> Iterator[Row]:
        for line, problem in self._lines():
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
            data = from_json(line.rstrip(), allow_inf_nan=False)
        except ValueError as wrong:
            return Row(self._number, None, f"not JSON: {str(wrong).replace(' at line 1 column', ' at column')}")
        return _row(data, self._number)

    def _text_lines(self) -> Iterator[TextLine]:
        for line, problem in self._lines():
            try:
                yield TextLine(self._number, line.decode("utf-8"), problem)
            except UnicodeDecodeError:
                yield TextLine(self._number, line.decode("utf-8", "replace"), problem or "not UTF-8 text")

    def _csv_header(self) -> tuple[Columns, str]:
        header = next(self._text_lines(), TextLine(1, ""))
        if header.problem:
            raise ConfigError(f"{self._path}: the first line is {header.problem}; save the file as UTF-8 CSV")
        delimiter = max(_DELIMITERS, key=header.text.count)
        names = next(csv.reader([header.text], delimiter=delimiter), [])
        return Columns(names, str(self._path), self._words), delimiter

    def _csv_rows(self, skipped: int, columns: Columns, delimiter: str) -> Iterator[Row]:
        csv.field_size_limit(MAX_LINE_BYTES)
        for line, cells, problem in Records(self._text_lines(), delimiter):
            if skipped:
                skipped -= 1
            elif problem:
                yield Row(line, None, problem, columns.id_in(cells))
            else:
                yield _from_cells(columns, cells, line)


def _from_cells(columns: Columns, cells: list[str], line: int) -> Row:
    try:
        data = columns.ticket(cells)
    except TicketError as wrong:
        return Row(line, None, str(wrong), columns.id_in(cells))
    return _row(data, line)


def _row(data: Any, line: int) -> Row:
    told = data.get("id") if isinstance(data, dict) else None
    try:
        return Row(line, ticket_of(data, line))
    except TicketError as wrong:
        return Row(line, None, str(wrong), told_id(str(told)) if isinstance(told, str | int) else "")


def ticket_of(data: Any, line: int) -> Ticket:
    """Build a ticket; one without an id is named after its line, so that a second run names it alike."""
    if isinstance(data, dict) and data.get("id") in (None, ""):
        data["id"] = f"line-{line}"
    return Ticket.parse(data)
