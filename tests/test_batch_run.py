"""The batch: every row once, in order, whatever happens in between."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import os
import signal
import subprocess
import sys
import textwrap
import tracemalloc
from collections import deque
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

from triagedesk.batch import Job, Tally, run_batch
from triagedesk.batch.account import log_path
from triagedesk.batch.flow import AHEAD
from triagedesk.batch.identity import run_identity
from triagedesk.batch.journal import journal_path, open_journal, parts_path
from triagedesk.batch.output import errors_path
from triagedesk.batch.sources import open_sources
from triagedesk.errors import ConfigError, TicketError
from triagedesk.models import Choice, Provenance, Reason, Response, Source, Step, Suggestion, Ticket, Tokens
from triagedesk.playbook import load_playbook
from triagedesk.settings import Settings

if TYPE_CHECKING:
    from triagedesk.desk import Desk

PLAYBOOK = load_playbook()
NOW = datetime(2026, 11, 22, 9, tzinfo=UTC)


class StandIn:
    """A desk whose answers take as long as the test says; it counts how many it has in hand."""

    def __init__(self, *, model: str | None = "openai/none", cache: bool = True, quote: str = "quote") -> None:
        self.playbook, self.model = PLAYBOOK, model
        self.settings = Settings(cache=cache)
        self.asked: deque[str] = deque(maxlen=100)
        self.in_flight = self.most_in_flight = 0
        self.gates: dict[str, asyncio.Event] = {}
        self._quote = quote

    def listen(self, listener: object) -> None:
        """Nobody says anything of limits here."""

    def remember_answers(self) -> None:
        """Every ticket is asked anew here."""

    async def slots(self) -> int | None:
        return None

    async def suggest(
        self, ticket: Ticket, *, deadline_s: float | None = None, now: datetime | None = None
    ) -> Suggestion:
        self.asked.append(ticket.id)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            if ticket.id in self.gates:
                await self.gates[ticket.id].wait()
            elif self.model is not None:
                await asyncio.sleep(0)
        finally:
            self.in_flight -= 1
        if ticket.channel == "pigeon":
            raise TicketError("channel: unknown value")
        return self.answer(ticket)

    def answer(self, ticket: Ticket) -> Suggestion:
        reason = Reason(text="Because.", quote=self._quote, field="body", start=0, end=5)
        labels = {
            name: Choice(label=dimension.names[0], reasons=(reason,)) for name, dimension in PLAYBOOK.dimensions.items()
        }
        return Suggestion(
            ticket_id=ticket.id,
            labels=labels,
            response=Response(first_response_due=NOW, resolution_due=NOW),
            queue="=queue",
            escalation_path=(Step(step=1, team="desk", after_minutes=0), Step(step=2, team="lead", after_minutes=60)),
            provenance=Provenance(
                source=Source.MODEL if self.model else Source.RULES,
                fallback_reason=None if self.model else "no_model",
                playbook=PLAYBOOK.identity,
                tokens=Tokens(prompt=10, cached=4, completion=2),
                cost_usd=0.25,
            ),
        )


def write_tickets(path: Path, count: int, **more: Any) -> Path:
    lines = [json.dumps({"id": f"t{number}", "body": f"ticket {number}", **more}) for number in range(count)]
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def run(desk: StandIn, source: Path, target: Path, **options: Any) -> Tally:
    return asyncio.run(run_batch(cast("Desk", desk), Job(source, target, **options)))


def ids(target: Path) -> list[str]:
    return [json.loads(line)["ticket_id"] for line in target.read_bytes().splitlines()]


@pytest.mark.parametrize("model", [pytest.param(None, id="rules-alone"), pytest.param("openai/none", id="model")])
def test_every_row_is_answered_in_order(tmp_path: Path, model: str | None) -> None:
    source = write_tickets(tmp_path / "in.jsonl", 50)
    tally = run(StandIn(model=model), source, tmp_path / "out.jsonl")
    assert ids(tmp_path / "out.jsonl") == [f"t{number}" for number in range(50)]
    assert (tally.rows, tally.answered, tally.errors) == (50, 50, 0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.jsonl", "out.jsonl"]


def test_bad_rows_go_to_the_error_file_and_the_rest_is_done(tmp_path: Path) -> None:
    source = tmp_path / "in.jsonl"
    source.write_text(
        '{"id":"a","body":"x"}\n{secret}\n{"id":"b","body":"secret","channel":"pigeon"}\n{"id":"c","body":"x"}\n'
    )
    tally = run(StandIn(), source, tmp_path / "out.jsonl")
    assert ids(tmp_path / "out.jsonl") == ["a", "c"]
    problems = [json.loads(line) for line in (tmp_path / "out.jsonl.errors.jsonl").read_text().splitlines()]
    assert [(problem["line"], problem.get("ticket_id")) for problem in problems] == [(2, None), (3, "b")]
    assert problems[1]["error"] == "channel: unknown value"
    assert "secret" not in (tmp_path / "out.jsonl.errors.jsonl").read_text()
    assert (tally.answered, tally.errors) == (2, 2)


def test_an_error_file_of_an_earlier_run_is_replaced_only_if_told_to(tmp_path: Path) -> None:
    source = write_tickets(tmp_path / "in.jsonl", 1)
    problems = errors_path(tmp_path / "out.jsonl")
    problems.write_text("old\n")
    with pytest.raises(ConfigError, match=r"out\.jsonl\.errors\.jsonl: exists already; pass --overwrite"):
        run(StandIn(), source, tmp_path / "out.jsonl")
    assert problems.read_text() == "old\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.jsonl", problems.name]
    run(StandIn(), source, tmp_path / "out.jsonl", overwrite=True)
    assert not problems.exists()


def test_the_tally_counts_sources_tokens_cost_urgencies_and_duplicates(tmp_path: Path) -> None:
    source = tmp_path / "in.jsonl"
    source.write_text('{"id":"a","body":"x"}\n{"id":"a","body":"x"}\n')
    tally = run(StandIn(), source, tmp_path / "out.jsonl")
    assert (tally.sources, tally.fallbacks) == ({"model": 2}, {})
    assert (tally.prompt_tokens, tally.cached_tokens, tally.completion_tokens, tally.cost_usd) == (20, 8, 4, 0.5)
    assert tally.urgencies == {PLAYBOOK.dimensions["urgency"].names[0]: 2}
    assert tally.duplicates == 1


def test_no_more_tickets_are_in_flight_than_asked_for(tmp_path: Path) -> None:
    desk = StandIn()
    run(desk, write_tickets(tmp_path / "in.jsonl", 40), tmp_path / "out.jsonl", concurrency=3)
    assert desk.most_in_flight == 3


def test_a_slow_ticket_holds_back_the_lines_after_it_but_not_without_bounds(tmp_path: Path) -> None:
    desk = StandIn()
    source, target = write_tickets(tmp_path / "in.jsonl", 100), tmp_path / "out.jsonl"

    async def scene() -> None:
        desk.gates["t0"] = asyncio.Event()
        batch = asyncio.create_task(run_batch(cast("Desk", desk), Job(source, target, concurrency=4)))
        for _ in range(200):
            await asyncio.sleep(0)
        assert len(desk.asked) == 4 * AHEAD
        assert target.read_bytes() == b""
        desk.gates["t0"].set()
        await batch

    asyncio.run(scene())
    assert ids(target) == [f"t{number}" for number in range(100)]


def test_an_interrupted_batch_keeps_what_it_has_and_goes_on_from_there(tmp_path: Path) -> None:
    source, target = write_tickets(tmp_path / "in.jsonl", 20), tmp_path / "out.jsonl"
    desk = StandIn()

    async def interrupted() -> None:
        desk.gates["t12"] = asyncio.Event()
        batch = asyncio.create_task(run_batch(cast("Desk", desk), Job(source, target, concurrency=4)))
        for _ in range(200):
            await asyncio.sleep(0)
        batch.cancel()
        with pytest.raises(asyncio.CancelledError):
            await batch
        assert desk.in_flight == 0

    asyncio.run(interrupted())
    assert ids(target) == [f"t{number}" for number in range(12)]
    second = StandIn()
    tally = run(second, source, target)
    assert list(second.asked) == ["t12"]  # those behind it were answered, and stood in the log
    assert (tally.resumed, tally.rows) == (19, 1)
    assert ids(target) == [f"t{number}" for number in range(20)]


def stopped_after(tmp_path: Path, answers: bytes, problems: bytes = b"", name: str = "out.jsonl") -> tuple[Path, Path]:
    """Leave a batch as a kill leaves it: with these bytes in its two files."""
    source, target = write_tickets(tmp_path / "in.jsonl", 3), tmp_path / name

    async def killed() -> None:
        desk = StandIn()
        desk.gates["t0"] = asyncio.Event()
        batch = asyncio.create_task(run_batch(cast("Desk", desk), Job(source, target)))
        await asyncio.sleep(0.01)
        batch.cancel()
        await asyncio.gather(batch, return_exceptions=True)

    asyncio.run(killed())
    log_path(target).unlink()
    target.write_bytes(answers)
    if problems:
        errors_path(target).write_bytes(problems)
    return source, target


def test_a_torn_last_line_is_removed_before_going_on(tmp_path: Path) -> None:
    source, target = stopped_after(tmp_path, b'{"ticket_id":"t0"}\n{"ticket_id":"t1","labe')
    run(StandIn(), source, target)
    assert ids(target) == ["t0", "t1", "t2"]


def test_lines_of_the_error_file_count_as_done_and_torn_ones_do_not(tmp_path: Path) -> None:
    source, target = stopped_after(tmp_path, b'{"ticket_id":"t0"}\n', b'{"line":2,"error":"x"}\n{"line":3,"er')
    tally = run(StandIn(), source, target)
    assert ids(target) == ["t0", "t2"]
    assert errors_path(target).read_bytes() == b'{"line":2,"error":"x"}\n'
    assert (tally.resumed, tally.resumed_errors) == (2, 1)


def test_a_csv_goes_on_below_its_header(tmp_path: Path) -> None:
    source, target = stopped_after(tmp_path, b"ticket_id,urgen", name="out.csv")
    run(StandIn(), source, target)
    rows = list(csv.DictReader(io.StringIO(target.read_text())))
    assert [row["ticket_id"] for row in rows] == ["t0", "t1", "t2"]


def test_a_batch_that_stopped_on_ray_is_not_begun_anew_without_saying_so(tmp_path: Path) -> None:
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text('{"body": "Hello"}\n')
    parts_path(target).mkdir()
    with pytest.raises(ConfigError, match="--engine ray"):
        run(StandIn(), source, target)
    run(StandIn(), source, target, overwrite=True)
    assert not parts_path(target).exists()
    assert len(target.read_bytes().splitlines()) == 1


def test_a_complete_batch_is_not_replaced_unless_told_to(tmp_path: Path) -> None:
    source, target = write_tickets(tmp_path / "in.jsonl", 2), tmp_path / "out.jsonl"
    run(StandIn(), source, target)
    before = target.read_bytes()
    with pytest.raises(ConfigError, match="exists already; pass --overwrite"):
        run(StandIn(), source, target)
    assert target.read_bytes() == before
    assert not (tmp_path / "out.jsonl.journal").exists()
    run(StandIn(), source, target, overwrite=True)
    assert ids(target) == ["t0", "t1"]


def test_a_part_of_another_batch_is_not_continued(tmp_path: Path) -> None:
    source, target = stopped_after(tmp_path, b'{"ticket_id":"t0"}\n')
    source.write_text('{"id":"other","body":"x"}\n')
    with pytest.raises(ConfigError, match="holds another batch"):
        run(StandIn(), source, target)
    assert target.read_bytes() == b'{"ticket_id":"t0"}\n'
    run(StandIn(), source, target, overwrite=True)
    assert ids(target) == ["other"]


def test_another_model_makes_another_batch(tmp_path: Path) -> None:
    source, target = stopped_after(tmp_path, b'{"ticket_id":"t0"}\n')
    with pytest.raises(ConfigError, match="holds another batch"):
        run(StandIn(model=None), source, target)


@pytest.mark.parametrize("changed", [{"redact": False}, {"pack": 4}, {"temperature": 1.0}], ids=str)
def test_other_settings_of_the_question_make_another_batch(tmp_path: Path, changed: dict[str, Any]) -> None:
    source, target = stopped_after(tmp_path, b'{"ticket_id":"t0"}\n')
    desk = StandIn()
    desk.settings = desk.settings.model_copy(update=changed)
    with pytest.raises(ConfigError, match="holds another batch"):
        run(desk, source, target)
    assert target.read_bytes() == b'{"ticket_id":"t0"}\n'


def test_a_batch_begun_by_the_version_before_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    source, target = stopped_after(tmp_path, b'{"ticket_id":"t0"}\n')
    journal = journal_path(target)
    lines = journal.read_text().splitlines()
    journal.write_text("\n".join(["batch-2 0123456789abcdef0123456789abcdef", *lines[1:], ""]))
    with pytest.raises(ConfigError, match="holds another batch"):
        run(StandIn(), source, target)
    assert target.read_bytes() == b'{"ticket_id":"t0"}\n'


def test_a_file_found_beside_the_playbook_makes_another_run(tmp_path: Path) -> None:
    source, settings = write_tickets(tmp_path / "in.jsonl", 1), Settings(model="rules")
    (tmp_path / "own.yaml").write_bytes(Path(PLAYBOOK.where).read_bytes())
    playbook = load_playbook(tmp_path / "own.yaml")
    names = [run_identity(settings, playbook, open_sources(source), tmp_path / "out.jsonl", None)]
    for file in (playbook.trained_file, playbook.calibration_file):
        for content in (b"", b"1", b"2"):
            file.write_bytes(content)
            names.append(run_identity(settings, playbook, open_sources(source), tmp_path / "out.jsonl", None))
    assert len(set(names)) == len(names)


def test_no_resume_does_not_go_on(tmp_path: Path) -> None:
    source, target = stopped_after(tmp_path, b'{"ticket_id":"t0"}\n')
    with pytest.raises(ConfigError, match="holds a part of this batch"):
        run(StandIn(), source, target, resume=False)


def test_a_second_batch_on_the_same_file_is_turned_away(tmp_path: Path) -> None:
    source, target = write_tickets(tmp_path / "in.jsonl", 2), tmp_path / "out.jsonl"
    with open_journal(target), pytest.raises(ConfigError, match="another batch is writing it"):
        run(StandIn(), source, target)
    assert not target.exists()


@pytest.mark.parametrize(
    ("names", "says"),
    [
        pytest.param(("missing.jsonl", "out.jsonl"), "give a file that can be read", id="no-input"),
        pytest.param(("in.jsonl", "in.jsonl"), "same file", id="input-is-output"),
        pytest.param(("in.jsonl", "nowhere/out.jsonl"), "folder does not exist", id="no-folder"),
        pytest.param(("in.jsonl", "out.xlsx"), r"\.xlsx is not supported", id="spreadsheet"),
        pytest.param(("in.jsonl", "out.jsonl.xz"), "packed as .gz or .zst only", id="output-packed-otherwise"),
        pytest.param(("in*.jsonl", "in-out.jsonl"), "matches the pattern of IN", id="output-matches-the-pattern"),
        pytest.param((".", "out.jsonl"), "stands in the folder that is read", id="output-in-the-folder-that-is-read"),
        pytest.param(("none*.jsonl", "out.jsonl"), "no file matches", id="pattern-that-matches-nothing"),
        pytest.param(("in.jsonl", "folder.csv"), "is a folder", id="output-is-a-folder"),
        pytest.param(("in.jsonl", "link.jsonl"), "symbolic link", id="output-is-a-link"),
        pytest.param(("folder.csv", "out.jsonl"), "holds no .jsonl", id="input-is-an-empty-folder"),
    ],
)
def test_files_that_cannot_be_a_batchs_are_refused(tmp_path: Path, names: tuple[str, str], says: str) -> None:
    write_tickets(tmp_path / "in.jsonl", 1)
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "link.jsonl").symlink_to(tmp_path / "in.jsonl")
    with pytest.raises(ConfigError, match=says):
        run(StandIn(), tmp_path / names[0], tmp_path / names[1])


def test_csv_cells_hold_no_formula_and_no_line_break(tmp_path: Path) -> None:
    source, target = write_tickets(tmp_path / "in.jsonl", 1), tmp_path / "out.csv"
    run(StandIn(quote='=cmd|"/C calc"!A1\nnext\x1b[2J'), source, target)
    (row,) = csv.DictReader(io.StringIO(target.read_text(), newline=""))
    assert row["urgency_quote"] == '\'=cmd|"/C calc"!A1 next [2J'
    assert row["queue"] == "'=queue"
    assert row["escalation_path"] == "desk@0m > lead@60m"
    assert row["source"] == "model"


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n=", "＝", "＋", "－", "＠"])
def test_no_cell_begins_like_a_formula(start: str, tmp_path: Path) -> None:
    source, target = write_tickets(tmp_path / "in.jsonl", 1), tmp_path / "out.csv"
    run(StandIn(quote=f"{start}1+1"), source, target)
    (row,) = csv.DictReader(io.StringIO(target.read_text(), newline=""))
    assert row["urgency_quote"].startswith("'")


def test_a_formula_after_a_semicolon_runs_in_no_spreadsheet_that_separates_by_it(tmp_path: Path) -> None:
    source, target = write_tickets(tmp_path / "in.jsonl", 1), tmp_path / "out.csv"
    run(StandIn(quote='late; thanks;=1+1; "@SUM(A1)'), source, target)
    (row,) = csv.DictReader(io.StringIO(target.read_text(), newline=""))
    assert row["urgency_quote"] == "late; thanks;'=1+1; \"'@SUM(A1)"


def test_results_are_for_their_owner_alone(tmp_path: Path) -> None:
    run(StandIn(), write_tickets(tmp_path / "in.jsonl", 1), tmp_path / "out.jsonl")
    assert (tmp_path / "out.jsonl").stat().st_mode & 0o777 == 0o600


def test_memory_stays_flat(tmp_path: Path) -> None:
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text('{"id":"same","body":"x"}\n' * 6000)  # one id: those remembered are bounded otherwise
    tracemalloc.start()
    try:
        run(StandIn(model=None), source, target)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert target.stat().st_size > 5 * peak
    assert peak < 2_000_000


KILLED = """
    import asyncio, os, signal, sys
    from pathlib import Path
    sys.path.insert(0, {tests!r})
    from test_batch_run import StandIn
    from triagedesk.batch import Job, run_batch

    def watch(tally, position):
        if tally.rows == {rows}:
            os.kill(os.getpid(), signal.SIGKILL)

    asyncio.run(run_batch(StandIn(), Job(Path({source!r}), Path({target!r}), 4), watch))
"""


def killed_after(rows: int, source: Path, target: Path) -> int:
    script = textwrap.dedent(KILLED).format(
        tests=str(Path(__file__).parent), rows=rows, source=str(source), target=str(target)
    )
    return subprocess.run([sys.executable, "-c", script], check=False, timeout=60).returncode


def test_killed_again_and_again_a_batch_ends_as_if_it_had_not_been(tmp_path: Path) -> None:
    source, whole, target = tmp_path / "in.jsonl", tmp_path / "whole.jsonl", tmp_path / "out.jsonl"
    lines = [f'{{"id":"t{number}","body":"x"}}\n' if number % 5 else "{bad\n" for number in range(40)]
    source.write_text("".join(lines))
    for rows in (1, 7, 13):
        assert killed_after(rows, source, target) == -signal.SIGKILL
    tally = run(StandIn(), source, target)
    run(StandIn(), source, whole)
    assert tally.resumed >= 21
    assert target.read_bytes() == whole.read_bytes()
    assert errors_path(target).read_bytes() == errors_path(whole).read_bytes()
    assert os.listdir(tmp_path).count("out.jsonl.journal") == 0
