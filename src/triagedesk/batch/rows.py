"""Rows of one file of lines: JSON or CSV, read one at a time; what is no ticket becomes a row that says why."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from pydantic_core import from_json

from triagedesk.batch.columns import ColumnMap, Columns, told_id
from triagedesk.batch.layout import Layout
from triagedesk.batch.records import Records, TextLine
from triagedesk.batch.streams import broken, format_of
from triagedesk.errors import ConfigError, TicketError
from triagedesk.models import Ticket

MAX_LINE_BYTES = 8 * 1024 * 1024
"""A longer line is an error of its row and is never held in memory whole."""

DAMAGED = "the file is damaged or cut off here; what follows cannot be read"

_DELIMITERS = (",", ";", "\t")
_WRONG_ENCODINGS = (b"\xff\xfe", b"\xfe\xff")
_BOM = b"\xef\xbb\xbf"


class Row(NamedTuple):
    """One row: the line it starts on, and a ticket, or what makes it none and the id that it tells.

    Lines count from 1, in Parquet rows do. `file` names the file where the batch reads several.
    """

    line: int
    ticket: Ticket | None
    problem: str = ""
    id: str = ""
    file: str = ""


class Rows:
    """The rows of an open file of JSON or CSV lines; `mapped` says where a foreign layout keeps a ticket's fields.

    `skipped` counts the rows passed over. Raises ConfigError when a CSV file has no usable header, or lacks a mapped
    column.
    """

    def __init__(
        self, stream: BinaryIO, path: Path, words: frozenset[str] = frozenset(), mapped: ColumnMap | None = None,
        *, name: str = "",
    ) -> None:  # fmt: skip
        self._stream, self._path, self._words, self._name = stream, path, words, name
        self._mapped, self._layout = mapped, Layout(words, mapped)
        self._number = self.skipped = 0
        self._first = self._without_mark()
        self._header = self._csv_header() if format_of(path) == "csv" else None

    def _without_mark(self) -> bytes:
        """Read the first line, without a byte order mark."""
        try:
            line = self._stream.readline(MAX_LINE_BYTES)
        except broken():
            raise ConfigError(
                f"{self._path}: is damaged before its second line, or not what its suffix says; "
                "pack it anew, or take it out"
            ) from None
        if line.startswith(_WRONG_ENCODINGS):
            raise ConfigError(f"{self._path}: is UTF-16; save it as UTF-8")
        return line.removeprefix(_BOM)

    def check(self) -> None:
        """Raise ConfigError if a mapped path stands in none of the first rows. Reads them; read no rows after that."""
        if self._header is None:
            self._layout.check(str(self._path), (_json_or_none(line) for line, _ in self._lines()))

    def after(self, skipped: int) -> Iterator[Row]:
        """Yield the rows that follow the first `skipped`."""
        return self._json_rows(skipped) if self._header is None else self._csv_rows(skipped, *self._header)

    def _lines(self) -> Iterator[tuple[bytes, str]]:
        """Yield physical lines; of one that is too long only the beginning, and the problem."""
        while line := self._read():
            self._number += 1
            if len(line) < MAX_LINE_BYTES or line[-1:] == b"\n":
                yield line, DAMAGED if line is _TORN else ""
                continue
            rest = line
            while rest and rest[-1:] != b"\n":
                rest = self._read()
            yield line[:100] + b"\n", f"line longer than {MAX_LINE_BYTES // 1024 // 1024} MB"

    def _read(self) -> bytes:
        if self._first:
            line, self._first = self._first, b""
            return line
        try:
            return self._stream.readline(MAX_LINE_BYTES)
        except broken():
            self._stream = io.BytesIO()
            return _TORN

    def _json_rows(self, skipped: int) -> Iterator[Row]:
        for line, problem in self._lines():
            if not problem and line.isspace():
                continue
            if skipped:
                skipped -= 1
                self.skipped += 1
            elif problem:
                yield Row(self._number, None, problem, file=self._name)
            else:
                yield self._from_json(line)

    def _from_json(self, line: bytes) -> Row:
        try:
            data = from_json(line.rstrip(), allow_inf_nan=False)
        except ValueError as wrong:
            problem = str(wrong).replace(" at line 1 column", " at column")
            return Row(self._number, None, f"not JSON: {problem}", file=self._name)
        return row_of(self._layout.apply(data), self._number, self._name)

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
        return Columns(names, str(self._path), self._words, self._mapped), delimiter

    def _csv_rows(self, skipped: int, columns: Columns, delimiter: str) -> Iterator[Row]:
        csv.field_size_limit(MAX_LINE_BYTES)
        for line, cells, problem in Records(self._text_lines(), delimiter):
            if skipped:
                skipped -= 1
                self.skipped += 1
            elif problem:
                yield Row(line, None, problem, columns.id_in(cells), self._name)
            else:
                yield self._from_cells(columns, cells, line)

    def _from_cells(self, columns: Columns, cells: list[str], line: int) -> Row:
        try:
            data = columns.ticket(cells)
        except TicketError as wrong:
            return Row(line, None, str(wrong), columns.id_in(cells), self._name)
        return row_of(data, line, self._name)


_TORN = b"\0\n"
"""Stands for what could not be read any more; told apart by identity."""


def _json_or_none(line: bytes) -> Any:
    try:
        return from_json(line, allow_inf_nan=False)
    except ValueError:
        return None


def row_of(data: Any, line: int, name: str = "") -> Row:
    """Build the row of a ticket's data; `name` is the file's, where there are several."""
    told = data.get("id") if isinstance(data, dict) else None
    try:
        return Row(line, ticket_of(data, line, name), file=name)
    except TicketError as wrong:
        return Row(line, None, str(wrong), told_id(str(told)) if isinstance(told, str | int) else "", name)


def ticket_of(data: Any, line: int, name: str = "") -> Ticket:
    """Build a ticket; one without an id is named after its place, so that a second run names it alike."""
    if isinstance(data, dict) and data.get("id") in (None, ""):
        data["id"] = f"{name[-150:]}:{line}" if name else f"line-{line}"
    return Ticket.parse(data)
