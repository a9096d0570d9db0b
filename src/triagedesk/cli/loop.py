"""How a command runs a coroutine: on an event loop of its own, or, where nothing waits, without one."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

from triagedesk.taskgroups import unwrapped

T = TypeVar("T")


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end on a fresh loop.

    The desk keeps a task group open, which wraps whatever ends it into a group; one alone comes out as itself.
    """
    import asyncio  # lazy: a twentieth of the time in which rules answer

    try:
        return asyncio.run(work)
    except BaseExceptionGroup as group:
        raise unwrapped(group) from None


def at_once(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never waits, such as a suggestion by rules alone. Raises RuntimeError if it does wait."""
    try:
        work.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    work.close()
    raise RuntimeError("a coroutine waited where nothing should")
