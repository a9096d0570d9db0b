"""OUT as suggestions: JSON Lines, CSV or Parquet, packed or not, and one line for a file that is none of a batch's."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import from_json

from triagedesk.batch.columns import ALIASES, plain
from triagedesk.batch.journal import journal_path
from triagedesk.batch.output import errors_path
from triagedesk.batch.streams import Stream, broken, format_of, require_parquet
from triagedesk.errors import ConfigError
from triagedesk.report.lines import Header, Line, from_json_line

MAX_LINE_BYTES = 8 * 1024 * 1024
MAX_FALSE_STARTS = 20
"""A file whose first lines, so many, are all no suggestions is no batch's output."""
BATCH_ROWS = 2000
MANIFEST = "manifest.json"


class Suggestions:
    """The lines of OUT, once through. `unreadable` counts those that are no suggestion.

    Raises ConfigError if OUT cannot be read, is empty, or is something else.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.unreadable, self.read = path, 0, 0
        _must_be_file(path)
        self._kind = format_of(path)
        require_parquet(path)

    def __iter__(self) -> Iterator[Line]:
        wrong = ""
        for line, problem in self._lines():
            if line is not None:
                self.read += 1
                yield line
                continue
            self.unreadable += 1
            wrong = TICKETS if TICKETS in (problem, wrong) else wrong or problem  # one torn line does not hide the rest
            if self.unreadable >= MAX_FALSE_STARTS and not self.read:
                break
        if not self.read:
            raise ConfigError(f"{self.path}: {wrong or 'is empty; run `triagedesk batch IN OUT` first'}")

    def _lines(self) -> Iterator[tuple[Line | None, str]]:
        if self._kind == "parquet":
            yield from _parquet_lines(self.path)
            return
        with unpacked(self.path) as stream:
            yield from (_json_lines(stream) if self._kind == "jsonl" else _csv_lines(stream, self.path))

    @property
    def unfinished(self) -> bool:
        """Say whether the batch that writes OUT has not ended, or was killed."""
        return journal_path(self.path).exists()

    def rows_in_error(self) -> int:
        """Return how many rows the batch could not answer, as its error file tells."""
        try:
            with errors_path(self.path).open("rb") as stream:
                return sum(chunk.count(b"\n") for chunk in iter(lambda: stream.read(1 << 20), b""))
        except OSError:
            return 0


def _must_be_file(path: Path) -> None:
    if path.is_dir() and (path / MANIFEST).exists():
        raise ConfigError(f"{path}: is the folder of an eval run; `triagedesk eval report {path}` makes its page")
    if path.is_dir():
        raise ConfigError(f"{path}: is a folder; give the file that `triagedesk batch` wrote")
    if path.exists() and not path.is_file():
        raise ConfigError(f"{path}: is not a regular file; give the file that `triagedesk batch` wrote")


@contextmanager
def unpacked(path: Path) -> Iterator[io.BufferedReader]:
    """Open a file for reading, unpacked by its suffix. Raises ConfigError, also for what is damaged."""
    with closing(Stream(path)) as stream:
        try:
            yield stream.text
        except broken() as wrong:
            told = getattr(wrong, "strerror", None) or "is damaged or cut off and cannot be unpacked"
            raise ConfigError(f"{path}: {told}; make it anew") from None


def _json_lines(stream: io.BufferedReader) -> Iterator[tuple[Line | None, str]]:
    while line := stream.readline(MAX_LINE_BYTES):
        if line.isspace():
            continue
        try:
            yield from_json_line(line), ""
        except ValidationError:
            yield None, shape_of(line)


def shape_of(line: bytes) -> str:
    """Say what a line is that is no suggestion, and what to do with its file. Tells none of its words."""
    try:
        data = from_json(line.removeprefix(b"\xef\xbb\xbf"))
    except ValueError:
        return "its lines are not JSON; give the file that `triagedesk batch` wrote"
    keys = set(data) if isinstance(data, dict) else set()
    for known, told in SHAPES:
        if known <= keys:
            return told
    return TICKETS if _of_tickets(keys) else "is no output of `triagedesk batch`: its lines are no suggestions"


def _of_tickets(names: Iterable[str]) -> bool:
    """Say whether keys or columns are a ticket's: one of them holds its text, under one of the names for it."""
    return not TEXT_NAMES.isdisjoint(map(plain, names))


TICKETS = "holds tickets, not suggestions; run `triagedesk batch` on it and give its OUT"
TEXT_NAMES = frozenset(("body", "messages", *ALIASES["body"]))
SHAPES = (
    ({"suggestion", "attempt"}, "holds the predictions of an eval run; `triagedesk eval report RUN` makes their page"),
    ({"ticket", "labels"}, "holds labelled tickets, not suggestions; `triagedesk eval` scores against them"),
    ({"line", "error"}, "is the error file of a batch; give its OUT"),
    ({"ticket_id", "labels"}, "its lines lack parts of a suggestion; make it anew with `triagedesk batch`"),
)
"""Keys that a line has, and what its file is then."""


def _csv_lines(stream: io.BufferedReader, path: Path) -> Iterator[tuple[Line | None, str]]:
    csv.field_size_limit(MAX_LINE_BYTES)
    text = io.TextIOWrapper(stream, "utf-8-sig", errors="replace", newline="")
    try:
        top = text.readline(MAX_LINE_BYTES)
        if top:
            delimiter = max((",", ";", "\t"), key=top.count)
            header = _header(next(csv.reader([top], delimiter=delimiter), []), path)
            yield from _csv_rows(csv.reader(text, delimiter=delimiter), header)
    finally:
        text.detach()  # the stream is closed by whoever opened it


def _csv_rows(reader: Iterator[list[str]], header: Header) -> Iterator[tuple[Line | None, str]]:
    while True:
        try:
            cells = next(reader, None)
        except csv.Error:
            yield None, "its lines are not CSV"
            continue
        if cells is None:
            return
        if cells:
            yield _line(header, dict(zip(header.names, cells, strict=False)))


def _header(names: list[str], path: Path) -> Header:
    try:
        return Header(names)
    except ValueError as wrong:
        told = f"is no output of `triagedesk batch`: {wrong}; if it holds tickets, run `triagedesk batch` on it first"
        raise ConfigError(f"{path}: {TICKETS if _of_tickets(names) else told}") from None


def _line(header: Header, row: dict[str, Any]) -> tuple[Line | None, str]:
    try:
        return header.line(row), ""
    except (ValueError, KeyError, TypeError, AttributeError):
        return None, "its rows lack parts of a suggestion; make it anew with `triagedesk batch`"


def _parquet_lines(path: Path) -> Iterator[tuple[Line | None, str]]:
    import pyarrow as pa  # lazy: the extra [parquet], 0.3 s
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            header = _header(file.schema_arrow.names, path)
            for batch in file.iter_batches(batch_size=BATCH_ROWS):
                for row in batch.to_pylist():
                    yield _line(header, row)
    except OSError as wrong:
        raise ConfigError(f"{path}: {wrong.strerror or 'cannot be read'}; give a file that can be read") from None
    except (pa.ArrowException, ValueError, OverflowError, LookupError):
        raise ConfigError(f"{path}: is no Parquet file, a damaged one, or holds times or texts that cannot be read; "
                          "give the file that `triagedesk batch` wrote") from None  # fmt: skip
