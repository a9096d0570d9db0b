"""What a report is made from: every format of OUT, tickets in any order, and files that are something else."""

from __future__ import annotations

import gzip
import json
import random
import tracemalloc
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from report_parts import FIRST, rows, suggestion, ticket, write_batch, write_lines
from triagedesk.batch.rows import Row
from triagedesk.cli import main
from triagedesk.errors import ConfigError
from triagedesk.models import Ticket
from triagedesk.playbook import load_playbook
from triagedesk.report import Job, due, make_report
from triagedesk.report.lines import from_json_line
from triagedesk.report.tally import Tally
from triagedesk.report.tickets import Facts, Join, facts_of
from triagedesk.report.zone import Zone

AT = datetime(2026, 9, 7, 10, tzinfo=UTC)
REAL = [
    {"id": "a-1", "subject": "=cmd", "body": "I was charged twice for order 881", "channel": "email", "region": "DE",
     "customer_tier": "vip", "created_at": "2026-09-07T08:00:00Z"},
    {"id": "'a-2", "body": "My charger started smoking", "channel": "voice", "created_at": "2026-09-08T08:00:00Z"},
    {"id": "a-3", "body": "How much does the big plan cost?", "channel": "email", "created_at": "2026-09-08T09:00:00Z",
     "due_at": "2026-09-08T07:00:00Z"},
    {"id": "a-4", "body": "Nothing works since this morning, all of us are cut off", "channel": "live_chat"},
]  # fmt: skip


def report(out: Path, tickets: Path | str | None = None, **more: Any) -> dict[str, Any]:
    """Return a report's JSON."""
    return make_report(Job(out, tickets, **more), load_playbook()).as_json()


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A few hundred tickets and their suggestions."""
    return write_batch(tmp_path_factory.mktemp("small"), 300)


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with tickets and what the batch command itself made of them in every format."""
    folder = tmp_path_factory.mktemp("real")
    write_lines(folder / "in.jsonl", REAL)
    for name in ("o.jsonl", "o.csv", "o.parquet", "o.jsonl.gz", "o.csv.gz", "o.jsonl.zst"):
        assert main(["batch", str(folder / "in.jsonl"), str(folder / name), "--model", "rules"]) == 0
    return folder


@pytest.mark.parametrize("name", ["o.csv", "o.parquet", "o.jsonl.gz", "o.csv.gz", "o.jsonl.zst"])
def test_every_format_that_a_batch_writes_gives_the_same_numbers(real: Path, name: str) -> None:
    plain, other = (report(real / each, real / "in.jsonl")["sections"] for each in ("o.jsonl", name))
    for section in ("calendar", "volumes", "sla", "load", "people"):
        kept = {key: table for key, table in plain[section].items() if key != "factors"}
        assert {key: other[section][key] for key in kept} == kept, section
    assert other["machine"]["sources"] == plain["machine"]["sources"]


def test_tickets_are_found_by_their_id_in_every_format(real: Path) -> None:
    for name in ("o.jsonl", "o.csv", "o.parquet"):
        made = report(real / name, real / "in.jsonl")
        assert not [line for line in made["warnings"] if "without a ticket of their id" in line], name
        assert {row["name"]: row["tickets"] for row in made["sections"]["volumes"]["channel"]} == {
            "email": 2, "voice": 1, "live_chat": 1
        }  # fmt: skip


def test_tickets_under_foreign_names_are_found_by_the_batchs_own_map(tmp_path: Path, real: Path) -> None:
    lines = [{"Nummer": one["id"], "Text": one["body"], "Kanal": one["channel"]} for one in REAL]
    foreign = write_lines(tmp_path / "foreign.jsonl", lines)
    made = report(real / "o.jsonl", foreign, columns={"id": "Nummer", "body": "Text", "channel": "Kanal"})
    assert sum(row["tickets"] for row in made["sections"]["volumes"]["channel"]) == 4


def test_tickets_of_which_no_suggestion_knows_one_are_refused_with_a_hint(
    tmp_path: Path, real: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [{"Nummer": one["id"], "body": one["body"]} for one in REAL]
    foreign = write_lines(tmp_path / "foreign.jsonl", lines)
    given = ["report", str(real / "o.jsonl"), "--tickets", str(foreign), "-o", str(tmp_path / "page.html")]
    assert main(given) == 2
    said = capsys.readouterr().err
    assert "foreign.jsonl: holds no ticket of OUT" in said
    assert "--map id=COLUMN" in said
    assert said.count("\n") == 1
    assert not (tmp_path / "page.html").exists()
    assert main([*given, "--map", "id=Nummer"]) == 0


def facts(join: Join, *ids: str) -> list[str | None]:
    return [found.subject if (found := join.facts(each)) is not None else None for each in ids]


def stream(*ids: str) -> list[Row]:
    """Return rows of tickets whose subject tells their place."""
    return [Row(place, Ticket(id=name, body="x", subject=f"{name}/{place}")) for place, name in enumerate(ids)]


@pytest.mark.parametrize("look_ahead", [0, 1, 2, 100], ids=lambda n: f"look-ahead-{n}")
def test_a_ticket_is_found_in_any_order_and_serves_once(look_ahead: int) -> None:
    join = Join(iter(stream("a", "b", "a", "c", "d", "e")), look_ahead)
    assert facts(join, "b", "a", "nobody", "a", "a", "d") == ["b/1", "a/0", None, "a/2", None, "d/4"]
    assert (join.unmatched, join.rest()) == (2, 2)
    join.close()


def test_tickets_in_the_same_order_never_go_to_disk() -> None:
    ids = [str(number) for number in range(50)]
    join = Join(iter(stream(*ids)), look_ahead=3)
    assert None not in facts(join, *ids)
    assert not join.on_disk
    swapped = Join(iter(stream(*ids)), look_ahead=3)
    assert None not in facts(swapped, "2", "1", "0", "3", "6", "5", "4")
    assert not swapped.on_disk


def test_a_table_on_disk_tells_what_the_stream_told() -> None:
    came = Ticket(
        id="t", body="x", subject="s", channel="email", customer_tier="vip", region="DE", product="X",
        created_at=AT, due_at=AT,
    )  # fmt: skip
    join = Join(iter([Row(1, Ticket(id="other", body="x")), Row(2, came)]), look_ahead=0)
    assert join.facts("t") == facts_of(came) == Facts("email", "vip", "DE", "X", AT.timestamp(), AT.timestamp(), "s")
    assert join.on_disk
    join.close()


def test_shuffled_tickets_give_the_same_report_and_no_other(tmp_path: Path, small: tuple[Path, Path]) -> None:
    lines = small[0].read_text("utf-8").splitlines(keepends=True)
    random.Random(1).shuffle(lines)
    (tmp_path / "tickets.jsonl").write_text("".join(lines), "utf-8")
    whole = report(small[1], small[0], made_at=AT)
    assert report(small[1], tmp_path / "tickets.jsonl", made_at=AT, look_ahead=5) == whole


def test_who_has_no_partner_is_counted_on_both_sides(tmp_path: Path) -> None:
    tickets = write_lines(tmp_path / "in.jsonl", [ticket(number, AT) for number in (1, 2, 3)] + [{"id": "x"}])
    out = write_lines(tmp_path / "out.jsonl", [suggestion(number, AT) for number in (2, 9)])
    told = " ".join(report(out, tickets)["warnings"])
    assert "Suggestions without a ticket of their id in IN: 1 (50.0\N{NO-BREAK SPACE}%)" in told
    assert "Tickets of IN without a suggestion in OUT: 2." in told
    assert "Rows of IN that are no tickets: 1." in told


def test_a_torn_line_and_a_batch_that_has_not_ended_are_told(tmp_path: Path) -> None:
    out = write_lines(tmp_path / "out.jsonl", [suggestion(1, AT), suggestion(2, AT)])
    out.write_bytes(out.read_bytes() + b'{"ticket_id": "T-3", "lab')
    (tmp_path / "out.jsonl.journal").write_text("batch\n")
    (tmp_path / "out.jsonl.errors.jsonl").write_text('{"line": 4, "error": "not JSON"}\n')
    made = report(out)
    assert made["figures"]["tickets"] == 2
    told = " ".join(made["warnings"])
    assert "The batch has not ended" in told
    assert "Lines of OUT that are no suggestions, left out: 1." in told
    assert "Rows without labels, in the batch's error file: 1." in told


def test_what_a_newer_version_adds_is_no_error_and_what_it_lacks_is() -> None:
    line = suggestion(1, AT) | {"brand_new": {"x": 1}}
    assert from_json_line(json.dumps(line).encode()).ticket_id == "T-1"
    for part in ("labels", "response", "queue", "provenance", "ticket_id"):
        with pytest.raises(ValueError, match=part):
            from_json_line(json.dumps({key: line[key] for key in line if key != part}).encode())


def torn_gz(folder: Path) -> Path:
    file = folder / "out.jsonl.gz"
    whole = gzip.compress(b"".join(json.dumps(suggestion(n, AT)).encode() + b"\n" for n in range(50)))
    file.write_bytes(whole[: len(whole) // 2])
    return file


def eval_folder(folder: Path) -> Path:
    (folder / "manifest.json").write_text("{}")
    return folder


def lines_of(*lines: dict[str, Any]) -> Callable[[Path], Path]:
    return lambda folder: write_lines(folder / "out.jsonl", list(lines))


def bytes_of(name: str, content: bytes) -> Callable[[Path], Path]:
    def made(folder: Path) -> Path:
        (folder / name).write_bytes(content)
        return folder / name

    return made


def parquet_of_tickets(folder: Path) -> Path:
    parquet.write_table(pa.table({"id": ["1"], "body": ["secret"]}), folder / "k.parquet")
    return folder / "k.parquet"


def parquet_with_due_times(times: pa.Array) -> Callable[[Path], Path]:
    """Return what writes one suggestion, first due at such a time."""
    names = ("ticket_id", "urgency", "urgency_confidence", "resolution_due", "queue", "source")

    def made(folder: Path) -> Path:
        table = pa.table({**{name: ["1"] for name in names}, "first_response_due": times})
        parquet.write_table(table, folder / "due.parquet")
        return folder / "due.parquet"

    return made


FAR, NOWHERE = pa.array([10**18], pa.timestamp("ms", tz="UTC")), pa.array([1], pa.timestamp("us", tz="Foo/Bar"))


ENDLESS_MINUTES = (
    "ticket_id,urgency,urgency_confidence,first_response_due,resolution_due,queue,source,escalation_path\n"
    f"1,high,,2026-09-07T10:00:00Z,2026-09-07T10:00:00Z,q,rules,a@{'9' * 5000}m\n"
).encode()

NOT_A_BATCH = [
    pytest.param(lambda folder: folder / "none.jsonl", "No such file", id="a-file-that-is-not-there"),
    pytest.param(lambda folder: folder, "is a folder; give the file", id="a-folder"),
    pytest.param(eval_folder, "triagedesk eval report", id="the-folder-of-an-eval-run"),
    pytest.param(bytes_of("out.jsonl", b""), "is empty", id="an-empty-file"),
    pytest.param(bytes_of("out.jsonl", b"\n\n"), "is empty", id="blank-lines"),
    pytest.param(bytes_of("out.csv", b""), "is empty", id="an-empty-csv"),
    pytest.param(bytes_of("out.txt", b"x"), ".txt is not supported", id="another-suffix"),
    pytest.param(bytes_of("out.jsonl", b"\x00\xff\n"), "are not JSON", id="bytes"),
    pytest.param(bytes_of("out.jsonl", b'"secret words"\n'), "lines are no suggestions", id="json-of-another-kind"),
    pytest.param(bytes_of("out.csv", b"id,body\n1,hello\n"), "holds tickets, not", id="a-csv-of-tickets"),
    pytest.param(bytes_of("kunden.csv", b"Nummer;Text\n1;secret\n"), "holds tickets, not", id="tickets-as-exported"),
    pytest.param(bytes_of("x.csv", b"Nummer;Was\n1;secret\n"), "no column first_response_due; if it", id="any-csv"),
    pytest.param(bytes_of("k.jsonl", b'{"id": 1, "text": "secret"}\n'), "holds tickets, not", id="text-for-body"),
    pytest.param(bytes_of("bad.jsonl", b'{"bo\n{"body": "secret"}\n'), "holds tickets, not", id="torn-tickets"),
    pytest.param(parquet_of_tickets, "holds tickets, not", id="a-parquet-of-tickets"),
    pytest.param(bytes_of("out.parquet", b"PAR1"), "no Parquet file", id="no-parquet"),
    pytest.param(parquet_with_due_times(FAR), "times or texts that cannot", id="a-time-out-of-range"),
    pytest.param(parquet_with_due_times(NOWHERE), "times or texts that cannot", id="an-unknown-time-zone"),
    pytest.param(bytes_of("out.csv", ENDLESS_MINUTES), "lack parts", id="a-number-without-end"),
    pytest.param(torn_gz, "damaged or cut off", id="a-torn-gz"),
    pytest.param(lines_of(ticket(1, AT)), "holds tickets", id="tickets"),
    pytest.param(lines_of({"ticket": {}, "labels": {}}), "labelled tickets", id="gold-lines"),
    pytest.param(lines_of({"id": "1", "k": 0, "attempt": 1, "suggestion": {}}), "eval run", id="predictions"),
    pytest.param(lines_of({"line": 1, "error": "x"}), "error file of a batch", id="the-error-file"),
    pytest.param(lines_of({"ticket_id": "1", "labels": {}}), "lack parts", id="half-a-suggestion"),
]


@pytest.mark.parametrize(("make", "told"), NOT_A_BATCH)
def test_a_file_that_is_no_batchs_output_is_told_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], make: Callable[[Path], Path], told: str
) -> None:
    page = tmp_path / "report.html"
    assert main(["report", str(make(tmp_path)), "-o", str(page)]) == 2
    said = capsys.readouterr()
    assert said.err.startswith("error: ")
    assert told in said.err
    assert said.err.count("\n") == 1
    assert "secret" not in said.err
    assert not page.exists()


def test_many_lines_that_are_no_suggestions_are_not_read_to_their_end(tmp_path: Path) -> None:
    file = tmp_path / "big.jsonl"
    file.write_text("{}\n" * 1000)
    with file.open("a") as stream:
        stream.write(json.dumps(suggestion(1, AT)))
    with pytest.raises(ConfigError, match="no suggestions"):
        report(file)


def held_by_tally(pairs: list[tuple[Facts, bytes]], times: int) -> int:
    """Return the bytes that a tally holds after it met the tickets so many times."""
    tally = Tally(load_playbook(), Zone("UTC"))
    tracemalloc.start()
    for _ in range(times):
        for found, line in pairs:
            tally.add(from_json_line(line), found)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert tally.n == times * len(pairs)
    return held


def test_the_tally_grows_with_what_is_new_and_not_with_the_batch() -> None:
    pairs = [(facts_of(Ticket.parse(came)), json.dumps(said).encode()) for came, said in rows(1000)]
    once, often = held_by_tally(pairs, 1), held_by_tally(pairs, 6)
    assert often < 1.05 * once
    assert once < 2_000_000


def test_minutes_that_the_newest_ticket_has_passed_are_let_go_and_nothing_ahead_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(due, "MAX_MINUTES", 500)
    ahead = due.Ahead()
    for minute in range(20_000):
        ahead.count(60.0 * (minute + 100), "high", newest=60.0 * minute)
    assert ahead.within(60.0 * 19_999, 1) == {"high": 60}
    assert ahead.within(60.0 * 19_999, 72) == {"high": 101}
    assert ahead.lost == 0


def test_hostile_values_are_counted_in_bounded_space() -> None:
    tally = Tally(load_playbook(), Zone("UTC"))
    for number in range(3000):
        said = suggestion(number, FIRST, f"u{number}", f"i{number}", quote=f"word{number} other{number}",
                          queue=f"q{number}", language=f"l{number}")  # fmt: skip
        tally.add(from_json_line(json.dumps(said).encode()), None)
    assert len(tally.queues.groups) <= 1001
    assert tally.queues.full
    assert len(tally.matrix) <= 201
    assert len(tally.whole.urgencies) <= 51
    assert sum(group.n for group in tally.queues.groups.values()) == 3000
