"""The journal of a batch: a small file beside OUT that names the batch and keeps a second process out.

Its lines say which batch OUT belongs to; when that began, which is the moment at which all of it is judged, also after
a kill; the money spent so far; how many lines its error file has; and at last that OUT is finished. What is done stands
in OUT itself, and in the log beside it (`account.py`).
"""

from __future__ import annotations

import contextlib
import math
import os
import stat
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from triagedesk.errors import ConfigError

_MAX_BYTES = 1000
_MONEY_WIDTH = 24
_COUNT_WIDTH = 18
_ERRORS, _FINISHED = "errors ", "finished "
_OPEN = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)

try:
    import fcntl
except ImportError:  # Windows: no lock there, the journal still names the batch
    fcntl = None  # type: ignore[assignment]


def parts_path(target: Path) -> Path:
    """Return the folder where the parts of a batch on Ray stand."""
    return target.with_name(target.name + ".parts")


def journal_path(target: Path) -> Path:
    """Return where OUT's journal stands."""
    return target.with_name(target.name + ".journal")


class Journal:
    """An open, locked journal."""

    def __init__(self, handle: int, path: Path) -> None:
        self._handle, self.path = handle, path
        self._money_at = self._errors_at = 0

    @property
    def identity(self) -> str:
        """The batch that OUT belongs to; empty if none."""
        return self._line(0)

    @property
    def began(self) -> datetime:
        """When the batch began, by the first of its runs. Raises ConfigError if the journal does not say."""
        try:
            began = datetime.fromisoformat(self._line(1))
        except ValueError:
            raise self._damaged() from None
        if began.utcoffset() is None:
            raise self._damaged()
        return began

    @property
    def spent(self) -> float:
        """USD spent by all runs of this batch so far. Raises ConfigError if the journal does not say."""
        try:
            spent = float(self._line(2) or 0)
        except ValueError:
            raise self._damaged() from None
        if not (math.isfinite(spent) and spent >= 0):
            raise self._damaged()
        return spent

    @property
    def errors(self) -> int:
        """How many lines of the error file are this batch's; the last one may be missing here after a kill.

        Raises ConfigError if the journal does not say.
        """
        told = self._line(3)
        count = told.removeprefix(_ERRORS).strip()
        if not (told.startswith(_ERRORS) and _is_count(count)):
            raise self._damaged()
        return int(count)

    @property
    def finished(self) -> tuple[int, int] | None:
        """How many rows, and errors among them, OUT held when it was finished; None while it is not."""
        told = self._line(4)
        rows, _, errors = told.removeprefix(_FINISHED).partition(" ")
        if not (told.startswith(_FINISHED) and _is_count(rows) and _is_count(errors)):
            return None
        return int(rows), int(errors)

    def _damaged(self) -> ConfigError:
        return ConfigError(f"{self.path}: the journal is damaged; pass --overwrite to start again")

    def finish(self, rows: int, errors: int) -> None:
        """Write down that OUT is complete: a kill before the journal is removed changes nothing any more."""
        os.pwrite(self._handle, f"{_FINISHED}{rows} {errors}\n".encode(), self._start_of(4))

    def _line(self, number: int) -> str:
        lines = os.pread(self._handle, _MAX_BYTES, 0).decode("utf-8", "replace").splitlines()
        return lines[number].strip() if number < len(lines) else ""

    def name(self, identity: str, began: datetime | None = None) -> None:
        """Write the batch's identity and its beginning down, or forget it with an empty one."""
        os.ftruncate(self._handle, 0)
        if identity:
            head = f"{identity}\n{(began or datetime.now(UTC)).isoformat()}\n"
            os.pwrite(self._handle, f"{head}{0.0:{_MONEY_WIDTH}.9f}\n{_ERRORS}{0:{_COUNT_WIDTH}}\n".encode(), 0)

    def spend(self, total: float) -> None:
        """Write down the money spent so far, in USD, with one write in place."""
        self._money_at = self._money_at or self._start_of(2)
        os.pwrite(self._handle, f"{total:{_MONEY_WIDTH}.9f}\n".encode(), self._money_at)

    def count_errors(self, lines: int) -> None:
        """Write down how many lines the error file has: after the line, with one write in place."""
        self._errors_at = self._errors_at or self._start_of(3)
        os.pwrite(self._handle, f"{_ERRORS}{lines:{_COUNT_WIDTH}}\n".encode(), self._errors_at)

    def sync(self) -> None:
        """Wait until the disk has what was written. Raises OSError."""
        os.fsync(self._handle)

    def _start_of(self, line: int) -> int:
        before = os.pread(self._handle, _MAX_BYTES, 0).split(b"\n")[:line]
        return sum(len(one) + 1 for one in before)

    def remove(self) -> None:
        """Delete the journal: the batch is complete, or never began."""
        self.path.unlink(missing_ok=True)


def _is_count(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= _COUNT_WIDTH


@contextlib.contextmanager
def open_journal(target: Path) -> Iterator[Journal]:
    """Lock OUT's journal. Raises ConfigError if another process holds it or the folder is not usable."""
    path = journal_path(target)
    if path.exists() and not stat.S_ISREG(path.stat().st_mode):
        raise ConfigError(f"{path}: stands where the batch's journal goes and is no file; remove it")
    handle = _locked(path, target)
    try:
        yield Journal(handle, path)
    finally:
        os.close(handle)


def _locked(path: Path, target: Path) -> int:
    while True:
        try:
            handle = os.open(path, _OPEN, 0o600)
        except OSError as wrong:
            raise ConfigError(f"{target}: cannot be written beside ({wrong.strerror}); choose another OUT") from None
        if not _lock(handle):
            os.close(handle)
            raise ConfigError(f"{target}: another batch is writing it; wait for that one or choose another OUT")
        if _is_still_there(handle, path):
            return handle
        os.close(handle)  # the batch that held it has just removed it


def is_being_written(target: Path) -> bool:
    """Say if another batch writes OUT at this moment."""
    try:
        handle = os.open(journal_path(target), _OPEN & ~os.O_CREAT)
    except OSError:
        return False
    try:
        return not _lock(handle)
    finally:
        os.close(handle)


def _lock(handle: int) -> bool:
    if fcntl is None:
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_still_there(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False
