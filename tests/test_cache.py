"""The answer cache keeps text, runs nothing, and turns every fault into a counted miss."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from triagedesk.cache import DATABASE, FOLDER, MAX_VALUE_CHARS, AnswerCache, CacheKey, TextDisk, cache_key, open_cache
from triagedesk.cache.disk import LOCK_REST_S
from triagedesk.cache.memory import AnswerMemory, WriteQueue
from triagedesk.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(cache_dir=tmp_path / "cache")


@pytest.fixture
def cache(settings: Settings) -> Iterator[AnswerCache]:
    opened = open_cache(settings)
    yield opened
    opened.close()


def database(settings: Settings) -> Path:
    return settings.cache_dir / FOLDER / DATABASE


@contextlib.contextmanager
def closing(settings: Settings) -> Iterator[AnswerCache]:
    opened = open_cache(settings)
    try:
        yield opened
    finally:
        opened.close()


def filled(settings: Settings, count: int = 3) -> None:
    with closing(settings) as cache:
        for number in range(count):
            cache.put(f"key {number}", f"answer {number} ü {'x' * 500}")
        assert cache.flush()


# --- keeping ---


def test_an_answer_is_kept_in_memory_at_once_and_on_disk_soon(settings: Settings, cache: AnswerCache) -> None:
    cache.put("question", "ein Änswer 😀")
    assert cache.get("question") == "ein Änswer 😀"
    assert cache.flush()
    with closing(settings) as other:
        assert other.get("question") == "ein Änswer 😀"


def test_what_was_put_before_closing_is_on_disk(settings: Settings) -> None:
    filled(settings, 250)
    with closing(settings) as cache:
        assert cache.stats().entries == 250


def test_an_unknown_question_is_a_miss(cache: AnswerCache) -> None:
    assert cache.get("never asked") is None
    cache.put("asked", "x")
    cache.get("asked")
    stats = cache.stats()
    assert (stats.hits, stats.misses, stats.faults) == (1, 1, {})


def test_an_answer_past_its_time_is_a_miss_on_disk(settings: Settings) -> None:
    short = settings.model_copy(update={"cache_ttl_days": 1e-9})
    with closing(short) as cache:
        cache.put("question", "x")
        assert cache.flush()
        assert cache.get("question") is None


def test_clear_removes_answers_and_says_how_many(cache: AnswerCache) -> None:
    for number in range(5):
        cache.put(f"key {number}", "x")
    cache.claim("key 9", 60)
    assert cache.clear() == 5
    assert cache.get("key 1") is None
    assert cache.stats().entries == 0
    assert cache.claim("key 9", 60)


def test_the_database_stays_near_its_limit(settings: Settings) -> None:
    small = settings.model_copy(update={"cache_max_bytes": 1024 * 1024})
    with closing(small) as cache:
        for number in range(900):
            cache.put(f"key {number}", os.urandom(2_000).hex())
            if number % 100 == 0:
                cache.flush()
        cache.flush()
        stats = cache.stats()
        assert 100 < stats.entries < 500
        assert stats.bytes < 2 * 1024 * 1024


def test_a_value_too_large_for_an_answer_is_not_kept(cache: AnswerCache) -> None:
    cache.put("question", "x" * (MAX_VALUE_CHARS + 1))
    assert cache.get("question") is None
    assert cache.stats().faults == {"oversize": 1}


def test_folder_and_files_are_private(settings: Settings) -> None:
    settings.cache_dir.mkdir()
    (settings.cache_dir / FOLDER).mkdir(mode=0o777)
    with closing(settings) as cache:
        cache.put("question", "x")
        cache.flush()
        folder = settings.cache_dir / FOLDER
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}


def test_a_switched_off_cache_keeps_nothing(settings: Settings) -> None:
    with closing(settings.model_copy(update={"cache": False})) as cache:
        cache.put("question", "x")
        assert cache.get("question") is None
        assert cache.claim("question", 5)
        assert cache.claim("question", 5)
        cache.release("question")
        assert cache.clear() == 0
        assert cache.problem == "switched off"
    assert not settings.cache_dir.exists()


def test_a_closed_cache_answers_misses(settings: Settings) -> None:
    cache = open_cache(settings)
    cache.put("question", "x")
    cache.close()
    cache.put("other", "x")
    assert cache.get("question") is None
    cache.close()


# --- keys ---


def test_a_key_depends_on_every_part_and_on_where_it_ends() -> None:
    keys = {
        cache_key("ab", "c"),
        cache_key("a", "bc"),
        cache_key("abc"),
        cache_key("ab", "c", ""),
        cache_key("ab", "c", secret=b"s"),
    }
    assert len(keys) == 5
    assert all(len(key) == 40 and set(key) <= set("0123456789abcdef") for key in keys)


def test_a_hashed_prefix_gives_the_key_of_the_whole() -> None:
    key = CacheKey(("model", "prompt"), secret=b"s")
    assert key.of("text") == cache_key("model", "prompt", "text", secret=b"s")
    assert key.of("text") == key.of("text") != key.of("other")
    assert key.of("\ud800")


def test_caches_of_one_folder_share_a_secret_and_others_do_not(settings: Settings, tmp_path: Path) -> None:
    with closing(settings) as one, closing(settings) as two, closing(Settings(cache_dir=tmp_path / "else")) as other:
        assert len(one.secret) == 32
        assert one.secret == two.secret != other.secret


def test_a_secret_cut_off_by_a_crash_is_made_anew(settings: Settings) -> None:
    with closing(settings) as cache:
        (cache.folder / "secret").write_bytes(b"short")
    with closing(settings) as cache:
        assert len(cache.secret) == 32
        assert cache.problem is None


# --- nothing is run ---


class Bomb:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.marker),)


def plant(settings: Settings, statement: str, values: tuple[object, ...]) -> None:
    connection = sqlite3.connect(database(settings))
    connection.execute(statement, values)
    connection.commit()
    connection.close()


ROW = """INSERT INTO Cache (key, raw, store_time, expire_time, access_time, mode, filename, value)
VALUES (?, ?, 0, ?, 0, ?, ?, ?)"""


def test_a_planted_pickle_is_never_run(settings: Settings, tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    bomb = pickle.dumps(Bomb(marker))
    pickle.loads(bomb)  # the bomb is live
    marker.rmdir()
    filled(settings, 1)
    (settings.cache_dir / FOLDER / "evil.val").write_bytes(bomb)
    plant(settings, ROW, ("answer:inline", 1, None, 4, None, bomb))
    plant(settings, ROW, ("answer:file", 1, None, 4, "evil.val", None))
    plant(settings, ROW, (bomb, 0, None, 4, None, bomb))
    plant(settings, ROW, ("answer:expired", 1, 1.0, 4, None, bomb))
    with closing(settings) as cache:
        assert cache.get("inline") is None
        assert cache.get("file") is None
        with pytest.raises(ValueError, match="pickle row"):
            list(cache._disk)
        stats = cache.stats()
        assert stats.entries >= 1
        assert stats.faults["pickle"] == 2
        cache.put("inline", "mended")
        cache.flush()
        cache._memory.clear()
        assert cache.get("inline") == "mended"
        cache.clear()
    assert not marker.exists()
    assert (settings.cache_dir / FOLDER / "evil.val").exists()  # names in rows remove nothing


@pytest.mark.parametrize(
    ("mode", "filename", "value"),
    [
        pytest.param(1, None, b"bytes", id="bytes"),
        pytest.param(1, None, 17, id="a-number"),
        pytest.param(3, "../../outside.txt", None, id="a-text-file-elsewhere"),
        pytest.param(2, "x.val", None, id="a-binary-file"),
        pytest.param(99, None, "x", id="an-unknown-mode"),
    ],
)
def test_a_foreign_row_is_a_counted_miss(settings: Settings, mode: int, filename: str | None, value: object) -> None:
    filled(settings, 1)
    plant(settings, ROW, ("answer:foreign", 1, None, mode, filename, value))
    with closing(settings) as cache:
        assert cache.get("foreign") is None
        assert cache.stats().faults == {"foreign": 1}


@pytest.mark.parametrize("given", [1, b"bytes", 1.5, None, ("a",), ["a"]])
def test_only_text_goes_in(tmp_path: Path, given: object) -> None:
    disk = TextDisk(str(tmp_path))
    with pytest.raises(TypeError):
        disk.put(given)
    with pytest.raises(TypeError):
        disk.store(given, False)


@pytest.mark.parametrize("key", ["disk_evil", "_disk", "get", "__class__"])
def test_planted_settings_make_the_database_a_foreign_one(settings: Settings, key: str) -> None:
    filled(settings, 1)
    plant(settings, "INSERT INTO Settings VALUES (?, ?)", (key, "x"))
    with closing(settings) as cache:
        assert cache.get("key 0") is None
        assert cache.stats().faults == {"corrupt": 1}
        assert cache.problem is None


# --- damage ---


def damage(path: Path, kind: str) -> None:
    data = path.read_bytes()
    if kind == "header-zeroed":
        path.write_bytes(bytes(100) + data[100:])
    elif kind == "truncated":
        path.write_bytes(data[: len(data) // 2])
    elif kind == "garbage":
        path.write_bytes(b"not a database " * 1000)
    else:
        path.write_bytes(b"")


@pytest.mark.parametrize("kind", ["header-zeroed", "truncated", "garbage"])
def test_a_damaged_database_is_moved_aside_and_made_anew(settings: Settings, kind: str) -> None:
    filled(settings, 200)
    damage(database(settings), kind)
    with closing(settings) as cache:
        for number in range(200):
            cache.get(f"key {number}")
        cache.put("new", "answer")
        assert cache.flush()
        cache._memory.clear()
        assert cache.get("new") == "answer"
        assert cache.stats().faults["corrupt"] >= 1
        assert cache.problem is None
    assert list(database(settings).parent.glob("*.corrupt-*"))


def test_an_empty_database_is_simply_filled(settings: Settings) -> None:
    filled(settings)
    damage(database(settings), "emptied")
    with closing(settings) as cache:
        assert cache.get("key 0") is None
        assert cache.stats().faults == {}


def test_damage_while_running_is_a_miss_and_heals(settings: Settings) -> None:
    filled(settings, 300)
    data = bytearray(database(settings).read_bytes())
    with closing(settings) as cache:
        data[8192 : len(data) - 4096] = os.urandom(len(data) - 12288)
        database(settings).write_bytes(data)
        for number in range(300):
            cache.get(f"key {number}")
        cache.put("new", "answer")
        cache.flush()
        cache._memory.clear()
        assert cache.get("new") == "answer"
        assert cache.stats().faults["corrupt"] >= 1


def test_byte_flips_never_raise(settings: Settings) -> None:
    filled(settings, 100)
    data = bytearray(database(settings).read_bytes())
    for place in range(300, len(data), 997):
        data[place] ^= 0xFF
    database(settings).write_bytes(bytes(data))
    with closing(settings) as cache:
        for number in range(100):
            cache.get(f"key {number}")
            cache.claim(f"key {number}", 1)
            cache.release(f"key {number}")
        cache.stats()
        cache.clear()


@pytest.mark.parametrize("shape", ["a-file-in-its-place", "a-link", "a-read-only-file-system"])
def test_without_a_usable_folder_nothing_is_kept_and_the_problem_is_named(
    settings: Settings, tmp_path: Path, shape: str
) -> None:
    if shape == "a-file-in-its-place":
        settings.cache_dir.write_text("x")
    elif shape == "a-link":
        (tmp_path / "elsewhere").mkdir()
        settings.cache_dir.mkdir()
        (settings.cache_dir / FOLDER).symlink_to(tmp_path / "elsewhere")
    else:
        settings = settings.model_copy(update={"cache_dir": Path("/proc/triagedesk")})
    with closing(settings) as cache:
        assert cache.problem is not None
        assert str(settings.cache_dir) in cache.problem
        assert "\n" not in cache.problem
        cache.put("question", "x")
        assert cache.get("question") == "x"  # memory still helps
        assert cache.claim("question", 5)
        assert cache.stats().faults == {"folder": 1}
        assert cache.clear() == 0
    assert not list((tmp_path / "elsewhere").glob("*")) if shape == "a-link" else True


def test_a_locked_database_is_a_counted_miss_and_drops_the_write(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("triagedesk.cache.answers.WRITE_TRIES", 2)
    filled(settings)
    with closing(settings) as cache:
        locker = sqlite3.connect(database(settings), isolation_level=None)
        locker.execute("BEGIN IMMEDIATE")
        assert cache.get("key 0") is not None  # readers do not wait for a writer
        assert cache.claim("question", 5)
        cache.put("question", "x")
        assert cache.flush()
        locker.execute("ROLLBACK")
        locker.close()
        assert cache.stats().faults == {"locked": 1, "dropped": 1}


def test_fifty_claims_and_releases_against_a_lock_wait_for_it_once(settings: Settings) -> None:
    now = [100.0]
    cache = AnswerCache(settings, clock=lambda: now[0])
    cache.open()
    with (
        contextlib.closing(cache),
        contextlib.closing(sqlite3.connect(database(settings), isolation_level=None)) as locker,
    ):
        assert cache.claim("asked before", 60)
        locker.execute("BEGIN IMMEDIATE")
        begun = time.monotonic()
        assert all(cache.claim(f"question {number}", 60) for number in range(50))
        for number in range(50):
            cache.release(f"question {number}")
        cache.release("asked before")
        assert time.monotonic() - begun < 0.5  # one wait of 0.02 s; fifty would take 1 s
        assert cache.stats().faults == {"locked": 51}
        locker.execute("ROLLBACK")
        now[0] += LOCK_REST_S
        assert cache.claim("question", 60)
        assert not cache.claim("question", 60)  # the disk is asked again


def test_a_database_locked_at_the_start_is_left_alone(settings: Settings) -> None:
    filled(settings)
    locker = sqlite3.connect(database(settings), isolation_level=None)
    locker.execute("PRAGMA locking_mode = EXCLUSIVE")
    locker.execute("BEGIN EXCLUSIVE")
    with closing(settings) as cache:
        assert cache.problem is not None
        assert "locked" in cache.problem
    locker.execute("ROLLBACK")
    locker.close()
    with closing(settings) as cache:
        assert cache.get("key 0") is not None


def test_a_full_disk_loses_the_answer_and_nothing_else(settings: Settings) -> None:
    filled(settings)
    with closing(settings) as cache:
        ((pages,),) = cache._disk._sql("PRAGMA page_count").fetchall()
        writing = threading.Event()

        def limited(batch: list[tuple[str, str]]) -> None:
            cache._disk._sql(f"PRAGMA max_page_count = {pages}").fetchall()
            AnswerCache._write(cache, batch)
            writing.set()

        cache._writes._write = limited
        for number in range(200):
            cache.put(f"more {number}", "x" * 30_000)
        cache.flush()
        assert writing.is_set()
        faults = cache.stats().faults
        assert faults["dropped"] >= 1
        assert "corrupt" not in faults
        assert cache.get("key 0") is not None


# --- one flight ---


def test_one_of_two_caches_gets_the_claim(settings: Settings) -> None:
    with closing(settings) as one, closing(settings) as two:
        assert one.claim("question", 60)
        assert not two.claim("question", 60)
        two.release("question")  # not its own
        assert not two.claim("question", 60)
        one.release("question")
        assert two.claim("question", 60)
        assert one.stats().entries == 0


def test_a_claim_runs_out(settings: Settings) -> None:
    with closing(settings) as one, closing(settings) as two:
        assert one.claim("question", 0)
        assert two.claim("question", 60)


def _claim_in_process(folder: Path, start: object, won: object) -> None:
    cache = open_cache(Settings(cache_dir=folder))
    start.wait()  # type: ignore[attr-defined]
    won.put(sum(cache.claim(f"question {number}", 60) for number in range(20)))  # type: ignore[attr-defined]
    cache.close()


def test_of_three_processes_one_gets_each_claim(settings: Settings) -> None:
    with closing(settings):
        pass
    context = multiprocessing.get_context("spawn")
    start, won = context.Barrier(3), context.Queue()
    workers = [context.Process(target=_claim_in_process, args=(settings.cache_dir, start, won)) for _ in range(3)]
    for worker in workers:
        worker.start()
    counts = [won.get(timeout=60) for _ in workers]
    for worker in workers:
        worker.join()
    won.close()
    won.join_thread()
    assert 20 <= sum(counts) <= 22  # a claim against a busy lock is granted: asking twice is better than never


# --- memory and queue ---


def test_memory_forgets_the_value_used_longest_ago() -> None:
    memory = AnswerMemory(max_entries=2)
    memory.put("a", "1", 60)
    memory.put("b", "2", 60)
    memory.get("a")
    memory.put("c", "3", 60)
    assert (memory.get("a"), memory.get("b"), memory.get("c")) == ("1", None, "3")


def test_memory_forgets_a_value_past_its_time() -> None:
    now = [100.0]
    memory = AnswerMemory(clock=lambda: now[0])
    memory.put("a", "1", 10)
    memory.put("b", "1", -5)
    assert (memory.get("a"), memory.get("b")) == ("1", None)
    now[0] = 110.0
    assert memory.get("a") is None


def test_a_full_queue_refuses_and_does_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("triagedesk.cache.memory.MAX_WAITING", 3)
    gate, written = threading.Event(), []

    def write(batch: list[tuple[str, str]]) -> None:
        gate.wait(10)
        written.extend(batch)

    queue = WriteQueue(write, lambda: None)
    taken = [queue.offer((str(number), "x")) for number in range(200)]
    assert not all(taken)
    gate.set()
    queue.close()
    assert len(written) == sum(taken)
    assert not queue.offer(("late", "x"))
    queue.close()


def test_importing_the_settings_does_not_import_the_disk_cache() -> None:
    code = (
        "import sys, triagedesk.settings, triagedesk.tidy, triagedesk.privacy;"
        "print('diskcache' in sys.modules, 'phonenumbers' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ)
    assert done.stdout.split() == ["False", "False"]


def test_an_expiry_that_is_no_time_is_a_counted_miss(settings: Settings) -> None:
    with contextlib.closing(open_cache(settings)) as first:
        first.put("k", "v")
        first.flush()
    with contextlib.closing(sqlite3.connect(database(settings))) as connection:
        connection.execute("UPDATE Cache SET expire_time = 'x'")
        connection.commit()
    with contextlib.closing(open_cache(settings)) as second:
        assert second.get("k") is None
        assert second.stats().faults == {"foreign": 1}


def test_without_a_home_the_cache_is_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)

    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)
    with contextlib.closing(open_cache(Settings())) as cache:
        assert cache.problem is not None
