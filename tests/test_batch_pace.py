"""The pace of a batch: how many in flight, by a clock of the test's own; and the gate that keeps it."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest

from triagedesk.batch.gate import Gate
from triagedesk.batch.pace import FIRST, MARGIN_S, PATIENCE, Ending, Pace
from triagedesk.classifiers.limits import Heard, Left, duration_s, heard, slots_in


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Line:
    """Tickets without end: whoever comes back makes room for the next at once."""

    def __init__(self, pace: Pace, clock: Clock) -> None:
        self.pace, self.clock = pace, clock
        self.out: list[float] = []

    def round(self, seconds: float = 1.0) -> int:
        """Let all that are out come back after so many seconds, one after the other. Returns how many there were."""
        self.fill()
        coming, self.out = self.out, []
        self.clock.now += seconds
        for went in coming:
            self.pace.came_back(went, Ending.ANSWERED)
            self.fill()
        return len(coming)

    def fill(self) -> None:
        while self.pace.wait_s() == 0.0:
            self.out.append(self.pace.went())


def test_the_limit_doubles_each_round_until_the_ceiling() -> None:
    clock = Clock()
    line = Line(Pace(ceiling=50, clock=clock), clock)
    assert [line.round() for _ in range(6)] == [FIRST, 2 * FIRST, 4 * FIRST, 8 * FIRST, 50, 50]


def test_a_limit_that_is_not_used_does_not_grow() -> None:
    pace = Pace(ceiling=50, clock=Clock())
    for _ in range(100):
        pace.came_back(pace.went(), Ending.ANSWERED)
    assert pace.limit == FIRST


def test_after_the_first_objection_it_is_halved_and_grows_by_one_a_round() -> None:
    clock = Clock()
    line = Line(Pace(ceiling=64, slow_s=5, clock=clock), clock)
    while line.pace.limit < 32:
        line.round()
    line.round(seconds=6)  # all of them slow: one objection
    assert line.pace.limit == 16
    grown = [line.round() for _ in range(6)][1:]
    assert [later - earlier for earlier, later in pairwise(grown)] == [1, 1, 1, 1]


def test_a_fixed_number_stays_whatever_happens() -> None:
    clock = Clock()
    line = Line(Pace(ceiling=7, adapts=False, slow_s=1, clock=clock), clock)
    assert [line.round(seconds=2) for _ in range(3)] == [7, 7, 7]


def test_a_refusal_holds_everybody_as_long_as_the_server_asks_and_then_one_goes_ahead() -> None:
    clock = Clock()
    pace = Pace(ceiling=16, adapts=False, clock=clock)
    went = [pace.went() for _ in range(4)]
    pace.hear(Heard(is_busy=True, wait_s=3.0))
    pace.hear(Heard(is_busy=True, wait_s=2.0))
    for moment in went:
        pace.came_back(moment, Ending.REFUSED)
    assert pace.wait_s() == pytest.approx(3 + MARGIN_S)
    clock.now += 3 + MARGIN_S
    assert pace.wait_s() == 0
    ahead = pace.went()
    assert pace.wait_s() is None
    pace.came_back(ahead, Ending.ANSWERED)
    assert pace.limit == 16


def test_many_refusals_at_once_halve_the_limit_once() -> None:
    clock = Clock()
    pace = Pace(ceiling=64, clock=clock)
    line = Line(pace, clock)
    while pace.limit < 32:
        line.round()
    for moment in line.out:
        pace.hear(Heard(is_busy=True, wait_s=1.0))
        pace.came_back(moment, Ending.REFUSED)
    clock.now += 2
    pace.came_back(pace.went(), Ending.ANSWERED)
    assert pace.limit == 16


@pytest.mark.parametrize(
    ("said", "waits"),
    [
        pytest.param(Heard(is_busy=False, requests=Left(0, 6.0)), 6.0, id="no-request-left"),
        pytest.param(Heard(is_busy=False, requests=Left(1, 6.0)), 6.0, id="fewer-than-are-in-flight"),
        pytest.param(Heard(is_busy=False, tokens=Left(100, 8.0)), 8.0, id="too-few-tokens-for-a-ticket"),
        pytest.param(Heard(is_busy=False, requests=Left(500, 6.0), tokens=Left(90_000, 8.0)), 0.0, id="plenty-left"),
        pytest.param(Heard(is_busy=False), 0.0, id="nothing-said"),
        pytest.param(Heard(is_busy=True), 5.0, id="busy-without-a-time"),
        pytest.param(Heard(is_busy=True, wait_s=9e4), 300.0, id="busy-until-tomorrow"),
    ],
)
def test_what_the_server_says_is_left_decides_when_the_next_goes(said: Heard, waits: float) -> None:
    pace = Pace(ceiling=8, adapts=False, pause_s=5.0, clock=Clock())
    pace.went()
    pace.went()
    pace.hear(said)
    assert pace.wait_s() == pytest.approx(waits + MARGIN_S if waits else 0.0)


def test_a_refusal_that_waiting_does_not_cure_holds_nobody() -> None:
    pace = Pace(ceiling=8, adapts=False, clock=Clock())
    went = pace.went()
    pace.hear(Heard(is_busy=True, wait_s=60.0))
    pace.came_back(went, Ending.HOPELESS)
    assert (pace.wait_s(), pace.is_refused) == (0.0, False)


def test_after_many_holds_without_an_answer_nobody_waits_until_there_is_one() -> None:
    clock = Clock()
    pace = Pace(ceiling=8, adapts=False, clock=clock)
    for _ in range(PATIENCE):
        pace.hear(Heard(is_busy=True, wait_s=60.0))
        pace.hear(Heard(is_busy=True, wait_s=60.0))  # of the same hold
        assert pace.is_refused
        clock.now += 61
    pace.hear(Heard(is_busy=True, wait_s=60.0))
    assert (pace.wait_s(), pace.is_refused, pace.limit) == (0.0, False, 8)
    pace.came_back(pace.went(), Ending.ANSWERED)
    pace.hear(Heard(is_busy=True, wait_s=60.0))
    assert pace.wait_s() == pytest.approx(60 + MARGIN_S)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1s", 1.0), ("6m0s", 360.0), ("120ms", 0.12), ("1h2m3.5s", 3723.5), ("17", 17.0), ("", 0.0), ("soon", 0.0),
        ("-3", 0.0), ("nan", 0.0), ("1e308", 0.0), ("9999999d", 86_400.0), ("1s;drop", 0.0), ("9" * 5000 + "s", 0.0),
    ],
)  # fmt: skip
def test_a_reset_is_read_in_every_way_that_servers_write_it(text: str, seconds: float) -> None:
    assert duration_s(text) == seconds


def test_headers_say_what_is_left_and_nonsense_says_nothing() -> None:
    told = heard(200, {"x-ratelimit-remaining-requests": "59", "x-ratelimit-reset-requests": "1s",
                       "x-ratelimit-remaining-tokens": "many"})  # fmt: skip
    assert told == Heard(is_busy=False, requests=Left(59, 1.0))
    assert heard(429, {"retry-after": "2"}) == Heard(is_busy=True, wait_s=2.0)
    assert heard(529, {"retry-after": "soon"}) == Heard(is_busy=True)
    assert heard(200, {"retry-after": "2"}) == Heard(is_busy=False)


@pytest.mark.parametrize(
    ("reply", "slots"),
    [
        pytest.param(b'{"total_slots": 4, "model_path": "x"}', 4, id="props"),
        pytest.param(b'[{"id": 0}, {"id": 1}]', 2, id="slots"),
        pytest.param(b'{"error": "not supported"}', None, id="error"),
        pytest.param(b'{"total_slots": true}', None, id="no-number"),
        pytest.param(b'{"total_slots": 99999}', None, id="too-many"),
        pytest.param(b"<html>", None, id="no-json"),
        pytest.param(b"[]", None, id="no-slot"),
    ],
)
def test_a_local_server_says_how_many_slots_it_has(reply: bytes, slots: int | None) -> None:
    assert slots_in(reply) == slots


def test_the_gate_lets_tickets_go_in_order_and_never_more_than_the_limit() -> None:
    order: list[int] = []
    most = 0

    async def ticket(gate: Gate, number: int) -> None:
        nonlocal most
        async with gate.passage() as passage:
            order.append(number)
            most = max(most, gate.pace.in_flight)
            await asyncio.sleep(0)
            passage.ending = Ending.ANSWERED

    async def scene() -> None:
        gate = Gate(Pace(ceiling=3, adapts=False))
        tasks = [asyncio.create_task(ticket(gate, number)) for number in range(20)]
        await asyncio.sleep(0)
        tasks[10].cancel()  # in the line
        await asyncio.gather(*tasks, return_exceptions=True)
        assert gate.pace.in_flight == 0

    asyncio.run(scene())
    assert order == [number for number in range(20) if number != 10]
    assert most == 3


def test_a_ticket_that_goes_away_when_it_is_called_leaves_its_place_to_the_next() -> None:
    async def scene() -> None:
        gate = Gate(Pace(ceiling=1, adapts=False))
        passed = asyncio.Event()

        async def wait() -> None:
            async with gate.passage():
                passed.set()

        async with gate.passage():
            first, second = asyncio.create_task(wait()), asyncio.create_task(wait())
            await asyncio.sleep(0)
        first.cancel()  # it has been called, and has not run yet
        await asyncio.wait_for(second, 5)
        assert passed.is_set()
        assert gate.pace.in_flight == 0

    asyncio.run(scene())


def test_the_gate_opens_by_itself_when_a_hold_ends() -> None:
    async def scene() -> None:
        gate = Gate(Pace(ceiling=4, adapts=False))
        gate.hear(Heard(is_busy=True, wait_s=0.01))
        async with asyncio.timeout(5), gate.passage():
            pass
        gate.close()

    asyncio.run(scene())
