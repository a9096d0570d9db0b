"""Rows of a Parquet file, read batch by batch: memory holds one at a time, whatever the file's size."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

from triagedesk.batch.columns import ColumnMap, Columns, told_id
from triagedesk.batch.rows import DAMAGED, Row, row_of
from triagedesk.errors import ConfigError, TicketError

BATCH_ROWS = 500
"""So many rows are unpacked at once; a row group is not."""


class ParquetRows:
    """The rows of one Parquet file. Raises ConfigError if it is none, or has no column for the text."""

    def __init__(
        self, path: Path, words: frozenset[str] = frozenset(), mapped: ColumnMap | None = None, *, name: str = ""
    ) -> None:
        import pyarrow as pa  # lazy: the extra [parquet], 0.3 s
        import pyarrow.parquet as pq

        try:
            self._file = pq.ParquetFile(path, buffer_size=1 << 20, pre_buffer=False)
            header = self._file.schema_arrow.names
        except (pa.ArrowInvalid, OSError):
            raise ConfigError(f"{path}: is no Parquet file that can be read; write it anew") from None
        self._broken = (pa.ArrowException, OSError)
        self._name, self._read, self.skipped = name, 0, 0
        self._columns = Columns(header, str(path), words, mapped)
        self._id_column = next((place for place, column in enumerate(header) if column.lower() == "id"), None)

    @property
    def share_read(self) -> float:
        """How much of the file is read, 0 to 1."""
        total = self._file.metadata.num_rows
        return min(1.0, self._read / total) if total else 1.0

    def check(self) -> None:
        """Say nothing: the header has been looked at."""

    def after(self, skipped: int) -> Iterator[Row]:
        """Yield the rows that follow the first `skipped`; whole row groups before them are not unpacked."""
        self.skipped = min(skipped, self._file.metadata.num_rows)
        groups, self._read = _groups_after(self._file.metadata, skipped)
        try:
            for batch in self._file.iter_batches(batch_size=BATCH_ROWS, row_groups=groups):
                first, self._read = self._read, self._read + batch.num_rows
                if self._read <= skipped:
                    continue
                yield from self._rows(batch, first, skipped)
        except self._broken:
            yield Row(self._read + 1, None, DAMAGED, file=self._name)

    def _rows(self, batch: Any, first: int, skipped: int) -> Iterator[Row]:
        columns = [column.to_pylist() for column in batch.columns]
        for place in range(max(0, skipped - first), batch.num_rows):
            yield self._row([plain_value(column[place]) for column in columns], first + place + 1)

    def _row(self, values: list[Any], number: int) -> Row:
        try:
            data = self._columns.of_values(values)
        except TicketError as wrong:
            told = values[self._id_column] if self._id_column is not None else ""
            return Row(number, None, str(wrong), told_id(str(told)), self._name)
        return row_of(data, number, self._name)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _groups_after(metadata: Any, skipped: int) -> tuple[list[int], int]:
    """Return the row groups that hold rows after the first `skipped`, and how many rows stand before them."""
    before = 0
    for group in range(metadata.num_row_groups):
        rows = metadata.row_group(group).num_rows
        if before + rows > skipped:
            return list(range(group, metadata.num_row_groups)), before
        before += rows
    return [], before


def plain_value(value: Any) -> Any:
    """Return a Parquet value as JSON could hold it: times as ISO 8601, decimals as text, NaN and NaT as nothing."""
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(name): plain_value(inner) for name, inner in value.items() if inner is not None}
    if isinstance(value, list | tuple):
        return [plain_value(inner) for inner in value]
    return _text(value)


def _text(value: object) -> str | None:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return str(value) if isinstance(value, Decimal) else None
