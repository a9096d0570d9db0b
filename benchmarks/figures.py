"""How the benchmarks measure: contestants take turns, CPU seconds count, ratios are paired within a round.

`time.process_time` counts every thread of this process; a server in its own process is not counted.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

MICRO = 1e6


@dataclass(frozen=True)
class Figure:
    """One measured figure beside its goal; `goal` None means that it is told for information."""

    name: str
    metric: str
    value: float
    unit: str
    goal: float | None = None
    more_is_better: bool = False
    note: str = ""
    stretch: float | None = None
    least: float | None = None
    most: float | None = None

    @property
    def met(self) -> bool | None:
        """Whether the goal is met, or None where there is none."""
        if self.goal is None:
            return None
        return self.value >= self.goal if self.more_is_better else self.value <= self.goal


@dataclass(frozen=True)
class Table:
    """A table of a report, every cell as it is shown."""

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]
    note: str = ""


@dataclass
class Outcome:
    """What one benchmark came to: figures with goals, tables, and who was absent, with the reason."""

    figures: list[Figure] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    absent: dict[str, str] = field(default_factory=dict)
    series: dict[str, dict[str, Any]] = field(default_factory=dict)
    """What charts are drawn from: numbers by name, by what they measure."""

    def as_json(self) -> dict[str, Any]:
        """Return it as plain data."""
        return asdict(self)


def show(figures: list[Figure]) -> None:
    """Print figures, one a line."""
    for figure in figures:
        print(f"{figure.name:<5} {figure.metric}: {shown(figure)}  {figure.note}")


def shown(figure: Figure) -> str:
    """Return a value with its unit and its goal."""
    value = number(figure.value)
    if figure.least is not None and figure.most is not None:
        value = f"{value} [{number(figure.least)}, {number(figure.most)}]"
    if figure.goal is None:
        return f"{value} {figure.unit}".strip()
    sign = "≥" if figure.more_is_better else "≤"
    return f"{value} {figure.unit} (goal {sign} {figure.goal:g}{', missed' if figure.met is False else ''})"


def number(value: float) -> str:
    """Write a number with as many digits as it deserves."""
    if value and abs(value) < 0.1:
        return f"{value:.2g}"
    return f"{value:,.2f}" if abs(value) < 100 else f"{value:,.0f}"


async def in_turns(contestants: Mapping[str, Callable[[int], Awaitable[int]]], rounds: int) -> dict[str, list[float]]:
    """Run coroutines in turns; each takes the round's number and returns how many items it did. CPU µs per item."""
    spent: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(rounds):
        for name, contestant in contestants.items():
            began = time.process_time()
            done = await contestant(number)
            spent[name].append((time.process_time() - began) / done * MICRO)
    return spent


def in_turns_sync(contestants: Mapping[str, Callable[[], int]], rounds: int) -> dict[str, list[float]]:
    """Run functions in turns; each returns how many items it did. CPU µs per item."""
    spent: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, contestant in contestants.items():
            began = time.process_time()
            done = contestant()
            spent[name].append((time.process_time() - began) / done * MICRO)
    return spent


def ratio(spent: Mapping[str, list[float]], one: str, other: str) -> float:
    """Return the median of the ratios within each round."""
    return statistics.median(a / b for a, b in zip(spent[one], spent[other], strict=True))


def middle(spent: Mapping[str, list[float]], name: str) -> float:
    """Return the median."""
    return statistics.median(spent[name])
