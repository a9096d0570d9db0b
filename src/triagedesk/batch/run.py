"""The batch itself: rows through the desk, as many at once as the server bears, each written once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import TYPE_CHECKING

from triagedesk.batch.columns import words_in
from triagedesk.batch.flow import Flow, Numbered, Watch
from triagedesk.batch.identity import run_identity
from triagedesk.batch.job import Job
from triagedesk.batch.output import Output, open_output
from triagedesk.batch.pace import CEILING, Pace
from triagedesk.batch.sources import Sources, open_sources
from triagedesk.batch.tally import Tally
from triagedesk.errors import ConfigError

if TYPE_CHECKING:
    from triagedesk.desk import Desk

__all__ = ["Job", "Watch", "run_batch"]


Before = Callable[[Sources, Output], Awaitable[None]]
"""Called once OUT is ours and before the first row is answered."""


async def run_batch(desk: Desk, job: Job, watch: Watch | None = None, before: Before | None = None) -> Tally:
    """Answer every row of the job's input.

    A row that is no ticket goes to the error file and is counted. Cancelled or killed, the same call goes on where it
    stopped. Raises ConfigError if input or output cannot be used, OSError if the disk fails.
    """
    job.check()
    _check_prices(desk, job)
    sources = open_sources(job.source, words=words_of(desk), columns=job.columns)
    names = tuple(desk.playbook.dimensions)
    with open_output(
        job.target, names, identity_of(desk, job, sources), resume=job.resume, overwrite=job.overwrite,
        ordered=job.ordered,
    ) as output:  # fmt: skip
        if before is not None and not output.is_finished:
            await before(sources, output)
        flow = Flow(desk, job, output, await _pace(desk, job), lambda tally: watch and watch(tally, sources.position))
        await flow.run(_open_rows(sources, output))
        if not flow.tally.stopped:
            output.finish()
        return flow.tally


def _open_rows(sources: Sources, output: Output) -> Iterator[Numbered]:
    """Yield the rows that are not done, each with its number from 0."""
    if output.is_finished:
        return
    first = output.first_open
    for number, row in enumerate(sources.after(first), first):
        if not output.is_done(number):
            yield number, row


def _check_prices(desk: Desk, job: Job) -> None:
    settings = desk.settings
    if job.max_cost_usd is not None and desk.model and None in (settings.price_prompt, settings.price_completion):
        raise ConfigError("--max-cost needs prices: set TRIAGEDESK_PRICE_PROMPT and TRIAGEDESK_PRICE_COMPLETION, "
                          "in USD per million tokens")  # fmt: skip


async def _pace(desk: Desk, job: Job) -> Pace:
    """Return what decides how many are in flight: the job's number, the server's slots, or what the server bears."""
    settings = desk.settings
    slow_s, pause_s = settings.deadline_s / 2, settings.breaker_probe_s
    if job.concurrency is not None or desk.model is None:
        return Pace(job.concurrency or 1, adapts=False, pause_s=pause_s, slow_s=slow_s)
    most = settings.max_concurrency * settings.pack
    return Pace(min((await desk.slots() or CEILING) * settings.pack, most), pause_s=pause_s, slow_s=slow_s)


def words_of(desk: Desk) -> frozenset[str]:
    """Return the playbook's channels and tiers, which tables may write as "Live Chat"."""
    return words_in(desk.playbook)


def identity_of(desk: Desk, job: Job, sources: Sources) -> str:
    """Name the batch by all that decides its answers, and by OUT's order."""
    answers = run_identity(desk.settings, desk.playbook, sources, job.target, desk.model)
    return f"batch-3 {'ordered' if job.ordered else 'unordered'} {answers}"
