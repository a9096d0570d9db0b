"""What a batch writes: packed, as Parquet, as the rows finish, from several processes; and the way back in."""

from __future__ import annotations

import asyncio
import csv
import errno
import gzip
import hashlib
import io
import json
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from test_batch_run import NOW, PLAYBOOK, StandIn, write_tickets
from triagedesk.batch import Job, Tally, run_batch
from triagedesk.batch.account import ANSWER, PROBLEM, AsFinished, InOrder, log_path
from triagedesk.batch.journal import open_journal
from triagedesk.batch.linefile import LineFile
from triagedesk.batch.output import open_output
from triagedesk.batch.parquet import schema_of, write_parquet
from triagedesk.cli import main
from triagedesk.desk import Desk, open_desk
from triagedesk.errors import ConfigError
from triagedesk.settings import Settings


def run(desk: StandIn, source: Path, target: Path, **options: Any) -> Tally:
    return asyncio.run(run_batch(cast("Desk", desk), Job(source, target, **options)))


def packed(target: Path) -> bytes:
    data = target.read_bytes()
    if target.suffix == ".zst":
        with pa.CompressedInputStream(pa.BufferReader(data), "zstd") as stream:
            return bytes(stream.read())
    return gzip.decompress(data)


@pytest.mark.parametrize("name", ["out.jsonl.gz", "out.jsonl.zst", "out.csv.gz", "out.csv.zst"])
def test_a_packed_file_holds_what_the_plain_one_would(tmp_path: Path, name: str) -> None:
    source = write_tickets(tmp_path / "in.jsonl", 30)
    plain = tmp_path / "plain" / Path(name).stem
    plain.parent.mkdir()
    run(StandIn(), source, tmp_path / name)
    run(StandIn(), source, plain)
    assert packed(tmp_path / name) == plain.read_bytes()
    assert (tmp_path / name).stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["in.jsonl", name, "plain"])


def test_a_packed_file_of_the_same_rows_has_the_same_bytes(tmp_path: Path) -> None:
    source = write_tickets(tmp_path / "in.jsonl", 30)
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        run(StandIn(), source, tmp_path / folder / "out.jsonl.gz")
    assert (tmp_path / "a" / "out.jsonl.gz").read_bytes() == (tmp_path / "b" / "out.jsonl.gz").read_bytes()


def test_parquet_has_types(tmp_path: Path) -> None:
    run(StandIn(), write_tickets(tmp_path / "in.jsonl", 3), tmp_path / "out.parquet")
    table = pq.read_table(tmp_path / "out.parquet")
    assert table.schema.equals(schema_of(PLAYBOOK.dimensions))
    assert table.schema.field("cost_usd").type == pa.float64()
    assert table.schema.field("first_response_due").type == pa.timestamp("us", tz="UTC")
    row = table.to_pylist()[2]
    assert (row["ticket_id"], row["first_response_due"], row["cost_usd"], row["breached"]) == ("t2", NOW, 0.25, False)
    assert (row["urgency_quote"], row["urgency_reason"], row["prompt_tokens"]) == ("quote", "Because.", 10)
    assert row["escalation_path"][1] == {"step": 2, "team": "lead", "after_minutes": 60}
    assert (row["notify"], row["fallback_reason"]) == ([], None)


def test_the_schema_is_the_same_for_no_row_and_for_many_row_groups(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("triagedesk.batch.parquet.CHUNK_ROWS", 100)
    monkeypatch.setattr("triagedesk.batch.parquet.GROUP_ROWS", 1000)
    line = StandIn().answer(next(iter(tickets(1)))).model_dump_json().encode() + b"\n"
    names = tuple(PLAYBOOK.dimensions)
    for count in (0, 2_250):
        (tmp_path / "work").write_bytes(line * count)
        write_parquet(tmp_path / "work", tmp_path / "out.parquet", names)
        file = pq.ParquetFile(tmp_path / "out.parquet")
        assert file.schema_arrow.equals(schema_of(names))
        assert (file.metadata.num_rows, file.metadata.num_row_groups) == (count, (count + 999) // 1000)


def tickets(count: int) -> list[Any]:
    from triagedesk.models import Ticket

    return [Ticket(id=f"t{number}", body="x") for number in range(count)]


def test_packed_output_appears_only_when_it_is_complete(tmp_path: Path) -> None:
    source, target = write_tickets(tmp_path / "in.jsonl", 20), tmp_path / "out.parquet"
    target.write_bytes(b"an old one")
    desk = StandIn()

    async def interrupted() -> None:
        desk.gates["t12"] = asyncio.Event()
        batch = asyncio.create_task(run_batch(cast("Desk", desk), Job(source, target, 4, overwrite=True)))
        await asyncio.sleep(0.05)
        assert target.read_bytes() == b"an old one"
        batch.cancel()
        await asyncio.gather(batch, return_exceptions=True)

    asyncio.run(interrupted())
    assert target.read_bytes() == b"an old one"
    tally = run(StandIn(), source, target)
    assert (tally.resumed, tally.rows) == (19, 1)
    assert pq.read_table(target).column("ticket_id").to_pylist() == [f"t{number}" for number in range(20)]


def test_a_kill_between_the_last_rename_and_the_journals_end_changes_nothing(tmp_path: Path) -> None:
    source, target = write_tickets(tmp_path / "in.jsonl", 3), tmp_path / "out.jsonl.gz"

    class KilledError(Exception):
        pass

    def killed(*_: object) -> None:
        raise KilledError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("triagedesk.batch.journal.Journal.remove", killed)
        with pytest.raises(KilledError):
            run(StandIn(), source, target)
    before = target.read_bytes()
    second = StandIn()
    tally = run(second, source, target)
    assert (tally.resumed, tally.rows, list(second.asked)) == (3, 0, [])
    assert target.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.jsonl", "out.jsonl.gz"]


def test_unordered_rows_are_written_as_they_finish(tmp_path: Path) -> None:
    source, target = write_tickets(tmp_path / "in.jsonl", 10), tmp_path / "out.jsonl"
    desk = StandIn()

    async def scene() -> None:
        desk.gates["t0"] = asyncio.Event()
        batch = asyncio.create_task(run_batch(cast("Desk", desk), Job(source, target, 4, ordered=False)))
        await asyncio.sleep(0.05)
        assert len(target.read_bytes().splitlines()) == 9
        desk.gates["t0"].set()
        await batch

    asyncio.run(scene())
    found = [json.loads(line)["ticket_id"] for line in target.read_bytes().splitlines()]
    assert (found[-1], sorted(found)) == ("t0", sorted(f"t{number}" for number in range(10)))


def test_an_order_is_not_changed_in_the_middle(tmp_path: Path) -> None:
    source, target = write_tickets(tmp_path / "in.jsonl", 3), tmp_path / "out.jsonl"
    names = tuple(PLAYBOOK.dimensions)
    with open_output(target, names, "batch-2 x", resume=True, overwrite=False) as output:
        output.problem(0, 1, "no ticket")
        output.problem(1, 2, "no ticket")
    (tmp_path / "out.jsonl").write_text("{}\n")
    with pytest.raises(ConfigError, match="holds another batch"):
        run(StandIn(), source, target, ordered=False)


Written = list[tuple[bytes, bytes]]


def test_a_log_of_rows_ahead_is_read_back_and_written_in_turn(tmp_path: Path) -> None:
    written: Written = []

    def write(kind: bytes, line: bytes) -> None:
        written.append((kind, line))

    first = InOrder(tmp_path / "log")
    for row, kind in ((0, ANSWER), (2, ANSWER), (3, PROBLEM)):
        first.finished(row, kind, b"row %d\n" % row, write)
    first.close()
    with (tmp_path / "log").open("ab") as log:
        log.write(b"4 a row fo")  # torn by a kill
    second = InOrder(tmp_path / "log")
    assert second.go_on(answers=1, errors=0) == (3, 1)
    assert [second.is_done(row) for row in range(5)] == [True, False, True, True, False]
    second.finished(1, ANSWER, b"row 1\n", write)
    assert written == [(ANSWER, b"row 0\n"), (ANSWER, b"row 1\n"), (ANSWER, b"row 2\n"), (PROBLEM, b"row 3\n")]


def test_a_log_forgets_what_is_written_when_it_grows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("triagedesk.batch.account.MAX_LOG_BYTES", 2_000)
    account = InOrder(tmp_path / "log")
    for row in range(0, 400, 2):
        account.finished(row + 1, ANSWER, b"x" * 50 + b"\n", lambda *_: None)
        account.finished(row, ANSWER, b"x" * 50 + b"\n", lambda *_: None)
    account.finished(401, ANSWER, b"ahead\n", lambda *_: None)
    account.close()
    assert (tmp_path / "log").stat().st_size < 2_500
    again = InOrder(tmp_path / "log")
    again.go_on(answers=400, errors=0)
    assert again.is_done(401)


@pytest.mark.parametrize(
    ("answers", "errors", "done"),
    [
        pytest.param(2, 1, [5, 3, 1], id="all-written"),
        pytest.param(1, 1, [5, 3], id="killed-before-the-last-line"),
        pytest.param(9, 1, [5, 3, 1], id="more-lines-than-are-logged"),
    ],
)
def test_a_log_of_finished_rows_says_which_row_each_line_is(
    tmp_path: Path, answers: int, errors: int, done: list[int]
) -> None:
    first = AsFinished(tmp_path / "log")
    for row, kind in ((5, ANSWER), (3, PROBLEM), (1, ANSWER)):
        first.finished(row, kind, b"line\n", lambda *_: None)
    first.close()
    second = AsFinished(tmp_path / "log")
    assert second.go_on(answers, errors).done == len(done)
    assert [row for row in range(7) if second.is_done(row)] == sorted(done)


def test_lines_beyond_a_number_are_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    for keep, left in ((0, b""), (2, b"a\nbb\n"), (9, b"a\nbb\nccc\n")):
        path.write_bytes(b"a\nbb\nccc\ntorn")
        assert LineFile(path).complete_lines(at_most=keep) == min(keep, 3)
        assert path.read_bytes() == left


def test_a_journal_keeps_the_beginning_and_the_money(tmp_path: Path) -> None:
    began = datetime(2026, 11, 22, 9, tzinfo=UTC)
    with open_journal(tmp_path / "out.jsonl") as journal:
        journal.name("batch-2 abc", began)
        journal.spend(1.5)
        journal.spend(12.25)
    with open_journal(tmp_path / "out.jsonl") as journal:
        assert (journal.identity, journal.began, journal.spent, journal.finished) == ("batch-2 abc", began, 12.25, None)
        journal.finish(7, 2)
        journal.spend(13.0)
        assert (journal.finished, journal.spent) == ((7, 2), 13.0)


@pytest.mark.parametrize("name", ["out.jsonl", "out.csv"])
def test_several_processes_write_what_one_does(tmp_path: Path, name: str) -> None:
    source = tmp_path / "in.jsonl"
    lines = [f'{{"id":"t{n}","body":"Order {n} is late","created_at":"2026-11-01T09:00:00Z"}}\n' for n in range(100)]
    lines[40] = "{no ticket\n"
    lines[70] = '{"id":"t70","body":"x","channel":"pigeon"}\n'
    source.write_text("".join(lines))

    async def work(target: Path, processes: int) -> Tally:
        async with open_desk(Settings(model="rules")) as desk:
            return await run_batch(desk, Job(source, target, processes=processes))

    tallies = []
    for processes in (1, 2):
        (tmp_path / str(processes)).mkdir()
        tallies.append(asyncio.run(work(tmp_path / str(processes) / name, processes)))
    one, two = tallies
    assert (one.answered, one.errors, one.sources, one.urgencies) == (98, 2, two.sources, two.urgencies)
    assert (two.answered, two.errors, two.review, two.duplicates) == (98, 2, one.review, one.duplicates)
    assert timeless(tmp_path / "1" / name) == timeless(tmp_path / "2" / name)
    one_errors, two_errors = (tmp_path / folder / f"{name}.errors.jsonl" for folder in ("1", "2"))
    assert one_errors.read_bytes() == two_errors.read_bytes()


def timeless(target: Path) -> list[Any]:
    if target.suffix == ".csv":
        return [{**row, "elapsed_ms": 0} for row in csv.DictReader(io.StringIO(target.read_text(), newline=""))]
    rows = [json.loads(line) for line in target.read_bytes().splitlines()]
    return [{**row, "provenance": {**row["provenance"], "elapsed_ms": 0}} for row in rows]


def test_standard_input_is_read_and_nothing_is_left_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b'{"id":"a","body":"hello"}\n')))
    assert main(["batch", "-", "out.jsonl", "--model", "rules"]) == 0
    assert json.loads(Path("out.jsonl").read_text())["ticket_id"] == "a"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.jsonl"]


class Piped:
    """Standard input that ends its second read with an error."""

    def __init__(self, wrong: BaseException) -> None:
        self.buffer, self._wrong, self._reads = self, wrong, 0

    def isatty(self) -> bool:
        return False

    def read(self, _: int) -> bytes:
        self._reads += 1
        if self._reads > 1:
            raise self._wrong
        return b'{"id":"a","body":"hello"}\n'


@pytest.mark.parametrize("wrong", [KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left on device")], ids=repr)
def test_nothing_is_left_of_a_standard_input_that_was_not_read_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: BaseException
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.stdin", Piped(wrong))
    assert main(["batch", "-", "out.jsonl", "--model", "rules"]) != 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("more", [(), ("--max-cost", "inf")], ids=["for-the-lock", "for-an-option"])
def test_a_second_run_that_is_refused_leaves_the_standard_input_of_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], more: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    data = b'{"id":"a","body":"hello"}\n'
    command = ["batch", "-", "out.jsonl", "--model", "rules"]
    kept = Path(f"out.jsonl.stdin-{hashlib.blake2b(data, digest_size=8).hexdigest()}.jsonl")
    kept.write_bytes(data)
    with open_journal(Path("out.jsonl")):
        for given in (data, b"of a batch of its own\n"):
            monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(given)))
            assert main([*command, *more]) == 2
            assert [path.read_bytes() for path in Path().glob("*.stdin-*")] == [data]
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))
    assert main(command) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.jsonl"]


def test_a_folder_in_and_parquet_out_name_the_file_of_a_bad_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("in").mkdir()
    Path("in/a.jsonl").write_text('{"Nr":1,"Text":"Die Rechnung ist falsch"}\n')
    Path("in/b.csv.gz").write_bytes(gzip.compress(b'Nr,Text\n2,"My card was charged twice"\n3,\n'))
    assert main(["batch", "in", "out.parquet", "--model", "rules", "--map", "id=Nr", "--map", "body=Text"]) == 1
    assert pq.read_table("out.parquet").column("ticket_id").to_pylist() == ["1", "2"]
    (problem,) = Path("out.parquet.errors.jsonl").read_text().splitlines()
    assert json.loads(problem) == {"line": 3, "file": "b.csv.gz", "ticket_id": "3", "error": "body: Field required"}
    assert Counter(path.suffix for path in tmp_path.iterdir() if path.is_file()) == {".parquet": 1, ".jsonl": 1}
    assert "1 → out.parquet.errors.jsonl" in capsys.readouterr().err


def test_the_log_stands_beside_the_output_and_is_private(tmp_path: Path) -> None:
    source, target = write_tickets(tmp_path / "in.jsonl", 20), tmp_path / "out.jsonl"
    desk = StandIn()

    async def scene() -> None:
        desk.gates["t0"] = asyncio.Event()
        batch = asyncio.create_task(run_batch(cast("Desk", desk), Job(source, target, 4)))
        await asyncio.sleep(0.05)
        assert log_path(target).stat().st_mode & 0o777 == 0o600
        desk.gates["t0"].set()
        await batch

    asyncio.run(scene())
    assert not log_path(target).exists()
