"""Waits end early enough on a busy loop."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio
import pytest

from triagedesk.budget import Budget
from triagedesk.punctual import BEAT_S, FINISH_S, HALF_LIFE_S, LARGEST_SHARE, Punctual
from virtual_time import VirtualTime

DEADLINE_S = 2.0

T = TypeVar("T")


class World(VirtualTime):
    """A loop in virtual time, and what a test does in it."""

    punctual: Punctual

    def budget(self, seconds: float = DEADLINE_S) -> Budget:
        return Budget(seconds, clock=self.now)

    async def waited(self, seconds: float = DEADLINE_S, *, then_s: float = 0.0) -> float:
        """Wait for what never comes, work, and return when that was done, in seconds from the start."""
        began = self.now()
        with self.punctual.within(self.budget(seconds)) as scope:
            await anyio.Event().wait()
        assert scope.cancelled_caught
        self.work(then_s)
        return self.now() - began


def live(life: Callable[[World], Awaitable[T]]) -> T:
    """Live in a world of its own until all its tasks have ended by themselves."""
    world = World()

    async def run() -> T:
        async with anyio.create_task_group() as tasks:
            world.punctual = Punctual(tasks, world.now)
            lived = await life(world)
        return lived  # noqa: RET504 - a task group may swallow, for all that mypy knows

    return world.run(run)


def test_alone_a_wait_takes_its_time() -> None:
    took = live(lambda world: world.waited())
    assert DEADLINE_S - 2 * FINISH_S <= took <= DEADLINE_S


def test_what_comes_in_time_is_not_cut_off() -> None:
    async def life(world: World) -> bool:
        with world.punctual.within(world.budget()) as scope:
            await anyio.sleep(DEADLINE_S * 0.9)
        return scope.cancelled_caught

    assert live(life) is False


@pytest.mark.parametrize("late_s", [0.03, 0.1, 0.2])
def test_on_a_late_loop_a_wait_ends_in_time(late_s: float) -> None:
    async def life(world: World) -> float:
        async def busy() -> None:
            while True:
                await anyio.sleep(0.001)
                world.work(late_s)

        async with anyio.create_task_group() as others:
            others.start_soon(busy)
            took = await world.waited()
            others.cancel_scope.cancel()
        return took

    took = live(life)
    assert (1 - LARGEST_SHARE) * DEADLINE_S <= took <= DEADLINE_S


def test_a_loop_that_becomes_late_during_a_wait_ends_it_earlier() -> None:
    async def life(world: World) -> float:
        async def busy_at_last() -> None:
            await anyio.sleep(DEADLINE_S - 0.5)
            while True:
                await anyio.sleep(0.001)
                world.work(0.1)

        async with anyio.create_task_group() as others:
            others.start_soon(busy_at_last)
            took = await world.waited()
            others.cancel_scope.cancel()
        return took

    assert DEADLINE_S - 0.4 <= live(life) <= DEADLINE_S


def test_those_that_began_together_are_all_done_in_time() -> None:
    async def life(world: World) -> list[float]:
        took: list[float] = []

        async def wait() -> None:
            took.append(await world.waited(then_s=FINISH_S))

        async with anyio.create_task_group() as others:
            for _ in range(64):
                others.start_soon(wait)
        return took

    took = live(life)
    assert len(took) == 64
    assert DEADLINE_S - 66 * FINISH_S <= max(took) <= DEADLINE_S


def test_a_hopelessly_late_loop_still_lets_the_model_try() -> None:
    async def life(world: World) -> float:
        world.punctual.note(60.0)
        return await world.waited()

    assert live(life) == pytest.approx((1 - LARGEST_SHARE) * DEADLINE_S)


def test_a_late_turn_is_forgotten() -> None:
    async def life(world: World) -> list[float]:
        world.punctual.note(0.4)
        lags = [world.punctual.lag_s()]
        for _ in range(2):
            world.work(HALF_LIFE_S)
            lags.append(world.punctual.lag_s())
        world.punctual.note(0.05)  # less than what is remembered
        return [*lags, world.punctual.lag_s()]

    assert live(life) == pytest.approx([0.4, 0.2, 0.1, 0.1])


def test_nobody_looks_at_the_loop_when_nobody_waits() -> None:
    async def life(world: World) -> float:
        await world.waited(0.5)
        return world.now()

    async def all_of_it(world: World) -> tuple[float, float]:
        first = await life(world)
        await anyio.sleep(1.0)
        return first, await life(world)

    first, second = live(all_of_it)  # the task group ends by itself, within a beat
    assert second - first == pytest.approx(1.5, abs=BEAT_S)


def test_a_wait_given_up_leaves_no_time() -> None:
    budget = Budget(2.0, late_s=1.0, clock=lambda: 5.0)
    assert (budget.left(), budget.left_late()) == (2.0, 3.0)
    budget.give_up()
    assert (budget.left(), budget.left_late(), budget.spent()) == (0.0, 3.0, 0.0)
