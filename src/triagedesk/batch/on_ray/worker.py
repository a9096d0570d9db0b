"""What an actor of the engine does: opens one desk, answers block after block, and lives with being killed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic_core import from_json, to_json

from triagedesk.batch.lines import line_for
from triagedesk.batch.on_ray.asking import Answers, Outcome
from triagedesk.batch.on_ray.blocks import END, Block, from_table
from triagedesk.batch.on_ray.sending import Sent, received
from triagedesk.batch.on_ray.tallying import take
from triagedesk.batch.rows import Row
from triagedesk.errors import ConfigError
from triagedesk.models import Suggestion

if TYPE_CHECKING:
    import pyarrow as pa

POISON = "answering it killed its worker again and again, so it was left out; look at this row"


@dataclass(frozen=True)
class Order:
    """What every actor is told: settings, the moment at which all is judged, the playbook expected, OUT's name.

    `settings.max_concurrency` is one actor's share; with `adapts` on the limit is found below it.
    """

    settings: Sent
    began: str
    playbook: str
    actors: int
    adapts: bool
    out: str


class Answered(NamedTuple):
    """A block's outcome, as a row of the dataset that comes back; `refused` says why this actor cannot work."""

    number: int
    answers: bytes = b""
    problems: bytes = b""
    tally: bytes = b"{}"
    position: int = 0
    refused: str = ""


class AnswerBlocks:
    """The callable of Ray Data's `map_batches`. `ledger` is the handle of the ledger's actor."""

    def __init__(self, order: Order, ledger: Any) -> None:
        self._order, self._ledger = order, ledger
        self._desk: Answers | None = None

    def __call__(self, table: pa.Table) -> pa.Table:
        """Answer the blocks of a batch."""
        import pyarrow as pa

        rows = [self._answered(block)._asdict() for block in from_table(table)]
        return pa.Table.from_pylist(rows, schema=_schema())

    def _answered(self, block: Block) -> Answered:
        if block.number == END:
            return Answered(END, position=block.position)
        try:
            desk = self._opened()
        except ConfigError as wrong:
            return Answered(block.number, refused=str(wrong))
        rows = block.rows
        known = self._tell("begin", block.number)
        outcomes = desk.all_of(rows) if known is None else list(self._one_by_one(desk, block.number, rows, known))
        self._tell("finish", block.number)
        return self._packed(desk, block, rows, outcomes)

    def _opened(self) -> Answers:
        """Open the desk, once; not in `__init__`, so that a ConfigError comes back as one line."""
        if self._desk is None:
            order = self._order
            began = datetime.fromisoformat(order.began)
            desk = Answers(received(order.settings), began, self._ledger, actors=order.actors, adapts=order.adapts)
            if desk.playbook.identity != order.playbook:
                desk.close()
                raise ConfigError("a node of the cluster has another playbook; put the same file there, same path")
            self._desk = desk
        return self._desk

    def _tell(self, method: str, *what: Any) -> Any:
        import ray

        return ray.get(getattr(self._ledger, method).remote(*what))

    def _one_by_one(self, desk: Answers, block: int, rows: list[Row], known: dict[int, bytes]) -> Iterator[Outcome]:
        """Answer the rows of a block that killed its actors, each alone, and keep what came of it."""
        for place, row in enumerate(rows):
            if place in known:
                yield _kept(known[place])
                continue
            (outcome,) = desk.all_of([row]) if self._tell("begin_row", block, place) else (POISON,)
            self._tell("keep", block, place, _to_keep(outcome))
            yield outcome

    def _packed(self, desk: Answers, block: Block, rows: list[Row], outcomes: list[Outcome]) -> Answered:
        answers, problems = [], []
        line = line_for(Path(self._order.out), tuple(desk.playbook.dimensions))
        for row, outcome in zip(rows, outcomes, strict=True):
            desk.count(outcome)
            if isinstance(outcome, str):
                problems.append(problem_line(row, outcome))
            else:
                answers.append(line(outcome))
        return Answered(block.number, b"".join(answers), b"".join(problems), take(desk.tally), block.position)


def _to_keep(outcome: Outcome) -> bytes:
    return to_json([outcome]) if isinstance(outcome, str) else outcome.model_dump_json().encode()


def _kept(kept: bytes) -> Outcome:
    said = from_json(kept)
    return str(said[0]) if isinstance(said, list) else Suggestion.model_validate(said)


def problem_line(row: Row, problem: str) -> bytes:
    """Return a row's line in the error file: its file and place, its id if known, and never its text."""
    told = {"file": row.file, "ticket_id": row.id if row.ticket is None else row.ticket.id}
    return (
        to_json({"line": row.line, **{name: value for name, value in told.items() if value}, "error": problem}) + b"\n"
    )


def _schema() -> pa.Schema:
    import pyarrow as pa

    kinds = {"number": pa.int64(), "position": pa.int64(), "refused": pa.string()}
    return pa.schema([(name, kinds.get(name, pa.large_binary())) for name in Answered._fields])
