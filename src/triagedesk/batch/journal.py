"""The journal of a batch: a small file beside OUT that names the batch and keeps a second process out.

Its lines say which batch OUT belongs to; when that began, which is the moment at which all of it is judged, also after
a kill; the money spent so far; and at last that OUT is finished. What is done stands in OUT itself, and in the log
beside it (`account.py`).
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from triagedesk.errors import ConfigError

_MAX_BYTES = 1000
_MONEY_WIDTH = 24
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
        self._money_at = 0

    @property
    def identity(self) -> str:
        """The batch that OUT belongs to; empty if none."""
        return self._line(0)

    @property
    def began(self) -> datetime:
        """When the batch began, by the first of its runs; now, if the journal does not say."""
        try:
            return datetime.fromisoformat(self._line(1))
        except ValueError:
            return datetime.now(UTC)

    @property
    def spent(self) -> float:
        """USD spent by all runs of this batch so far."""
        try:
            return float(self._line(2))
        except ValueError:
            return 0.0

    @property
    def finished(self) -> tuple[int, int] | None:
        """How many rows, and errors among them, OUT held when it was finished; None while it is not."""
        rows, _, errors = self._line(3).removeprefix("finished ").partition(" ")
        return (int(rows), int(errors)) if rows.isdigit() and errors.isdigit() else None

    def finish(self, rows: int, errors: int) -> None:
        """Write down that OUT is complete: a kill before the journal is removed changes nothing any more."""
        lines = os.pread(self._handle, _MAX_BYTES, 0).split(b"\n")[:3]
        at = sum(len(line) + 1 for line in lines)
        os.pwrite(self._handle, f"finished {rows} {errors}\n".encode(), at)

    def _line(self, number: int) -> str:
        lines = os.pread(self._handle, _MAX_BYTES, 0).decode("utf-8", "replace").splitlines()
        return lines[number].strip() if number < len(lines) else ""

    def name(self, identity: str, began: datetime | None = None) -> None:
        """Write the batch's identity and its beginning down, or forget it with an empty one."""
        os.ftruncate(self._handle, 0)
        if identity:
            head = f"{identity}\n{(began or datetime.now(UTC)).isoformat()}\n"
            os.pwrite(self._handle, f"{head}{0.0:{_MONEY_WIDTH}.9f}\n".encode(), 0)

    def spend(self, total: float) -> None:
        """Write down the money spent so far, in USD, with one write in place."""
        if not self._money_at:
            head = os.pread(self._handle, _MAX_BYTES, 0).split(b"\n", 2)[:2]
            self._money_at = sum(len(line) + 1 for line in head)
        os.pwrite(self._handle, f"{total:{_MONEY_WIDTH}.9f}\n".encode(), self._money_at)

    def remove(self) -> None:
        """Delete the journal: the batch is complete, or never began."""
        self.path.unlink(missing_ok=True)


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
