"""The predictions of a run as a file that only grows: one line a ticket, flushed row by row, resumable at any point."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from triagedesk.errors import ConfigError
from triagedesk.evals.predictions import Prediction, prediction_of

Asked = tuple[str, int]
"""A ticket's id and the repeat."""


class Journal:
    """Appends lines. One process writes at a time: a second one is refused."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> Self:
        self._stream = self.path.open("ab")
        self._claim()
        _cut_torn_line(self.path)
        return self

    def __exit__(self, kind: type[BaseException] | None, wrong: BaseException | None, at: TracebackType | None) -> None:
        self._stream.close()

    def _claim(self) -> None:
        import fcntl  # not on Windows; nothing else of the package needs it

        try:
            fcntl.flock(self._stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._stream.close()
            raise ConfigError(f"{self.path.parent}: another process writes this run; wait for it") from None

    def append(self, line: dict[str, Any]) -> None:
        """Write a line; once this returns, a killed process does not lose it."""
        self._stream.write(json.dumps(line, ensure_ascii=False, separators=(",", ":")).encode() + b"\n")
        self._stream.flush()


def _cut_torn_line(path: Path) -> None:
    """Take away what a kill left of a last line without its line feed; the row is asked again."""
    if not path.exists():
        return
    with path.open("rb+") as stream:
        size = stream.seek(0, os.SEEK_END)
        kept = size
        while kept:
            start = max(0, kept - 65536)
            stream.seek(start)
            at = stream.read(kept - start).rfind(b"\n")
            if at >= 0:
                kept = start + at + 1
                break
            kept = start
        if kept < size:
            stream.truncate(kept)


def lines_of(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the lines of a run, a torn last one left out. Raises ConfigError at a damaged line."""
    if not path.exists():
        return
    with path.open("rb") as stream:
        for number, line in enumerate(stream, 1):
            if line.endswith(b"\n"):
                try:
                    yield json.loads(line)
                except ValueError:
                    raise ConfigError(f"{path}: line {number} is damaged; delete it, and it is asked again") from None


def asked_before(path: Path) -> dict[Asked, Prediction]:
    """Return what a journal holds by ticket and repeat, the last attempt of each. Raises ConfigError."""
    return last_attempts(map(prediction_of, lines_of(path)))


def last_attempts(answers: Iterable[Prediction]) -> dict[Asked, Prediction]:
    """Return answers by ticket and repeat, the last attempt of each."""
    found: dict[Asked, Prediction] = {}
    for one in answers:
        before = found.get((one.id, one.k))
        if before is None or one.attempt >= before.attempt:
            found[one.id, one.k] = one
    return found
