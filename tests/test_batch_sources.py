"""Where a batch's rows come from: files, folders and patterns, packed ones, Parquet, and other people's layouts."""

from __future__ import annotations

import bz2
import csv
import gzip
import json
import lzma
import zlib
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from triagedesk.batch.columns import read_map
from triagedesk.batch.rows import DAMAGED, Row
from triagedesk.batch.sources import open_sources
from triagedesk.batch.streams import ZSTD_BYTES
from triagedesk.errors import ConfigError

Unpack = Callable[[bytes], bytes]

WORDS = frozenset(("email", "live_chat", "standard", "vip"))


def rows(spec: Path | str, skipped: int = 0, **columns: str) -> list[Row]:
    return list(open_sources(spec, words=WORDS, columns=columns).after(skipped))


def bodies(found: list[Row]) -> list[str]:
    return [row.ticket.body if row.ticket is not None else row.problem for row in found]


def json_lines(*texts: str) -> bytes:
    return "".join(json.dumps({"body": text}) + "\n" for text in texts).encode()


def zstd(data: bytes) -> bytes:
    packed: bytes = pa.Codec("zstd").compress(data, asbytes=True)
    return packed


PACKED = [
    pytest.param(".gz", gzip.compress, id="gzip"),
    pytest.param(".bz2", bz2.compress, id="bzip2"),
    pytest.param(".xz", lzma.compress, id="xz"),
    pytest.param(".zst", zstd, id="zstandard"),
]


@pytest.mark.parametrize(("suffix", "pack"), PACKED)
def test_a_packed_file_is_read_like_the_plain_one(tmp_path: Path, suffix: str, pack: Callable[[bytes], bytes]) -> None:
    (tmp_path / f"in.jsonl{suffix}").write_bytes(pack(b"\xef\xbb\xbf" + json_lines("one", "two")))
    (tmp_path / f"in.csv{suffix}").write_bytes(pack(b"id,text\n1,one\n2,two\n"))
    assert bodies(rows(tmp_path / f"in.jsonl{suffix}")) == ["one", "two"]
    assert bodies(rows(tmp_path / f"in.csv{suffix}", 1)) == ["two"]


def noise(count: int) -> list[str]:
    """Return texts that do not pack well, so that a cut is felt in the middle of them."""
    random = Random(8)
    return [random.randbytes(110).hex() for _ in range(count)]


def zstd_before_the_cut(cut: bytes) -> bytes:
    """Unpack byte by byte until it breaks off: a Zstandard frame comes in blocks of 128 KB."""
    found = bytearray()
    with pa.CompressedInputStream(pa.BufferReader(cut), "zstd") as stream, suppress(OSError):
        while byte := stream.read(1):
            found += byte
    return bytes(found)


CUT = [
    pytest.param(".gz", gzip.compress, lambda cut: zlib.decompressobj(wbits=31).decompress(cut), id="gzip"),
    pytest.param(
        ".bz2", partial(bz2.compress, compresslevel=1), lambda cut: bz2.BZ2Decompressor().decompress(cut), id="bzip2"
    ),
    pytest.param(".xz", lzma.compress, lambda cut: lzma.LZMADecompressor().decompress(cut), id="xz"),
    pytest.param(".zst", zstd, zstd_before_the_cut, id="zstandard"),
]


@pytest.mark.parametrize(("suffix", "pack", "before_the_cut"), CUT)
@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_of_a_packed_file_that_is_cut_off_every_row_before_the_cut_is_read_and_then_the_next_file(
    tmp_path: Path, kind: str, suffix: str, pack: Unpack, before_the_cut: Unpack
) -> None:
    texts = noise(2000)
    data = json_lines(*texts) if kind == "jsonl" else "\n".join(["body", *texts, ""]).encode()
    packed = pack(data)
    cut = packed[: len(packed) // 3]
    (tmp_path / f"in.{kind}{suffix}").write_bytes(cut)
    (tmp_path / "late.jsonl").write_bytes(json_lines("after"))
    found = rows(f"{tmp_path}/*")
    there = before_the_cut(cut).count(b"\n") - (kind == "csv")
    read = len(found) - 2
    assert bodies(found) == [*texts[:read], DAMAGED, "after"]
    lost = ZSTD_BYTES // len(texts[0]) + 1 if suffix == ".zst" else 0
    assert there - lost <= read <= there
    assert read > 400
    assert rows(f"{tmp_path}/*", 300) == found[300:]  # a batch goes on in such a file, too


def test_a_packed_file_with_not_one_line_left_is_refused_before_anything_is_asked(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl.gz").write_bytes(gzip.compress(json_lines(*noise(10)))[:30])
    with pytest.raises(ConfigError, match="pack it anew, or take it out"):
        rows(tmp_path / "in.jsonl.gz")


def test_a_file_that_is_not_what_its_suffix_says_is_refused_in_one_line(tmp_path: Path) -> None:
    for name in ("in.jsonl.gz", "in.jsonl.zst", "in.parquet"):
        (tmp_path / name).write_bytes(json_lines("secret"))
        with pytest.raises(ConfigError, match=f"{name}: is ") as caught:
            rows(tmp_path / name)
        assert "secret" not in str(caught.value)


def folder(tmp_path: Path) -> Path:
    for name, text in (("b.jsonl", "two"), ("a.csv", "one"), ("c.jsonl.gz", "three")):
        data = json_lines(text, f"{text} again")
        if name.endswith(".csv"):
            data = f"body\n{text}\n{text} again\n".encode()
        (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    for other in ("_SUCCESS", "readme.txt", ".hidden.jsonl", "a.errors.jsonl"):
        (tmp_path / other).write_text("no tickets\n")
    return tmp_path


@pytest.mark.parametrize("skipped", range(7))
def test_a_folder_is_one_stream_sorted_by_name(tmp_path: Path, skipped: int) -> None:
    expected = ["one", "one again", "two", "two again", "three", "three again"]
    assert bodies(rows(folder(tmp_path), skipped)) == expected[skipped:]


def test_a_row_of_several_files_tells_its_file_and_has_an_id_of_its_own(tmp_path: Path) -> None:
    found = rows(folder(tmp_path))
    assert [(row.file, row.line) for row in found][:3] == [("a.csv", 2), ("a.csv", 3), ("b.jsonl", 1)]
    ids = [row.ticket.id for row in found if row.ticket is not None]
    assert ids[:3] == ["a.csv:2", "a.csv:3", "b.jsonl:1"]
    assert len(set(ids)) == len(ids)


def test_a_pattern_goes_into_folders_and_names_them(tmp_path: Path) -> None:
    for name in ("2025/x.jsonl", "2026/x.jsonl"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(json_lines(name))
    assert [row.file for row in rows(f"{tmp_path}/**/*.jsonl")] == ["2025/x.jsonl", "2026/x.jsonl"]
    assert [row.file for row in rows(f"{tmp_path}/2025/*.jsonl")] == [""]


def test_a_file_whose_name_looks_like_a_pattern_is_itself(tmp_path: Path) -> None:
    (tmp_path / "in[1].jsonl").write_bytes(json_lines("itself"))
    (tmp_path / "in1.jsonl").write_bytes(json_lines("another"))
    assert bodies(rows(tmp_path / "in[1].jsonl")) == ["itself"]


def test_the_position_reaches_the_size_over_all_files(tmp_path: Path) -> None:
    write_parquet(tmp_path / "d.parquet", body=["x"] * 1200)
    sources = open_sources(folder(tmp_path))
    seen = [sources.position for _ in sources.after(0)]
    assert seen == sorted(seen)
    assert sources.position == sources.size


def test_another_map_or_another_file_makes_another_input(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("body,note\nx,y\n")
    plain, mapped = open_sources(tmp_path / "in.csv"), open_sources(tmp_path / "in.csv", columns={"body": "note"})
    assert plain.digest() != mapped.digest()
    (tmp_path / "more.csv").write_text("body,note\nx,y\n")
    assert open_sources(tmp_path).digest() != plain.digest()


def write_parquet(path: Path, **columns: Any) -> Path:
    pq.write_table(pa.table(columns), path, row_group_size=500)
    return path


def test_parquet_is_read_with_its_types(tmp_path: Path) -> None:
    moment = datetime(2026, 11, 22, 9, tzinfo=UTC)
    path = write_parquet(
        tmp_path / "in.parquet", **{
            "Ticket ID": [7, 8], "Text": ["hello", "again"], "Channel": ["Live Chat", None], "created": [moment, None],
            "price": [Decimal("1.50"), None], "score": [float("nan"), 0.5], "tags": [["a"], None],
            "fields": [{"plan": "gold"}, None],
        },
    )  # fmt: skip
    first, second = (row.ticket for row in rows(path))
    assert first is not None
    assert (first.id, first.body, first.channel, first.created_at) == ("7", "hello", "live_chat", moment)
    assert first.fields == {"plan": "gold", "price": "1.50", "tags": ["a"]}
    assert second is not None
    assert (second.channel, second.created_at, second.fields) == (None, None, {"score": 0.5})


@pytest.mark.parametrize("skipped", [0, 1, 499, 500, 501, 1199, 1200])
def test_parquet_goes_on_in_the_middle_of_a_row_group(tmp_path: Path, skipped: int) -> None:
    path = write_parquet(tmp_path / "in.parquet", body=[f"t{number}" for number in range(1200)])
    found = rows(path, skipped)
    assert bodies(found) == [f"t{number}" for number in range(skipped, 1200)]
    assert [row.line for row in found[:1]] == [skipped + 1] * bool(found)


def test_a_row_of_parquet_that_is_no_ticket_tells_its_number_and_id(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "in.parquet", id=["a", "b"], body=["hello", None])
    bad = rows(path)[1]
    assert (bad.line, bad.id, bad.ticket) == (2, "b", None)


def test_parquet_without_a_column_for_the_text_lists_the_columns_it_has(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "in.parquet", Nr=["secret"], Beschreibung=["secret"])
    with pytest.raises(ConfigError, match="holds the text; there are Nr, Beschreibung; pass --map body=COLUMN") as told:
        rows(path)
    assert "first line" not in str(told.value)
    assert "secret" not in str(told.value)


def foreign(tmp_path: Path, kind: str) -> Path:
    row = {"Nr": "T-1", "Beschreibung": "Hallo", "Kanal": "Live Chat", "body": "not this one"}
    path = tmp_path / f"in.{kind}"
    if kind == "parquet":
        return write_parquet(path, **{name: [value] for name, value in row.items()})
    if kind == "csv":
        with path.open("w", newline="") as stream:
            csv.writer(stream).writerows([list(row), list(row.values())])
    else:
        path.write_text(json.dumps(row) + "\n")
    return path


@pytest.mark.parametrize("kind", ["csv", "parquet", "jsonl"])
def test_a_map_says_where_a_foreign_layout_keeps_the_fields(tmp_path: Path, kind: str) -> None:
    (row,) = rows(foreign(tmp_path, kind), body="Beschreibung", channel="Kanal", id="Nr")
    assert row.ticket is not None
    assert (row.ticket.id, row.ticket.body, row.ticket.channel) == ("T-1", "Hallo", "live_chat")


@pytest.mark.parametrize("kind", ["csv", "parquet", "jsonl"])
def test_a_mapped_column_that_is_not_there_is_named_with_those_that_are(tmp_path: Path, kind: str) -> None:
    with pytest.raises(ConfigError, match="'Kanel' for channel; there are Nr, Beschreibung, Kanal, body"):
        rows(foreign(tmp_path, kind), channel="Kanel")


def test_a_path_leads_into_an_object_and_what_stays_goes_into_the_fields(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    lines = [
        {"data": {"text": "hello", "via": {"channel": "email"}}, "x": 1},
        {"data": {"text": "no channel"}},
        {"data": "no object"},
    ]
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    first, second, third = rows(path, body="data.text", channel="data.via.channel")
    assert first.ticket is not None
    assert (first.ticket.body, first.ticket.channel) == ("hello", "email")
    assert first.ticket.fields == {"data": {"via": {}}, "x": 1}
    assert second.ticket is not None
    assert second.ticket.channel is None
    assert (third.ticket, third.problem) == (None, "body: Field required")


@pytest.mark.parametrize(
    ("pairs", "says"),
    [
        pytest.param(["body"], "write it as OUR=THEIRS", id="no-equals-sign"),
        pytest.param(["=x"], "write it as OUR=THEIRS", id="no-field"),
        pytest.param(["Betreff=subject"], "a ticket has no field 'Betreff'; there are id, subject", id="turned-round"),
        pytest.param(["body=a", "body=b"], "body is given twice", id="twice"),
    ],
)
def test_a_map_that_is_none_is_refused(pairs: list[str], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        read_map(pairs)
