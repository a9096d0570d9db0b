"""What stands beside OUT was changed, shared or forged: one line says so, and no row is lost or doubled."""

from __future__ import annotations

import csv
import io
import json
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from test_batch_output import run
from test_batch_run import PLAYBOOK, StandIn
from triagedesk.batch.account import ANSWER, log_path
from triagedesk.batch.job import Job
from triagedesk.batch.journal import Journal, journal_path, open_journal
from triagedesk.batch.linefile import LineFile
from triagedesk.batch.lines import cell
from triagedesk.batch.output import Output, errors_path
from triagedesk.batch.run import identity_of
from triagedesk.batch.sources import open_sources, would_read
from triagedesk.errors import ConfigError


def stopped(tmp_path: Path, *, ordered: bool, kills: tuple[int, ...] = (5,)) -> tuple[Path, Path]:
    """Leave a batch of eight rows as a kill leaves it: rows 0 to 4 are done, 1 and 3 of them are no tickets.

    `kills` are the numbers of rows that are done when it is killed, one after the other.
    """
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    lines = ["{no ticket" if row in (1, 3) else json.dumps({"id": f"t{row}", "body": "x"}) for row in range(8)]
    source.write_text("".join(f"{line}\n" for line in lines))
    desk = StandIn()
    sources = open_sources(source)
    with open_journal(target) as journal:
        for killed_at in kills:
            output = Output(target, tuple(PLAYBOOK.dimensions), journal, ordered=ordered)
            if not journal.identity:
                output.begin()
                journal.name(identity_of(desk, Job(source, target, ordered=ordered), sources))  # type: ignore[arg-type]
            output.go_on()
            first = output.first_open
            for number, row in list(enumerate(sources.after(0)))[first:killed_at]:
                if row.ticket is None:
                    output.problem(number, row.line, row.problem)
                else:
                    output.answer(number, desk.answer(row.ticket))
            output.close()
    return source, target


@pytest.mark.parametrize("ordered", [pytest.param(True, id="in-order"), pytest.param(False, id="as-they-finish")])
@pytest.mark.parametrize("kills", [(2,), (3,), (4,), (5,), (1, 2, 3, 4, 5), (3, 4)], ids=str)
def test_after_a_power_cut_no_row_is_left_out_or_written_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kills: tuple[int, ...], *, ordered: bool
) -> None:
    durable: Counter[Path] = Counter()
    sync = LineFile.sync

    def noted(file: LineFile) -> None:
        sync(file)
        durable[file.path] = file.path.stat().st_size

    with monkeypatch.context() as patch:
        patch.setattr(LineFile, "sync", noted)
        source, target = stopped(tmp_path, ordered=ordered, kills=kills)
    os.truncate(target, durable[target])  # the error file was written back by chance, OUT was not
    run(StandIn(), source, target, ordered=ordered)
    assert sorted(ids(target)) == ["t0", "t2", "t4", "t5", "t6", "t7"]
    assert sorted(bad_lines(target)) == [2, 4]


def test_a_problem_is_on_the_disk_before_the_next_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[str] = []
    for holder, name in ((LineFile, "write"), (LineFile, "sync"), (Journal, "sync")):
        note_calls(monkeypatch, holder, name, steps)
    stopped(tmp_path, ordered=True)
    problem, answer = "write out.jsonl.errors.jsonl", "write out.jsonl"
    synced = ["sync out.jsonl.errors.jsonl", "sync out.jsonl.journal"]
    assert steps[-9:] == [problem, *synced, answer, "sync out.jsonl", problem, *synced, answer]


def note_calls(monkeypatch: pytest.MonkeyPatch, holder: type[LineFile | Journal], name: str, steps: list[str]) -> None:
    """Have every call of a method noted, with the name of its file."""
    real = getattr(holder, name)

    def noted(self: LineFile | Journal, *args: bytes) -> None:
        steps.append(f"{name} {self.path.name}")
        real(self, *args)

    monkeypatch.setattr(holder, name, noted)


def ids(target: Path) -> list[str]:
    return [json.loads(line)["ticket_id"] for line in target.read_bytes().splitlines()]


def bad_lines(target: Path) -> list[int]:
    return [json.loads(line)["line"] for line in errors_path(target).read_bytes().splitlines()]


@pytest.mark.parametrize("ordered", [pytest.param(True, id="in-order"), pytest.param(False, id="as-they-finish")])
def test_a_batch_that_nobody_touched_goes_on(tmp_path: Path, *, ordered: bool) -> None:
    source, target = stopped(tmp_path, ordered=ordered)
    tally = run(StandIn(), source, target, ordered=ordered)
    assert (tally.resumed, tally.resumed_errors, tally.rows) == (5, 2, 3)
    assert (ids(target), bad_lines(target)) == (["t0", "t2", "t4", "t5", "t6", "t7"], [2, 4])


def cut_last_line(path: Path) -> None:
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))


def repeat_last_line(path: Path) -> None:
    path.write_bytes(path.read_bytes() + path.read_bytes().splitlines(keepends=True)[-1])


@pytest.mark.parametrize("ordered", [pytest.param(True, id="in-order"), pytest.param(False, id="as-they-finish")])
@pytest.mark.parametrize(
    "change",
    [
        pytest.param(Path.unlink, id="gone"),
        pytest.param(cut_last_line, id="shorter"),
        pytest.param(lambda path: path.write_bytes(path.read_bytes() * 2), id="longer"),
    ],
)
def test_an_error_file_that_was_changed_is_refused(
    tmp_path: Path, change: Callable[[Path], object], *, ordered: bool
) -> None:
    source, target = stopped(tmp_path, ordered=ordered)
    change(errors_path(target))
    before = target.read_bytes()
    with pytest.raises(ConfigError, match=r"out\.jsonl\.errors\.jsonl: was changed since"):
        run(StandIn(), source, target, ordered=ordered)
    assert target.read_bytes() == before


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(Path.unlink, id="gone"),
        pytest.param(repeat_last_line, id="a-row-twice"),
        pytest.param(lambda path: path.write_bytes(b"rubbish\n" + path.read_bytes()), id="a-line-that-is-none"),
        pytest.param(lambda path: path.write_bytes(b"9" * 5000 + b" a \n" + path.read_bytes()), id="endless-number"),
    ],
)
def test_a_log_of_finished_rows_that_is_damaged_is_refused(tmp_path: Path, change: Callable[[Path], object]) -> None:
    source, target = stopped(tmp_path, ordered=False)
    change(log_path(target))
    repeat_last_line(target)  # so that the entry that is there twice has a line, too
    with pytest.raises(ConfigError, match=r"out\.jsonl\.rows: the log of the rows is missing or damaged"):
        run(StandIn(), source, target, ordered=False)


@pytest.mark.parametrize("shorter", [pytest.param(log_path, id="log"), pytest.param(lambda path: path, id="out")])
def test_lines_that_the_log_does_not_cover_are_done_again(tmp_path: Path, shorter: Callable[[Path], Path]) -> None:
    source, target = stopped(tmp_path, ordered=False)
    for _ in range(2):  # rows 3 and 4 of the log; of OUT rows 2 and 4, and row 3 stands in the error file
        cut_last_line(shorter(target))
    run(StandIn(), source, target, ordered=False)
    assert Counter(ids(target)) == Counter(f"t{row}" for row in (0, 2, 4, 5, 6, 7))
    assert sorted(bad_lines(target)) == [2, 4]


def with_line(number: int, text: str) -> Callable[[list[str]], list[str]]:
    return lambda lines: [*lines[:number], text, *lines[number + 1 :]]


@pytest.mark.parametrize(
    "forge",
    [
        pytest.param(with_line(1, "2026-11-22T09:00:00"), id="beginning-without-zone"),
        pytest.param(with_line(1, "yesterday"), id="beginning-that-is-none"),
        pytest.param(with_line(2, "nan"), id="money-that-is-no-number"),
        pytest.param(with_line(3, "errors ²"), id="errors-that-are-no-number"),
        pytest.param(lambda lines: [*lines, "finished 8 2"], id="finished-that-is-not"),
    ],
)
def test_a_forged_journal_is_refused_in_one_line(tmp_path: Path, forge: Callable[[list[str]], list[str]]) -> None:
    source, target = stopped(tmp_path, ordered=True)
    journal = journal_path(target)
    journal.write_text("".join(f"{line}\n" for line in forge(journal.read_text().splitlines())))
    with pytest.raises(ConfigError, match="pass --overwrite to start again"):
        run(StandIn(), source, target)
    run(StandIn(), source, target, overwrite=True)
    assert ids(target) == ["t0", "t2", "t4", "t5", "t6", "t7"]


def test_two_outs_of_one_stem_have_error_files_of_their_own(tmp_path: Path) -> None:
    source, first = stopped(tmp_path, ordered=True)
    second = tmp_path / "out.csv"
    run(StandIn(), source, second)
    run(StandIn(), source, first)
    assert bad_lines(first) == bad_lines(second) == [2, 4]
    table = list(csv.DictReader(io.StringIO(second.read_text())))
    assert [row["ticket_id"] for row in table] == ids(first)


def test_a_pattern_through_a_linked_folder_does_not_read_its_own_output(tmp_path: Path) -> None:
    real, link = tmp_path / "real" / "day", tmp_path / "link"
    real.mkdir(parents=True)
    link.symlink_to(real.parent)
    for pattern in ("day/*.jsonl", "*/*.jsonl", "**/*.jsonl", "day/**"):
        assert would_read(f"{link}/{pattern}", real / "out.jsonl"), pattern
    assert not would_read(f"{link}/day/*.csv", real / "out.jsonl")
    assert not would_read(f"{link}/*.jsonl", real / "out.jsonl")


INVISIBLE = ("", " ", "\x00", "\x1b", "\ufeff", "\u200b", "\xa0", "\u2028", " \u200b ")


@pytest.mark.parametrize("before", [pytest.param(text, id=ascii(text)) for text in INVISIBLE])
@pytest.mark.parametrize("sign", [*"=+-@", "\u2212", "\ufe62", "\ufe66", "\uff1d"])
def test_a_formula_behind_invisible_characters_is_guarded(before: str, sign: str) -> None:
    assert cell(f"{before}{sign}1+1").startswith("'")
    assert f"'{sign}" in cell(f"harmless;{before}{sign}1+1")


@pytest.mark.parametrize("text", ["", " harmless = so", "a;b", "\u200bnothing", "1-2", "é=1"])
def test_what_is_no_formula_stays_as_it_is(text: str) -> None:
    assert cell(text) == text


@pytest.mark.parametrize(
    ("data", "says"),
    [
        pytest.param(b"id,body\r1,hello\r2,world\r", "CR alone as on old Macs", id="old-mac"),
        pytest.param(b"id,body," + b"x" * 9_000_000 + b"\n1,a,b\n", "the first line is line longer", id="endless-line"),
    ],
)
def test_a_header_that_cannot_be_read_is_refused_in_one_line(tmp_path: Path, data: bytes, says: str) -> None:
    (tmp_path / "in.csv").write_bytes(data)
    with pytest.raises(ConfigError, match=says):
        open_sources(tmp_path / "in.csv")


def test_a_header_may_have_a_long_cell(tmp_path: Path) -> None:
    csv.field_size_limit(131_072)
    (tmp_path / "in.csv").write_bytes(b"body," + b"x" * 200_000 + b"\nhello,1\n")
    (row,) = open_sources(tmp_path / "in.csv").after(0)
    assert row.line == 2


def test_an_answer_beside_a_log_in_order_needs_none(tmp_path: Path) -> None:
    source, target = stopped(tmp_path, ordered=True)
    log_path(target).write_bytes(b"9" * 5000 + b" " + ANSWER + b" x\nrubbish\n")
    run(StandIn(), source, target)
    assert ids(target) == ["t0", "t2", "t4", "t5", "t6", "t7"]
