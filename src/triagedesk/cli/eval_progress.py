"""The progress of an evaluation on stderr: a bar for a person, a plain line now and then for a log."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import TaskID

    from triagedesk.evals.run import Progress

PLAIN_LINE_S = 10.0


class EvalProgress:
    """Shows rows done, rate, errors and money."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.asked = False
        self._bar: Bar | None = None
        self._task: TaskID | None = None
        self._start = time.monotonic()
        self._next = self._start + PLAIN_LINE_S

    def watch(self, progress: Progress) -> None:
        """Take note of a row."""
        self.asked = True
        if self._stream.isatty():
            self._draw(progress)
        elif time.monotonic() >= self._next:
            self._next = time.monotonic() + PLAIN_LINE_S
            print(self._line(progress), file=self._stream, flush=True)

    def _line(self, progress: Progress) -> str:
        rate = progress.done / max(time.monotonic() - self._start, 1e-9)
        done = progress.before + progress.done
        left = max(progress.total - done, 0) / rate if rate else 0.0
        money = f", ${progress.cost_usd:.4f}" if progress.cost_usd else ""
        fallbacks = sum(progress.fallbacks.values())
        return (
            f"{done} of {progress.total} tickets, {rate:.1f}/s, {left:.0f} s left, "
            f"{progress.errors} errors, {fallbacks} fallbacks{money}"
        )

    def _draw(self, progress: Progress) -> None:
        from rich.progress import BarColumn, TextColumn
        from rich.progress import Progress as Bar

        from triagedesk.cli.terminal import console

        if self._bar is None:
            columns = (BarColumn(), TextColumn("{task.description}"))
            self._bar = Bar(*columns, console=console(self._stream), transient=True)
            self._task = self._bar.add_task("", total=progress.total, completed=progress.before)
            self._bar.start()
        assert self._task is not None
        self._bar.update(self._task, completed=progress.before + progress.done, description=self._line(progress))

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
