"""Bootstrap draws of confusion counts: rows drawn with replacement, or whole groups where rows belong together.

Drawing n rows with replacement and counting them is one multinomial draw over the distinct rows (Efron 1979), so a draw
costs as much for a million rows as for a hundred. Rows of one group (customer, thread, template) are drawn together,
else intervals come out too narrow (Cameron, Gelbach and Miller 2008).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix

from triagedesk.evals.metrics.scale import Floats, Ints

DRAWS = 2000
_CELLS_AT_ONCE = 4_000_000
_STILL = 1e-12


@dataclass(frozen=True)
class Sample:
    """Which of some distinct cells each row falls into, and which group it belongs to.

    `cells` has shape (n,), `groups` shape (n,) or None where every row stands for itself.
    """

    cells: Ints
    width: int
    groups: Ints | None = None

    @property
    def clustered(self) -> bool:
        """Whether some group holds more than one row."""
        return self.groups is not None

    def draw(self, draws: int = DRAWS, seed: int = 0) -> Floats:
        """Return counts by cell of each draw, shape (draws, width)."""
        rng = np.random.default_rng(seed)
        n = len(self.cells)
        if n == 0:
            return np.zeros((draws, self.width))
        if self.groups is None:
            counts = np.bincount(self.cells, minlength=self.width)
            return rng.multinomial(n, counts / n, size=draws).astype(np.float64)
        return self._draw_groups(rng, draws)

    def _draw_groups(self, rng: np.random.Generator, draws: int) -> Floats:
        """Draw groups. Those that hold the same cells are alike, so that a draw is multinomial over their kinds."""
        kinds, rows = self._kinds()
        size = int(rows.sum())
        step = max(1, _CELLS_AT_ONCE // len(rows))
        parts = []
        for start in range(0, draws, step):
            taken = rng.multinomial(size, rows / size, size=min(step, draws - start))
            parts.append((kinds @ taken.T.astype(np.float64)).T)
        return np.concatenate(parts)

    def _kinds(self) -> tuple[csr_matrix, Ints]:
        """Return the cells of each kind of group, shape (width, kinds), and how many groups are of it."""
        groups = self.groups
        assert groups is not None
        ends = np.cumsum(np.bincount(groups))[:-1]
        held = Counter(part.tobytes() for part in np.split(self.cells[np.lexsort((self.cells, groups))], ends))
        cells = [np.frombuffer(kind, dtype=self.cells.dtype) for kind in held]
        of = np.repeat(np.arange(len(held)), [len(each) for each in cells])
        place = (np.concatenate(cells), of)
        kinds = csr_matrix((np.ones(len(of)), place), shape=(self.width, len(held)))
        return kinds, np.fromiter(held.values(), dtype=np.int64, count=len(held))


def numbered_groups(groups: Sequence[Any]) -> Ints | None:
    """Return a number per group, or None where no two rows share one. A row whose group is None stands for itself."""
    names: dict[Any, int] = {}
    codes = [names.setdefault(("row", i) if group is None else ("group", group), len(names))
             for i, group in enumerate(groups)]  # fmt: skip
    return np.asarray(codes, dtype=np.int64) if len(names) < len(codes) else None


def is_still(values: Floats) -> bool:
    """Say whether draws do not vary at all, as where no row is wrong: they say nothing of how wide an interval is."""
    known = values[~np.isnan(values)]
    return known.size > 0 and float(np.ptp(known)) < _STILL


def percentile_interval(values: Floats, level: float = 0.95) -> tuple[float, float]:
    """Return the percentile interval of draws, NaN left out; (NaN, NaN) where nothing is defined."""
    known = values[~np.isnan(values)]
    if known.size == 0:
        return float("nan"), float("nan")
    tail = 50 * (1 - level)
    low, high = np.percentile(known, [tail, 100 - tail])
    return float(low), float(high)
