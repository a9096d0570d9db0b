"""The engine: reads blocks on this machine, has them answered all over the cluster, keeps each as a part, joins them.

Everything durable is written here, by the driver: other machines need neither IN nor OUT, and one journal keeps a
second run out. A block is acknowledged when its part is renamed into place; whatever dies before that, it is answered
again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from triagedesk.batch.columns import words_in
from triagedesk.batch.identity import run_identity
from triagedesk.batch.job import Job
from triagedesk.batch.journal import Journal, open_journal
from triagedesk.batch.lines import csv_header
from triagedesk.batch.on_ray.blocks import END, Input, datasource
from triagedesk.batch.on_ray.cluster import connected, cpus, quiet_data, require_ray, translated
from triagedesk.batch.on_ray.ledger import Ledger
from triagedesk.batch.on_ray.parts import Part, Parts
from triagedesk.batch.on_ray.sending import sendable
from triagedesk.batch.on_ray.tallying import add_sent
from triagedesk.batch.on_ray.worker import AnswerBlocks, Answered, Order
from triagedesk.batch.output import errors_path, work_path
from triagedesk.batch.sources import Sources, open_sources
from triagedesk.batch.streams import format_of
from triagedesk.batch.tally import Tally
from triagedesk.errors import ConfigError
from triagedesk.playbook import Playbook, load_playbook
from triagedesk.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

Watch = Callable[[Tally, int], None]
"""Called after every block with the tally and the bytes read."""


@dataclass(frozen=True)
class Spread:
    """How a batch is spread: which cluster, how many actors (None: one for each CPU), how many rows in a block."""

    address: str | None = None
    actors: int | None = None
    block_rows: int = 2000

    def __post_init__(self) -> None:
        if self.block_rows < 1 or (self.actors is not None and self.actors < 1):
            raise ConfigError("--block-rows and --actors: give 1 or more")


def run_on_ray(settings: Settings, job: Job, spread: Spread | None = None, watch: Watch | None = None) -> Tally:
    """Answer every row of the job's input on a Ray cluster; OUT appears when all of it is there.

    Killed at any moment, driver or worker, the same call goes on with the blocks that are not finished. Raises
    ConfigError if input, output, settings or cluster cannot be used, OSError if the disk fails.
    """
    spread = spread or Spread()
    require_ray()
    _check(job)
    playbook = load_playbook(settings.playbook)
    sources = open_sources(job.source, words=words_in(playbook), columns=job.columns)
    with open_journal(job.target) as journal:
        run = _Run(settings, job, spread, playbook, sources, journal, watch)
        if not run.enter(run_identity(settings, playbook, sources, job.target, settings.chosen_model)):
            return run.tally
        try:
            return run.all()
        finally:
            run.leave()


def _check(job: Job) -> None:
    """Raise ConfigError if the job cannot be a batch's, or asks for what only a single process does."""
    job.check()
    if not job.ordered or job.processes > 1 or job.max_cost_usd is not None:
        raise ConfigError("--unordered, --processes and --max-cost are for one machine; leave them or --engine ray out")


class _Run:
    """One pass over the blocks that are not finished."""

    def __init__(
        self, settings: Settings, job: Job, spread: Spread, playbook: Playbook, sources: Sources, journal: Journal,
        watch: Watch | None,
    ) -> None:  # fmt: skip
        self._settings, self._job, self._spread, self._watch = settings, job, spread, watch
        self._playbook, self._sources, self._journal = playbook, sources, journal
        self._parts = Parts(job.target)
        self._block_rows = spread.block_rows
        self._began = time.monotonic()
        self.tally = Tally()

    def enter(self, digest: str) -> bool:
        """Begin, or go on where a run stopped, with its block size. Returns False if OUT is complete.

        Raises ConfigError if OUT holds anything else.
        """
        known, target = self._journal.identity, self._job.target
        engine, _, rest = known.partition(" ")
        size, _, same = rest.partition(" ")
        ours = (engine, same) == (_ENGINE, digest) and size.isdigit() and self._job.resume and not self._job.overwrite
        finished = self._journal.finished
        if ours and finished is not None and target.exists():
            self.tally.resumed, self.tally.resumed_errors = finished
            self._clear()
            return False
        if ours and self._parts.exists:
            self._block_rows = int(size)
            self.tally.resumed, self.tally.resumed_errors = self._parts.counts()
            return True
        self._begin(f"{_ENGINE} {self._block_rows} {digest}", known)
        return True

    def _begin(self, identity: str, known: str) -> None:
        target = self._job.target
        if not self._job.overwrite and (
            _holds(target)
            or (not known and _holds(errors_path(target)))
            or (known and (_holds(work_path(target)) or self._parts.exists))
        ):
            if not known:
                self._journal.remove()
            raise ConfigError(_in_the_way(target, known.split(" ")[-1] == identity.split(" ")[-1], bool(known)))
        self._journal.name("")  # first forget: a kill between these lines must not mix two batches
        self._parts.begin()
        self._journal.name(identity)

    def all(self) -> Tally:
        """Answer what is open, and put OUT together."""
        blocks = self._answer_all()
        dimensions = tuple(self._playbook.dimensions)
        header = csv_header(dimensions) if format_of(self._job.target) == "csv" else b""
        self._parts.put_together(blocks, header, dimensions)
        self._journal.finish(*self._parts.counts())
        self._clear()
        self.tally.seconds = time.monotonic() - self._began
        return self.tally

    def leave(self) -> None:
        """Leave nothing behind of a batch of which nothing is done."""
        if self._parts.exists and not self._parts.done():
            self._clear()

    def _clear(self) -> None:
        """OUT is complete: remove what stood beside it, the journal last."""
        self._parts.remove()
        self._journal.remove()

    def _answer_all(self) -> int:
        """Have every open block answered; returns how many blocks there are."""
        spent, blocks = self._journal.spent, -1
        with connected(self._spread.address), translated(), quiet_data():
            for answered in self._answered():
                if answered.refused:
                    raise ConfigError(answered.refused)
                if answered.number == END:
                    blocks = answered.position
                    continue
                self._keep(answered, spent)
        if blocks < 0 or len(self._parts.done()) < blocks:
            raise ConfigError("Ray lost a part of the batch; the same command goes on from there")
        return blocks

    def _keep(self, answered: Answered, spent: float) -> None:
        before = self.tally.answered, self.tally.errors
        add_sent(self.tally, answered.tally)
        counts = self.tally.answered - before[0], self.tally.errors - before[1]
        self._journal.spend(spent + (self.tally.cost_usd or 0.0))
        self._parts.write(answered.number, Part(*counts, answered.answers, answered.problems))
        self.tally.seconds = time.monotonic() - self._began
        if self._watch is not None:
            self._watch(self.tally, answered.position)

    def _answered(self) -> Iterator[Answered]:
        """Yield the blocks as Ray Data finishes them, in any order."""
        import ray

        actors = self._actors()
        ledger = _ledger()
        blocks = ray.data.read_datasource(datasource(self._input()), override_num_blocks=1, num_cpus=0)
        done = blocks.map_batches(
            AnswerBlocks, batch_size=1, batch_format="pyarrow", num_cpus=1,
            compute=ray.data.ActorPoolStrategy(size=actors),
            fn_constructor_kwargs={"order": self._order(actors), "ledger": ledger},
        )  # fmt: skip
        for table in done.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
            for row in table.to_pylist():
                yield Answered(**row)

    def _input(self) -> Input:
        files = tuple(path.absolute() for path in self._sources.files)
        return Input(files, words_in(self._playbook), dict(self._job.columns), self._block_rows, self._parts.done())

    def _actors(self) -> int:
        """Return how many actors there are. Raises ConfigError if the cluster or the provider bears fewer."""
        most, asked = cpus(), self._spread.actors
        if asked is not None and asked > most:
            raise ConfigError(f"--actors {asked}: the cluster has {most} CPUs; give {most} or fewer")
        if self._settings.chosen_model is None:
            return asked or most
        flights = self._settings.max_concurrency
        if asked is not None and asked > flights:
            raise ConfigError(f"--actors {asked}: only {flights} calls may be in flight; raise --concurrency")
        return asked or min(most, flights)

    def _order(self, actors: int) -> Order:
        share = max(1, self._settings.max_concurrency // actors)
        settings = self._settings.model_copy(update={"max_concurrency": share})
        return Order(
            sendable(settings), self._journal.began.isoformat(), self._playbook.identity,
            actors=actors, adapts=self._job.concurrency is None, out=self._job.target.name,
        )  # fmt: skip


_ENGINE = "ray-2"
"""What a journal of this engine begins with; a single process takes it for another batch, and says so."""


def _holds(path: Path) -> bool:
    return path.exists() and path.stat().st_size > 0


def _in_the_way(target: Path, same: bool, known: bool) -> str:
    if not known:
        return f"{target}: exists already; pass --overwrite to replace it, or choose another OUT"
    if same:
        return f"{target}: a part of this batch is done; leave --no-resume out, or pass --overwrite to start again"
    return (f"{target}: holds another batch (input, playbook, prompt, model or settings differ, or an earlier version "
            "began it); pass --overwrite to start again")  # fmt: skip


def _ledger(**tries: int) -> Any:
    """Start the ledger's actor on this machine, where the batch lives and dies."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    return ray.remote(Ledger).options(num_cpus=0, scheduling_strategy=here).remote(**tries)
