"""Work that somebody waits for: who hangs up before it is done cancels it, upstream call and all."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio
from fastapi import Request

from triagedesk.service.problems import Code, Refused

T = TypeVar("T")

GRACE_S = 0.05
"""What takes no longer is not worth watching: rules and cache are faster, a question to a model is not."""


async def unless_gone(request: Request, gone: Callable[[], object], work: Callable[[], Awaitable[T]]) -> T:
    """Do work for as long as somebody waits for it; `gone` is told of who did not. Raises what `work` raises."""
    watcher: list[asyncio.Task[None]] = []
    with anyio.CancelScope() as scope:

        async def watch() -> None:
            while (await request.receive())["type"] != "http.disconnect":
                pass
            gone()
            scope.cancel()

        begin = asyncio.get_running_loop().call_later(GRACE_S, lambda: watcher.append(asyncio.ensure_future(watch())))
        try:
            return await work()
        finally:
            begin.cancel()
            for task in watcher:
                task.cancel()
    raise Refused(Code.BODY_TIMEOUT, "the caller hung up")  # nobody reads it
