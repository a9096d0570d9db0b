"""Bootstrap draws of confusion counts: rows drawn with replacement, or whole groups where rows belong together.

Drawing n rows with replacement and counting them is one multinomial draw over the distinct rows (Efron 1979), so a draw
costs as much for a million rows as for a hundred. Rows of one group (customer, thread, template) are drawn together,
else intervals come out too narrow (Cameron, Gelbach and Miller 2008).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix

from triagedesk.evals.metrics.scale import Floats, Ints

DRAWS = 2000
_CELLS_AT_ONCE = 20_000_000


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
        groups = self.groups
        assert groups is not None
        size = int(groups.max()) + 1
        by_group = csr_matrix((np.ones(len(groups)), (groups, self.cells)), shape=(size, self.width))
        step = max(1, _CELLS_AT_ONCE // size)
        parts = []
        for start in range(0, draws, step):
            taken = rng.multinomial(size, np.full(size, 1 / size), size=min(step, draws - start))
            parts.append(np.asarray(csr_matrix(taken) @ by_group.toarray() if self.width <= 64
                                    else (csr_matrix(taken) @ by_group).toarray()))  # fmt: skip
        return np.concatenate(parts).astype(np.float64)


def numbered_groups(groups: Sequence[Any]) -> Ints | None:
    """Return a number per group, or None where no two rows share one. A row whose group is None stands for itself."""
    names: dict[Any, int] = {}
    codes = [names.setdefault(("row", i) if group is None else ("group", group), len(names))
             for i, group in enumerate(groups)]  # fmt: skip
    return np.asarray(codes, dtype=np.int64) if len(names) < len(codes) else None


def percentile_interval(values: Floats, level: float = 0.95) -> tuple[float, float]:
    """Return the percentile interval of draws, NaN left out; (NaN, NaN) where nothing is defined."""
    known = values[~np.isnan(values)]
    if known.size == 0:
        return float("nan"), float("nan")
    tail = 50 * (1 - level)
    low, high = np.percentile(known, [tail, 100 - tail])
    return float(low), float(high)
