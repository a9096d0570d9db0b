"""Parquet files with odd values, and small ones that hold gigabytes: they cost their own rows, and no others."""

from __future__ import annotations

import resource
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batch_parts import SOURCE_FOLDER
from triagedesk.batch.parquet_rows import TOO_LARGE
from triagedesk.batch.rows import MAX_LINE_BYTES, Row
from triagedesk.batch.sources import open_sources

NOT_UTF8 = pa.StringArray.from_buffers(
    3, pa.py_buffer(b"\0\0\0\0\2\0\0\0\4\0\0\0\6\0\0\0"), pa.py_buffer(b"ok\xff\xfeok")
)
FAR = 10**18
"""In milliseconds: some 30 million years."""


def written(path: Path, **columns: Any) -> Path:
    pq.write_table(pa.table(columns), path)
    return path


def rows(path: Path, skipped: int = 0) -> list[Row]:
    return list(open_sources(path).after(skipped))


ODD = [
    pytest.param(pa.array([0, FAR, 0], pa.timestamp("ms")), ["1970-01-01T00:00:00", None], id="far-future"),
    pytest.param(pa.array([1] * 3, pa.timestamp("us", tz="Foo/Bar")), [None, None], id="unknown-zone"),
    pytest.param(pa.array([0, 2**62, 0], pa.duration("s")), [None, None], id="endless-duration"),
    pytest.param(pa.array([0, 2**30, 0], pa.date32()), ["1970-01-01", None], id="date-out-of-range"),
    pytest.param(NOT_UTF8, ["ok", None], id="bytes-that-are-no-text"),
    pytest.param(pa.array([Decimal("1e70")] * 3, pa.decimal256(76, 0)), ["1" + "0" * 70] * 2, id="large-decimal"),
]


@pytest.mark.parametrize(("values", "read"), ODD)
def test_an_odd_value_beside_the_ticket_is_left_out_and_costs_no_row(
    tmp_path: Path, values: pa.Array, read: list[str | None]
) -> None:
    found = rows(written(tmp_path / "in.parquet", body=["a", "b", "c"], extra=values))
    assert [row.ticket.body for row in found if row.ticket is not None] == ["a", "b", "c"]
    assert [row.ticket.fields.get("extra") for row in found[:2] if row.ticket is not None] == read


@pytest.mark.parametrize(
    ("name", "values"),
    [
        pytest.param("created_at", pa.array([0, FAR, 0], pa.timestamp("ms", tz="UTC")), id="time-out-of-range"),
        pytest.param("body", NOT_UTF8, id="body-is-no-text"),
    ],
)
def test_an_odd_value_of_the_ticket_itself_is_that_rows_problem(tmp_path: Path, name: str, values: pa.Array) -> None:
    columns = {"id": ["1", "2", "3"], "body": ["a", "b", "c"], name: values}
    first, second, third = rows(written(tmp_path / "in.parquet", **columns))
    assert (second.line, second.ticket, second.id) == (2, None, "2")
    assert second.problem.startswith(f"{name}: the value cannot be read")
    assert first.ticket is not None
    assert third.ticket is not None


def test_nanoseconds_are_cut_to_microseconds_with_or_without_pandas(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moment = 1_700_000_000_123_456_789
    path = written(
        tmp_path / "in.parquet", body=["a"], created_at=pa.array([moment], pa.timestamp("ns", tz="UTC")),
        clock=pa.array([1_001], pa.time64("ns")), fields=pa.array([{"at": [moment]}], _NESTED), lasts=_NANO,
    )  # fmt: skip
    monkeypatch.setitem(sys.modules, "pandas", None)
    (row,) = rows(path)
    assert row.ticket is not None, row.problem
    assert row.ticket.created_at is not None
    assert row.ticket.created_at.isoformat() == "2023-11-14T22:13:20.123456+00:00"
    assert row.ticket.fields == {"clock": "00:00:00.000001", "at": ["2023-11-14T22:13:20.123456"]}


_NESTED = pa.struct([("at", pa.list_(pa.timestamp("ns")))])
_NANO = pa.array([1_001], pa.duration("ns"))
LARGE = "order late " * (MAX_LINE_BYTES // 11 + 1)


def repeated(text: str, times: int) -> Any:
    return pa.DictionaryArray.from_arrays(pa.array([0] * times, pa.int32()), pa.array([text]))


@pytest.mark.parametrize(
    "note",
    [
        pytest.param(pa.array([LARGE, "small"]), id="text"),
        pytest.param(pa.DictionaryArray.from_arrays(pa.array([0, 1]), pa.array([LARGE, "small"])), id="dictionary"),
        pytest.param(pa.array([[LARGE[:-9], "and the rest"], ["small"]]), id="list"),
        pytest.param(pa.array([{"a": [LARGE]}, {"a": ["small"]}]), id="list-in-a-struct"),
        pytest.param(pa.array([{"a": 1}] * 2).cast(pa.struct([("a", pa.int8())])), id="nothing-large"),
    ],
)
def test_a_row_that_is_too_large_is_a_problem_of_that_row(tmp_path: Path, note: pa.Array) -> None:
    large, small = rows(written(tmp_path / "in.parquet", body=["a", "b"], note=note))
    assert small.ticket is not None
    if LARGE[:50] in str(note.to_pylist()[0]):
        assert (large.line, large.ticket, large.problem) == (1, None, TOO_LARGE)
    else:
        assert large.ticket is not None


@pytest.mark.parametrize("keeps_schema", [pytest.param(True, id="as-dictionary"), pytest.param(False, id="as-text")])
def test_a_small_file_of_ten_gigabytes_is_read_in_little_memory(tmp_path: Path, *, keeps_schema: bool) -> None:
    path = tmp_path / "in.parquet"
    table = pa.table({"body": ["hi"] * 500, "note": repeated("order late " * 2_000_000, 500)})
    pq.write_table(table, path, compression="zstd", store_schema=keeps_schema)
    assert path.stat().st_size < 100_000
    code = (
        "import sys, pathlib\nfrom triagedesk.batch.sources import open_sources\n"
        "found = list(open_sources(pathlib.Path(sys.argv[1])).after(0))\n"
        "print(len(found), {row.problem for row in found})"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, timeout=60, check=False,
        env={"PYTHONPATH": str(SOURCE_FOLDER)},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (1 << 30, 1 << 30)),
    )  # fmt: skip
    assert done.stdout.split(" ", 1) == ["500", f"{{'{TOO_LARGE}'}}\n"], done.stderr[-500:]


def test_rows_of_many_texts_come_back_as_they_are_over_row_groups(tmp_path: Path) -> None:
    path = tmp_path / "in.parquet"
    texts = [f"order {number % 700} of {number}" for number in range(3_000)]
    table = pa.table({"body": texts, "tags": [[text, "x"] for text in texts]})
    pq.write_table(table, path, row_group_size=900, dictionary_pagesize_limit=4_000)
    found = [row.ticket for row in rows(path, 850)]
    assert [(ticket.body, ticket.fields["tags"]) for ticket in found if ticket] == [
        (text, [text, "x"]) for text in texts[850:]
    ]
