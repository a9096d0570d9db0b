"""The circuit breaker: a provider that is down costs nobody any time, and is taken back soon after it is up."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triagedesk.classifiers.breaker import LONGEST_RATE_LIMIT_S, Breaker
from triagedesk.errors import FallbackReason, ModelRefused, ModelUnavailable


class FakeClock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def breaker(clock: FakeClock) -> Breaker:
    return Breaker(failures=5, window_s=10, probe_s=5, clock=clock)


def fail(breaker: Breaker, times: int = 1, reason: FallbackReason = FallbackReason.PROVIDER_5XX) -> None:
    for _ in range(times):
        breaker.record(ModelUnavailable(reason))


def test_four_failures_leave_it_closed_and_the_fifth_opens_it(breaker: Breaker) -> None:
    fail(breaker, 4)
    assert breaker.allows()
    fail(breaker)
    assert not breaker.allows()
    assert breaker.state == "open"
    assert breaker.openings == 1


def test_failures_further_apart_than_the_window_do_not_open_it(breaker: Breaker, clock: FakeClock) -> None:
    for _ in range(20):
        fail(breaker)
        clock.now += 3
    assert breaker.allows()


def test_a_success_in_between_starts_the_count_again(breaker: Breaker) -> None:
    fail(breaker, 4)
    breaker.succeeded()
    fail(breaker, 4)
    assert breaker.allows()


def test_an_open_breaker_lets_one_probe_through_every_five_seconds(breaker: Breaker, clock: FakeClock) -> None:
    fail(breaker, 5)
    asked = 0
    for _ in range(600):  # a minute of ten calls a second, all of which fail
        if breaker.allows():
            asked += 1
            fail(breaker)
        clock.now += 0.1
    assert asked in (11, 12)
    assert breaker.openings == 1


def test_a_probe_that_succeeds_closes_it(breaker: Breaker, clock: FakeClock) -> None:
    fail(breaker, 5)
    clock.now += 5
    assert breaker.allows()
    assert breaker.state == "half_open"
    assert not breaker.allows()
    breaker.succeeded()
    assert breaker.state == "closed"


def test_a_probe_whose_caller_went_away_blocks_nobody(breaker: Breaker, clock: FakeClock) -> None:
    fail(breaker, 5)
    clock.now += 5
    assert breaker.allows()
    clock.now += 5
    assert breaker.allows()


@pytest.mark.parametrize(
    ("wish", "opens_for"),
    [
        pytest.param(3.0, 3.0, id="as-long-as-the-server-wishes"),
        pytest.param(3_600.0, LONGEST_RATE_LIMIT_S, id="thirty-seconds-at-most"),
        pytest.param(None, 5.0, id="until-the-next-probe-if-it-does-not-say"),
    ],
)
def test_a_rate_limit_opens_it_at_once(
    breaker: Breaker, clock: FakeClock, wish: float | None, opens_for: float
) -> None:
    breaker.record(ModelUnavailable(FallbackReason.RATE_LIMITED, retry_after_s=wish))
    clock.now += opens_for - 0.01
    assert not breaker.allows()
    clock.now += 0.02
    assert breaker.allows()


@pytest.mark.parametrize("reason", [FallbackReason.AUTH, FallbackReason.QUOTA])
def test_a_bad_key_or_an_empty_account_opens_it_at_once(breaker: Breaker, reason: FallbackReason) -> None:
    breaker.record(ModelRefused(reason))
    assert not breaker.allows()


@pytest.mark.parametrize(
    "reason", [FallbackReason.REFUSED, FallbackReason.INVALID_OUTPUT, FallbackReason.TOO_LONG, FallbackReason.POOL]
)
def test_what_is_no_fault_of_the_provider_never_opens_it(breaker: Breaker, reason: FallbackReason) -> None:
    fail(breaker, 50, reason)
    assert breaker.allows()


@given(st.lists(st.tuples(st.booleans(), st.floats(min_value=0, max_value=3)), max_size=200))
def test_an_open_breaker_never_lets_two_calls_through_within_the_probe_time(steps: list[tuple[bool, float]]) -> None:
    clock = FakeClock()
    breaker = Breaker(failures=3, window_s=10, probe_s=5, clock=clock)
    fail(breaker, 3)
    last_probe = clock.now
    for _, pause in steps:
        clock.now += pause
        if breaker.allows():
            assert clock.now - last_probe >= 5
            last_probe = clock.now
            fail(breaker)
