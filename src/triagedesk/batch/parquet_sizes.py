"""How large the rows of a Parquet file are before they are unpacked: a file of some kilobytes can hold gigabytes.

A text that is repeated stands in the file once, in its column's dictionary. As long as it is read as one, the repeats
cost nothing, and their sizes can be added up before a row is made of them.
"""

from __future__ import annotations

from typing import Any

MAX_BATCH_BYTES = 64 * 1024 * 1024
"""So many bytes, by what the file says of itself, are unpacked at once; one row always is."""

_VALUE_BYTES = 8
"""A number or a time in memory."""


MAX_DICTIONARY_BYTES = 64 * 1024 * 1024
"""A column with more bytes than this in a row group is not read as a dictionary: it grows with all that is unlike."""

FEW_ROWS = 8
"""So many rows are unpacked at once where a repeated text may be larger than `MAX_DICTIONARY_BYTES`."""


def expanding_columns(metadata: Any) -> list[str]:
    """Return the paths of the columns to read as dictionaries: those where a text in the file may stand for many."""
    found = {path: max(sizes) for path, sizes in _repeating(metadata).items()}
    return [path for path, size in found.items() if size <= MAX_DICTIONARY_BYTES]


def _repeating(metadata: Any) -> dict[str, list[int]]:
    """Return the paths of text columns that have dictionaries, with their bytes in each row group."""
    found: dict[str, list[int]] = {}
    for group in _groups(metadata):
        for column in (group.column(place) for place in range(group.num_columns)):
            if column.physical_type == "BYTE_ARRAY" and column.has_dictionary_page:
                found.setdefault(column.path_in_schema, []).append(column.total_uncompressed_size)
    return found


def _groups(metadata: Any) -> list[Any]:
    return [metadata.row_group(place) for place in range(metadata.num_row_groups)]


def rows_at_once(metadata: Any, most: int) -> int:
    """Return how many rows to unpack at once: `most`, or fewer where the file says that they may be large."""
    if any(max(sizes) > MAX_DICTIONARY_BYTES for sizes in _repeating(metadata).values()):
        most = min(most, FEW_ROWS)
    largest = max((_row_bytes(group) for group in _groups(metadata)), default=0)
    return max(1, min(most, MAX_BATCH_BYTES // max(1, largest)))


def _row_bytes(group: Any) -> int:
    columns = [group.column(place) for place in range(group.num_columns)]
    values = sum(column.num_values for column in columns) * _VALUE_BYTES
    return int(max(values, sum(column.total_uncompressed_size for column in columns)) // max(1, group.num_rows))


def sizes_of(batch: Any) -> list[int]:
    """Return about how many bytes each row of a record batch takes: texts by their bytes, other values by eight."""
    sizes = [0] * batch.num_rows
    for column in batch.columns:
        sizes = [size + more for size, more in zip(sizes, _sizes(column).to_pylist(), strict=True)]
    return sizes


def _sizes(array: Any) -> Any:
    """Return the bytes of each value of an array as an array of int64."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = array.type
    if pa.types.is_dictionary(kind):
        return pc.fill_null(_sizes(array.dictionary).take(array.indices), 0)
    if pa.types.is_struct(kind):
        return _sum([_sizes(part) for part in array.flatten()], len(array))
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_map(kind):
        return _of_lists(array)
    if _is_text(kind):
        return pc.fill_null(pc.binary_length(array).cast(pa.int64()), 0)
    return pa.repeat(pa.scalar(_VALUE_BYTES, pa.int64()), len(array))


def _is_text(kind: Any) -> bool:
    import pyarrow as pa

    types = pa.types
    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_binary(kind)
                or types.is_large_binary(kind))  # fmt: skip


def _of_lists(array: Any) -> Any:
    """Return for each list the sum over its values, by the difference of running totals."""
    import pyarrow as pa
    import pyarrow.compute as pc

    running = pc.cumulative_sum(_sizes(array.values))
    totals = pa.concat_arrays([pa.array([0], pa.int64()), running])
    offsets = array.offsets
    return pc.subtract(totals.take(offsets[1:]), totals.take(offsets[:-1]))


def _sum(parts: list[Any], length: int) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    total = pa.repeat(pa.scalar(0, pa.int64()), length)
    for part in parts:
        total = pc.add(total, part)
    return total
