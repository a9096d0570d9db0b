"""The shared cache: answers go from machine to machine, a question is asked once, no server costs over 20 ms."""

from __future__ import annotations

import asyncio
import json
import os
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import anyio
import pytest

from desk_parts import clean_environment, fake_model, settings, ticket
from llm_parts import run
from misbehaving import answer_for, completion
from redis_parts import ADDRESS, Server
from triagedesk import ConfigError, Suggestion, open_desk
from triagedesk.cache import MAX_VALUE_CHARS, shared_cache
from triagedesk.cache import line as line_module
from triagedesk.cache.line import SECRET_NAME, shown
from triagedesk.cache.remote import RemoteCache
from triagedesk.cli import main
from triagedesk.settings import Settings

SOON_S = 0.2
"""20 ms, and what a busy test machine takes for itself."""


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A starved test machine is no fault of the server's; tests of faults say otherwise."""
    monkeypatch.setattr(line_module, "CALL_S", 1.0)


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("redis"), password="sesame-sesame")
    yield server
    server.kill()


@pytest.fixture
def url(request: pytest.FixtureRequest) -> str:
    address: str = ADDRESS or request.getfixturevalue("own").url
    command(address, "FLUSHDB")
    return address


@pytest.fixture
def mortal(tmp_path: Path) -> Iterator[Server]:
    """A server that a test may hang or kill."""
    server = Server(tmp_path)
    yield server
    server.wake()
    server.kill()


def command(address: str, *words: str | bytes | int) -> Any:
    """Say something to the server beside the cache."""
    import redis

    with redis.Redis.from_url(address) as client:
        return client.execute_command(*words)


async def got(cache: RemoteCache, key: str) -> str | None:
    """Look a key up on the server, not in memory."""
    cache._memory.clear()
    found = cache.get(key)
    assert isinstance(found, Awaitable)
    return await found


async def up(cache: RemoteCache) -> None:
    """Wait until the server is used again."""
    with anyio.fail_after(20):
        while not cache.line.up:  # noqa: ASYNC110 (the line has nobody to tell)
            await anyio.sleep(0.02)


async def claimed(cache: RemoteCache) -> None:
    """Wait for a claim that somebody has."""
    while not await cache.claim("question", 60):  # noqa: ASYNC110 (as a desk in another process does)
        await anyio.sleep(0.01)


def at_caches(work: Callable[..., Awaitable[Any]], *given: Settings) -> Any:
    """Open a cache for each of some settings, and work with them."""

    async def whole() -> Any:
        async with AsyncExitStack() as stack:
            return await work(*[await stack.enter_async_context(shared_cache(each)) for each in given])

    return run(whole)


def names(address: str, kind: str) -> list[bytes]:
    found: list[bytes] = command(address, "KEYS", f"triagedesk:{kind}:*")
    return found


# --- keeping ---


def test_an_answer_goes_from_one_machine_to_the_other(url: str) -> None:
    async def work(one: RemoteCache, two: RemoteCache) -> None:
        one.put("question", "ein Änswer 😀")
        assert one.get("question") == "ein Änswer 😀"  # memory needs no server
        await one.line.finish(5)
        assert await got(two, "question") == "ein Änswer 😀"
        assert two.get("question") == "ein Änswer 😀"
        assert await got(two, "never asked") is None
        assert (two.stats().hits, two.stats().misses, two.stats().faults) == (2, 1, {})

    at_caches(work, Settings(cache_url=url), Settings(cache_url=url))


def test_what_was_put_before_closing_is_on_the_server_for_its_time_under_a_name_that_tells_nothing(url: str) -> None:
    async def work(cache: RemoteCache) -> None:
        cache.put("question", "answer")

    at_caches(work, Settings(cache_url=url, cache_ttl_days=2))
    (name,) = names(url, "answer")
    assert b"question" not in name
    assert 1.9 * 86_400 < command(url, "TTL", name) <= 2 * 86_400


def test_an_answer_in_memory_ends_when_the_servers_does(url: str) -> None:
    async def work(one: RemoteCache, two: RemoteCache) -> None:
        one.put("question", "answer")
        await one.line.finish(5)
        assert command(url, "PEXPIRE", names(url, "answer")[0], 150)
        assert await got(two, "question") == "answer"
        await anyio.sleep(0.2)
        found = two.get("question")
        assert isinstance(found, Awaitable)
        assert await found is None

    at_caches(work, Settings(cache_url=url), Settings(cache_url=url))


def test_a_value_too_large_for_an_answer_is_not_kept(url: str) -> None:
    async def work(cache: RemoteCache) -> None:
        cache.put("question", "x" * (MAX_VALUE_CHARS + 1))
        assert await got(cache, "question") is None
        assert cache.stats().faults == {"oversize": 1}

    at_caches(work, Settings(cache_url=url))


# --- one flight ---


def test_one_of_two_machines_gets_the_claim_and_only_its_owner_gives_it_back(url: str) -> None:
    async def work(one: RemoteCache, two: RemoteCache) -> None:
        assert await one.claim("question", 60)
        assert not await two.claim("question", 60)
        two.release("question")
        assert not await two.claim("question", 60)
        one.put("question", "answer")
        one.release("question")
        await claimed(two)
        assert await got(two, "question") == "answer"  # the answer is there before the claim is gone

    at_caches(work, Settings(cache_url=url), Settings(cache_url=url))


def test_a_claim_that_ran_out_is_not_taken_from_its_next_owner(url: str) -> None:
    async def work(one: RemoteCache, two: RemoteCache) -> None:
        assert await one.claim("question", 0)
        await claimed(two)
        one.release("question")
        await one.line.finish(5)
        assert len(names(url, "claim")) == 1

    at_caches(work, Settings(cache_url=url), Settings(cache_url=url))


def test_who_goes_away_while_claiming_leaves_no_claim(url: str) -> None:
    async def work(cache: RemoteCache) -> None:
        for turns in range(6):
            claiming = asyncio.ensure_future(cache.claim("question", 60))
            for _ in range(turns):
                await asyncio.sleep(0)
            claiming.cancel()
            await asyncio.wait([claiming])
            if not claiming.cancelled():
                cache.release("question")
        await cache.line.finish(5)
        assert names(url, "claim") == []

    at_caches(work, Settings(cache_url=url))


class Counting(BaseHTTPRequestHandler):
    """A model that takes its time, and counts."""

    asked = 0

    def do_GET(self) -> None:
        self._reply({"data": []})

    def do_POST(self) -> None:
        Counting.asked += 1
        sent = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        time.sleep(0.4)  # another process's clock: it cannot be a fake one
        self._reply(completion(answer_for(sent["response_format"]["json_schema"]["schema"])))

    def _reply(self, said: object) -> None:
        data = json.dumps(said).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_request(self, code: object = "-", size: object = "-") -> None:
        """Say nothing."""


ASK = """
import sys, anyio
from triagedesk import Settings, Ticket, open_desk
from triagedesk.cache import line
line.CALL_S = 2.0
async def main():
    async with open_desk(Settings.from_env()) as desk:
        print("ready", flush=True)
        sys.stdin.readline()
        found = await desk.suggest(Ticket.parse({"id": "1", "body": "Where do I find the invoice for May?"}))
        print(found.provenance.source.value, dict(desk.cache_stats().faults))
anyio.run(main)
"""


def test_two_desks_in_two_processes_ask_one_question_once(url: str, tmp_path: Path) -> None:
    Counting.asked = 0
    with ThreadingHTTPServer(("127.0.0.1", 0), Counting) as model:
        threading.Thread(target=model.serve_forever, daemon=True).start()
        environment = clean_environment(
            tmp_path, TRIAGEDESK_CACHE_URL=url, TRIAGEDESK_MODEL="openai/made-up", OPENAI_API_KEY="none",
            TRIAGEDESK_BASE_URL=f"http://127.0.0.1:{model.server_address[1]}/v1", TRIAGEDESK_LOG="off",
        )  # fmt: skip
        desks = [
            subprocess.Popen([sys.executable, "-c", ASK], env=environment, stdin=-1, stdout=-1, text=True)
            for _ in range(2)
        ]
        for desk in desks:
            assert desk.stdout is not None
            assert desk.stdout.readline() == "ready\n"
        for desk in desks:
            assert desk.stdin is not None
            desk.stdin.write("\n")
            desk.stdin.flush()
        said = sorted(desk.communicate(timeout=60)[0].strip() for desk in desks)
        model.shutdown()
    assert said == ["cache {}", "model {}"]
    assert Counting.asked == 1
    assert not (tmp_path / "cache").exists()  # nothing on disk


# --- nothing foreign ---


class Bomb:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.marker),)


def test_what_somebody_else_writes_is_a_counted_miss_and_never_run(url: str, tmp_path: Path) -> None:
    planted: list[tuple[str, tuple[str | bytes | int, ...]]] = [
        ("foreign", ("SET", "NAME", pickle.dumps(Bomb(tmp_path / "ran")))),
        ("foreign", ("SET", "NAME", '{"said": {}}')),
        ("foreign", ("SET", "NAME", "0" * 40 + "{}")),
        ("foreign", ("RPUSH", "NAME", "a list")),
        ("oversize", ("SETRANGE", "NAME", 5_000_000, "x")),
    ]

    async def work(cache: RemoteCache) -> None:
        name = cache._name("triagedesk:answer:", "question")
        for number, (_, said) in enumerate(planted, 1):
            command(url, "DEL", name)
            command(url, *[name if word == "NAME" else word for word in said])
            assert await got(cache, "question") is None
            assert sum(cache.stats().faults.values()) == number
        cache.put("question", "mended")
        await cache.line.finish(5)
        assert await got(cache, "question") == "mended"
        command(url, "COPY", name, cache._name("triagedesk:answer:", "other"))
        assert await got(cache, "other") is None  # a seal holds for its own question
        assert cache.stats().faults == {"foreign": 5, "oversize": 1}

    at_caches(work, Settings(cache_url=url))
    assert not (tmp_path / "ran").exists()


def test_desks_agree_on_a_secret_and_on_a_new_one_when_it_is_gone(url: str) -> None:
    async def work(one: RemoteCache, two: RemoteCache) -> None:
        assert one.line.secret == two.line.secret
        command(url, "FLUSHDB")
        for cache in (one, two):
            assert await got(cache, "question") is None  # finds out
            await up(cache)
        assert one.line.secret == two.line.secret != b""
        one.put("question", "answer")
        await one.line.finish(5)
        assert await got(two, "question") == "answer"

    at_caches(work, Settings(cache_url=url), Settings(cache_url=url))


def test_a_secret_of_the_settings_does_not_lie_on_the_server_and_parts_those_who_have_another(url: str) -> None:
    async def work(one: RemoteCache, same: RemoteCache, other: RemoteCache) -> None:
        one.put("question", "answer")
        await one.line.finish(5)
        assert await got(same, "question") == "answer"
        assert await got(other, "question") is None
        assert command(url, "EXISTS", SECRET_NAME) == 0

    given = [Settings(cache_url=url, cache_secret=words) for words in ("a" * 16, "a" * 16, "b" * 16)]
    at_caches(work, *given)


# --- faults ---


def test_a_server_that_hangs_costs_one_wait_and_is_used_again_when_it_is_back(
    mortal: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work(cache: RemoteCache) -> None:
        cache.put("question", "answer")
        await cache.line.finish(5)
        monkeypatch.setattr(cache.line, "_call_s", 0.02)
        mortal.hang()
        began = time.perf_counter()
        assert await got(cache, "question") is None
        for number in range(200):
            assert await got(cache, f"other {number}") is None
            assert await cache.claim(f"other {number}", 60)
            cache.put(f"other {number}", "kept here only")
            cache.release(f"other {number}")
        assert time.perf_counter() - began < SOON_S  # 400 waits would take 8 s
        faults = cache.stats().faults
        assert (faults["timeout"], faults["resting"], faults["dropped"]) == (1, 400, 200)
        assert cache.problem == f"redis://127.0.0.1:{mortal.port}/0: it does not answer in time"
        mortal.wake()
        monkeypatch.setattr(cache.line, "_call_s", 1.0)
        await up(cache)
        assert await got(cache, "question") == "answer"
        assert cache.problem is None

    at_caches(work, Settings(cache_url=mortal.url))


def test_many_who_ask_a_server_that_hangs_wait_together(mortal: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(cache: RemoteCache) -> None:
        monkeypatch.setattr(cache.line, "_call_s", 0.02)
        mortal.hang()
        began = time.perf_counter()
        assert await asyncio.gather(*(got(cache, f"question {number}") for number in range(300))) == [None] * 300
        assert time.perf_counter() - began < SOON_S
        assert cache.stats().misses == 300

    at_caches(work, Settings(cache_url=mortal.url))


def test_a_server_killed_in_the_middle_costs_no_ticket_its_answer_or_its_deadline(
    mortal: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line_module, "CALL_S", 0.02)

    async def work() -> tuple[list[tuple[Suggestion, float]], dict[str, int]]:
        found = []
        async with open_desk(settings(cache=True, cache_url=mortal.url)) as desk:
            await desk.suggest(ticket("Hello?"), deadline_s=0)
            for number in range(30):
                if number == 10:
                    mortal.hang()
                if number == 20:
                    mortal.kill()
                began = time.perf_counter()
                suggestion = await desk.suggest(ticket(f"Where is invoice {'i' * number}?"), deadline_s=1.0)
                found.append((suggestion, time.perf_counter() - began))
            stats = desk.cache_stats()
            assert stats is not None
            return found, stats.faults

    with fake_model():
        found, faults = run(work)
    assert {suggestion.provenance.source.value for suggestion, _ in found} == {"model"}
    assert max(seconds for _, seconds in found) < 1.05
    assert faults


def test_a_deadline_shorter_than_the_wait_is_kept_too(mortal: Server) -> None:
    async def work() -> float:
        async with open_desk(settings(cache=True, cache_url=mortal.url)) as desk:
            await desk.suggest(ticket("Hello?"))
            mortal.hang()
            began = time.perf_counter()
            found = await desk.suggest(ticket("Where is my invoice?"), deadline_s=0.1)
            assert found.provenance.fallback_reason == "timeout"
            return time.perf_counter() - began

    with fake_model():
        assert run(work) < 0.3  # the server would be waited for a second


Behaviour = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def gone(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Hang up at once."""


def saying(data: bytes) -> Behaviour:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(65_536):
            writer.write(data)
            await writer.drain()

    return answer


async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"$9999999999\r\n")
    while True:
        writer.write(b"x" * 65_536)
        await writer.drain()


@pytest.mark.parametrize(
    ("behaviour", "kinds"),
    [
        pytest.param(silent, {"timeout"}, id="says nothing"),
        pytest.param(gone, {"connect"}, id="hangs up"),
        pytest.param(saying(b"HTTP/1.1 400 Bad Request\r\n\r\n"), {"protocol"}, id="speaks HTTP"),
        pytest.param(saying(b"$abc\r\n"), {"protocol", "connect"}, id="a length that is no number"),
        pytest.param(saying(b"*1\r\n" * 20_000), {"protocol", "timeout"}, id="nested without end"),
        pytest.param(saying(b"+OK\r\n"), {"protocol", "timeout"}, id="an answer to nothing asked"),
        pytest.param(saying(b"-NOAUTH Authentication required.\r\n"), {"refused", "timeout"}, id="wants a password"),
        pytest.param(saying(b"-LOADING it is loading\r\n"), {"connect", "timeout"}, id="is still loading"),
        pytest.param(saying(b"-MOVED 1 127.0.0.1:1\r\n"), {"refused", "timeout"}, id="sends us elsewhere"),
        pytest.param(flood, {"timeout", "connect", "protocol"}, id="floods"),
    ],
)
def test_whatever_listens_there_answers_come_in_time_and_the_fault_has_a_name(
    behaviour: Behaviour, kinds: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line_module, "CALL_S", 0.02)
    monkeypatch.setattr(line_module, "CONNECT_S", 0.05)

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await behaviour(reader, writer)
        except OSError:
            pass
        finally:
            writer.transport.abort()

    async def work() -> None:
        server = await asyncio.start_server(handle, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with shared_cache(Settings(cache_url=f"redis://127.0.0.1:{port}")) as cache:
            began = time.perf_counter()
            assert await got(cache, "question") is None
            assert await cache.claim("question", 60)
            cache.put("question", "answer")
            assert cache.get("question") == "answer"
            assert time.perf_counter() - began < SOON_S
            faults = cache.stats().faults
            assert faults.keys() - {"resting", "dropped"} <= kinds
            assert faults.keys() & kinds
            assert cache.problem
        server.close()
        await anyio.sleep(0.05)  # the server's own ends close

    run(work)


def test_a_server_that_is_not_there_keeps_no_desk_from_opening() -> None:
    async def work() -> tuple[str, dict[str, int]]:
        began = time.perf_counter()
        async with open_desk(settings(cache=True, cache_url="redis://127.0.0.1:9/0")) as desk:
            assert time.perf_counter() - began < 5
            found = await desk.suggest(ticket("Where is my invoice?"))
            stats = desk.cache_stats()
            assert stats is not None
            assert stats.problem == "redis://127.0.0.1:9/0: it cannot be reached"
            return found.provenance.source.value, stats.faults

    with fake_model():
        answered, faults = run(work)
    assert answered == "model"
    assert faults.keys() <= {"connect", "resting", "dropped"}


def test_a_desk_that_opened_without_the_server_joins_in_when_it_is_there(mortal: Server) -> None:
    mortal.kill()

    async def work(one: RemoteCache, two: RemoteCache) -> None:
        assert not one.line.up
        mortal.start()
        await up(one)
        await up(two)
        one.put("question", "answer")
        await one.line.finish(5)
        assert await got(two, "question") == "answer"

    at_caches(work, Settings(cache_url=mortal.url), Settings(cache_url=mortal.url))


# --- commands and settings ---


def test_the_commands_count_and_empty_the_servers_answers_and_never_show_the_password(
    own: Server, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    command(own.url, "FLUSHDB")
    monkeypatch.setenv("TRIAGEDESK_CACHE_URL", own.url)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    async def work(cache: RemoteCache) -> None:
        for number in range(1_200):
            cache.put(f"question {number}", "answer")
            if number % 500 == 0:
                await cache.line.finish(5)
        await cache.claim("claimed", 60)

    at_caches(work, Settings.from_env())
    command(own.url, "SET", "somebody:else", "1")
    printed = ""
    for arguments in (("cache", "stats"), ("doctor", "--model", "rules"), ("cache", "clear"), ("cache", "stats")):
        assert main(arguments) == 0
        shown = capsys.readouterr()
        printed += shown.out + shown.err
    place = f"redis://127.0.0.1:{own.port}/0"
    assert f"server   {place}\nentries  1200\n" in printed
    assert f"cache     {place}, 1200 answers" in printed
    assert f"removed 1200 answers from {place}\n" in printed
    assert "entries  0\n" in printed
    assert "sesame" not in printed
    assert command(own.url, "EXISTS", "somebody:else", SECRET_NAME) == 2
    assert names(own.url, "claim") == []


def test_the_doctor_names_a_server_that_refuses_or_is_away(
    own: Server, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for address, problem in (
        (f"redis://:wrong-secret@127.0.0.1:{own.port}/0", "it refuses us"),
        ("redis://:wrong-secret@127.0.0.1:9/0", "it cannot be reached"),
    ):
        monkeypatch.setenv("TRIAGEDESK_CACHE_URL", address)
        assert main(("doctor", "--model", "rules")) == 1
        told = capsys.readouterr().out
        assert f"✗ cache     redis://127.0.0.1:{address.rsplit(':')[-1]}: {problem}" in told
        assert "check TRIAGEDESK_CACHE_URL" in told
        assert "wrong-secret" not in told


@pytest.mark.parametrize(
    "address", ["http://:hidden@host/0", "redis://:hidden@host:port/0", "redis://host/hidden", "hidden", "unix://"]
)
def test_an_address_that_is_none_is_refused_without_being_shown(address: str) -> None:
    with pytest.raises(ConfigError, match="cache_url") as refused:
        Settings.from_env({"TRIAGEDESK_CACHE_URL": address})
    assert "hidden" not in str(refused.value)


def test_an_option_that_is_not_known_is_refused() -> None:
    async def work() -> None:
        with pytest.raises(ConfigError, match="option"):
            async with shared_cache(Settings(cache_url="redis://127.0.0.1:9/0?hidden=1")):
                pass

    run(work)


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("redis://user:hidden@host:1234/5?ssl=hidden", "redis://host:1234/5"),
        ("rediss://:hidden@[::1]", "rediss://[::1]:6379"),
        ("unix://:hidden@/run/redis.sock?db=1", "unix:///run/redis.sock"),
    ],
)
def test_a_place_is_shown_without_its_secrets(address: str, place: str) -> None:
    assert shown(address) == place
    assert "hidden" not in repr(Settings(cache_url=address))


def test_redis_is_imported_only_where_a_cache_is_shared_and_its_absence_says_what_to_install() -> None:
    code = (
        "import sys, triagedesk.wiring; from triagedesk import ConfigError, Settings; print('redis' in sys.modules)\n"
        "sys.modules['redis'] = None\n"
        "try: triagedesk.wiring.shared_cache(Settings(cache_url='redis://127.0.0.1'))\n"
        "except ConfigError as wrong: print(wrong)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ)
    assert done.stdout.splitlines() == ["False", "cache_url needs the package redis: pip install 'triagedesk[redis]'"]
