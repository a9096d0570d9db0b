"""The folder of the answer cache: private to its owner, with a secret for its keys and a database that opens."""

from __future__ import annotations

import os
import secrets
import sqlite3
import stat
import time
from collections.abc import Collection
from pathlib import Path

PROBE_S = 0.5
"""How long opening waits for another process's lock, in seconds."""

SECRET_BYTES = 32


def make_private_folder(folder: Path) -> None:
    """Make a folder that only its owner can enter. Raises OSError, also where it belongs to somebody else."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise PermissionError(1, "it is a link or belongs to another user; choose another cache folder")
    if stat.S_IMODE(found.st_mode) != 0o700:
        folder.chmod(0o700)


def make_private_file(path: Path) -> int:
    """Make a file that only its owner can read; SQLite gives its side files the same mode. Returns its inode."""
    handle = os.open(path, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW, 0o600)
    try:
        os.fchmod(handle, 0o600)
        return os.fstat(handle).st_ino
    finally:
        os.close(handle)


def probe(path: Path, settings: Collection[str]) -> None:
    """Open a database and take its write lock once, because diskcache would wait 60 s for it.

    Raises sqlite3.DatabaseError for a damaged one and for one with settings that diskcache does not know: it would
    make attributes of them.
    """
    connection = sqlite3.connect(path, timeout=PROBE_S, isolation_level=None)
    try:
        connection.execute("BEGIN IMMEDIATE")
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        found = {key for (key,) in connection.execute("SELECT key FROM Settings")} if "Settings" in tables else set()
        connection.execute("ROLLBACK")
    finally:
        connection.close()
    if not found <= set(settings):
        raise sqlite3.DatabaseError("malformed: unknown settings")


def move_aside(path: Path) -> None:
    """Rename a damaged database to `*.corrupt-<nanoseconds>` and drop its side files, which belong to it alone."""
    path.rename(path.with_name(f"{path.name}.corrupt-{time.time_ns()}"))
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def shared_secret(path: Path) -> bytes:
    """Return the random key of this cache's keys: made once, whole from the first moment, the same in all processes."""
    if not path.exists() or path.stat().st_size != SECRET_BYTES:
        made = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
        handle = os.open(made, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(secrets.token_bytes(SECRET_BYTES))
        try:
            os.link(made, path)
        except FileExistsError:
            if path.stat().st_size != SECRET_BYTES:  # cut off by a crash or a full disk
                os.replace(made, path)
        finally:
            made.unlink(missing_ok=True)
    return path.read_bytes()
