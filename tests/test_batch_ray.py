"""Batches on Ray: on two nodes of this machine, with workers, a node and the driver killed in the middle."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from desk_parts import MONDAY, clean_environment
from ray_parts import KEY, POISON, Cluster, Model, kill, serving
from triagedesk.batch import Job, Tally, run_batch
from triagedesk.batch.columns import words_in
from triagedesk.batch.identity import run_identity
from triagedesk.batch.rows import Row
from triagedesk.batch.sources import open_sources
from triagedesk.cli import main
from triagedesk.desk import open_desk
from triagedesk.errors import ConfigError
from triagedesk.models import Ticket
from triagedesk.playbook import load_playbook
from triagedesk.settings import Settings

pytest.importorskip("ray", reason="the extra [ray] is not installed")

from triagedesk.batch.journal import open_journal, parts_path
from triagedesk.batch.on_ray import Classify, Spread, engine, run_on_ray, sendable
from triagedesk.batch.on_ray.asking import Answers
from triagedesk.batch.on_ray.blocks import END, Input, as_table, from_table, read_blocks
from triagedesk.batch.on_ray.ledger import MAX_PAUSE_S, Ledger
from triagedesk.batch.on_ray.parts import Part, Parts
from triagedesk.batch.on_ray.sending import received

pytestmark = pytest.mark.filterwarnings(
    r"ignore::DeprecationWarning:ray\.data\.context",  # Ray Data warns of its own defaults
)

CANARY = "CANARY-9931 was charged twice"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    os.environ.update(RAY_USAGE_STATS_ENABLED="0", RAY_BACKEND_LOG_LEVEL="fatal")
    running = Cluster()
    try:
        yield running
    finally:
        running.close()


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(("TRIAGEDESK_", "OPENAI_", "RAY_ADDRESS"))]:
        monkeypatch.delenv(name)


def write_tickets(path: Path, count: int, **special: str) -> Path:
    """Write tickets of which each says something of its own; `special` gives the texts of some, by `row7`."""
    with path.open("w") as lines:
        for number in range(count):
            text = special.get(f"row{number}", f"{CANARY}, order {number}. The charger caught fire.")
            ticket = {"id": f"T-{number}", "body": text, "created_at": MONDAY.isoformat()}
            lines.write(json.dumps(ticket) + "\n")
    return path


def alone(settings: Settings, source: Path, target: Path) -> Tally:
    """Run the batch in this process: what Ray's output must be equal to."""

    async def run() -> Tally:
        async with open_desk(settings) as desk:
            return await run_batch(desk, Job(source, target))

    return asyncio.run(run())


def but_for_timings(target: Path) -> list[dict[str, Any]]:
    """Return the lines of an output without what differs between any two runs."""
    rows = [json.loads(line) for line in target.read_text().splitlines()]
    for row in rows:
        del row["provenance"]["elapsed_ms"]
    return rows


def by_model(model: Model, **more: Any) -> Settings:
    return Settings(
        model="openai/made-up", base_url=model.url, api_key=KEY, cache=False, max_concurrency=4, **more
    )  # fmt: skip


# --- on the cluster --------------------------------------------------------------------------------------------------


def test_a_worker_killed_in_the_middle_changes_nothing_in_the_output(cluster: Cluster, tmp_path: Path) -> None:
    source = write_tickets(tmp_path / "in.jsonl", 600)
    with source.open("a") as lines:
        lines.write('{"subject": "no body"}\nnot JSON\n')
    killed: list[int] = []

    def kill_one(tally: Tally, _: int) -> None:
        if not killed:
            killed.append(tally.rows)
            kill(cluster.workers()[0])

    rules = Settings(model="rules")
    tally = run_on_ray(rules, Job(source, tmp_path / "ray.jsonl"), Spread(block_rows=20), kill_one)
    alone(rules, source, tmp_path / "alone.jsonl")
    assert killed[0] < 600
    assert (tally.answered, tally.errors, tally.sources["rules"]) == (600, 2, 600)
    assert but_for_timings(tmp_path / "ray.jsonl") == but_for_timings(tmp_path / "alone.jsonl")
    assert (tmp_path / "ray.jsonl.errors.jsonl").read_bytes() == (tmp_path / "alone.jsonl.errors.jsonl").read_bytes()
    left = sorted(path.name for path in tmp_path.iterdir() if path.name.startswith("ray."))
    assert left == ["ray.jsonl", "ray.jsonl.errors.jsonl"]


def test_a_row_that_kills_its_worker_goes_to_the_error_file_and_all_others_are_answered(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fewer = partial(engine._ledger, block_tries=1, row_tries=1)  # every death takes ten seconds
    monkeypatch.setattr(engine, "_ledger", fewer)
    source = write_tickets(tmp_path / "in.jsonl", 12, row6=POISON)
    with serving() as model:
        tally = run_on_ray(by_model(model), Job(source, tmp_path / "out.jsonl"), Spread(actors=1, block_rows=4))
        times_asked = sum(POISON in text for text in model.texts())
    (problem,) = [json.loads(line) for line in (tmp_path / "out.jsonl.errors.jsonl").read_text().splitlines()]
    assert (problem["line"], problem["ticket_id"]) == (7, "T-6")
    assert "killed its worker" in problem["error"]
    ids = [json.loads(line)["ticket_id"] for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert ids == [f"T-{number}" for number in range(12) if number != 6]
    assert times_asked == 2
    assert (tally.answered, tally.errors) == (11, 1)


def test_a_driver_killed_in_the_middle_leaves_parts_that_are_not_asked_again(cluster: Cluster, tmp_path: Path) -> None:
    source, target = write_tickets(tmp_path / "in.jsonl", 200), tmp_path / "out.csv"
    with serving() as model:
        model.delay_s = 0.05
        driver = start(cluster, model, source, target, tmp_path)
        while driver.poll() is None and len(list(parts_path(target).glob("*.part"))) < 2:
            time.sleep(0.02)
        with pytest.raises(ConfigError, match="another batch is writing it"):
            run_on_ray(by_model(model), Job(source, target))
        driver.send_signal(signal.SIGKILL)
        said = driver.communicate(timeout=60)[1]
        done = len(list(parts_path(target).glob("*.part")))
        while cluster.workers():
            time.sleep(0.02)  # the dead driver's actor ends
        before, model.delay_s = len(model.asked), 0.0
        tally = run_on_ray(by_model(model), Job(source, target), Spread(actors=1, block_rows=999))
        asked = len(model.asked) - before
    assert b"raylet" not in said
    assert 2 <= done < 10
    assert asked == 200 - 20 * done
    assert (tally.resumed, tally.answered) == (20 * done, asked)
    assert [line.split(",")[0] for line in target.read_text().splitlines()] == [
        "ticket_id", *(f"T-{number}" for number in range(200)),
    ]  # fmt: skip


def start(cluster: Cluster, model: Model, source: Path, target: Path, home: Path) -> subprocess.Popen[bytes]:
    """Start the command as a user does, on the cluster."""
    return subprocess.Popen(
        [
            sys.executable, "-m", "triagedesk", "batch", str(source), str(target), "--engine", "ray",
            "--ray-address", cluster.address, "--block-rows", "20", "--actors", "1", "--concurrency", "4",
            "--model", "openai/made-up", "--base-url", model.url, "--no-cache",
        ],
        stderr=subprocess.PIPE, env=clean_environment(home, OPENAI_API_KEY=KEY),
    )  # fmt: skip


def test_classify_is_a_step_of_a_ray_data_pipeline(cluster: Cluster) -> None:
    import pyarrow as pa
    import ray

    rows = [{"ref": 1, "body": "The charger caught fire"}, {"ref": 2, "body": ""}]
    labelled = ray.data.from_arrow(pa.Table.from_pylist(rows)).map_batches(
        Classify, fn_constructor_kwargs={"settings": {"model": "rules"}}, compute=ray.data.ActorPoolStrategy(size=1),
        batch_format="pyarrow",
    )  # fmt: skip
    first, second = sorted(labelled.take_all(), key=lambda row: int(row["ref"]))
    assert (first["suggested_urgency"], first["error"]) == ("critical", None)
    assert (second["suggested_urgency"], second["error"]) == (None, "body: Field required")


def test_a_whole_node_killed_in_the_middle_changes_nothing_in_the_output(cluster: Cluster, tmp_path: Path) -> None:
    """Kill the second node; the tests after this one have one node."""
    source = write_tickets(tmp_path / "in.jsonl", 600)
    killed: list[int] = []

    def kill_node(tally: Tally, _: int) -> None:
        if not killed:
            killed.append(tally.rows)
            cluster.kill_second_node()

    rules = Settings(model="rules")
    tally = run_on_ray(rules, Job(source, tmp_path / "ray.jsonl"), Spread(actors=2, block_rows=10), kill_node)
    alone(rules, source, tmp_path / "alone.jsonl")
    assert killed[0] < tally.answered == 600
    assert but_for_timings(tmp_path / "ray.jsonl") == but_for_timings(tmp_path / "alone.jsonl")


def test_no_key_and_no_ticket_is_in_what_ray_wrote_down_of_all_this(cluster: Cluster) -> None:
    files = [path for path in (cluster.session / "logs").rglob("*") if path.is_file()]
    assert [path for path in files if path.name == "ray-data.log"]
    for path in files:
        written = path.read_bytes()
        assert KEY.encode() not in written, path.name
        assert b"CANARY" not in written, path.name


# --- without a cluster -----------------------------------------------------------------------------------------------


class Direct:
    """The ledger without an actor around it, called as Ray's handles are."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._ledger, name)

        def remote(*what: Any) -> asyncio.Future[Any]:
            future = asyncio.get_running_loop().create_future()
            future.set_result(method(*what))
            return future

        return type("Method", (), {"remote": staticmethod(remote)})


def test_one_actor_that_is_told_to_wait_holds_up_all() -> None:
    shared = Direct(Ledger())
    with serving() as model:
        model.delay_s = 0.05
        actors = [Answers(by_model(model), MONDAY, shared, actors=2) for _ in range(2)]
        for actor in actors:
            actor.all_of([])
        from concurrent.futures import ThreadPoolExecutor

        rows = [[Row(n, Ticket(body=f"{name} {n}")) for n in range(40)] for name in "ab"]
        with ThreadPoolExecutor(2) as pool:
            working = [pool.submit(actor.all_of, some) for actor, some in zip(actors, rows, strict=True)]
            while len(model.asked) < 24:
                time.sleep(0.005)
            model.refuse_s = 2.0
            answers = [one.result() for one in working]
        for actor in actors:
            actor.close()
    for name in "ab":  # the one that was refused, and the other
        at = [moment for moment, text in model.asked if text.startswith(name)]
        assert max(later - sooner for sooner, later in pairwise(at)) > 1.2, name
    assert {one.provenance.source for some in answers for one in some if not isinstance(one, str)} == {"model"}


def test_a_block_goes_row_by_row_after_three_deaths_and_a_row_is_left_after_two() -> None:
    ledger = Ledger()
    assert [ledger.begin(7) for _ in range(3)] == [None, None, None]
    ledger.keep(7, 0, b"answer")
    assert ledger.begin(7) == {0: b"answer"}
    assert [ledger.begin_row(7, 1) for _ in range(3)] == [True, True, False]
    assert ledger.begin(8) is None
    ledger.keep(7, 1, b"left out")
    ledger.finish(7)
    assert ledger.begin(7) is None
    assert ledger.begin_row(7, 1)


def test_the_longest_wish_to_be_left_alone_counts_and_none_is_longer_than_a_minute() -> None:
    now = 100.0
    ledger = Ledger(clock=lambda: now)
    assert ledger.quiet_s() == 0.0
    ledger.slow(5.0)
    ledger.slow(1.0)
    assert ledger.quiet_s() == 5.0
    now += 6.0
    assert ledger.quiet_s() == 0.0
    ledger.slow(1e9)
    assert ledger.quiet_s() == MAX_PAUSE_S


def test_rows_come_out_of_a_block_as_they_went_in_and_done_blocks_are_read_past(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(
        '{"id":"ü","body":"x\\u2028y","fields":{"n":1e300,"deep":[{"a":null}]},"created_at":"2026-01-01T10:00:00+05:30"}\n'
        '{"id":"no","body":""}\nnot JSON\n{"messages":[{"author":"customer","body":"hello"}],"other":true}\n'
    )
    sources = open_sources(tmp_path / "a.jsonl")
    given = Input(sources.files, frozenset(), {}, block_rows=2)
    blocks = [block for one in read_blocks(given) for block in from_table(as_table(one))]
    assert [row for block in blocks for row in block.rows] == list(sources.after())
    assert [block.number for block in blocks] == [0, 1, END]
    assert blocks[1].position == sources.size
    assert blocks[-1].position == 2
    assert list(read_blocks(given._replace(done=frozenset({0})))) == blocks[1:]


def test_other_settings_are_refused_before_a_cluster_is_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ray.is_initialized", lambda: False)  # as in a user's shell, whatever ran before
    source, target, settings = write_tickets(tmp_path / "in.jsonl", 2), tmp_path / "out.jsonl", Settings(model="rules")
    playbook = load_playbook()
    known = run_identity(settings, playbook, open_sources(source, words=words_in(playbook)), target, None)
    with open_journal(target) as journal:
        journal.name(f"ray-2 1 {known}")
    parts = Parts(target)
    parts.begin()
    parts.write(0, Part(1, 0, b"{}\n", b""))
    for changed in ({"redact": False}, {"pack": 4}):
        with pytest.raises(ConfigError, match="holds another batch"):
            run_on_ray(settings.model_copy(update=changed), Job(source, target))
    with pytest.raises(ConfigError, match="no cluster answers there"):  # unchanged it would go on
        run_on_ray(settings, Job(source, target), Spread(address="127.0.0.1:1"))
    assert parts.done() == {0}


def test_parts_are_put_together_in_order_and_again_after_a_kill_in_between(tmp_path: Path) -> None:
    target = tmp_path / "out.csv"
    parts = Parts(target)
    parts.begin()
    parts.write(1, Part(1, 1, b"b\n", b'{"line":4}\n'))
    parts.write(0, Part(2, 0, b"a\na\n", b""))
    (parts.folder / "00000002.new").write_bytes(b"torn")
    assert parts.done() == {0, 1}
    assert parts.counts() == (4, 1)
    for _ in range(2):
        parts.put_together(2, b"header\n", ("urgency",))
        assert target.read_bytes() == b"header\na\na\nb\n"
        assert (tmp_path / "out.csv.errors.jsonl").read_bytes() == b'{"line":4}\n'
        assert target.stat().st_mode & 0o077 == 0
    parts.begin()
    parts.put_together(0, b"header\n", ("urgency",))
    parts.remove()
    assert [path.name for path in tmp_path.iterdir()] == ["out.csv"]  # no problems, no file of them


def test_settings_travel_as_json_with_keys_wrapped_and_paths_absolute(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(
        model="openai/x", api_key=KEY, cache_url="redis://:secret@127.0.0.1/0", playbook=Path("my.yaml")
    )
    sent = sendable(settings)
    assert KEY not in repr(sent)
    assert "secret@" not in repr(sent)
    assert sent["playbook"] == str(Path("my.yaml").absolute())
    assert received(sent) == settings.model_copy(
        update={"playbook": Path("my.yaml").absolute(), "cache_dir": settings.cache_dir.absolute()}
    )
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-node")
    monkeypatch.setenv("TRIAGEDESK_MODEL", "openai/other")
    of_node = received(sendable(Settings(model="openai/x")))
    assert of_node.api_key is not None
    assert (of_node.model, of_node.api_key.get_secret_value()) == ("openai/x", "sk-of-the-node")
    assert received(sendable(Settings())).chosen_model is None


@pytest.mark.parametrize("kind", ["pyarrow", "numpy"])
def test_classify_adds_typed_columns_and_says_what_is_wrong_with_a_row(kind: str) -> None:
    import numpy as np
    import pyarrow as pa

    texts = ["The charger caught fire", "", None]
    table = pa.table({"Text": texts, "Via": ["Email", None, None], "n": [1, 2, 3]})
    batch: Any = table if kind == "pyarrow" else {
        "Text": np.array(texts, dtype=object), "Via": np.array(["Email", None, None], dtype=object),
        "n": np.array([1, 2, 3]),
    }  # fmt: skip
    classify = Classify({"model": "rules"}, prefix="our_")
    made: Any = classify(batch)
    classify.close()
    if kind == "numpy":
        made = pa.table({name: pa.array(values.tolist()) for name, values in made.items()})
    else:
        assert made.schema.field("our_urgency_confidence").type == pa.float64()
        assert made.schema.field("our_urgency_reasons").type == pa.list_(pa.string())
    first, second, third = made.to_pylist()
    assert (first["our_urgency"], first["our_answered_by"], first["error"]) == ("critical", "rules", None)
    assert first["our_urgency_reasons"]
    assert (first["n"], first["Via"]) == (1, "Email")
    assert [row["our_urgency"] for row in (second, third)] == [None, None]
    assert second["error"] == third["error"] == "body: Field required"


def test_classify_refuses_to_overwrite_a_column_before_it_asks() -> None:
    import pyarrow as pa

    with serving() as model:
        settings = {"model": "openai/made-up", "base_url": model.url, "api_key": KEY, "cache": False}
        classify = Classify(settings, prefix="")
        with pytest.raises(ConfigError, match="product is a column already; pass another prefix"):
            classify(pa.table({"body": ["hello"], "product": ["x"]}))
        with pytest.raises(ConfigError, match=r"error is a column already.*; rename it$"):
            classify(pa.table({"body": ["hello"], "error": ["x"]}))
        classify.close()
        assert model.asked == []


FAR = 10**18
"""In milliseconds: some 30 million years."""


def odd_tables() -> dict[str, Any]:
    import numpy as np
    import pyarrow as pa

    no_text = pa.array([b"ok", b"\xff\xfe", b"ok"], pa.binary()).view(pa.string())
    body, odd = ["The charger caught fire"] * 3, np.array([0, FAR, "NaT"], "datetime64[ms]")
    return {
        "arrow-time": pa.table({"body": body, "created_at": pa.array([0, FAR, None], pa.timestamp("ms", tz="UTC"))}),
        "arrow-text": pa.table({"body": body, "subject": no_text}),
        "arrow-zone-beside": pa.table({"body": body, "more": pa.array([1, 2, 3], pa.timestamp("us", tz="Foo/Bar"))}),
        "numpy-time": {"body": np.array(body, dtype=object), "created_at": odd},
        "numpy-time-beside": {"body": np.array(body, dtype=object), "more": odd},
    }


@pytest.mark.parametrize("name", ["arrow-time", "arrow-text", "arrow-zone-beside", "numpy-time", "numpy-time-beside"])
def test_a_value_that_python_cannot_hold_costs_its_own_row_of_a_block(name: str) -> None:
    classify = Classify({"model": "rules"})
    made: Any = classify(odd_tables()[name])
    classify.close()
    urgencies, errors = list(made["suggested_urgency"]), list(made["error"])
    if not isinstance(made, dict):
        urgencies, errors = made["suggested_urgency"].to_pylist(), made["error"].to_pylist()
    assert urgencies == ["critical", "critical" if "beside" in name else None, "critical"]
    if "beside" not in name:
        assert "the value cannot be read" in errors[1]
    assert errors[0] is errors[2] is None


def test_messages_are_read_from_the_arrays_within_arrays_that_ray_makes_of_lists() -> None:
    import pyarrow as pa
    from ray.data.block import BlockAccessor

    said = [[{"author": "customer", "body": "The charger caught fire"}], [{"author": "customer", "body": "hello"}] * 2]
    batch: Any = BlockAccessor.for_block(pa.table({"messages": said})).to_batch_format("numpy")
    classify = Classify({"model": "rules"})
    made: Any = classify(batch)
    classify.close()
    assert list(made["error"]) == [None, None]
    assert made["suggested_urgency"][0] == "critical"


def test_times_of_numpy_are_read_whatever_their_unit() -> None:
    import numpy as np

    from triagedesk.batch.on_ray.classify import _plain_array
    from triagedesk.batch.parquet_rows import UNREAD

    assert _plain_array(np.array([1_001, "NaT"], "datetime64[ns]")) == ["1970-01-01T00:00:00.000001", None]
    assert _plain_array(np.array(["2026-11-22"], "datetime64[D]")) == ["2026-11-22"]
    assert _plain_array(np.array([300_000], "datetime64[Y]")) == [UNREAD]
    assert _plain_array(np.array([1, 2**62], "timedelta64[s]")) == [None, UNREAD]


def test_numbers_and_arrays_of_numpy_are_read_and_what_python_has_not_is_left_out() -> None:
    import numpy as np

    from triagedesk.batch.on_ray.classify import _plain_array

    several = [np.int64(1), np.bool_(True), np.float32("nan"), np.array([[1], [2]]), memoryview(b"x"), np.longdouble(1)]
    held = np.empty(len(several), dtype=object)
    held[:] = several
    assert _plain_array(held) == [1, True, None, [[1], [2]], None, None]
    assert _plain_array(np.array([1, 2], np.longdouble)) == [None, None]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        pytest.param(("--actors", "2"), "belong to --engine ray", id="options-without-the-engine"),
        pytest.param(("--engine", "spark"), "--engine: give local or ray", id="unknown-engine"),
        pytest.param(("--engine", "ray", "--ray-address", "127.0.0.1:1"), "no cluster answers there", id="no-cluster"),
        pytest.param(("--engine", "ray", "--max-cost", "1"), "are for one machine", id="money-limit"),
        pytest.param(("--engine", "ray", "--block-rows", "0"), "give 1 or more", id="no-rows"),
    ],
)
def test_options_that_do_not_fit_are_one_line_and_leave_nothing_behind(
    options: tuple[str, ...], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr("ray.is_initialized", lambda: False)  # as in a user's shell, whatever ran before
    source = write_tickets(tmp_path / "in.jsonl", 1)
    assert main(["batch", str(source), str(tmp_path / "out.jsonl"), "--model", "rules", *options]) == 2
    said = capsys.readouterr().err
    assert says in said
    assert said.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]


def test_without_the_extra_one_line_names_it(tmp_path: Path) -> None:
    source = write_tickets(tmp_path / "in.jsonl", 1)
    program = (
        "import importlib.util, sys\n"
        "find = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, *more: None if name == 'ray' else find(name, *more)\n"
        "from triagedesk.cli import main\n"
        f"sys.exit(main(['batch', {str(source)!r}, {str(tmp_path / 'out.jsonl')!r}, '--engine', 'ray']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, env=clean_environment(tmp_path)
    )
    assert (done.returncode, done.stderr) == (2, "error: --engine ray needs Ray: pip install 'triagedesk[ray]'\n")
