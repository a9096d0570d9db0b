"""Blocks of rows as they travel through Ray: one row of a dataset is one block of tickets, as lines of JSON.

The driver's machine reads the input, in one pass and in order, so that no other machine needs the files, whatever their
format; a block is the same whenever it is read again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic_core import from_json, to_json

from triagedesk.batch.columns import ColumnMap
from triagedesk.batch.rows import Row
from triagedesk.batch.sources import Sources
from triagedesk.models import Ticket

if TYPE_CHECKING:
    import pyarrow as pa
    from ray.data import Datasource

END = -1
"""The number of the block that comes last and holds nothing but the count of the others, in `position`."""


class Input(NamedTuple):
    """What is read, and in which blocks; `done` blocks are read past."""

    files: tuple[Path, ...]
    words: frozenset[str]
    columns: ColumnMap
    block_rows: int
    done: frozenset[int] = frozenset()


class Block(NamedTuple):
    """One block: its number, its rows as lines of JSON, and how many bytes of the input were read up to its end."""

    number: int
    lines: bytes
    position: int = 0

    @property
    def rows(self) -> list[Row]:
        """The rows, with their tickets."""
        return [_read(line) for line in self.lines.splitlines()]


def read_blocks(what: Input) -> Iterator[Block]:
    """Yield the blocks that are not done, then the last one. Raises ConfigError if the input changed meanwhile."""
    sources = Sources(what.files, what.words, what.columns)
    count = 0
    for number, rows in enumerate(_batched(sources.after(), what.block_rows)):
        count += 1
        if number not in what.done:
            yield Block(number, b"".join(map(_written, rows)), sources.position)
    yield Block(END, b"", count)


def _batched(rows: Iterable[Row], size: int) -> Iterator[list[Row]]:
    several = iter(rows)
    while batch := list(islice(several, size)):
        yield batch


def _written(row: Row) -> bytes:
    return to_json([row.line, row.ticket, row.problem, row.id, row.file]) + b"\n"


def _read(line: bytes) -> Row:
    number, ticket, problem, told, file = from_json(line)
    return Row(number, None if ticket is None else Ticket.model_validate(ticket), problem, told, file)


def as_table(block: Block) -> pa.Table:
    """Return a block as one row of a dataset."""
    import pyarrow as pa

    return pa.table({name: [value] for name, value in block._asdict().items()}, schema=_schema())


def from_table(table: pa.Table) -> Iterator[Block]:
    """Yield the blocks of a dataset's batch."""
    for row in table.to_pylist():
        yield Block(**row)


def _schema() -> pa.Schema:
    import pyarrow as pa

    return pa.schema([("number", pa.int64()), ("lines", pa.large_binary()), ("position", pa.int64())])


def datasource(what: Input) -> Datasource:
    """Return Ray Data's view of the input: one task that reads all of it on the driver's machine."""
    from ray.data import Datasource
    from ray.data.block import BlockMetadata
    from ray.data.datasource import ReadTask

    class Tickets(Datasource):
        """The input of a batch."""

        @property
        def supports_distributed_reads(self) -> bool:
            return False

        def estimate_inmemory_data_size(self) -> int | None:
            return None

        def get_read_tasks(self, parallelism: int, *_: Any, **__: Any) -> list[ReadTask]:  # noqa: ARG002 - Ray's name
            told = BlockMetadata(num_rows=None, size_bytes=None, input_files=None, exec_stats=None)
            return [ReadTask(lambda: map(as_table, read_blocks(what)), told)]

    return Tickets()  # type: ignore[no-untyped-call]
