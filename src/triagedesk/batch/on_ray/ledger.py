"""The ledger of a batch on Ray: which blocks and rows killed their actors, and until when the provider wants peace.

It lives in an actor of its own on the driver's machine, so that what it knows outlives every actor that does the work.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable

BLOCK_TRIES = 3
"""A block that killed its actor so often goes row by row."""

ROW_TRIES = 2
"""A row that, alone, killed its actor so often is not tried again; once may have been the loss of a machine."""

MAX_PAUSE_S = 60.0


class Ledger:
    """Counts tries before they are made: one that is never finished was the death of its actor."""

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, *, block_tries: int = BLOCK_TRIES, row_tries: int = ROW_TRIES
    ) -> None:
        self._clock, self._block_tries, self._row_tries = clock, block_tries, row_tries
        self._blocks: Counter[int] = Counter()
        self._rows: Counter[tuple[int, int]] = Counter()
        self._kept: defaultdict[int, dict[int, bytes]] = defaultdict(dict)
        self._quiet_until = 0.0

    def begin(self, block: int) -> dict[int, bytes] | None:
        """Note that a block is begun. Returns None, or the outcomes so far if it must go row by row."""
        self._blocks[block] += 1
        return dict(self._kept[block]) if self._blocks[block] > self._block_tries else None

    def begin_row(self, block: int, row: int) -> bool:
        """Note that a row is begun alone. Returns False if it must not be tried again."""
        self._rows[block, row] += 1
        return self._rows[block, row] <= self._row_tries

    def keep(self, block: int, row: int, outcome: bytes) -> None:
        """Keep what came of a row, so that the death of the next one does not ask it again."""
        self._kept[block][row] = outcome

    def finish(self, block: int) -> None:
        """Forget a block: it is answered."""
        self._blocks.pop(block, None)
        for row in self._kept.pop(block, ()):
            self._rows.pop((block, row), None)

    def slow(self, seconds: float) -> None:
        """Let all actors wait: the provider said to one of them that it is asked too often."""
        self._quiet_until = max(self._quiet_until, self._clock() + min(seconds, MAX_PAUSE_S))

    def quiet_s(self) -> float:
        """Return for how many seconds nobody shall ask."""
        return max(0.0, self._quiet_until - self._clock())
