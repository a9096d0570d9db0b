"""Suggestions as Parquet: one typed table, the same schema whatever the rows hold."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic_core import from_json

CHUNK_ROWS = 2_000
"""So many rows are Python objects at once."""

GROUP_ROWS = 20_000
"""So many rows make a row group: about 10 MB in memory."""

_TIME = pa.timestamp("us", tz="UTC")
_STEP = pa.struct([("step", pa.int32()), ("team", pa.string()), ("after_minutes", pa.int32())])
_TEXTS = pa.list_(pa.string())

_OTHER: tuple[tuple[str, pa.DataType], ...] = (
    ("first_response_due", _TIME), ("resolution_due", _TIME), ("breached", pa.bool_()), ("queue", pa.string()),
    ("escalation_path", pa.list_(_STEP)), ("secondary_issues", _TEXTS), ("notify", _TEXTS), ("flags", _TEXTS),
    ("language", pa.string()), ("needs_review", pa.bool_()), ("review_reasons", _TEXTS), ("source", pa.string()),
    ("fallback_reason", pa.string()), ("model", pa.string()), ("cost_usd", pa.float64()),
    ("prompt_tokens", pa.int64()), ("cached_tokens", pa.int64()), ("completion_tokens", pa.int64()),
    ("elapsed_ms", pa.float64()),
)  # fmt: skip

_OF_LABEL: tuple[tuple[str, pa.DataType], ...] = (
    ("", pa.string()), ("_confidence", pa.float64()), ("_confidence_kind", pa.string()), ("_reason", pa.string()),
    ("_quote", pa.string()),
)  # fmt: skip


def schema_of(dimensions: Iterable[str]) -> pa.Schema:
    """Return the schema for a playbook's dimensions: CSV's columns, with types. Times are UTC, money is USD."""
    labels = [(f"{name}{suffix}", kind) for name in dimensions for suffix, kind in _OF_LABEL]
    return pa.schema([("ticket_id", pa.string()), *labels, *_OTHER])


def write_parquet(work: Path, aside: Path, dimensions: tuple[str, ...]) -> None:
    """Write the JSON lines of `work` as Parquet, chunk by chunk. Raises OSError."""
    schema = schema_of(dimensions)
    with pq.ParquetWriter(aside, schema, compression="zstd") as writer, work.open("rb") as lines:
        held: list[pa.RecordBatch] = []
        while batch := list(islice(lines, CHUNK_ROWS)):
            rows = [_row(from_json(line), dimensions) for line in batch]
            held.append(pa.RecordBatch.from_pylist(rows, schema=schema))
            if sum(part.num_rows for part in held) >= GROUP_ROWS:
                writer.write_table(pa.Table.from_batches(held, schema), row_group_size=GROUP_ROWS)
                held = []
        if held:
            writer.write_table(pa.Table.from_batches(held, schema), row_group_size=GROUP_ROWS)


def _row(line: Mapping[str, Any], dimensions: tuple[str, ...]) -> dict[str, Any]:
    due, told = line["response"], line["provenance"]
    tokens = told["tokens"]
    return {
        **line, **told, **dict(_labels(line["labels"], dimensions)), "breached": due["breached"],
        "first_response_due": _moment(due["first_response_due"]), "resolution_due": _moment(due["resolution_due"]),
        "prompt_tokens": tokens["prompt"], "cached_tokens": tokens["cached"], "completion_tokens": tokens["completion"],
    }  # fmt: skip


def _labels(labels: Mapping[str, Any], dimensions: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    for name in dimensions:
        choice = labels.get(name) or {}
        reason: Mapping[str, Any] = next(iter(choice.get("reasons") or ()), {})
        values = (
            choice.get("label"), choice.get("confidence"), choice.get("confidence_kind"), reason.get("text"),
            reason.get("quote"),
        )  # fmt: skip
        yield from zip((f"{name}{suffix}" for suffix, _ in _OF_LABEL), values, strict=True)


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)
