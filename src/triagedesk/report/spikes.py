"""Days on which a kind of ticket came far more often than before.

Each series (an issue type; with a product; with a region; with both) is held against its own past: the mean of the 28
days before, or of the same weekday in them where that is greater. A day stands out where so many tickets have hardly
any chance under the predictive distribution of a Poisson rate with Jeffreys' prior, a negative binomial (Riebler 2004,
"Empirischer Vergleich von statistischen Methoden zur Ausbruchserkennung"; algorithm Bayes of R's `surveillance`),
widened by the past's own dispersion. The level is divided by the number of days tested (Bonferroni).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

PAST_DAYS, MIN_PAST_DAYS = 28, 7
LEVEL = 0.01
"""The chance of one false alarm or more in the whole report."""
MIN_TICKETS, MIN_TIMES = 6, 2.0
MAX_SERIES = 20_000
MAX_CELLS = 400_000
PARTS = 0.6
"""A narrower series tells the spike of a wider one when this share of the excess lies in it."""

Key = tuple[str, str, str]
"""Issue type, product, region; empty where all are meant."""


@dataclass(frozen=True)
class Spike:
    """A stretch of days, as ordinals. `expected` is what the past promised for them."""

    key: Key
    first: int
    last: int
    tickets: int
    expected: float
    chance: float

    @property
    def excess(self) -> float:
        """Tickets above what was expected."""
        return self.tickets - self.expected

    @property
    def times(self) -> float:
        """How many times as many as expected."""
        return self.tickets / max(self.expected, 0.5)


@dataclass
class Series:
    """Counts by day for every series, as many as fit; `lost` says that some did not."""

    days: dict[Key, dict[int, int]] = field(default_factory=dict)
    cells: int = 0
    lost: bool = False

    def count(self, day: int, issue: str, product: str, region: str) -> None:
        """Count a ticket in every series that it belongs to."""
        for key in {(issue, "", ""), (issue, product, ""), (issue, "", region), (issue, product, region)}:
            counts = self.days.get(key)
            if counts is None:
                if len(self.days) >= MAX_SERIES:
                    self.lost = True
                    continue
                counts = self.days[key] = {}
            if day not in counts:
                if self.cells >= MAX_CELLS:
                    self.lost = True
                    continue
                self.cells += 1
            counts[day] = counts.get(day, 0) + 1


def tail(count: int, shape: float, scale: float) -> float:
    """Return P(X >= count) of a negative binomial with mean shape × scale and variance mean × (1 + scale).

    Both `shape` and `scale` are positive. The series is summed from `count` upwards until terms no longer matter.
    """
    if count <= 0:
        return 1.0
    up, down = math.log(scale / (1 + scale)), -math.log1p(scale)
    term = math.exp(
        math.lgamma(count + shape) - math.lgamma(count + 1) - math.lgamma(shape) + count * up + shape * down
    )
    total, k = 0.0, count
    while term > total * 1e-12 and k < count + 100_000:
        total += term
        term *= (k + shape) / (k + 1) * scale / (1 + scale)
        k += 1
    return min(total, 1.0)


@dataclass(frozen=True)
class _Day:
    day: int
    tickets: int
    expected: float
    chance: float


def find_spikes(series: Series, first: int, last: int) -> list[Spike]:
    """Return the spikes between two days, each told once: by the narrowest series that explains it."""
    looked = {key: list(_judged(counts, first, last)) for key, counts in series.days.items() if _worth(counts)}
    tested = max(sum(map(len, looked.values())), 1)
    found = [spike for key, days in looked.items() for spike in _stretches(key, days, LEVEL / tested)]
    return sorted(_told_once(found), key=lambda spike: (-spike.excess, spike.key))


def _worth(counts: Mapping[int, int]) -> bool:
    return max(counts.values(), default=0) >= MIN_TICKETS


def _judged(counts: Mapping[int, int], first: int, last: int) -> Iterator[_Day]:
    """Judge every day that has a past; a day that stood out is not part of the past of those after it."""
    stood_out: set[int] = set()
    for day in sorted(day for day, tickets in counts.items() if tickets >= MIN_TICKETS and first <= day <= last):
        past = [(each, counts.get(each, 0)) for each in range(max(first, day - PAST_DAYS), day)
                if each not in stood_out]  # fmt: skip
        if len(past) < MIN_PAST_DAYS:
            continue
        judged = _one(day, counts[day], past)
        if judged.chance <= LEVEL / 100 and judged.tickets >= MIN_TIMES * judged.expected:
            stood_out.add(day)
        yield judged


def _one(day: int, tickets: int, past: list[tuple[int, int]]) -> _Day:
    counts = [n for _, n in past]
    weekday = [n for each, n in past if (day - each) % 7 == 0]
    mean = sum(counts) / len(counts)
    like = weekday if weekday and sum(weekday) / len(weekday) > mean else counts
    shape, scale = sum(like) + 0.5, 1 / len(like)
    spread = _dispersion(counts, mean)
    return _Day(day, tickets, shape * scale, tail(math.ceil(tickets / spread), shape / spread, scale))


def _dispersion(counts: list[int], mean: float) -> float:
    """Return variance over mean, at least 1: Poisson has 1, real desks more."""
    if mean <= 0 or len(counts) < 2:
        return 1.0
    return max(sum((n - mean) ** 2 for n in counts) / (len(counts) - 1) / mean, 1.0)


def _stretches(key: Key, days: Iterable[_Day], level: float) -> Iterator[Spike]:
    """Join days that stand out one after the other."""
    spike: Spike | None = None
    for each in days:
        if each.chance > level or each.tickets < MIN_TIMES * each.expected:
            continue
        if spike is not None and each.day == spike.last + 1:
            spike = replace(
                spike, last=each.day, tickets=spike.tickets + each.tickets,
                expected=spike.expected + each.expected, chance=min(spike.chance, each.chance),
            )  # fmt: skip
            continue
        if spike is not None:
            yield spike
        spike = Spike(key, each.day, each.day, each.tickets, each.expected, each.chance)
    if spike is not None:
        yield spike


def _told_once(found: list[Spike]) -> list[Spike]:
    """Drop a spike that a kept one tells: narrower ones first, wider ones where the narrow are but a part."""
    kept: list[Spike] = []
    for spike in sorted(found, key=lambda each: (-_narrow(each.key), -each.excess, each.key)):
        within = [each for each in kept if _related(spike, each)]
        if spike.excess * PARTS > max((each.excess for each in within), default=0.0):
            kept = [each for each in kept if each not in within] if _wider(spike, within) else kept
            kept.append(spike)
    return kept


def _narrow(key: Key) -> int:
    return sum(part != "" for part in key)


def _related(one: Spike, other: Spike) -> bool:
    """Say whether two spikes overlap in time and one series holds the other."""
    agree = all(not a or not b or a == b for a, b in zip(one.key, other.key, strict=True))
    return agree and one.first <= other.last and other.first <= one.last


def _wider(spike: Spike, within: list[Spike]) -> bool:
    return bool(within) and all(_narrow(spike.key) < _narrow(each.key) for each in within)
