"""What a page is made of: sections of tables, charts with their numbers, and notes on what is missing.

The page and the JSON are both made from these, so that they can never differ.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from markupsafe import Markup

from triagedesk.pages.words import DASH, count, milliseconds, percent
from triagedesk.report.groups import OTHERS, Share

Kind = Literal["text", "label", "date", "count", "share", "number", "usd", "minutes", "ms", "trend"]
Cell = str | int | float | Share | None | tuple[int, ...]
FEW = 1000
"""A share of fewer than so many is shown with its interval."""
MAX_WORD, MAX_TEXT = 60, 100
SHADES = 8
NO_BREAK = "\N{NO-BREAK SPACE}"


@dataclass(frozen=True)
class Column:
    """A column: its key in JSON, its heading, and what its cells are."""

    key: str
    title: str
    kind: Kind = "count"

    @property
    def numeric(self) -> bool:
        """Say whether its cells are set to the right."""
        return self.kind not in ("text", "label", "date", "trend")


@dataclass(frozen=True)
class Table:
    """Rows under columns. `bar` is the key of a column whose size is drawn; `shaded` tells a matrix."""

    key: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""
    bar: str = ""
    shaded: bool = False
    wide: bool = False

    def as_json(self) -> list[dict[str, Any]]:
        """Return the rows as objects."""
        keys = [column.key for column in self.columns]
        return [dict(zip(keys, map(plain, row), strict=True)) for row in self.rows]

    def most(self, key: str) -> float:
        """Return the largest value of a column, at least 1, for what is drawn beside it."""
        place = self._place(key)
        return max((_size(row[place]) for row in self.rows), default=0.0) or 1.0

    def part(self, row: tuple[Cell, ...]) -> float:
        """Return how long the bar of a row is, in percent."""
        return round(100 * _size(row[self._place(self.bar)]) / self.most(self.bar), 2)

    def ranged(self) -> list[str]:
        """Return the columns in which some cell has an interval."""
        return [column.key for column, cells in zip(self.columns, zip(*self.rows, strict=True), strict=False)
                if any(interval(cell) for cell in cells)]  # fmt: skip

    def _place(self, key: str) -> int:
        return next(place for place, column in enumerate(self.columns) if column.key == key)


class Drawn(Protocol):
    """What a chart is drawn by, once the page is made."""

    @property
    def wide(self) -> bool:
        """Say whether it takes the page's whole width."""
        ...

    def svgs(self) -> tuple[Markup, ...]:
        """Return it as inline SVG."""
        ...


@dataclass(frozen=True)
class Chart:
    """A drawing and the numbers that it shows."""

    table: Table
    drawing: Drawn


@dataclass(frozen=True)
class Missing:
    """What cannot be shown, and what would fill it."""

    what: str
    need: str


Block = Table | Chart | Missing


@dataclass(frozen=True)
class Section:
    """One part of the page. `boxes` are small tables set side by side."""

    key: str
    title: str
    note: str = ""
    blocks: tuple[Block, ...] = ()
    boxes: tuple[Table, ...] = ()
    more: tuple[Block, ...] = field(default=())

    def tables(self) -> list[Table]:
        """Return every table, those of charts included."""
        every = (*self.blocks, *self.boxes, *self.more)
        return [block.table if isinstance(block, Chart) else block for block in every if not isinstance(block, Missing)]


def _size(cell: Cell) -> float:
    if isinstance(cell, Share):
        return cell.value or 0.0
    return float(cell) if isinstance(cell, int | float) else 0.0


def plain(cell: Cell) -> Any:
    """Return a cell for JSON."""
    if not isinstance(cell, Share):
        return list(cell) if isinstance(cell, tuple) else cell
    low, high = cell.interval
    return {"count": cell.hits, "of": cell.n, "share": cell.value, "low": low, "high": high}


def shown(cell: Cell, kind: Kind) -> str:
    """Return a cell as text."""
    if cell is None:
        return DASH
    if isinstance(cell, Share):
        return percent(cell.value)
    if isinstance(cell, str):
        return _text(cell, kind)
    return _number(cell, kind) if isinstance(cell, int | float) else ""


def _text(cell: str, kind: Kind) -> str:
    if kind == "date":  # one that is broken over two lines is hard to read
        return cell.replace(" ", NO_BREAK)
    return cut(spoken(cell) if kind == "label" else cell, MAX_TEXT)


def _number(value: float, kind: Kind) -> str:
    if kind == "count":
        return count(int(value))
    if kind == "usd":
        return usd(value)
    if kind == "ms":
        return milliseconds(value)
    return minutes(value) if kind == "minutes" else f"{value:,.1f}"


def interval(cell: Cell) -> str:
    """Return the 95 % interval of a share of few, "10.2–14.9"; empty for all else."""
    if not isinstance(cell, Share) or not 0 < cell.n < FEW:
        return ""
    low, high = cell.interval
    return f"{100 * low:.1f}{DASH}{100 * high:.1f}"


def minutes(value: float) -> str:
    """Return a duration of minutes as "45 min", "4 h", "2.5 d"."""
    for size, unit in ((1440, "d"), (60, "h")):
        if value >= 2 * size or (value and value % size == 0):
            return f"{value / size:.1f}".removesuffix(".0") + f" {unit}"
    return f"{value:.0f} min"


def usd(value: float) -> str:
    """Return an amount: more digits the smaller it is."""
    return f"${value:,.2f}" if value >= 1 or value == 0 else f"${value:.4f}"


def spoken(label: str) -> str:
    """Return a label as words: "billing_payment" as "billing payment"."""
    return label.replace("_", " ")


def cut(word: str, most: int = MAX_WORD) -> str:
    """Return a word short enough for a table."""
    return word if len(word) <= most else word[: most - 1] + "…"


def top(ranked: Sequence[tuple[str, int]], most: int) -> tuple[list[tuple[str, int]], int, int]:
    """Return the first `most`, how many others there are, and what they hold together.

    What was thrown together while counting goes to the others.
    """
    named = [each for each in ranked if each[0] != OTHERS]
    rest = [*named[most:], *(each for each in ranked if each[0] == OTHERS)]
    return named[:most], len(rest), sum(n for _, n in rest)


def counts(key: str, title: str, ranked: Sequence[tuple[str, int]], n: int, *, kind: Kind = "label", most: int = 12,
           note: str = "") -> Table:  # fmt: skip
    """Return a table of counts with shares of n, the rest as others."""
    first, others, held = top(ranked, most)
    rows: list[tuple[Cell, ...]] = [(name, times, Share(times, n)) for name, times in first]
    if others:
        rows.append((others_name(others), held, Share(held, n)))
    columns = (Column("name", "", kind), Column("tickets", "tickets"), Column("share", "share", "share"))
    return Table(key, title, columns, tuple(rows), note, bar="tickets")


def others_name(others: int) -> str:
    """Return how the rest is called."""
    return f"others ({others})" if others > 1 else "others"


def shade(value: float, most: float) -> int:
    """Return 0 to 8: how dark a cell is."""
    return min(SHADES, round(value / most * SHADES + 0.49)) if value and most else 0


def as_json(sections: Sequence[Section]) -> dict[str, Mapping[str, Any]]:
    """Return the tables of all sections by their keys."""
    return {section.key: {table.key: table.as_json() for table in section.tables()} for section in sections}
