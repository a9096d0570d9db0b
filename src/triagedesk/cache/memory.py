"""What stands before and behind the disk of the answer cache: an LRU in memory, and a queue of writes."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from queue import Empty, Full, Queue

MAX_ENTRIES = 2_048
"""How many answers are held in memory: about 1.5 KB each."""

MAX_HELD_CHARS = 32_768
"""A longer value is read from disk each time."""

MAX_WAITING = 1_024
"""How many writes may wait; further ones are dropped."""

MAX_BATCH, LINGER_S = 100, 0.01
"""A batch is written in one transaction; the first write waits this many seconds for company."""

Row = tuple[str, str]


class AnswerMemory:
    """The values used last, for as long as they are valid. Safe between threads."""

    def __init__(self, max_entries: int = MAX_ENTRIES, clock: Callable[[], float] = time.monotonic) -> None:
        self._held: OrderedDict[str, tuple[str, float]] = OrderedDict()
        self._max_entries = max_entries
        self._clock = clock
        self._lock = threading.Lock()

    def get(self, key: str) -> str | None:
        """Return a value that is still valid, or None."""
        with self._lock:
            found = self._held.get(key)
            if found is None:
                return None
            value, until = found
            if self._clock() >= until:
                del self._held[key]
                return None
            self._held.move_to_end(key)
            return value

    def put(self, key: str, value: str, seconds: float) -> None:
        """Hold a value for so many seconds; the one used longest ago makes room."""
        if len(value) > MAX_HELD_CHARS or seconds <= 0:
            return
        with self._lock:
            self._held[key] = (value, self._clock() + seconds)
            self._held.move_to_end(key)
            if len(self._held) > self._max_entries:
                self._held.popitem(last=False)

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._held.clear()


class WriteQueue:
    """Hands rows in batches to `write`, in a thread of its own that starts with the first row.

    `write` must not raise. `done` is called in that thread before it ends.
    """

    def __init__(self, write: Callable[[list[Row]], None], done: Callable[[], None]) -> None:
        self._write, self._done = write, done
        self._queue: Queue[Row | threading.Event | None] = Queue(MAX_WAITING)
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._closed = False

    def offer(self, row: Row) -> bool:
        """Take a row without waiting. Returns False if the queue is full or closed."""
        if self._closed:
            return False
        try:
            self._queue.put_nowait(row)
        except Full:
            return False
        self._start()
        return True

    def _start(self) -> None:
        if self._thread is None or not self._thread.is_alive():
            with self._starting:
                if self._thread is None or not self._thread.is_alive():
                    self._thread = threading.Thread(target=self._run, name="triagedesk-cache", daemon=True)
                    self._thread.start()

    def flush(self, seconds: float) -> bool:
        """Wait until every row taken so far is written. Returns whether that came in time."""
        if self._thread is None or not self._thread.is_alive():
            return True
        written = threading.Event()
        try:
            self._queue.put(written, timeout=seconds)
        except Full:
            return False
        return written.wait(seconds)

    def close(self, seconds: float = 5.0) -> None:
        """Write what waits and end the thread; takes nothing more."""
        self._closed = True
        if self._thread is None or not self._thread.is_alive():
            return
        try:
            self._queue.put(None, timeout=seconds)
        except Full:
            return
        self._thread.join(seconds)

    def _run(self) -> None:
        ended = False
        while not ended:
            rows, events, ended = self._gather()
            if rows:
                self._write(rows)
            for event in events:
                event.set()
        self._done()

    def _gather(self) -> tuple[list[Row], list[threading.Event], bool]:
        """Wait for a first item, then take what follows shortly; an event or the end closes the batch."""
        rows: list[Row] = []
        item = self._queue.get()
        until = time.monotonic() + LINGER_S
        while isinstance(item, tuple):
            rows.append(item)
            if len(rows) >= MAX_BATCH:
                return rows, [], False
            try:
                item = self._queue.get(timeout=max(0.0, until - time.monotonic()))
            except Empty:
                return rows, [], False
        return rows, [] if item is None else [item], item is None
