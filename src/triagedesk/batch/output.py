"""OUT and its error file: every row becomes one line in one of the two, and the way back in after a kill.

A plain .jsonl or .csv grows in place. A packed one or Parquet is made at the end, out of the lines in a working file
beside it: OUT appears only when it is complete.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from pydantic_core import to_json

from triagedesk.batch.account import ANSWER, PROBLEM, Account, AsFinished, Counts, InOrder, log_path
from triagedesk.batch.finish import finish
from triagedesk.batch.journal import Journal, journal_path, open_journal, parts_path
from triagedesk.batch.linefile import LineFile
from triagedesk.batch.lines import Line, csv_header, line_for
from triagedesk.batch.streams import compression_of, format_of
from triagedesk.errors import ConfigError
from triagedesk.models import Suggestion


def errors_path(target: Path) -> Path:
    """Return where the problems go: out.jsonl has out.jsonl.errors.jsonl, so that no two OUTs share an error file."""
    return target.with_name(f"{target.name}.errors.jsonl")


def is_made_at_the_end(target: Path) -> bool:
    """Say if OUT is Parquet or packed, so that its rows stand in a working file until all are there."""
    return bool(compression_of(target)) or format_of(target) == "parquet"


def work_path(target: Path) -> Path:
    """Return the file that grows by lines: OUT itself, or the working file beside it."""
    return target.with_name(target.name + ".part") if is_made_at_the_end(target) else target


def own_paths(target: Path) -> dict[str, Path]:
    """Return every file that a batch writes, by what it is."""
    return {
        "OUT": target, "OUT's error file": errors_path(target), "OUT's journal": journal_path(target),
        "OUT's log": log_path(target), "OUT's working file": work_path(target),
    }  # fmt: skip


class Output:
    """Where a batch's rows go. `counts` are the rows that stood there before; `is_finished` says that all did."""

    def __init__(self, target: Path, dimensions: tuple[str, ...], journal: Journal, *, ordered: bool = True) -> None:
        self.target, self._dimensions, self._journal = target, dimensions, journal
        self._answers, self._problems = LineFile(work_path(target)), LineFile(errors_path(target))
        self._header = csv_header(dimensions) if format_of(target) == "csv" else b""
        self._line: Line = line_for(target, dimensions)
        self._account: Account = (InOrder if ordered else AsFinished)(log_path(target))
        self.counts = Counts()
        self._done = self._errors = self._errors_written = 0
        self._last_kind = b""
        self.is_finished = False

    @property
    def exists(self) -> bool:
        """Say if the file is there that the rows go to."""
        return self._answers.path.exists()

    @property
    def first_open(self) -> int:
        """The first row, counted from 0, that is not written."""
        return self._account.first_open

    @property
    def began(self) -> datetime:
        """The moment at which the batch is judged."""
        return self._journal.began

    @property
    def spent(self) -> float:
        """USD spent by this batch so far, earlier runs included."""
        return self._journal.spent

    def is_done(self, row: int) -> bool:
        """Say if a row, counted from 0, needs no answer any more."""
        return self._account.is_done(row)

    def begin(self) -> None:
        """Remove what is left of another batch; a finished OUT that is made at the end stays until it is replaced."""
        self._problems.remove()
        self._answers.remove()
        self._account.remove()
        self._answers.write(b"")

    def go_on(self) -> None:
        """Count what stands there and continue after it; before the first row comes the header."""
        header = bool(self._header)
        answers = max(self._answers.complete_lines() - header, 0)
        self._check_errors()
        errors = self._problems.complete_lines()
        self.counts = self._account.go_on(answers, errors)
        self._done, self._errors = self.counts
        done, self._errors_written = self._account.covered
        if not self._answers.complete_lines(at_most=done - self._errors_written + header):
            self._answers.write(self._header)
        self._problems.complete_lines(at_most=self._errors_written)
        self._journal.count_errors(self._errors_written)
        self._settle()
        self._account.catch_up(self._write)

    def _settle(self) -> None:
        """Have the disk take what an earlier run wrote, before other lines come behind it."""
        for file in (self._answers, self._problems):
            if file.path.exists():
                file.write(b"")
                file.sync()

    def _check_errors(self) -> None:
        """Raise ConfigError if the error file is not as this batch left it: a line more than was noted is a kill's."""
        path, noted = self._problems.path, self._journal.errors
        if self._problems.count() not in (noted, noted + 1):
            raise ConfigError(f"{path}: was changed since this batch stopped; put it back, or pass --overwrite")

    def spend(self, total: float) -> None:
        """Write down the USD spent by the whole batch: before the row that they were spent for."""
        self._journal.spend(total)

    def answer(self, row: int, suggestion: Suggestion) -> None:
        """Write the answer of a row, counted from 0. Raises OSError."""
        self.answer_line(row, self._line(suggestion))

    def answer_line(self, row: int, line: bytes) -> None:
        """Write a line that another process has made. Raises OSError."""
        self._account.finished(row, ANSWER, line, self._write)
        self._done += 1

    def problem(self, row: int, line: int, problem: str, ticket_id: str = "", file: str = "") -> None:
        """Write why a row has no answer: its file and line, its id if known, and never its text. Raises OSError."""
        told = {name: value for name, value in (("file", file), ("ticket_id", ticket_id)) if value}
        text = to_json({"line": line, **told, "error": problem}) + b"\n"
        self._account.finished(row, PROBLEM, text, self._write)
        self._done += 1
        self._errors += 1

    def _write(self, kind: bytes, line: bytes) -> None:
        if kind != self._last_kind:
            self._sync(self._last_kind)
            self._last_kind = kind
        if kind == ANSWER:
            self._answers.write(line)
            return
        self._problems.write(line)
        self._errors_written += 1
        self._journal.count_errors(self._errors_written)

    def _sync(self, kind: bytes) -> None:
        """Have the disk take the lines of one kind before the next of the other: row numbers are counts of lines.

        A power cut could else take answers and leave problems of rows behind them, or the other way round.
        """
        if kind == ANSWER:
            self._answers.sync()
        elif kind == PROBLEM:
            self._problems.sync()
            self._journal.sync()

    def finish(self) -> None:
        """Every row is written: make OUT what it shall be, and remove what stood beside it. Raises OSError."""
        if not self.is_finished:
            self._answers.sync()
            self._problems.sync()
            if is_made_at_the_end(self.target):
                finish(self._answers.path, self.target, self._dimensions)
            self._journal.finish(self._done, self._errors)
        if is_made_at_the_end(self.target):
            self._answers.remove()
        self._account.remove()
        self._journal.remove()

    def was_finished(self, rows: int, errors: int) -> None:
        """A kill came when OUT was complete and only its journal was left. Raises ConfigError if rows are missing."""
        header = bool(self._header)
        is_short = self._problems.count() != errors
        if not is_made_at_the_end(self.target):
            is_short = is_short or self._answers.count() - header != rows - errors
        if is_short:
            raise ConfigError(f"{self.target}: its journal says that it is complete, but its rows are others; "
                              "pass --overwrite to start again")  # fmt: skip
        self.counts, self.is_finished = Counts(rows, errors), True
        self._done, self._errors = rows, errors

    def close(self) -> None:
        """Close every file."""
        self._answers.close()
        self._problems.close()
        self._account.close()


@contextlib.contextmanager
def open_output(
    target: Path, dimensions: tuple[str, ...], identity: str, *, resume: bool, overwrite: bool, ordered: bool = True
) -> Iterator[Output]:
    """Open OUT for the batch `identity`, alone; call `finish` on it when every row is written.

    Raises ConfigError if another process writes it, or if it holds anything but this batch and `overwrite` is not set.
    """
    with open_journal(target) as journal:
        output = Output(target, dimensions, journal, ordered=ordered)
        try:
            _enter(output, journal, target, identity, resume=resume, overwrite=overwrite)
            yield output
        finally:
            output.close()


def _enter(output: Output, journal: Journal, target: Path, identity: str, *, resume: bool, overwrite: bool) -> None:
    if parts_path(target).is_dir() and not overwrite:
        raise ConfigError(f"{target}: a batch on Ray stopped here; go on with --engine ray, or pass --overwrite")
    known = journal.identity
    is_ours = known == identity and resume and not overwrite
    finished = journal.finished if is_ours else None
    if is_ours and finished is not None and target.exists():
        output.was_finished(*finished)
    elif is_ours and output.exists:
        output.go_on()
    elif overwrite or not _is_in_the_way(target, known, is_ours=is_ours):
        journal.name("")  # first forget: a kill between these lines must not mix two batches
        shutil.rmtree(parts_path(target), ignore_errors=True)
        output.begin()
        journal.name(identity)
        output.go_on()
    else:
        if not known:
            journal.remove()
        raise ConfigError(_in_the_way(target, known, identity))


def _is_in_the_way(target: Path, known: str, *, is_ours: bool) -> bool:
    if _holds(target) or (known and _holds(work_path(target))):
        return True
    return _holds(errors_path(target)) and not is_ours


def _holds(path: Path) -> bool:
    return path.exists() and path.stat().st_size > 0


def _in_the_way(target: Path, known: str, identity: str) -> str:
    if not known:
        there = target if _holds(target) else errors_path(target)
        return f"{there}: exists already; pass --overwrite to replace it, or choose another OUT"
    if known == identity:
        return f"{target}: holds a part of this batch; leave --no-resume out, or pass --overwrite to start again"
    return (
        f"{target}: holds another batch (input, playbook, prompt, model or settings differ, or an earlier version "
        "began it); pass --overwrite to start again"
    )
