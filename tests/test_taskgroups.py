"""What is raised beside background tasks comes out as it is, and the tasks are gone."""

from __future__ import annotations

import anyio
import pytest

from triagedesk.taskgroups import side_tasks, unwrapped


def test_what_the_block_raises_comes_out_unwrapped_and_the_tasks_have_ended() -> None:
    ended: list[str] = []

    async def forever() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            ended.append("task")

    async def work() -> None:
        async with side_tasks() as tasks:
            tasks.start_soon(forever)
            await anyio.lowlevel.checkpoint()
            raise KeyError("said")

    with pytest.raises(KeyError, match="said"):
        anyio.run(work)
    assert ended == ["task"]


def test_tasks_end_with_their_block() -> None:
    async def work() -> int:
        async with side_tasks() as tasks:
            tasks.start_soon(anyio.sleep_forever)
            return 1

    assert anyio.run(work) == 1


def test_cancelling_the_tasks_ends_the_block_without_an_error() -> None:
    async def work() -> str:
        async with side_tasks() as tasks:
            tasks.cancel_scope.cancel()
            await anyio.sleep_forever()
        return "out"

    assert anyio.run(work) == "out"


ONE, OTHER = ValueError("one"), ValueError("other")
SEVERAL = ExceptionGroup("several", [ONE, OTHER])


@pytest.mark.parametrize(
    ("wrong", "found"),
    [
        pytest.param(ONE, ONE, id="no-group"),
        pytest.param(ExceptionGroup("outer", [ExceptionGroup("inner", [ONE])]), ONE, id="alone-in-two-groups"),
        pytest.param(ExceptionGroup("outer", [SEVERAL]), SEVERAL, id="several-stay-together"),
    ],
)
def test_an_error_alone_is_taken_out_of_its_groups(wrong: BaseException, found: BaseException) -> None:
    assert unwrapped(wrong) is found
