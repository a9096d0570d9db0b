"""Counts of fixed size: tickets by value, and shares with their intervals."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

MAX_VALUES = 1000
"""A grouping counts so many different values; later ones fall under OTHERS."""
OTHERS = "(others)"
NOT_GIVEN = "(not given)"
Z_95 = 1.959963984540054
"""The 97.5 % quantile of the normal distribution."""


@dataclass(frozen=True)
class Share:
    """How many of how many."""

    hits: int
    n: int

    @property
    def value(self) -> float | None:
        """The share in 0..1; None of nothing."""
        return self.hits / self.n if self.n else None

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95 % score interval (1927) in 0..1; all of it where there is nothing."""
        if not self.n:
            return 0.0, 1.0
        square, rate = Z_95**2 / self.n, self.hits / self.n
        middle = (rate + square / 2) / (1 + square)
        half = Z_95 / (1 + square) * math.sqrt(rate * (1 - rate) / self.n + square / (4 * self.n))
        low = 0.0 if self.hits == 0 else max(middle - half, 0.0)
        return low, 1.0 if self.hits == self.n else min(middle + half, 1.0)


@dataclass(slots=True)
class Group:
    """The tickets of one value, and what became of them."""

    n: int = 0
    breached: int = 0
    review: int = 0
    escalated: int = 0
    urgencies: dict[str, int] = field(default_factory=dict)


class Grouping:
    """Tickets by value. At most `limit` values are told apart."""

    def __init__(self, limit: int = MAX_VALUES) -> None:
        self.groups: dict[str, Group] = {}
        self._limit = limit

    def group(self, value: str) -> Group:
        """Return the group of a value, a new one while there is room."""
        found = self.groups.get(value)
        if found is None:
            value = value if len(self.groups) < self._limit else OTHERS
            found = self.groups.setdefault(value, Group())
        return found

    @property
    def full(self) -> bool:
        """Say whether values were thrown together."""
        return OTHERS in self.groups

    def ranked(self) -> list[tuple[str, Group]]:
        """Return the values, the most frequent first."""
        return sorted(self.groups.items(), key=lambda each: (-each[1].n, each[0]))

    def share(self, value: str, n: int) -> Share:
        """Return a value's share of n tickets."""
        found = self.groups.get(value)
        return Share(found.n if found else 0, n)


class Capped(dict[str, int]):
    """A counter of at most MAX_VALUES words."""

    def count(self, word: str, times: int = 1) -> None:
        """Count a word; a new one where there is no more room falls under OTHERS."""
        if word not in self and len(self) >= MAX_VALUES:
            word = OTHERS
        self[word] = self.get(word, 0) + times

    def ranked(self) -> list[tuple[str, int]]:
        """Return the words, the most frequent first."""
        return sorted(self.items(), key=lambda each: (-each[1], each[0]))
