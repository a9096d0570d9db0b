"""OUT and its error file: one unbuffered write per line, and the way back in after a kill."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from pydantic_core import to_json

from triagedesk.batch.journal import Journal, open_journal
from triagedesk.batch.lines import Line, csv_header, csv_line, json_line
from triagedesk.batch.rows import format_of
from triagedesk.errors import ConfigError
from triagedesk.models import Suggestion

_APPEND = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0)
_CHUNK = 1024 * 1024


def _open_itself(path: str, flags: int) -> int:
    """Open a file, never one behind a symbolic link: what stands there may be cut."""
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0))


def errors_path(target: Path) -> Path:
    """Return where the problems go: out.jsonl has out.errors.jsonl."""
    return target.with_name(f"{target.stem}.errors.jsonl")


class LineFile:
    """A file that grows by whole lines, created with its first."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._handle: int | None = None

    def complete_lines(self) -> int:
        """Count the complete lines and cut off an incomplete last one."""
        if not self.path.exists():
            return 0
        count = whole = read = 0
        with open(self.path, "rb+", opener=_open_itself) as stream:
            while chunk := stream.read(_CHUNK):
                count += chunk.count(b"\n")
                last = chunk.rfind(b"\n")
                whole = read + last + 1 if last >= 0 else whole
                read += len(chunk)
            stream.truncate(whole)
        return count

    def write(self, line: bytes) -> None:
        """Append one line with one write: a killed process leaves whole lines behind. Raises OSError."""
        if self._handle is None:
            self._handle = os.open(self.path, _APPEND, 0o600)
        written = os.write(self._handle, line)
        while written < len(line):  # a full disk or a signal may split a write
            written += os.write(self._handle, line[written:])

    def close(self) -> None:
        """Close the file, if anything was written."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


class Output:
    """Where a batch's rows go. `done` rows and `errors` among them stood there before."""

    def __init__(self, target: Path, dimensions: tuple[str, ...]) -> None:
        self._answers, self._problems = LineFile(target), LineFile(errors_path(target))
        is_csv = format_of(target) == "csv"
        self._header = csv_header(dimensions) if is_csv else b""
        self._line: Line = csv_line(dimensions) if is_csv else json_line
        self.done = self.errors = 0

    def begin(self) -> None:
        """Start from nothing: old files go."""
        self._problems.path.unlink(missing_ok=True)
        self._answers.path.unlink(missing_ok=True)
        self._answers.write(self._header)

    def go_on(self) -> None:
        """Count what stands there and continue after it."""
        answers = self._answers.complete_lines()
        if self._header and not answers:
            self._answers.write(self._header)
        self.errors = self._problems.complete_lines()
        self.done = max(answers - bool(self._header), 0) + self.errors

    def answer(self, suggestion: Suggestion) -> None:
        """Write an answer. Raises OSError."""
        self._answers.write(self._line(suggestion))

    def problem(self, line: int, problem: str, ticket_id: str = "") -> None:
        """Write why a row has no answer: its line number, its id if known, and never its text. Raises OSError."""
        told = {"ticket_id": ticket_id} if ticket_id else {}
        self._problems.write(to_json({"line": line, **told, "error": problem}) + b"\n")

    def close(self) -> None:
        """Close both files."""
        self._answers.close()
        self._problems.close()


@contextlib.contextmanager
def open_output(
    target: Path, dimensions: tuple[str, ...], identity: str, *, resume: bool, overwrite: bool
) -> Iterator[Output]:
    """Open OUT for the batch `identity`, alone; its journal goes when the block ends without an exception.

    Raises ConfigError if another process writes it, or if it holds anything but this batch and `overwrite` is not set.
    """
    with open_journal(target) as journal:
        output = Output(target, dimensions)
        try:
            _enter(output, journal, target, identity, resume=resume, overwrite=overwrite)
            yield output
            journal.remove()
        finally:
            output.close()


def _enter(output: Output, journal: Journal, target: Path, identity: str, *, resume: bool, overwrite: bool) -> None:
    known = journal.identity
    if known == identity and resume and not overwrite and target.exists():
        output.go_on()
    elif overwrite or not target.exists() or target.stat().st_size == 0:
        journal.name("")  # first forget: a kill between these lines must not mix two batches
        output.begin()
        journal.name(identity)
    else:
        if not known:
            journal.remove()
        raise ConfigError(_in_the_way(target, known, identity))


def _in_the_way(target: Path, known: str, identity: str) -> str:
    if not known:
        return f"{target}: exists already; pass --overwrite to replace it, or choose another OUT"
    if known == identity:
        return f"{target}: holds a part of this batch; leave --no-resume out, or pass --overwrite to start again"
    return f"{target}: holds another batch (input, playbook, prompt or model differ); pass --overwrite to start again"
