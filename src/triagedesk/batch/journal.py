"""The journal of a batch: a small file beside OUT that names the batch and keeps a second process out.

What is done is counted in OUT and its error file: every row becomes exactly one line in one of the two, written in
order, with one unbuffered write. So after a kill at any moment the complete lines of both are the rows done.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from triagedesk.errors import ConfigError

_MAX_BYTES = 1000
_OPEN = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)

try:
    import fcntl
except ImportError:  # Windows: no lock there, the journal still names the batch
    fcntl = None  # type: ignore[assignment]


def journal_path(target: Path) -> Path:
    """Return where OUT's journal stands."""
    return target.with_name(target.name + ".journal")


class Journal:
    """An open, locked journal."""

    def __init__(self, handle: int, path: Path) -> None:
        self._handle, self.path = handle, path

    @property
    def identity(self) -> str:
        """The batch that OUT belongs to; empty if none."""
        os.lseek(self._handle, 0, os.SEEK_SET)
        return os.read(self._handle, _MAX_BYTES).decode("utf-8", "replace").strip()

    def name(self, identity: str) -> None:
        """Write the batch's identity down, or forget it with an empty one."""
        os.ftruncate(self._handle, 0)
        os.lseek(self._handle, 0, os.SEEK_SET)
        os.write(self._handle, f"{identity}\n".encode() if identity else b"")

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
