"""Who answered, why not the model, how sure it was, and what it cost."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field

from triagedesk.models import ConfidenceKind, Source
from triagedesk.report.groups import Capped
from triagedesk.report.lines import Line, Origin, Spent
from triagedesk.report.timeline import Daily

MODEL, CACHE = Source.MODEL.value, Source.CACHE.value
UNKNOWN = ConfidenceKind.NONE.value
BINS = 20
"""Confidences are counted in steps of .05; the last one holds 1."""
MAX_DIMENSIONS = 50
EDGES_MS = [1.2**step for step in range(100)]
"""Times are counted in steps, each a fifth longer than the one before: 1 ms to 19 h."""


@dataclass
class Money:
    """What model answers cost, in USD. `saved` is the price of answers that came from the cache."""

    spent: float = 0.0
    priced: int = 0
    unpriced: int = 0
    saved: float = 0.0

    def count(self, origin: Origin) -> None:
        """Add an answer's price. One from the cache was paid before."""
        if origin.source == CACHE:
            self.saved += origin.cost_usd or 0.0
        elif origin.cost_usd is not None:
            self.spent += origin.cost_usd
            self.priced += 1
        elif origin.source == MODEL:
            self.unpriced += 1


class Waits:
    """Times in ms, counted in steps of a fifth."""

    def __init__(self) -> None:
        self._steps: dict[int, int] = {}
        self.n = 0

    def count(self, ms: float) -> None:
        """Count a time."""
        step = min(bisect_left(EDGES_MS, ms), len(EDGES_MS) - 1)
        self._steps[step] = self._steps.get(step, 0) + 1
        self.n += 1

    def quantile(self, share: float) -> float | None:
        """Return the time in ms that this share does not exceed, to a fifth; None of nothing."""
        passed = 0
        for step in sorted(self._steps):
            passed += self._steps[step]
            if passed >= share * self.n:
                return float(f"{EDGES_MS[step]:.2g}")
        return None


@dataclass
class Answers:
    """The answers of all suggestions, by source."""

    sources: Capped = field(default_factory=Capped)
    fallbacks: Capped = field(default_factory=Capped)
    models: Capped = field(default_factory=Capped)
    playbooks: Capped = field(default_factory=Capped)
    by_day: Daily = field(default_factory=Daily)
    fallbacks_by_day: Daily = field(default_factory=Daily)
    confidences: dict[tuple[str, str], list[int]] = field(default_factory=dict)
    waits: dict[str, Waits] = field(default_factory=dict)
    money: Money = field(default_factory=Money)
    tokens: dict[str, int] = field(default_factory=lambda: {"prompt": 0, "cached": 0, "completion": 0})

    def count(self, line: Line, day: int | None) -> None:
        """Count one suggestion's provenance and confidences."""
        origin = line.provenance
        self.sources.count(origin.source)
        if origin.fallback_reason:
            self.fallbacks.count(origin.fallback_reason)
        if origin.model:
            self.models.count(origin.model)
        if origin.playbook:
            self.playbooks.count(origin.playbook)
        if origin.source == MODEL:
            self._tokens(origin.tokens)
        self.money.count(origin)
        if origin.elapsed_ms is not None:
            self._waited(origin.source, origin.elapsed_ms)
        if day is not None:
            self._day(day, origin)
        self._confidences(line)

    def _tokens(self, spent: Spent) -> None:
        self.tokens["prompt"] += spent.prompt
        self.tokens["cached"] += spent.cached
        self.tokens["completion"] += spent.completion

    def _waited(self, source: str, ms: float) -> None:
        waits = self.waits.get(source)
        if waits is None:
            if len(self.waits) >= MAX_DIMENSIONS:
                return
            waits = self.waits[source] = Waits()
        waits.count(ms)

    def _day(self, day: int, origin: Origin) -> None:
        self.by_day.count(day, origin.source)
        if origin.fallback_reason:
            self.fallbacks_by_day.count(day, origin.fallback_reason)

    def _confidences(self, line: Line) -> None:
        for name, said in line.labels.items():
            if said.confidence is None:
                continue
            kind = "" if said.confidence_kind == UNKNOWN else said.confidence_kind
            bins = self.confidences.get((name, kind))
            if bins is None:
                if len(self.confidences) >= MAX_DIMENSIONS:
                    continue
                bins = self.confidences[name, kind] = [0] * BINS
            bins[min(int(said.confidence * BINS + 1e-9), BINS - 1)] += 1
