"""What is done of a batch, row by row, so that a kill at any moment loses nothing.

Rows are counted from 0 in the order of the input. Two ways of keeping account:

- `InOrder`: OUT and its error file are in the input's order, so the number of their complete lines is the number of
  rows done. A row that is finished before one ahead of it stands in the log meanwhile, with its line.
- `AsFinished`: rows are written as they finish. The log says which row each line is, and is written first: its n-th
  answer is OUT's n-th line, and what it has beyond OUT's lines was never written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

from triagedesk.batch.linefile import LineFile
from triagedesk.errors import ConfigError

_MAX_DIGITS = 18

MAX_LOG_BYTES = 16 * 1024 * 1024
"""A log that holds more, mostly of rows that are written by now, is written anew with those that are not."""

ANSWER, PROBLEM = b"a", b"e"


def log_path(target: Path) -> Path:
    """Return where the log of OUT's rows stands."""
    return target.with_name(target.name + ".rows")


class Entry(NamedTuple):
    """A row's end: its number, whether it is an answer or a problem, and its line with the line feed."""

    row: int
    kind: bytes
    line: bytes

    @property
    def logged(self) -> bytes:
        """The entry as a line of the log."""
        return b"%d %s %s" % (self.row, self.kind, self.line)


class Counts(NamedTuple):
    """Rows done, and how many of them are in the error file."""

    done: int = 0
    errors: int = 0


Write = Callable[[bytes, bytes], None]
"""Writes a line to OUT or to the error file, by its kind."""


class Account(Protocol):
    """Keeps account of the rows done."""

    def go_on(self, answers: int, errors: int) -> Counts: ...
    def is_done(self, row: int) -> bool: ...
    def catch_up(self, write: Write) -> None: ...
    def finished(self, row: int, kind: bytes, line: bytes, write: Write) -> None: ...
    def remove(self) -> None: ...
    def close(self) -> None: ...

    @property
    def first_open(self) -> int: ...
    @property
    def covered(self) -> Counts: ...


class InOrder:
    """Writes rows in the input's order; those that must wait for others are in the log."""

    def __init__(self, path: Path) -> None:
        self._log = LineFile(path)
        self._next = 0
        self._ahead: dict[int, Entry] = {}
        self._bytes = 0
        self.covered = Counts()  # what stands in the files when `go_on` has looked: here all of it

    @property
    def first_open(self) -> int:
        """The first row that is not done."""
        return self._next

    def go_on(self, answers: int, errors: int) -> Counts:
        """Read the log of a batch whose files hold so many lines. Returns what is done, rows in the log included."""
        self._next = answers + errors
        self.covered = Counts(self._next, errors)
        self._log.complete_lines()
        for line in self._log.lines():
            entry = _entry(line)
            if entry is not None and entry.row >= self._next and entry.line:
                self._ahead[entry.row] = entry
        self._compact()
        waiting = sum(entry.kind == PROBLEM for entry in self._ahead.values())
        return Counts(self._next + len(self._ahead), errors + waiting)

    def is_done(self, row: int) -> bool:
        """Say if a row needs no answer any more."""
        return row < self._next or row in self._ahead

    def finished(self, row: int, kind: bytes, line: bytes, write: Write) -> None:
        """Write a row that is finished, and those that waited for it; or put it into the log. Raises OSError."""
        if row != self._next:
            self._put_by(Entry(row, kind, line))
            return
        write(kind, line)
        self._next += 1
        self.catch_up(write)

    def catch_up(self, write: Write) -> None:
        """Write rows of the log whose turn it is."""
        while (entry := self._ahead.pop(self._next, None)) is not None:
            write(entry.kind, entry.line)
            self._next += 1

    def _put_by(self, entry: Entry) -> None:
        self._ahead[entry.row] = entry
        self._log.write(entry.logged)
        self._bytes += len(entry.line)
        if self._bytes > MAX_LOG_BYTES:
            self._compact()

    def _compact(self) -> None:
        self._bytes = 0
        if self._ahead:
            self._log.replace([entry.logged for entry in self._ahead.values()])
        else:
            self._log.remove()

    def remove(self) -> None:
        """Delete the log: the batch is complete, or another one begins."""
        self._log.remove()

    def close(self) -> None:
        """Close the log."""
        self._log.close()


class AsFinished:
    """Writes rows as they finish, and their numbers into the log before that."""

    def __init__(self, path: Path) -> None:
        self._log = LineFile(path)
        self._next = 0
        self._beyond: set[int] = set()
        self.covered = Counts()  # what of the files' lines the log has: lines beyond that are nobody's

    @property
    def first_open(self) -> int:
        """The first row that is not done."""
        return self._next

    def go_on(self, answers: int, errors: int) -> Counts:
        """Read the log of a batch whose files hold so many lines; entries without a line are cut off.

        Raises ConfigError if the log is missing or damaged: it alone knows which row each line is.
        """
        if not self._log.complete_lines() and answers + errors:
            raise self._damaged()
        left = {ANSWER: answers, PROBLEM: errors}
        kept = 0
        for entry in self._entries():
            if not left[entry.kind]:
                break  # of a kill it is the last one; a power cut may have taken more lines
            left[entry.kind] -= 1
            kept += 1
            self._note(entry.row)
        self._log.complete_lines(at_most=kept)
        self.covered = Counts(kept, errors - left[PROBLEM])
        return self.covered

    def _entries(self) -> Iterator[Entry]:
        for line in self._log.lines():
            entry = _entry(line)
            if entry is None or self.is_done(entry.row):
                raise self._damaged()
            yield entry

    def _damaged(self) -> ConfigError:
        return ConfigError(
            f"{self._log.path}: the log of the rows is missing or damaged; pass --overwrite to start again"
        )

    def _note(self, row: int) -> None:
        self._beyond.add(row)
        while self._next in self._beyond:
            self._beyond.remove(self._next)
            self._next += 1

    def is_done(self, row: int) -> bool:
        """Say if a row needs no answer any more."""
        return row < self._next or row in self._beyond

    def finished(self, row: int, kind: bytes, line: bytes, write: Write) -> None:
        """Write a row's number into the log, then its line. Raises OSError."""
        self._log.write(Entry(row, kind, b"\n").logged)
        write(kind, line)
        self._note(row)

    def catch_up(self, write: Write) -> None:
        """Nothing waits here."""

    def remove(self) -> None:
        """Delete the log: the batch is complete, or another one begins."""
        self._log.remove()

    def close(self) -> None:
        """Close the log."""
        self._log.close()


def _entry(line: bytes) -> Entry | None:
    number, _, rest = line.partition(b" ")
    kind, _, text = rest.partition(b" ")
    is_row = number.isdigit() and len(number) <= _MAX_DIGITS and kind in (ANSWER, PROBLEM)
    return Entry(int(number), kind, text) if is_row else None
