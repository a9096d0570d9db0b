"""The parts of a batch on Ray: one file for each finished block, in a folder beside OUT, put together at the end.

A part is written aside, synced and renamed, so one that is there is whole. It holds a line that says what follows, then
the lines of the error file, then those of OUT.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import BinaryIO, NamedTuple

from pydantic_core import from_json, to_json

from triagedesk.batch.account import Counts
from triagedesk.batch.finish import finish
from triagedesk.batch.journal import parts_path
from triagedesk.batch.linefile import sync
from triagedesk.batch.output import errors_path, is_made_at_the_end, work_path

_SUFFIX = ".part"
_CHUNK = 1024 * 1024


class Part(NamedTuple):
    """A finished block: how many rows were answered and how many were not, and their lines."""

    answered: int
    errors: int
    answers: bytes
    problems: bytes


class Parts:
    """The folder of OUT's parts. Every method may raise OSError."""

    def __init__(self, target: Path) -> None:
        self._target, self.folder = target, parts_path(target)

    @property
    def exists(self) -> bool:
        """Say if the folder is there."""
        return self.folder.is_dir()

    def begin(self) -> None:
        """Start with an empty folder; what is left of another batch goes."""
        self.remove()
        self.folder.mkdir(mode=0o700)

    def done(self) -> frozenset[int]:
        """Return the numbers of the blocks that are there."""
        names = (path.name for path in self.folder.glob(f"*{_SUFFIX}"))
        return frozenset(int(name.removesuffix(_SUFFIX)) for name in names)

    def counts(self) -> Counts:
        """Count the rows of all parts."""
        done = errors = 0
        for number in self.done():
            with self._path(number).open("rb") as stream:
                head = from_json(stream.readline())
            done, errors = done + head["answered"] + head["errors"], errors + head["errors"]
        return Counts(done, errors)

    def write(self, number: int, part: Part) -> None:
        """Write a block's part: from now on it is done, whatever happens."""
        head = {"answered": part.answered, "errors": part.errors, "problem_bytes": len(part.problems)}
        aside = self.folder / f"{number:08}.new"
        with _created(aside) as stream:
            stream.writelines((to_json(head), b"\n", part.problems, part.answers))
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(aside, self._path(number))
        sync(self.folder)

    def put_together(self, blocks: int, header: bytes, dimensions: tuple[str, ...]) -> None:
        """Make OUT and its error file of all parts, in order. Done again after a kill, it gives the same."""
        work = work_path(self._target)
        answers, problems = _aside(work), _aside(errors_path(self._target))
        with _created(answers) as out, _created(problems) as errors:
            out.write(header)
            for number in range(blocks):
                self._append(number, out, errors)
            for stream in (out, errors):
                stream.flush()
                os.fsync(stream.fileno())
        self._rename(problems, errors_path(self._target))
        os.replace(answers, work)
        if is_made_at_the_end(self._target):
            finish(work, self._target, dimensions)
            work.unlink()
        sync(self._target.absolute().parent)

    def _append(self, number: int, out: BinaryIO, errors: BinaryIO) -> None:
        with self._path(number).open("rb") as part:
            errors.write(part.read(from_json(part.readline())["problem_bytes"]))
            shutil.copyfileobj(part, out, _CHUNK)

    def _rename(self, aside: Path, path: Path) -> None:
        if aside.stat().st_size:
            os.replace(aside, path)
        else:  # no problems: what an earlier batch left there goes, too
            aside.unlink()
            path.unlink(missing_ok=True)

    def remove(self) -> None:
        """Remove the folder and what is in it."""
        if self.folder.is_dir() and not self.folder.is_symlink():
            shutil.rmtree(self.folder)

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:08}{_SUFFIX}"


def _aside(path: Path) -> Path:
    return path.with_name(path.name + ".new")


def _created(path: Path) -> BinaryIO:
    """Create a file that only its owner may read, never one behind a symbolic link."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_NOFOLLOW", 0)
    return os.fdopen(os.open(path, flags, 0o600), "wb")
