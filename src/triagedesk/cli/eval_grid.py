"""Tables of figures that keep the names of their rows: columns that do not fit go on in another table below."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from triagedesk.cli.terminal import console, inert

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

PIPE_COLUMNS = 200
"""Into a pipe or a file lines may be long, where the user's COLUMNS does not say otherwise."""
_GAP = 2

Rows = Sequence[Sequence[str]]


def wide_console() -> Console:
    """Return a console on stdout, with lines of up to 200 columns where that is no terminal."""
    out = console(sys.stdout)
    if not sys.stdout.isatty() and "COLUMNS" not in os.environ:
        out.width = PIPE_COLUMNS
    return out


def print_grid(titles: Sequence[str], rows: Rows) -> None:
    """Print rows whose first cell is their name. No cell is cut short or wrapped, and every table has the names."""
    from rich.cells import cell_len

    out = wide_console()
    shown = [[inert(cell) for cell in row] for row in (titles, *rows)]
    widths = [max(map(cell_len, column)) for column in zip(*shown, strict=True)]
    for number, columns in enumerate(_fitting(widths, out.width)):
        if number:
            out.print()
        out.print(_table(shown[0], shown[1:], columns), crop=False)


def _fitting(widths: Sequence[int], room: int) -> Iterator[list[int]]:
    """Yield the places of the columns of each table: as many as there is room for beside the first, one at least."""
    held: list[int] = []
    for place in range(1, len(widths)):
        if held and widths[0] + sum(widths[each] + _GAP for each in (*held, place)) > room:
            yield held
            held = []
        held.append(place)
    yield held


def _table(titles: Sequence[str], rows: Rows, columns: Sequence[int]) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="dim")
    for place in (0, *columns):
        width = max(len(row[place]) for row in (titles, *rows))
        table.add_column(titles[place], no_wrap=True, min_width=width)
    for row in rows:
        if any(row[place] for place in columns):
            table.add_row(row[0], *(row[place] for place in columns))
    return table
