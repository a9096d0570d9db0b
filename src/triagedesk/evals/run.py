"""A run: every ticket asked once a repeat, each answer written down before the next, then scored."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import anyio

from triagedesk.desk import Desk
from triagedesk.errors import ConfigError
from triagedesk.evals.figures import Scores
from triagedesk.evals.gold import Gold
from triagedesk.evals.journal import Asked, Journal, last_attempts, lines_of
from triagedesk.evals.metrics.draws import DRAWS
from triagedesk.evals.predictions import Prediction, prediction_of
from triagedesk.evals.scores import Prevalence, score
from triagedesk.evals.sheet import Sheet, Voice, make_sheet
from triagedesk.evals.slices import SliceScores, score_slices
from triagedesk.evals.systems import Answer, Labeller, System, as_system
from triagedesk.playbook import Playbook, load_playbook
from triagedesk.taskgroups import unwrapped


@dataclass(frozen=True)
class Task:
    """One question of a run: a ticket, the repeat, and which attempt this is."""

    gold: Gold
    k: int = 0
    attempt: int = 1


@dataclass
class Progress:
    """How far a run is; `watch` is called after every row."""

    total: int
    done: int = 0
    before: int = 0
    errors: int = 0
    cost_usd: float = 0.0
    sources: Counter[str] = field(default_factory=Counter)
    fallbacks: Counter[str] = field(default_factory=Counter)
    stopped: str | None = None

    def take(self, one: Prediction) -> None:
        """Count an answer."""
        self.done += 1
        self.errors += one.error is not None
        self.cost_usd += one.cost_usd or 0.0
        self.sources[one.source or "other"] += 1
        if one.fallback_reason:
            self.fallbacks[one.fallback_reason] += 1


Watch = Callable[[Progress], None]


def tasks_of(
    rows: Sequence[Gold], k: int, before: dict[Asked, Prediction], *, retry_errors: bool = False
) -> Iterator[Task]:
    """Yield what is still to be asked, repeat by repeat: what was never answered, and on wish what came to nothing."""
    for repeat in range(k):
        for row in rows:
            known = before.get((row.id, repeat))
            if known is None:
                yield Task(row, repeat)
            elif retry_errors and came_to_nothing(known):
                yield Task(row, repeat, known.attempt + 1)


def came_to_nothing(one: Prediction) -> bool:
    """Say whether a row is worth another try: an error, or rules that answered for a model that failed."""
    return one.error is not None or one.fallback_reason not in (None, "no_model")


async def ask_all(
    system: System, tasks: Iterable[Task], *, concurrency: int, keep: Callable[[dict[str, Any]], Prediction],
    progress: Progress, watch: Watch | None = None, max_cost_usd: float | None = None,
) -> None:  # fmt: skip
    """Ask every task, `concurrency` at once, repeat after repeat.

    Nothing is asked once `max_cost_usd` is spent; the answers under way then (`concurrency` at most) still come in.
    """
    by_repeat: dict[int, list[Task]] = {}
    for task in tasks:
        by_repeat.setdefault(task.k, []).append(task)
    for k, todo in sorted(by_repeat.items()):
        if progress.stopped:
            return
        async with system.open(k) as answer:
            await _ask_repeat(answer, todo, concurrency, keep, progress, watch, max_cost_usd)


async def _ask_repeat(
    answer: Answer, todo: list[Task], concurrency: int, keep: Callable[[dict[str, Any]], Prediction],
    progress: Progress, watch: Watch | None, max_cost_usd: float | None,
) -> None:  # fmt: skip
    waiting = iter(todo)

    async def work() -> None:
        for task in waiting:
            if max_cost_usd is not None and progress.cost_usd >= max_cost_usd:
                progress.stopped = "max_cost"
                return
            body = await answer(task.gold.ticket)
            progress.take(keep({"id": task.gold.id, "k": task.k, "attempt": task.attempt, **body}))
            if watch is not None:
                watch(progress)

    async with _workers() as tasks:
        for _ in range(min(concurrency, len(todo))):
            tasks.start_soon(work)


@asynccontextmanager
async def _workers() -> AsyncIterator[anyio.abc.TaskGroup]:
    """A task group whose first error comes out as it is."""
    try:
        async with anyio.create_task_group() as tasks:
            yield tasks
    except BaseExceptionGroup as group:
        raise unwrapped(group.exceptions[0]) from None


@dataclass(frozen=True)
class Run:
    """What a system said of a labelled set, ready to be scored, sliced and compared."""

    sheet: Sheet
    draws: int = DRAWS
    seed: int = 0
    folder: Path | None = None
    stopped: str | None = None
    prevalence: Prevalence | None = None

    @cached_property
    def metrics(self) -> Scores:
        """Every figure with its interval."""
        return score(self.sheet, draws=self.draws, seed=self.seed, prevalence=self.prevalence)

    def slices(self, name: str | None = None) -> dict[str, dict[str, SliceScores]]:
        """Figures by slice and value, or of one slice (channel, tier, language, length, source, trait).

        Raises ConfigError for a slice that there is not.
        """
        return score_slices(self.sheet, name)


async def evaluate(
    system: System | Desk | Labeller, data: Sequence[Gold], *, playbook: Playbook | None = None, k: int = 1,
    seed: int = 0, draws: int = DRAWS, concurrency: int = 8, voice: Voice = "suggestion", journal: Path | None = None,
    retry_errors: bool = False, max_cost_usd: float | None = None, watch: Watch | None = None,
) -> Run:  # fmt: skip
    """Ask a system about every gold ticket, `k` times, and return the run.

    With `journal`, answers are appended to that file one by one, and what stands there is not asked again. Raises
    ConfigError when another process writes it, or nothing was asked at all. A row that fails stays in: it counts as
    wrong. Money spent on earlier attempts counts towards `max_cost_usd` too.
    """
    if not data:
        raise ConfigError("no labelled ticket to ask about: nothing is measured")
    wanted = {row.id for row in data}
    with nullcontext() if journal is None else Journal(journal) as book:
        before = [] if journal is None else [prediction_of(line) for line in lines_of(journal)]
        known = last_attempts(before)
        todo = list(tasks_of(data, k, known, retry_errors=retry_errors))
        total = len(data) * k
        progress = Progress(total=total, before=total - len(todo), cost_usd=sum(one.cost_usd or 0.0 for one in before))
        await ask_all(as_system(system), todo, concurrency=concurrency, keep=_keeper(known, book), progress=progress,
                      watch=watch, max_cost_usd=max_cost_usd)  # fmt: skip
    answers = [one for (identity, repeat), one in known.items() if identity in wanted and repeat < k]
    if not answers:
        raise ConfigError(f"stopped by {progress.stopped} before the first answer: nothing is measured")
    sheet = make_sheet(data, answers, playbook or load_playbook(None), voice=voice)
    return Run(sheet, draws, seed, journal.parent if journal else None, progress.stopped)


def _keeper(known: dict[Asked, Prediction], book: Journal | None) -> Callable[[dict[str, Any]], Prediction]:
    """Return what writes an answer down before it counts."""

    def keep(line: dict[str, Any]) -> Prediction:
        if book is not None:
            book.append(line)
        one = known[line["id"], line["k"]] = prediction_of(line)
        return one

    return keep
