"""`triagedesk batch`: tickets in, suggestions out, and a summary on stderr."""

from __future__ import annotations

import asyncio
import hashlib
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from triagedesk.batch import Job, Tally, run_batch
from triagedesk.batch.columns import read_map
from triagedesk.batch.journal import is_being_written
from triagedesk.batch.pace import CEILING
from triagedesk.batch.run import words_of
from triagedesk.batch.sources import find_files, open_sources
from triagedesk.cli import batch_api
from triagedesk.cli.batch_ray import OnRay
from triagedesk.cli.batch_summary import counts, summarise
from triagedesk.cli.classify import NO_MODEL, lacks_model
from triagedesk.cli.loop import run as run_loop
from triagedesk.cli.options import Options
from triagedesk.cli.progress import Progress
from triagedesk.cli.terminal import warn
from triagedesk.desk import Desk, open_desk
from triagedesk.errors import ConfigError
from triagedesk.settings import Settings
from triagedesk.telemetry import open_telemetry
from triagedesk.tracing import traced_by

__all__ = ["Wanted", "counts", "run", "summarise"]

_STDIN = "-"
_CHUNK = 1024 * 1024
_MOST = 1024


@dataclass(frozen=True)
class Wanted:
    """What was asked for beside IN and OUT, as the options were given."""

    concurrency: str = "auto"
    resume: bool = True
    overwrite: bool = False
    unordered: bool = False
    columns: Sequence[str] = ()
    max_cost: float | None = None
    processes: int = 1
    via: str = "live"
    then: str | None = None
    cancel: bool = False
    pack: int | None = None
    on_ray: OnRay = field(default_factory=OnRay)

    @property
    def via_batch_api(self) -> bool:
        """Say if the provider's Batch API answers beforehand. Raises ConfigError where the options do not fit it."""
        if self.via not in ("live", "batch-api"):
            raise ConfigError("--via: give live or batch-api")
        if self.then not in (None, "rules", "live"):
            raise ConfigError("--then: give rules or live")
        if self.via == "live" and (self.then is not None or self.cancel):
            raise ConfigError("--then and --cancel: belong to --via batch-api; pass that too")
        if self.via == "batch-api" and self.on_ray.is_wanted:
            raise ConfigError("--via batch-api needs one machine only; leave --engine ray out")
        return self.via == "batch-api"

    @property
    def in_flight(self) -> int | None:
        """How many tickets are in flight; None: as many as the server bears. Raises ConfigError."""
        if self.concurrency == "auto":
            return None
        if not (self.concurrency.isascii() and self.concurrency.isdigit() and 1 <= int(self.concurrency) <= _MOST):
            raise ConfigError(f"--concurrency: give a number from 1 to {_MOST}, or auto")
        return int(self.concurrency)

    def job(self, source: Path | str, target: Path) -> Job:
        """Return the job. Raises ConfigError."""
        return Job(
            source, target, self.in_flight, self.resume, self.overwrite, read_map(self.columns), not self.unordered,
            self.max_cost, self.processes,
        )  # fmt: skip


def run(options: Options, source: str, target: Path, wanted: Wanted) -> int:
    """Run the batch: 0 if every row was answered, 1 if some rows are in the error file or the money is spent.

    Raises ConfigError.
    """
    settings = settings_for(options, wanted.in_flight, wanted.pack)
    with _input(source, target) as given:
        job = wanted.job(given, target)
        job.check()
        _check_processes(settings, job)
        _check_pack(settings, wanted)
        if wanted.via_batch_api:
            batch_api.check(settings, job)
        if wanted.cancel:
            return run_loop(_cancel(settings, job))
        tally = _run(settings, job, wanted)
    summarise(tally, target)
    if tally.stopped:
        warn(f"stopped at ${tally.spent_usd:.4f}, the limit is ${job.max_cost_usd:g}; "
             "the same command with a higher --max-cost goes on from there")  # fmt: skip
    return 1 if tally.stopped or tally.errors + tally.resumed_errors else 0


def settings_for(options: Options, in_flight: int | None, pack: int | None = None) -> Settings:
    """Return the settings of a batch: without a number as many calls at once as the search may try."""
    settings = options.settings(max_concurrency=in_flight, pack=pack)
    if "max_concurrency" in settings.model_fields_set:
        return settings
    return settings.model_copy(update={"max_concurrency": CEILING})


def _check_processes(settings: Settings, job: Job) -> None:
    if job.processes > 1 and settings.chosen_model is not None:
        raise ConfigError("--processes: is for batches that ask no model; with one, a single process waits for the "
                          "server: leave it out")  # fmt: skip


def _check_pack(settings: Settings, wanted: Wanted) -> None:
    if (wanted.pack or 1) > 1 and settings.chosen_model is None:  # by TRIAGEDESK_PACK it waits for a model
        raise ConfigError("--pack: is for a model on a server; here no request is made that tickets could share: "
                          "leave it out, or set a model")  # fmt: skip


@contextmanager
def _input(source: str, target: Path) -> Iterator[Path | str]:
    """Give IN; standard input is first kept in a file beside OUT, as what is named and read twice must be."""
    if str(target) == _STDIN:
        raise ConfigError("OUT: standard output cannot be gone on with after a kill; give a file")
    if source != _STDIN:
        yield source
        return
    kept, was_there = _kept(target)
    try:
        yield kept
    finally:
        if not (was_there and is_being_written(target)):  # else the run that writes OUT, not this one, may read it
            kept.unlink(missing_ok=True)  # to go on, the same input comes again


def _kept(target: Path) -> tuple[Path, bool]:
    """Copy standard input to a file beside OUT, named by its content: two runs never write into each other's.

    Returns it, and whether one with the same content was there.
    """
    if sys.stdin.isatty():
        raise ConfigError("IN: standard input is a terminal; give a file, or pipe JSON lines in")
    if not target.absolute().parent.is_dir():
        raise ConfigError(f"{target}: its folder does not exist; create it first")
    aside = target.with_name(f"{target.name}.stdin-{os.getpid()}")
    digest = hashlib.blake2b(digest_size=8)
    try:
        with open(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as copy:
            while chunk := sys.stdin.buffer.read(_CHUNK):
                digest.update(chunk)
                copy.write(chunk)
        kept = target.with_name(f"{target.name}.stdin-{digest.hexdigest()}.jsonl")
        was_there = kept.exists()
        os.replace(aside, kept)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    return kept, was_there


def _run(settings: Settings, job: Job, wanted: Wanted) -> Tally:
    size = sum(path.stat().st_size for path in find_files(job.source) if path.is_file())
    progress = Progress(size, sys.stderr, notice=NO_MODEL if lacks_model(settings) else None)
    try:
        if wanted.on_ray.is_wanted:
            return wanted.on_ray.run(settings, job, progress.watch)
        return run_loop(_all(settings, job, progress, wanted))
    except (KeyboardInterrupt, asyncio.CancelledError):
        progress.close()
        at_the_provider = wanted.via_batch_api and not progress.rows
        warn(
            batch_api.INTERRUPTED if at_the_provider
            else f"stopped after {progress.rows} rows; the same command goes on from there"
        )  # fmt: skip
        raise KeyboardInterrupt from None
    finally:
        progress.close()


async def _all(settings: Settings, job: Job, progress: Progress, wanted: Wanted) -> Tally:
    with open_telemetry(settings.otel) as tracer, traced_by(tracer):
        async with open_desk(settings) as desk:
            if not wanted.via_batch_api:
                return await run_batch(desk, job, progress.watch)
            return await _prepaid(desk, job, progress, wanted.then or "rules")


async def _prepaid(desk: Desk, job: Job, progress: Progress, then: str) -> Tally:
    """Have the provider's Batch API answer what it can beforehand; its state goes once all rows are written."""
    before = batch_api.beforehand(desk, job.target, then, progress.say)
    complete = False
    try:
        tally = await run_batch(desk, job, progress.watch, before)
        complete = True
    finally:
        before.end(complete=complete)
    return tally


async def _cancel(settings: Settings, job: Job) -> int:
    async with open_desk(settings) as desk:
        sources = open_sources(job.source, words=words_of(desk), columns=job.columns)
        stopped = await batch_api.beforehand(desk, job.target, "rules", warn).cancel(sources)
    warn(f"{stopped} batches are being cancelled; without --cancel the same command takes what was answered")
    return 0
