"""The progress of a batch on stderr: a bar for a person, a plain line now and then for a log."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from triagedesk.batch.tally import Tally

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

REDRAW_S = 0.1
PLAIN_LINE_S = 10.0


class Progress:
    """Shows how far a file is read. Counting bytes needs no pass over the file beforehand."""

    def __init__(self, source: Path, stream: TextIO, *, notice: str | None = None) -> None:
        self._stream, self._notice = stream, notice
        self._size = source.stat().st_size if source.is_file() else 0
        self._bar = _bar(stream) if stream.isatty() else None
        self._task = self._bar.add_task("", total=self._size, rows=0, rate=0.0) if self._bar is not None else None
        self._next = time.monotonic() + self._pause
        self.rows = 0

    @property
    def _pause(self) -> float:
        return PLAIN_LINE_S if self._bar is None else REDRAW_S

    def watch(self, tally: Tally, position: int) -> None:
        """Take note of a row; draw if it is time to. The notice goes before the first."""
        if self._notice is not None:
            notice, self._notice = self._notice, None
            self._line(notice)
        self.rows = tally.resumed + tally.rows
        now = time.monotonic()
        if now >= self._next:
            self._next = now + self._pause
            self._draw(tally, position)

    def _draw(self, tally: Tally, position: int) -> None:
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=position, rows=self.rows, rate=tally.rows_per_second)
            return
        share = position / self._size if self._size else 1.0
        self._line(f"{self.rows} rows, {share:.0%}, {tally.rows_per_second:,.0f} rows/s, {tally.errors} errors")

    def _line(self, line: str) -> None:
        if self._bar is not None:
            self._bar.console.print(line)
        else:
            print(line, file=self._stream, flush=True)

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()


def _bar(stream: TextIO) -> Bar:
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    from triagedesk.cli.terminal import console

    columns = (
        BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[rows]} rows"),
        TextColumn("{task.fields[rate]:,.0f} rows/s"), TimeRemainingColumn(),
    )  # fmt: skip
    bar = Bar(*columns, console=console(stream), transient=True)
    bar.start()
    return bar
