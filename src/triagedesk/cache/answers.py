"""Answers kept on disk, as text only: a fault of the cache is a counted miss, never an error.

Reads are inline, because a thread costs ten times the read; writes go through a bounded queue to one thread that
batches them. An in-memory LRU stands in front.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import diskcache  # noqa: TID251 (this file and `disk` touch the disk cache)
from diskcache.core import DEFAULT_SETTINGS, METADATA  # noqa: TID251

from triagedesk.cache.disk import FAULTS, LockRest, TextDisk, fault_kind, reason
from triagedesk.cache.folder import make_private_file, make_private_folder, move_aside, probe, shared_secret
from triagedesk.cache.holder import is_gone, new_holder
from triagedesk.cache.memory import AnswerMemory, WriteQueue
from triagedesk.settings import Settings

MAX_VALUE_CHARS = 262_144
"""A longer value is not kept: no answer is that long (a reply is capped at 256 KiB)."""

BUSY_S = 0.02
"""How long a read or a claim waits for a lock before it gives up, in seconds (RELIABILITY F49)."""

WRITE_TRIES = 50
"""How often a batch is tried against a lock, `BUSY_S` each, before it is dropped."""

FOLDER, DATABASE, SECRET = "answers", "cache.db", "secret"
_CLAIM, _ENTRY = "claim:", "answer:"
_DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class CacheStats:
    """What the cache holds (on disk) and what happened since it was opened. `bytes` is the database's size."""

    entries: int
    bytes: int
    hits: int
    misses: int
    faults: dict[str, int]
    problem: str | None = None
    where: str = ""


def open_cache(settings: Settings) -> AnswerCache:
    """Open the cache of these settings. Never raises: without a usable folder it keeps nothing, and says why.

    The folder `answers` under `cache_dir` is made private (0700, files 0600). A damaged database is moved aside to
    `cache.db.corrupt-<time>` and made anew.
    """
    cache = AnswerCache(settings)
    if settings.cache:
        cache.open()
    return cache


class AnswerCache:
    """Text by key, for a time. No method but `clear` and `close` blocks longer than `BUSY_S`; none raises."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self.folder = settings.cache_dir / FOLDER
        self.problem: str | None = None if settings.cache else "switched off"
        self.secret = b""
        self._enabled = settings.cache
        self._ttl_s = settings.cache_ttl_days * _DAY_S
        self._max_bytes = settings.cache_max_bytes
        self._disk: Any = None
        self._memory = AnswerMemory()
        self._writes = WriteQueue(self._write, self._close_connection)
        self._counts: Counter[str] = Counter()
        self._faults: Counter[str] = Counter()
        self._healing = threading.Lock()
        self._inode = 0
        self._token = new_holder()
        self._claimed: set[str] = set()
        self._reads, self._claims = LockRest(self._faults, clock), LockRest(self._faults, clock)

    # --- opening ---

    def open(self) -> None:
        """Open the database, or a new one if it is damaged; on failure `problem` says what to do."""
        try:
            make_private_folder(self.folder)
            self.secret = shared_secret(self.folder / SECRET)
            self._open_or_replace()
            self.problem = None
        except FAULTS as wrong:
            self._disk = None
            self._faults[fault_kind(wrong)] += 1
            self.problem = f"{self.folder}: {reason(wrong)}"

    def _open_or_replace(self) -> None:
        path = self.folder / DATABASE
        try:
            self._connect(path)
        except sqlite3.DatabaseError as wrong:
            if fault_kind(wrong) != "corrupt":  # locked, or a full disk: the database is not at fault
                raise
            self._faults["corrupt"] += 1
            move_aside(path)
            self._connect(path)

    def _connect(self, path: Path) -> None:
        self._inode = make_private_file(path)
        probe(path, {*DEFAULT_SETTINGS, *METADATA})
        self._disk = diskcache.Cache(
            str(self.folder), timeout=BUSY_S, disk=TextDisk, size_limit=self._max_bytes, statistics=0, tag_index=0,
            eviction_policy="least-recently-stored", disk_min_file_size=2**62, disk_pickle_protocol=0,
            # A mapped file that another process truncates would end this one with SIGBUS.
            sqlite_mmap_size=0, sqlite_journal_mode="wal", sqlite_synchronous=1, sqlite_auto_vacuum=1,
            sqlite_cache_size=8_192, cull_limit=0,
        )  # fmt: skip

    def _heal(self) -> None:
        """Replace a damaged database, unless another process has done so."""
        if not self._healing.acquire(blocking=False):
            return
        try:
            disk, self._disk = self._disk, None
            if disk is not None:
                disk.close()
            path = self.folder / DATABASE
            if path.exists() and path.stat().st_ino == self._inode:
                move_aside(path)
            self.open()
        except OSError as wrong:
            self.problem = f"{self.folder}: {reason(wrong)}"
        finally:
            self._healing.release()

    # --- the four words ---

    def get(self, key: str) -> str | None:
        """Return the value of a key, or None. Every fault is a miss, counted by its kind."""
        value = self._memory.get(key)
        if value is None and self._disk is not None and not self._reads.rests():
            value = self._read(key)
        self._counts["hits" if value is not None else "misses"] += 1
        return value

    def refuse(self) -> None:
        """Count the hit just given as a miss after all: its value was none of ours ("foreign")."""
        self._counts["hits"] -= 1
        self._counts["misses"] += 1
        self._faults["foreign"] += 1

    def _read(self, key: str) -> str | None:
        try:
            value, expires = self._disk.get(_ENTRY + key, expire_time=True)
            left_s = self._ttl_s if expires is None else expires - time.time()  # TypeError: no time of ours
        except FAULTS as wrong:
            self._fault(wrong, self._reads)
            return None
        if value is None:
            return None
        if len(value) > MAX_VALUE_CHARS:  # none that this program wrote
            self._faults["oversize"] += 1
            return None
        self._memory.put(key, value, left_s)
        return str(value)

    def put(self, key: str, value: str) -> None:
        """Keep a value: in memory at once, on disk soon. A full queue drops it, counted as "dropped"."""
        if not self._enabled:
            return
        if len(value) > MAX_VALUE_CHARS:
            self._faults["oversize"] += 1
            return
        self._memory.put(key, value, self._ttl_s)
        if self._disk is not None and not self._writes.offer((_ENTRY + key, value)):
            self._faults["dropped"] += 1

    def claim(self, key: str, seconds: float) -> bool:
        """Say if this caller shall ask the question: true for one caller in all processes until `seconds` are over.

        Where the disk cannot say, every caller shall ask: twice is better than never.
        """
        if self._disk is None or self._claims.rests():
            return True
        try:
            granted = self._add_claim(_CLAIM + key, max(seconds, 0.0))
        except FAULTS as wrong:
            self._fault(wrong, self._claims)
            return True
        if granted:
            self._claimed.add(key)
        return granted

    def _add_claim(self, name: str, seconds: float) -> bool:
        """Put a claim down, also in the place of one whose holder was killed."""
        if self._disk.add(name, self._token, expire=seconds):
            return True
        if not is_gone(self._disk.get(name)):
            return False
        self._disk.delete(name)
        return bool(self._disk.add(name, self._token, expire=seconds))

    def release(self, key: str) -> None:
        """Give a claim back, if it is this cache's own; against a lock it runs out by itself."""
        if key not in self._claimed:
            return
        self._claimed.discard(key)
        if self._disk is None or self._claims.rests():
            return
        try:
            if self._disk.get(_CLAIM + key) == self._token:
                self._disk.delete(_CLAIM + key)
        except FAULTS as wrong:
            self._fault(wrong, self._claims)

    # --- housekeeping ---

    def flush(self, seconds: float = 5.0) -> bool:
        """Wait until what was put so far is on disk or dropped. Returns whether that came in time."""
        return self._writes.flush(seconds)

    def clear(self) -> int:
        """Remove all answers and claims. Returns how many answers were on disk."""
        self.flush()
        self._memory.clear()
        removed = self._entries()
        try:
            if self._disk is not None:
                self._disk.clear(retry=False)
        except FAULTS as wrong:
            self._fault(wrong)
        return removed - self._entries()

    def stats(self) -> CacheStats:
        """Say what the cache holds and what happened since it was opened."""
        entries, size = self._entries(), 0
        try:
            size = int(self._disk.volume()) if self._disk is not None else 0
        except FAULTS as wrong:
            self._fault(wrong)
        hits, misses = self._counts["hits"], self._counts["misses"]
        return CacheStats(entries, size, hits, misses, dict(self._faults), self.problem, str(self.folder))

    def _entries(self) -> int:
        """Count the answers on disk; what is in the rows is not decoded."""
        if self._disk is None:
            return 0
        try:
            query = "SELECT COUNT(*) FROM Cache WHERE raw = 1 AND key >= ? AND key < ?"
            ((count,),) = self._disk._sql(query, (_ENTRY, _ENTRY[:-1] + ";")).fetchall()
        except FAULTS as wrong:
            self._fault(wrong)
            return 0
        return int(count)

    def close(self) -> None:
        """Write what waits, then close. The cache answers misses from then on."""
        self._writes.close()
        disk, self._disk = self._disk, None
        self._enabled = False
        self._memory.clear()
        if disk is not None:
            disk.close()

    # --- behind the answer ---

    def _write(self, batch: list[tuple[str, str]]) -> None:
        """Write a batch in one transaction; against a lock a bounded number of times. Runs in the writing thread."""
        for _ in range(WRITE_TRIES):
            disk = self._disk
            if disk is None:
                break
            try:
                with disk.transact():
                    for key, value in batch:
                        disk.set(key, value, expire=self._ttl_s)
                # Not within the batch: pages come free only when it is committed, so all would be evicted.
                disk.cull()
                return
            except diskcache.Timeout:
                continue
            except FAULTS as wrong:
                self._fault(wrong)
                break
        self._faults["dropped"] += len(batch)

    def _close_connection(self) -> None:
        """Close the writing thread's own connection."""
        if self._disk is not None:
            self._disk.close()

    def _fault(self, wrong: BaseException, waited: LockRest | None = None) -> None:
        kind = fault_kind(wrong)
        self._faults[kind] += 1
        if kind == "locked" and waited is not None:
            waited.begin()
        if kind == "corrupt":
            self._heal()
