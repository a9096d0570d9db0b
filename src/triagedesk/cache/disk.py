"""The disk of the answer cache: only text goes in or comes out, every fault has one name, and a lock is rested after.

diskcache stores what it is given with pickle and runs what it finds (CVE-2025-69872); `TextDisk` does neither.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable

import diskcache  # noqa: TID251 (this file and `answers` touch the disk cache)
from diskcache.core import MODE_PICKLE, MODE_RAW  # noqa: TID251

FAULTS = (sqlite3.Error, diskcache.Timeout, OSError, ValueError, TypeError, AttributeError)
"""What a damaged, locked, full or hostile database makes of a cache operation."""

LOCK_REST_S = 5.0
"""After a lock that was not lifted in time the disk is not asked for so many seconds: the event loop waits once."""


class UntrustedRowError(ValueError):
    """A row that this program did not write: `kind` is "pickle" or "foreign". It is never decoded."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        super().__init__(f"a {kind} row in the cache was refused")


class TextDisk(diskcache.Disk):  # type: ignore[misc]
    """Keys and values are text in the database; anything else is refused, on the way in and on the way out."""

    def put(self, key: object) -> tuple[str, bool]:
        """Return a key as the database keeps it. Raises TypeError if it is no text."""
        if type(key) is not str:
            raise TypeError("a cache key is text")
        return key, True

    def get(self, key: object, raw: object) -> str:
        """Return a key that the database keeps. Raises UntrustedRowError."""
        if raw and type(key) is str:
            return key
        raise UntrustedRowError("foreign" if raw else "pickle")

    def store(self, value: object, read: bool, key: object = None) -> tuple[int, int, None, str]:  # noqa: ARG002
        """Return a value as the database keeps it: size, mode, file name, value. Raises TypeError if it is no text."""
        if type(value) is not str or read:
            raise TypeError("a cached value is text")
        return 0, MODE_RAW, None, value

    def fetch(self, mode: int, filename: str | None, value: object, read: bool) -> str:
        """Return a value that the database keeps. Raises UntrustedRowError."""
        if mode == MODE_RAW and filename is None and type(value) is str and not read:
            return value
        raise UntrustedRowError("pickle" if mode == MODE_PICKLE else "foreign")

    def remove(self, file_path: str) -> None:
        """Remove nothing: this cache keeps no files, so a name in a row is somebody else's."""


def fault_kind(wrong: BaseException) -> str:
    """Name a fault: one closed set of kinds for counters."""
    if isinstance(wrong, UntrustedRowError):
        return wrong.kind
    if isinstance(wrong, diskcache.Timeout) or _is_lock(wrong):
        return "locked"
    if isinstance(wrong, sqlite3.DatabaseError):
        text = str(wrong)
        broken = any(sign in text for sign in ("malformed", "not a database", "disk image", "no such table"))
        return "corrupt" if broken or not isinstance(wrong, sqlite3.OperationalError) else "database"
    return "folder" if isinstance(wrong, OSError) else "foreign"


def _is_lock(wrong: BaseException) -> bool:
    return isinstance(wrong, sqlite3.OperationalError) and ("locked" in str(wrong) or "busy" in str(wrong))


def reason(wrong: BaseException) -> str:
    """Say what is wrong in the operating system's or SQLite's words, without a traceback."""
    return wrong.strerror or "unusable" if isinstance(wrong, OSError) else str(wrong) or "unusable"


class LockRest:
    """A pause after a lock in which one kind of call leaves the disk alone; every call left out counts as a fault."""

    def __init__(self, faults: Counter[str], clock: Callable[[], float]) -> None:
        self._faults, self._clock = faults, clock
        self._until = float("-inf")

    def begin(self) -> None:
        """Rest from now on, for `LOCK_REST_S` seconds."""
        self._until = self._clock() + LOCK_REST_S

    def rests(self) -> bool:
        """Say if the disk is to be left alone, and count it."""
        resting = self._clock() < self._until
        if resting:
            self._faults["locked"] += 1
        return resting
