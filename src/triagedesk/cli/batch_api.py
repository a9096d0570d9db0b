"""`triagedesk batch --via batch-api`: what it needs, what it says on the way, and how it is left or ended."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from triagedesk.batch.job import Job
from triagedesk.batch.provider.options import News, PrepayOptions, Then
from triagedesk.errors import ConfigError

if TYPE_CHECKING:
    from triagedesk.batch.provider.beforehand import Beforehand
    from triagedesk.desk import Desk
    from triagedesk.settings import Settings

FIRST_POLL_S, LONGEST_POLL_S = 5.0, 60.0
SPEAK_S = 60.0
"""Where only counts have changed, a line is said so often."""

INTERRUPTED = (
    "stopped waiting; the batch runs on at the provider: the same command takes it up again, "
    "and with --cancel ends it there"
)  # fmt: skip


def check(settings: Settings, job: Job) -> None:
    """Raise ConfigError where the Batch API does not go with what else was asked for."""
    if not (settings.chosen_model or "").startswith("openai/"):
        raise ConfigError("--via batch-api: asks an OpenAI model; set OPENAI_API_KEY, or pass --model openai/NAME")
    if settings.pack > 1:
        raise ConfigError("--via batch-api: sends each ticket alone, at half the price; leave --pack out")
    if job.max_cost_usd is not None:
        raise ConfigError("--max-cost: does not bound what the Batch API bills once it is sent; leave one of them out")


def beforehand(desk: Desk, target: Path, then: str, say: Callable[[str], None]) -> Beforehand:
    """Return the pass that a batch makes before its first row."""
    from triagedesk.batch.provider.beforehand import Beforehand  # a second: the vendor's library is behind it

    options = PrepayOptions(then=Then(then), first_poll_s=FIRST_POLL_S, longest_poll_s=LONGEST_POLL_S)
    return Beforehand(desk, target, options, Teller(say))


class Teller:
    """Says how far the provider is: a line for every step, and now and then one for the counts."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._said: object = None
        self._next = 0.0

    def __call__(self, news: News) -> None:
        """Take note of news."""
        for note in news.notes:
            self._say(f"batch API: {note}")
        news.notes.clear()
        step, now = (news.phase, news.parts, news.parts_over, str(news.statuses)), time.monotonic()
        if news.phase in ("waiting", "done") and (step != self._said or now >= self._next):
            self._said, self._next = step, now + SPEAK_S
            self._say(f"batch API: {_line(news)}")


def _line(news: News) -> str:
    if not news.requests:
        return "every question is known already; nothing is sent"
    share = f"{news.completed:,} of {news.requests:,} questions answered"
    failed = f", {news.failed:,} not" if news.failed else ""
    statuses = ", ".join(f"{count} {status}" for status, count in sorted(news.statuses.items()))
    return f"{news.parts_over} of {news.parts} batches over, {share}{failed}{f' ({statuses})' if statuses else ''}"
