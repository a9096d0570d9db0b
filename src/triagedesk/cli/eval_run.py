"""`triagedesk eval run`: progress, a table, and a run folder with everything in it."""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from triagedesk.cli.eval_extra import require_extra
from triagedesk.cli.eval_progress import EvalProgress
from triagedesk.cli.loop import run as run_loop
from triagedesk.cli.terminal import say, warn

if TYPE_CHECKING:
    from triagedesk.evals.conduct import Setup
    from triagedesk.evals.folder import RunFolder
    from triagedesk.evals.run import Run


@dataclass(frozen=True)
class Wanted:
    """The options as they were given."""

    split: str | None
    limit: int | None
    k: int | None
    resume: bool
    retry_errors: bool
    cache: bool
    max_cost_usd: float | None
    dry_run: bool
    runs: Path
    as_json: bool


def run(config: Path, wanted: Wanted) -> int:
    """Run an evaluation: 0 done, 2 when it was stopped or could not measure. Raises ConfigError."""
    require_extra()
    from triagedesk.evals.conduct import Wish, earlier_folder, prepare

    wish = Wish(
        wanted.split, wanted.limit, wanted.k, wanted.resume, wanted.retry_errors, wanted.cache, wanted.max_cost_usd,
        wanted.runs,
    )  # fmt: skip
    setup = prepare(config, wish)
    if wanted.dry_run:
        return _price(setup, as_json=wanted.as_json)
    done = _conduct(setup, earlier_folder(setup))
    _print(done, as_json=wanted.as_json)
    _warn_flattered(done)
    if done.stopped:
        warn(f"stopped by {done.stopped}; --resume goes on")
        return 2
    if not done.metrics.answered:
        warn("no ticket was answered: nothing is measured")
        return 2
    return 0


def _conduct(setup: Setup, earlier: RunFolder | None) -> Run:
    from triagedesk.evals.conduct import conduct

    progress = EvalProgress(sys.stderr)
    begun = [] if earlier is None else [earlier]
    try:
        done: Run = run_loop(conduct(setup, earlier, progress.watch, begun.append))
    except (KeyboardInterrupt, asyncio.CancelledError):
        progress.close()
        for folder in begun:
            warn(f"stopped; the same command with --resume goes on in {folder.path}")
        raise KeyboardInterrupt from None
    finally:
        progress.close()
    if not progress.asked and not done.stopped:
        warn(f"nothing was left to ask; {setup.wish.runs / done.folder.name if done.folder else ''} was scored again")
    return done


def _print(done: Run, *, as_json: bool) -> None:
    from triagedesk.cli.eval_table import print_scores

    folder = done.folder
    assert folder is not None  # a run by config is written down
    if as_json:
        say(json.dumps({"run": str(folder), **done.metrics.as_json()}))
        return
    print_scores(done.metrics)
    say(f"run     {folder}")
    say(f"report  {folder / 'report.html'}")


def _warn_flattered(done: Run) -> None:
    from triagedesk.evals.folder import RunFolder
    from triagedesk.evals.overlap import flattered

    told = flattered(done, RunFolder(done.folder).manifest) if done.folder else None
    if told is not None:
        warn(told)


def _price(setup: Setup, *, as_json: bool) -> int:
    from triagedesk.evals.plan import plan

    priced = plan(setup)
    if as_json:
        say(json.dumps(priced.as_json()))
        return 0
    for line in priced.lines():
        say(line)
    return 0
