"""A desk over real sockets: the worst ten servers, callers that go away, two processes over one cache folder."""

from __future__ import annotations

import contextlib
import itertools
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest
from anyio.abc import SocketAttribute, SocketStream
from hypothesis import HealthCheck, given
from hypothesis import settings as example_settings
from hypothesis import strategies as st

from desk_parts import clean_environment, default_playbook, label, settings, ticket
from llm_parts import MisbehavingServer, run
from triagedesk import BlockingDesk, Desk, Suggestion, open_desk
from triagedesk.errors import FallbackReason
from triagedesk.models import Source

DEADLINE_S = 0.4
GRACE_S = 0.05
WORST = {
    "hang": "timeout", "headers_then_silence": "timeout", "body_byte_by_byte": "timeout",
    "headers_byte_by_byte": "timeout", "white_space_for_ever": "timeout", "interim_flood": "timeout",
    "large_body": "oversize", "gzip_bomb": "oversize", "redirect_elsewhere": "redirect",
    "rate_limit_60_s": "rate_limited",
}  # fmt: skip
BURNING = "The charger caught fire and burnt my hand."


@pytest.fixture(scope="module")
def server() -> Iterator[MisbehavingServer]:
    """A server that misbehaves, in a process of its own."""
    misbehaving = MisbehavingServer()
    yield misbehaving
    misbehaving.close()


@pytest.fixture(scope="module")
def warm() -> None:
    """Pay once what the first desk of a process pays: imports of the vendor's library."""

    async def work() -> None:
        async with open_desk(settings(base_url="http://127.0.0.1:9/v1")) as desk:
            await desk.suggest(ticket("Hello?"))

    run(work)


async def timed(desk: Desk, words: str, seconds: float) -> tuple[Suggestion, float]:
    began = time.perf_counter()
    found = await desk.suggest(ticket(words), deadline_s=seconds)
    return found, time.perf_counter() - began


@pytest.mark.usefixtures("warm")
@pytest.mark.parametrize(("fault", "reason"), WORST.items(), ids=[name.replace("_", " ") for name in WORST])
def test_the_worst_servers_cost_no_ticket_its_deadline_nor_its_floor(
    server: MisbehavingServer, fault: str, reason: str, tmp_path: Path
) -> None:
    async def work() -> tuple[Suggestion, float, int]:
        given = settings(base_url=server.url(fault), cache=True, cache_dir=tmp_path, late_answer_s=0)
        async with open_desk(given) as desk:
            await desk.suggest(ticket("Hello?"), deadline_s=0)
            before = server.count(fault)
            found, seconds = await timed(desk, BURNING, DEADLINE_S)
            stats = desk.cache_stats()
            assert stats is not None
            assert stats.entries == 0
            return found, seconds, server.count(fault) - before

    found, seconds, requests = run(work)
    assert seconds <= DEADLINE_S + GRACE_S
    assert (found.provenance.source, found.provenance.fallback_reason) == (Source.RULES, reason)
    assert (label(found), label(found, "escalation")) == ("critical", "management")
    assert requests <= 2
    assert server.bytes_elsewhere() == 0


@pytest.mark.usefixtures("warm")
def test_nobody_listening_is_an_answer_by_rules_within_half_a_second() -> None:
    async def work() -> tuple[Suggestion, float]:
        async with open_desk(settings(base_url="http://127.0.0.1:9/v1")) as desk:
            await desk.suggest(ticket("Hello?"), deadline_s=0)
            return await timed(desk, BURNING, 5)

    found, seconds = run(work)
    assert seconds <= 0.5
    assert found.provenance.fallback_reason == "connect"


@pytest.mark.usefixtures("warm")
def test_any_run_of_faults_leaves_one_valid_answer_a_ticket_in_time(server: MisbehavingServer) -> None:
    reasons = {reason.value for reason in FallbackReason} | {None}
    names = {name: set(item.names) for name, item in default_playbook().dimensions.items()}
    numbers = itertools.count()
    desks = {
        fault: BlockingDesk(settings(base_url=server.url(fault), breaker_failures=10_000, late_answer_s=0))
        for fault in ("hang", "gzip_bomb", "good", "wrong_label", "reset_in_the_body")
    }

    @example_settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(st.tuples(st.sampled_from(sorted(desks)), st.floats(0.02, 0.2)), min_size=1, max_size=3))
    def hold(drawn: list[tuple[str, float]]) -> None:
        for fault, seconds in drawn:
            before = server.count(fault)
            began = time.perf_counter()
            found = desks[fault].suggest(ticket(f"{BURNING} {next(numbers)}"), deadline_s=seconds)
            assert time.perf_counter() - began <= seconds + GRACE_S, fault
            assert found.provenance.fallback_reason in reasons
            assert (found.provenance.fallback_reason is None) == (found.provenance.source is Source.MODEL)
            assert all(choice.label in names[name] for name, choice in found.labels.items())
            assert label(found) == "critical"
            assert server.count(fault) - before <= 2

    with contextlib.ExitStack() as stack:
        for desk in desks.values():
            stack.enter_context(desk)
            desk.suggest(ticket("Hello?"), deadline_s=0.001)
        hold()


class Watched:
    """A model server that never answers a question, and notes when it came and when its caller hung up."""

    def __init__(self) -> None:
        self.asked_at = self.left_at = 0.0

    async def __call__(self, stream: SocketStream) -> None:
        """Serve one connection."""
        async with stream:
            with contextlib.suppress(anyio.EndOfStream, anyio.BrokenResourceError):
                while True:
                    data = await stream.receive()
                    if data.startswith(b"GET"):
                        await stream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
                    elif data.startswith(b"POST"):
                        self.asked_at = time.perf_counter()
            if self.asked_at:
                self.left_at = time.perf_counter()


@pytest.mark.usefixtures("warm")
def test_a_caller_that_goes_away_ends_the_upstream_call() -> None:
    watched = Watched()

    async def work() -> float:
        listener = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=0)
        address = f"http://127.0.0.1:{listener.extra(SocketAttribute.local_port)}/v1"
        async with listener, anyio.create_task_group() as tasks:
            tasks.start_soon(listener.serve, watched)
            async with open_desk(settings(base_url=address)) as desk:
                await desk.suggest(ticket("Hello?"), deadline_s=0)
                with anyio.move_on_after(0.2):
                    await desk.suggest(ticket("Where is the invoice for May?"), deadline_s=30)
                left = time.perf_counter()
                await anyio.sleep(0.25)
                assert watched.asked_at
                assert watched.left_at
            tasks.cancel_scope.cancel()
        return watched.left_at - left

    assert run(work) <= 0.2


@pytest.mark.usefixtures("warm")
def test_a_desk_that_closes_waits_for_no_late_answer(server: MisbehavingServer) -> None:
    async def work() -> float:
        async with open_desk(settings(base_url=server.url("hang"), late_answer_s=600)) as desk:
            await desk.suggest(ticket("Where is the invoice for May?"), deadline_s=0.3)
            began = time.perf_counter()
        return time.perf_counter() - began

    assert run(work) <= 0.5


def test_a_caller_that_goes_away_does_not_take_the_others_answer_along(server: MisbehavingServer) -> None:
    async def work() -> Suggestion:
        found: list[Suggestion] = []
        address = server.url("good_after_0_2_s")
        async with open_desk(settings(base_url=address)) as desk, anyio.create_task_group() as tasks:
            impatient = anyio.CancelScope()

            async def leave() -> None:
                with impatient:
                    await desk.suggest(ticket("Where is the invoice for May?"))

            await desk.suggest(ticket("Hello?"), deadline_s=0)
            tasks.start_soon(leave)
            await anyio.sleep(0.05)
            tasks.start_soon(_cancel_soon, impatient)
            found.append(await desk.suggest(ticket("Where is the invoice for May?")))
        return found[0]

    assert run(work).provenance.source in (Source.MODEL, Source.CACHE)


async def _cancel_soon(scope: anyio.CancelScope) -> None:
    await anyio.sleep(0.05)
    scope.cancel()


def test_two_processes_over_one_cache_folder_ask_once(server: MisbehavingServer, tmp_path: Path) -> None:
    before = server.count("good_after_0_2_s")
    command = [
        sys.executable, "-m", "triagedesk", "classify", "--json", "--model", "openai/made-up",
        "--base-url", server.url("good_after_0_2_s"), "Where do I find the invoice for May?",
    ]  # fmt: skip
    environment = clean_environment(tmp_path)
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) for _ in range(2)]
    found = [json.loads(process.communicate(timeout=30)[0]) for process in both]
    assert sorted(item["provenance"]["source"] for item in found) == ["cache", "model"]
    assert server.count("good_after_0_2_s") - before == 1


def test_a_server_that_hangs_from_the_start_costs_a_command_its_deadline_only_once(
    server: MisbehavingServer, tmp_path: Path
) -> None:
    def seconds(fault: str) -> tuple[float, str | None]:
        began = time.perf_counter()
        command = [
            sys.executable, "-m", "triagedesk", "classify", "--json", "--model", "openai/made-up", "--no-cache",
            "--deadline", "500ms", "--base-url", server.url(fault), BURNING,
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, env=clean_environment(tmp_path), timeout=30, check=True)
        return time.perf_counter() - began, json.loads(done.stdout)["provenance"]["fallback_reason"]

    (quick, nothing), (slow, reason) = seconds("good"), seconds("always_hang")
    assert (nothing, reason) == (None, "timeout")
    assert slow - quick <= 1.5
