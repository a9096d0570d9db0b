"""A file that grows by whole lines, each with one write: what a killed process leaves behind is whole lines."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

_APPEND = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0)
_CHUNK = 1024 * 1024


def _open_itself(path: str, flags: int) -> int:
    """Open a file, never one behind a symbolic link: what stands there may be cut."""
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0))


def sync(path: Path) -> None:
    """Wait until the disk has what was written into a file, or a folder's new names. Raises OSError."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class LineFile:
    """A file of lines, created with its first."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._handle: int | None = None

    def complete_lines(self, at_most: int | None = None) -> int:
        """Count the complete lines and cut off what follows them: an incomplete one, or those beyond `at_most`."""
        if not self.path.exists():
            return 0
        count = whole = read = 0
        with open(self.path, "rb+", opener=_open_itself) as stream:
            while chunk := stream.read(_CHUNK):
                lines = chunk.count(b"\n")
                if at_most is not None and count + lines > at_most:
                    whole = read + _end_of_line(chunk, at_most - count) if at_most > count else whole
                    count = at_most
                    break
                count += lines
                last = chunk.rfind(b"\n")
                whole = read + last + 1 if last >= 0 else whole
                read += len(chunk)
            stream.truncate(whole)
        return count

    def count(self) -> int:
        """Count the complete lines, and change nothing."""
        return sum(1 for _ in self.lines())

    def lines(self) -> Iterator[bytes]:
        """Yield the complete lines, each with its line feed."""
        if self.path.exists():
            with open(self.path, "rb", opener=_open_itself) as stream:
                yield from (line for line in stream if line.endswith(b"\n"))

    def write(self, line: bytes) -> None:
        """Append one line with one write. Raises OSError."""
        if self._handle is None:
            self._handle = os.open(self.path, _APPEND, 0o600)
        written = os.write(self._handle, line)
        while written < len(line):  # a full disk or a signal may split a write
            written += os.write(self._handle, line[written:])

    def replace(self, lines: list[bytes]) -> None:
        """Put these lines in the place of all others: written aside, then renamed. Raises OSError."""
        self.close()
        aside = LineFile(self.path.with_name(self.path.name + ".new"))
        aside.remove()
        aside.write(b"".join(lines))
        aside.close()
        os.replace(aside.path, self.path)

    def sync(self) -> None:
        """Wait until the disk has what was written. Raises OSError."""
        if self._handle is not None:
            os.fsync(self._handle)

    def remove(self) -> None:
        """Delete the file, if it is there."""
        self.close()
        self.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Close the file, if anything was written."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


def _end_of_line(chunk: bytes, number: int) -> int:
    """Return where line `number` (1-based) of a chunk ends, its line feed included."""
    place = -1
    for _ in range(number):
        place = chunk.index(b"\n", place + 1)
    return place + 1
