"""Whatever a model server does, a question ends in time, with one closed reason, and with two requests at most."""

from __future__ import annotations

import gc
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from llm_parts import MisbehavingServer, Outcome, ask_once, classifier, run
from triagedesk.budget import Budget

BUDGET_S = 0.6
GRACE_S = 0.05


@pytest.fixture(scope="module")
def server() -> Iterator[MisbehavingServer]:
    """One misbehaving server for all cases."""
    started = MisbehavingServer()
    yield started
    started.close()


@pytest.fixture(scope="module", autouse=True)
def _warm(server: MisbehavingServer) -> None:
    """Pay for imports and the SDK's first call before anything is timed."""
    assert ask(server, "good").reason is None


def ask(
    server: MisbehavingServer, fault: str, seconds: float = BUDGET_S, body: str = "My card was charged."
) -> Outcome:
    """Put one question to a fault."""
    return ask_at(server.url(fault), seconds, body)


def ask_at(url: str, seconds: float = BUDGET_S, body: str = "My card was charged.") -> Outcome:
    """Put one question to an address, on a loop and a connection of its own."""

    async def work() -> Outcome:
        model = classifier(url)
        gc.collect()  # a collection of what earlier cases left would count against this one
        outcome = await ask_once(model, Budget(seconds), body)
        await model.aclose()
        return outcome

    return run(work)


# fault, reason, requests, and seconds within which it must end (0: the budget and 50 ms)
CASES = [
    ("hang", "timeout", 1, 0.0),
    ("headers_then_silence", "timeout", 1, 0.0),
    ("body_byte_by_byte", "timeout", 1, 0.0),
    ("headers_byte_by_byte", "timeout", 1, 0.0),
    ("white_space_for_ever", "timeout", 1, 0.0),
    ("interim_flood", "timeout", 1, 0.0),
    ("large_body", "oversize", 1, 0.3),
    ("large_by_its_length", "oversize", 1, 0.3),
    ("gzip_bomb", "oversize", 1, 0.3),
    ("large_label", "oversize", 1, 0.3),
    ("large_header", "protocol", 2, 0.5),
    ("many_headers", "protocol", 1, 0.3),
    ("answer_beyond_the_cap", "bad_reply", 1, 0.3),
    ("rate_limit_60_s", "rate_limited", 1, 0.3),
    ("rate_limit_never_over", "rate_limited", 1, 0.3),
    ("rate_limit_soon", "rate_limited", 1, 0.3),
    ("rate_limit_negative", "rate_limited", 1, 0.3),
    ("rate_limit_in_the_past", "rate_limited", 1, 0.3),
    ("rate_limit_once", None, 2, 0.5),
    ("out_of_quota", "quota", 1, 0.3),
    ("error_500", "provider_5xx", 2, 0.5),
    ("error_500_once", None, 2, 0.5),
    ("error_503_later", "provider_5xx", 1, 0.3),
    ("error_529", "provider_5xx", 2, 0.5),
    ("error_400", "provider_4xx", 1, 0.3),
    ("error_401", "auth", 1, 0.3),
    ("error_403", "auth", 1, 0.3),
    ("error_404", "provider_4xx", 1, 0.3),
    ("error_422", "provider_4xx", 1, 0.3),
    ("no_temperature", None, 2, 0.5),
    ("redirect_elsewhere", "redirect", 1, 0.3),
    ("redirect_to_itself", "redirect", 1, 0.3),
    ("reset_at_once", "connect", 2, 0.5),
    ("reset_in_the_body", "connect", 2, 0.5),
    ("close_without_reply", "connect", 2, 0.5),
    ("closed_once", None, 2, 0.5),
    ("shorter_than_its_length", "protocol", 2, 0.5),
    ("no_http", "protocol", 2, 0.5),
    ("broken_json", "bad_reply", 2, 0.5),
    ("broken_json_once", None, 2, 0.5),
    ("empty", "bad_reply", 2, 0.5),
    ("no_content", "bad_reply", 2, 0.5),
    ("login_page", "bad_reply", 1, 0.3),
    ("event_stream", "bad_reply", 1, 0.3),
    ("error_with_200", "bad_reply", 1, 0.3),
    ("choices_empty", "bad_reply", 1, 0.3),
    ("choices_null", "bad_reply", 1, 0.3),
    ("choices_missing", "bad_reply", 1, 0.3),
    ("choice_without_message", "bad_reply", 1, 0.3),
    ("json_array", "bad_reply", 1, 0.3),
    ("bytes_that_are_not_utf8", "bad_reply", 1, 0.3),
    ("half_a_surrogate_pair", "bad_reply", 1, 0.3),
    ("half_a_pair_in_the_reply", "bad_reply", 1, 0.3),
    ("nul_in_a_reason", "bad_reply", 1, 0.3),
    ("deep_reply", "bad_reply", 1, 0.3),
    ("deep_answer", "bad_reply", 1, 0.3),
    ("many_digits", "invalid_output", 2, 0.5),
    ("cut_off", "incomplete", 1, 0.3),
    ("broken_off", "incomplete", 1, 0.3),
    ("refusal", "refused", 1, 0.3),
    ("filtered", "refused", 1, 0.3),
    ("wrong_label", "invalid_output", 2, 0.5),
    ("wrong_label_once", None, 2, 0.5),
    ("confidence_nan", "invalid_output", 2, 0.5),
    ("confidence_9", "invalid_output", 2, 0.5),
    ("confidence_minus_1", "invalid_output", 2, 0.5),
    ("confidence_as_text", "invalid_output", 2, 0.5),
    ("a_key_twice", "invalid_output", 2, 0.5),
    ("a_key_too_many", "invalid_output", 2, 0.5),
    ("no_json", "invalid_output", 2, 0.5),
    ("fenced", None, 1, 0.3),
]


@pytest.mark.parametrize(
    ("fault", "reason", "requests", "within"), CASES, ids=[case[0].replace("_", "-") for case in CASES]
)
def test_a_fault_ends_in_time_with_its_reason_and_few_requests(
    server: MisbehavingServer, fault: str, reason: str | None, requests: int, within: float
) -> None:
    outcome = ask(server, fault)
    assert outcome.reason == reason
    assert outcome.seconds <= BUDGET_S + GRACE_S
    assert not within or outcome.seconds <= within
    assert server.count(fault) == requests
    assert outcome.error is None or outcome.error.attempts == requests
    assert outcome.answer is None or outcome.answer.attempts == requests


def test_nothing_reaches_the_host_that_a_redirect_points_to(server: MisbehavingServer) -> None:
    assert ask(server, "redirect_elsewhere").reason == "redirect"
    assert server.bytes_elsewhere() == 0


def test_a_slow_wrong_answer_is_not_asked_for_a_third_time(server: MisbehavingServer) -> None:
    outcome = ask(server, "slow_wrong_label", 0.75)
    assert outcome.reason == "timeout"
    assert outcome.seconds <= 0.75 + GRACE_S
    assert server.count("slow_wrong_label") == 2


def test_a_second_request_is_not_made_with_less_than_150_ms_left(server: MisbehavingServer) -> None:
    before = server.count("error_500")
    assert ask(server, "error_500", 0.12).reason == "provider_5xx"
    assert server.count("error_500") == before + 1


def test_a_ticket_too_long_for_the_model_is_cut_once_and_then_answered(server: MisbehavingServer) -> None:
    outcome = ask(server, "too_long", 2.0, "My card was charged twice. " * 1_200)
    assert outcome.answer is not None
    assert server.count("too_long") == 2


def test_a_ticket_that_is_too_long_even_when_cut_is_given_up(server: MisbehavingServer) -> None:
    outcome = ask(server, "too_long_always", 2.0, "My card was charged twice. " * 1_200)
    assert outcome.reason == "too_long"
    assert server.count("too_long_always") == 2


@pytest.mark.parametrize("fault", ["large_body", "gzip_bomb", "large_label"])
def test_a_heavy_reply_costs_no_memory(server: MisbehavingServer, fault: str) -> None:
    ask(server, fault)
    highest, done = _rss_kib(), threading.Event()

    def watch() -> None:
        nonlocal highest
        while not done.wait(0.002):
            highest = max(highest, _rss_kib())

    before, watcher = highest, threading.Thread(target=watch)
    watcher.start()
    ask(server, fault)
    done.set()
    watcher.join()
    assert highest - before <= 32 * 1024


def _rss_kib() -> int:
    status = Path("/proc/self/status")
    if not status.exists():
        pytest.skip("memory is read from /proc")
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1])


def test_a_refused_connection_is_tried_twice_and_named_connect() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        outcome = ask_at(f"http://127.0.0.1:{held.getsockname()[1]}/v1")
    assert outcome.reason == "connect"
    assert outcome.seconds <= 0.5


def test_a_server_that_accepts_no_more_connections_ends_with_the_deadline() -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        crowd = [socket.socket() for _ in range(4)]
        for one in crowd:
            one.setblocking(False)
            one.connect_ex(full.getsockname())
        time.sleep(0.05)
        outcome = ask_at(f"http://127.0.0.1:{full.getsockname()[1]}/v1", 0.3)
        for one in crowd:
            one.close()
    assert outcome.reason == "timeout"
    assert outcome.seconds <= 0.3 + GRACE_S


def test_tls_to_a_plain_port_is_named_tls(server: MisbehavingServer) -> None:
    outcome = ask_at(server.url("good").replace("http:", "https:"))
    assert outcome.reason == "tls"


def test_a_call_without_a_free_connection_is_named_pool_after_a_quarter_second(server: MisbehavingServer) -> None:
    async def work() -> tuple[list[Outcome], int]:
        model = classifier(server.url("hang"), max_concurrency=1, max_late_answers=0)
        outcomes: list[Outcome] = []

        async def one() -> None:
            outcomes.append(await ask_once(model, Budget(BUDGET_S)))

        async with anyio.create_task_group() as group:
            group.start_soon(one)
            group.start_soon(one)
        await model.aclose()
        return outcomes, model.breaker.openings

    (first, second), openings = run(work)
    assert (first.reason, second.reason) == ("pool", "timeout")
    assert first.seconds <= 0.35
    assert openings == 0


def test_a_late_answer_still_comes_back_to_who_waits_for_it(server: MisbehavingServer) -> None:
    async def work() -> Outcome:
        model = classifier(server.url("good_after_0_2_s"))
        outcome = await ask_once(model, Budget(0.1, late_s=2.0))
        await model.aclose()
        return outcome

    outcome = run(work)
    assert outcome.answer is not None
    assert outcome.seconds > 0.1


def test_a_caller_who_goes_away_ends_the_request_and_blames_nobody(server: MisbehavingServer) -> None:
    async def work() -> bool:
        model = classifier(server.url("hang"), breaker_failures=1)
        with anyio.move_on_after(0.05):
            await ask_once(model, Budget(5))
        await model.aclose()
        return model.breaker.allows()

    assert run(work)


def test_timeouts_open_the_breaker_once_callers_gave_the_provider_a_second(server: MisbehavingServer) -> None:
    async def work() -> list[str | None]:
        model = classifier(server.url("hang"), breaker_failures=2, deadline_s=0.2)
        reasons = [(await ask_once(model, Budget(0.2))).reason for _ in range(3)]
        await model.aclose()
        return reasons

    assert run(work) == ["timeout", "timeout", "breaker_open"]


def test_an_answer_in_time_is_none_of_the_servers_faults_though_its_caller_left_early(
    server: MisbehavingServer,
) -> None:
    async def work() -> tuple[Outcome, int]:
        model = classifier(server.url("good_after_0_2_s"), breaker_failures=1)
        budget = Budget(5, late_s=2.0)
        async with anyio.create_task_group() as tasks:

            async def leave() -> None:
                await anyio.sleep(0.05)
                budget.give_up()  # our own loop was late

            tasks.start_soon(leave)
            outcome = await ask_once(model, budget)
        await model.aclose()
        return outcome, model.breaker.openings

    outcome, openings = run(work)
    assert outcome.answer is not None
    assert openings == 0
