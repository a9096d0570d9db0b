"""Errors and the task groups that wrap them: what is raised comes out as it is."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
from anyio.abc import TaskGroup


@asynccontextmanager
async def side_tasks() -> AsyncIterator[TaskGroup]:
    """Open a task group whose tasks end with the block; what the block raises comes out unwrapped."""
    raised: Exception | None = None
    async with anyio.create_task_group() as tasks:
        try:
            yield tasks
        except Exception as wrong:  # noqa: BLE001 - raised again below, outside of the group that would wrap it
            raised = wrong
        tasks.cancel_scope.cancel()
    if raised is not None:
        raise raised


def unwrapped(wrong: BaseException) -> BaseException:
    """Return the error inside a group of one, however deep; a group of several stays what it is."""
    while isinstance(wrong, BaseExceptionGroup) and len(wrong.exceptions) == 1:
        wrong = wrong.exceptions[0]
    return wrong
