"""`triagedesk batch`: a file of tickets in, a file of suggestions out, and a summary on stderr."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from triagedesk.batch import Job, Tally, run_batch
from triagedesk.batch.output import errors_path
from triagedesk.cli.classify import NO_MODEL, lacks_model
from triagedesk.cli.loop import run as run_loop
from triagedesk.cli.options import Options
from triagedesk.cli.progress import Progress
from triagedesk.cli.terminal import console, inert, warn
from triagedesk.desk import open_desk
from triagedesk.settings import Settings


def run(options: Options, source: Path, target: Path, *, concurrency: int | None, resume: bool, overwrite: bool) -> int:
    """Run the batch: 0 if every row was answered, 1 if some rows are in the error file. Raises ConfigError."""
    settings = options.settings(max_concurrency=concurrency)
    job = Job(source, target, settings.max_concurrency, resume=resume, overwrite=overwrite)
    job.check()
    tally = _run(settings, job)
    summarise(tally, target)
    return 1 if tally.errors + tally.resumed_errors else 0


def _run(settings: Settings, job: Job) -> Tally:
    progress = Progress(job.source, sys.stderr, notice=NO_MODEL if lacks_model(settings) else None)
    try:
        return run_loop(_all(settings, job, progress))
    except (KeyboardInterrupt, asyncio.CancelledError):
        progress.close()
        warn(f"stopped after {progress.rows} rows; the same command goes on from there")
        raise KeyboardInterrupt from None
    finally:
        progress.close()


async def _all(settings: Settings, job: Job, progress: Progress) -> Tally:
    async with open_desk(settings) as desk:
        return await run_batch(desk, job, progress.watch)


def summarise(tally: Tally, target: Path) -> None:
    """Print the closing table to stderr."""
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in _facts(tally, target):
        table.add_row(name, Text(inert(value)))
    console(sys.stderr).print(table)


def _facts(tally: Tally, target: Path) -> list[tuple[str, str]]:
    facts = [
        ("rows", f"{tally.rows} in {tally.seconds:.1f} s, {tally.rows_per_second:,.0f} rows/s"),
        ("answered", f"{tally.answered} → {target}"),
        ("urgency", counts(tally.urgencies)),
        ("source", counts(tally.sources)),
        ("no model answer", counts(tally.fallbacks)),
        ("to review", str(tally.review or "")),
        ("same id again", str(tally.duplicates or "")),
        ("tokens", _tokens(tally)),
        ("cost", "" if tally.cost_usd is None else f"${tally.cost_usd:.4f}"),
        ("done before", _resumed(tally)),
        ("errors", _errors(tally, target)),
    ]
    return [(name, value) for name, value in facts if value]


def counts(counter: dict[str, int]) -> str:
    """Return "high 12, low 3", the most frequent first."""
    return ", ".join(f"{name} {count}" for name, count in sorted(counter.items(), key=lambda item: (-item[1], item[0])))


def _tokens(tally: Tally) -> str:
    if not tally.prompt_tokens:
        return ""
    return f"{tally.prompt_tokens:,} prompt ({tally.cached_tokens:,} cached), {tally.completion_tokens:,} completion"


def _resumed(tally: Tally) -> str:
    return f"{tally.resumed} rows, kept as they were" if tally.resumed else ""


def _errors(tally: Tally, target: Path) -> str:
    errors = tally.errors + tally.resumed_errors
    return f"{errors} → {errors_path(target)}" if errors else ""
