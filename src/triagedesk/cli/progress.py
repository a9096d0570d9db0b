"""The progress of a batch on stderr: a bar for a person, a plain line now and then for a log."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, TextIO

from triagedesk.batch.tally import Tally

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

REDRAW_S = 0.1
PLAIN_LINE_S = 30.0


class Progress:
    """Shows how far `size` bytes of input are read. Counting bytes needs no pass over the files beforehand."""

    def __init__(self, size: int, stream: TextIO, *, notice: str | None = None) -> None:
        self._stream, self._notice, self._size = stream, notice, size
        self._bar = _bar(stream) if stream.isatty() else None
        self._task = self._bar.add_task("", total=size, rows=0, rate=0.0, more="") if self._bar is not None else None
        self._began = time.monotonic()
        self._next = self._began + self._pause
        self._first: int | None = None
        self.rows = 0

    @property
    def _pause(self) -> float:
        return PLAIN_LINE_S if self._bar is None else REDRAW_S

    def watch(self, tally: Tally, position: int) -> None:
        """Take note of a row; draw if it is time to. The notice goes before the first."""
        if self._notice is not None:
            notice, self._notice = self._notice, None
            self.say(notice)
        if self._first is None:
            self._first = position
        self.rows = tally.resumed + tally.rows
        now = time.monotonic()
        if now >= self._next:
            self._next = now + self._pause
            self._draw(tally, position, now)

    def _draw(self, tally: Tally, position: int, now: float) -> None:
        more = ", ".join(_more(tally))
        if self._bar is not None and self._task is not None:
            self._bar.update(
                self._task, completed=position, rows=self.rows, rate=tally.rows_per_second, more=more
            )  # fmt: skip
            return
        share = position / self._size if self._size else 1.0
        left = self._left_s(position, now)
        eta = "" if left is None else f"{duration(left)} left, "
        self.say(f"{self.rows} rows, {share:.0%}, {tally.rows_per_second:,.0f} rows/s, {eta}{more}")

    def _left_s(self, position: int, now: float) -> float | None:
        """Return the seconds left if it goes on as in this run."""
        read = position - (self._first or 0)
        return (self._size - position) * (now - self._began) / read if read > 0 else None

    def say(self, line: str) -> None:
        """Print a line above the bar."""
        if self._bar is not None:
            self._bar.console.print(line)
        else:
            print(line, file=self._stream, flush=True)

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()


def _more(tally: Tally) -> Iterator[str]:
    """Yield who answered, in shares, what it cost, how many are in flight, and what went wrong."""
    if tally.answered:
        yield " ".join(f"{name} {count / tally.answered:.0%}" for name, count in tally.sources.most_common())
    if tally.cost_usd is not None:
        yield f"${tally.spent_usd or tally.cost_usd:.4f}"
    if tally.concurrency > 1:
        yield f"{tally.concurrency} in flight"
    yield f"{tally.errors} errors"


def duration(seconds: float) -> str:
    """Return "45s", "12m" or "3h05m"."""
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{seconds:.0f}s"
    return f"{minutes}m" if minutes < 90 else f"{minutes // 60}h{minutes % 60:02}m"


def _bar(stream: TextIO) -> Bar:
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    from triagedesk.cli.terminal import console

    columns = (
        BarColumn(20), TaskProgressColumn(), TextColumn("{task.fields[rows]} rows"),
        TextColumn("{task.fields[rate]:,.0f} rows/s"), TimeRemainingColumn(), TextColumn("{task.fields[more]}"),
    )  # fmt: skip
    bar = Bar(*columns, console=console(stream), transient=True)
    bar.start()
    return bar
