"""Rows of a batch file: what is read as a ticket, and what becomes one line of the error file."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from triagedesk.batch.records import MAX_RECORD_CHARS
from triagedesk.batch.rows import MAX_LINE_BYTES, Row, Rows
from triagedesk.batch.streams import format_of
from triagedesk.errors import ConfigError

WORDS = frozenset(("email", "live_chat", "standard", "vip"))


def read(data: bytes, name: str = "in.jsonl", skipped: int = 0) -> list[Row]:
    return list(Rows(io.BytesIO(data), Path(name), WORDS).after(skipped))


def bodies(rows: list[Row]) -> list[str | None]:
    return [row.ticket.body if row.ticket is not None else None for row in rows]


def problems(rows: list[Row]) -> list[tuple[int, str]]:
    return [(row.line, row.problem) for row in rows if row.ticket is None]


def test_a_line_is_a_ticket() -> None:
    (row,) = read(b'{"id": "a", "body": "hello", "channel": "email"}\n')
    assert row.ticket is not None
    assert (row.line, row.ticket.id, row.ticket.channel) == (1, "a", "email")


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b'{"body": "one"}\n{"body": "two"}\n', id="unix-lines"),
        pytest.param(b'{"body": "one"}\r\n{"body": "two"}\r\n', id="windows-lines"),
        pytest.param(b'\xef\xbb\xbf{"body": "one"}\n{"body": "two"}\n', id="byte-order-mark"),
        pytest.param(b'{"body": "one"}\n{"body": "two"}', id="no-line-end-at-the-end"),
        pytest.param(b'\n{"body": "one"}\n\n  \n{"body": "two"}\n\n', id="blank-lines"),
    ],
)
def test_json_lines_are_read_however_they_end(data: bytes) -> None:
    assert bodies(read(data)) == ["one", "two"]


BAD = [
    pytest.param(b'{"body": NaN}', "not JSON", id="not-a-number"),
    pytest.param(b'{"body": "x", "fields": {"n": Infinity}}', "not JSON", id="infinity"),
    pytest.param(b"[" * 100_000, "recursion limit", id="deep-json"),
    pytest.param(b'{"body": "caf\xe9"}', "unicode", id="latin-1"),
    pytest.param(b'{"body": "cut of', "EOF while parsing", id="truncated"),
    pytest.param(b'{"body": "secret \\ud800"}', "not JSON", id="lone-surrogate"),
    pytest.param(b'["secret"]', "not list", id="list"),
    pytest.param(b'"secret"', "not str", id="string"),
    pytest.param(b'{"body": ""}', "body", id="empty-body"),
    pytest.param(b'{"body": " \\n "}', "body is empty", id="blank-body"),
    pytest.param(b'{"subject": "secret"}', "body", id="no-body"),
    pytest.param(b'{"body": 12}', "body", id="number-as-body"),
    pytest.param(b'{"body": "secret", "created_at": "secret"}', "created_at", id="no-date"),
    pytest.param(b'{"body": "secret", "channel": ["email"]}', "channel", id="list-as-channel"),
    pytest.param(b'{"body": "' + b"x" * 1_000_001 + b'"}', "body", id="million-characters"),
    pytest.param(b'{"body": "' + b"secret" * (MAX_LINE_BYTES // 5) + b'"}', "line longer", id="ten-megabytes"),
]


@pytest.mark.parametrize(("line", "says"), BAD)
def test_a_bad_line_says_what_is_wrong_and_the_rest_is_read(line: bytes, says: str) -> None:
    rows = read(b'{"body": "before"}\n' + line + b'\n{"body": "after"}\n')
    assert bodies(rows) == ["before", None, "after"]
    ((number, problem),) = problems(rows)
    assert number == 2
    assert says in problem
    assert "secret" not in problem
    assert "\n" not in problem


def test_a_ticket_without_id_is_named_after_its_line() -> None:
    rows = read(b'\n{"body": "one"}\n{"body": "two", "id": ""}\n{"body": "three", "id": 7}\n')
    assert [row.ticket and row.ticket.id for row in rows] == ["line-2", "line-3", "7"]


@pytest.mark.parametrize("skipped", [0, 1, 2, 3])
@pytest.mark.parametrize("name", ["in.jsonl", "in.csv"])
def test_skipped_rows_count_bad_ones_too(skipped: int, name: str) -> None:
    data = b'{"body": "one"}\n{bad\n\n{"body": "three"}\n' if name == "in.jsonl" else b'body\none\n"b"ad\n\nthree\n'
    assert bodies(read(data, name, skipped)) == ["one", None, "three"][skipped:]


def test_utf_16_is_named() -> None:
    with pytest.raises(ConfigError, match="UTF-16"):
        read('{"body": "x"}'.encode("utf-16"))


@pytest.mark.parametrize("delimiter", [pytest.param(",", id="comma"), ";", pytest.param("\t", id="tab")])
def test_csv_is_read_with_the_delimiter_of_its_header(delimiter: str) -> None:
    data = delimiter.join(("Ticket ID", "Subject", "Text")) + "\r\n" + delimiter.join(("7", "Hi", '"a\r\nb"')) + "\r\n"
    (row,) = read(data.encode(), "in.csv")
    assert row.ticket is not None
    assert (row.ticket.id, row.ticket.subject, row.ticket.body, row.line) == ("7", "Hi", "a\r\nb", 2)


def test_csv_columns_go_by_many_names_and_the_rest_into_fields() -> None:
    (row,) = read(b"key,message,Tier,Channel,country,Agent\n1,hello,VIP,Live Chat,DE,Ann\n", "in.csv")
    ticket = row.ticket
    assert ticket is not None
    assert (ticket.customer_tier, ticket.channel, ticket.region) == ("vip", "live_chat", "DE")
    assert ticket.fields == {"agent": "Ann"}


def test_a_column_of_the_fields_own_name_wins_over_an_alias() -> None:
    (row,) = read(b"text,body,title,summary\nalias,own,first,second\n", "in.csv")
    assert row.ticket is not None
    assert (row.ticket.body, row.ticket.subject) == ("own", "first")
    assert row.ticket.fields == {"text": "alias", "summary": "second"}


def test_an_unknown_channel_is_left_for_the_playbook_to_refuse() -> None:
    (row,) = read(b"body,channel\nhello,Carrier Pigeon\n", "in.csv")
    assert row.ticket is not None
    assert row.ticket.channel == "Carrier Pigeon"


@pytest.mark.parametrize(
    ("record", "says"),
    [
        pytest.param(b"1,secret,3", "3 cells", id="too-many-cells"),
        pytest.param(b"1", "1 cells", id="truncated-record"),
        pytest.param(b'1,"secret"x', "not CSV", id="text-after-a-quote"),
        pytest.param(b"1,caf\xe9 secret", "not UTF-8", id="latin-1"),
        pytest.param(b"1,", "body", id="empty-body"),
        pytest.param(b"1," + b"secret" * (MAX_LINE_BYTES // 5), "line longer", id="ten-megabytes"),
    ],
)
def test_a_bad_csv_record_says_what_is_wrong_and_the_rest_is_read(record: bytes, says: str) -> None:
    rows = read(b"id,body\n0,before\n" + record + b"\n2,after\n", "in.csv")
    assert bodies(rows) == ["before", None, "after"]
    ((number, problem),) = problems(rows)
    assert number == 3
    assert says in problem
    assert "secret" not in problem


LOST_QUOTES = [
    pytest.param(b'1,"never\n2,after\n3,"last"\n', id="closed-by-the-quote-of-a-later-row"),
    pytest.param(b'1,"never\n2,after\n3,last\n', id="never-closed"),
    pytest.param(b'1,"never\n2,after\n3,last', id="no-line-end-at-the-end"),
    pytest.param(b'1,"never\n2,"after"\n"3","last"\n', id="quotes-around-every-cell"),
]


@pytest.mark.parametrize("lines", LOST_QUOTES)
def test_a_quote_that_never_closes_costs_its_own_row_alone(lines: bytes) -> None:
    rows = read(b"id,body\n0,before\n" + lines, "in.csv")
    assert bodies(rows) == ["before", None, "after", "last"]
    assert problems(rows) == [(3, "not CSV: a quote is opened and never closed")]
    assert [row.id or (row.ticket and row.ticket.id) for row in rows] == ["0", "1", "2", "3"]


def test_a_quote_that_does_not_close_for_two_million_characters_is_given_up() -> None:
    count = MAX_RECORD_CHARS // 1000 + 10
    rows = read(b'id,body\n1,"never\n' + (b"2," + b"x" * 1000 + b"\n") * count + b'3,"last"\n', "in.csv")
    assert [row.line for row in rows if row.ticket is None] == [2]
    assert len(rows) == count + 2


def test_a_long_quoted_text_with_quotes_in_it_is_one_row() -> None:
    body = b"line\n" * 20_000 + b'he said ""no, no"", and\n'
    rows = read(b'id,body\n1,"' + body + b'"\n2,after\n', "in.csv")
    assert [row.line for row in rows] == [2, 20_004]
    assert bodies(rows)[1] == "after"


@pytest.mark.parametrize(
    ("data", "name", "told"),
    [
        pytest.param(b'{"id": "T-1", "subject": "x"}\n', "in.jsonl", "T-1", id="json-without-body"),
        pytest.param(b'{"id": "my secret words", "subject": "x"}\n', "in.jsonl", "", id="json-with-words-as-id"),
        pytest.param(b'{"id": "T-1", "body": ', "in.jsonl", "", id="broken-json"),
        pytest.param(b"id,body\nT-1,a,b\n", "in.csv", "T-1", id="csv-with-a-cell-too-many"),
        pytest.param(b"body,id\nhello, you,T-1\n", "in.csv", "", id="csv-with-a-cell-too-many-before-the-id"),
        pytest.param(b"id,body\nT-1,\n", "in.csv", "T-1", id="csv-without-text"),
    ],
)
def test_a_bad_row_tells_the_id_that_is_sure(data: bytes, name: str, told: str) -> None:
    assert [row.id for row in read(data, name)] == [told]


def test_fields_of_a_csv_cell_are_json() -> None:
    good, bad = read(b'body,fields\nhello,"{""plan"": 3}"\nhello,secret\n', "in.csv")
    assert good.ticket is not None
    assert good.ticket.fields == {"plan": 3}
    assert bad.problem == "fields: the cell is not JSON"


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"id,subject\n1,secret\n", id="no-column-for-the-text"),
        pytest.param(b"secret words in the first line\n", id="no-header"),
        pytest.param(b"body,na\xefve\nsecret,x\n", id="header-in-latin-1"),
    ],
)
def test_a_csv_without_a_usable_header_is_refused_without_its_text(data: bytes) -> None:
    with pytest.raises(ConfigError, match="first line") as caught:
        read(data, "in.csv")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("name", ["in.xlsx", "in", "in.gz", "in.xlsx.gz"])
def test_another_format_names_what_is_supported(name: str) -> None:
    with pytest.raises(ConfigError, match=r"\.jsonl, \.ndjson, \.csv, \.tsv, \.parquet"):
        format_of(Path(name))
