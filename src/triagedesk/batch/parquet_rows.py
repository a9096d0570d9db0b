"""Rows of a Parquet file, read batch by batch: memory holds one at a time, whatever the file's size."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

from triagedesk.batch.columns import ColumnMap, Columns, told_id
from triagedesk.batch.parquet_sizes import expanding_columns, rows_at_once, sizes_of
from triagedesk.batch.rows import DAMAGED, MAX_LINE_BYTES, Row, row_of
from triagedesk.errors import ConfigError, TicketError

BATCH_ROWS = 500
"""So many rows at most are unpacked at once; a row group is not."""

TOO_LARGE = f"row larger than {MAX_LINE_BYTES // 1024 // 1024} MB"


class ParquetRows:
    """The rows of one Parquet file. Raises ConfigError if it is none, or has no column for the text."""

    def __init__(
        self, path: Path, words: frozenset[str] = frozenset(), mapped: ColumnMap | None = None, *, name: str = ""
    ) -> None:
        import pyarrow as pa  # lazy: the extra [parquet], 0.3 s
        import pyarrow.parquet as pq

        try:
            metadata = pq.read_metadata(path)
            self._file = pq.ParquetFile(
                path, metadata=metadata, buffer_size=1 << 20, pre_buffer=False,
                read_dictionary=expanding_columns(metadata),
            )  # fmt: skip
            header = self._file.schema_arrow.names
        except (pa.ArrowException, OSError):
            raise ConfigError(f"{path}: is no Parquet file that can be read; write it anew") from None
        self._broken = (pa.ArrowException, OSError)
        self._name, self._read, self.skipped = name, 0, 0
        self._columns = Columns(header, str(path), words, mapped, is_schema=True)
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
            for batch in self._batches(groups):
                first, self._read = self._read, self._read + batch.num_rows
                if self._read <= skipped:
                    continue
                yield from self._rows(batch, first, skipped)
        except self._broken:
            yield Row(self._read + 1, None, DAMAGED, file=self._name)

    def _batches(self, groups: list[int]) -> Iterator[Any]:
        """Yield record batches, group by group: a dictionary within a list or struct ends with its row group."""
        size = rows_at_once(self._file.metadata, BATCH_ROWS)
        for group in groups:
            yield from self._file.iter_batches(batch_size=size, row_groups=[group])

    def _rows(self, batch: Any, first: int, skipped: int) -> Iterator[Row]:
        sizes = sizes_of(batch)
        columns = [_in_microseconds(column) for column in batch.columns]
        for place in range(max(0, skipped - first), batch.num_rows):
            number = first + place + 1
            if sizes[place] > MAX_LINE_BYTES:
                yield Row(number, None, TOO_LARGE, file=self._name)
            else:
                yield self._row([_value(column, place) for column in columns], number)

    def _row(self, values: list[Any], number: int) -> Row:
        try:
            data = self._columns.of_values(self._columns.without_unread(values, UNREAD))
        except TicketError as wrong:
            told = values[self._id_column] if self._id_column is not None else ""
            return Row(number, None, str(wrong), told_id(str(told)) if told is not UNREAD else "", self._name)
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


UNREAD = object()
"""Stands for a value that Python cannot hold: a year beyond 9999, bytes that are no text, an unknown time zone."""


def values_of(column: Any) -> list[Any]:
    """Return the values of a table's column as JSON could hold them; `UNREAD` stands for those that Python cannot."""
    chunks = map(_in_microseconds, column.chunks)
    return [_value(chunk, place) for chunk in chunks for place in range(len(chunk))]


def _value(column: Any, place: int) -> Any:
    """Return one value of a column as JSON could hold it, or `UNREAD`: one that is odd costs no other row."""
    try:
        return plain_value(column[place].as_py())
    except (ValueError, OverflowError, LookupError, NotImplementedError):  # what pyarrow raises is among these
        return UNREAD


def _in_microseconds(column: Any) -> Any:
    """Return a column of times without nanoseconds, which Python's own types do not have."""
    import pyarrow as pa

    target = _coarse(column.type)
    if target == column.type:
        return column
    with contextlib.suppress(pa.ArrowException):
        return column.cast(target, safe=False)
    return column


def _coarse(kind: Any) -> Any:
    """Return a type with microseconds in the place of nanoseconds, also within lists and structs."""
    import pyarrow as pa

    if pa.types.is_timestamp(kind) and kind.unit == "ns":
        return pa.timestamp("us", tz=kind.tz)
    if pa.types.is_duration(kind) and kind.unit == "ns":
        return pa.duration("us")
    if kind == pa.time64("ns"):
        return pa.time64("us")
    if pa.types.is_list(kind):
        return pa.list_(kind.value_field.with_type(_coarse(kind.value_type)))
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(_coarse(field.type)) for field in kind])
    return kind


def plain_value(value: Any) -> Any:
    """Return a table's value as JSON could hold it: times as ISO 8601, decimals as text, NaN and NaT as nothing."""
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
    if getattr(value, "dtype", None) is not None:
        return _of_numpy(value)
    return _text(value)


def _of_numpy(value: Any) -> Any:
    """Return an array or a number of numpy's as JSON could hold it; nothing of times and of what Python has not."""
    listed = value.tolist() if value.dtype.kind in "biufSUO" else value
    return None if type(listed) is type(value) else plain_value(listed)


def _text(value: object) -> str | None:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return str(value) if isinstance(value, Decimal) else None
