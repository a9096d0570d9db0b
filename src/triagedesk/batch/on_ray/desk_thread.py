"""A desk on an event loop of its own, for callers that are not async and may be killed at any moment."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from concurrent.futures import Future
from threading import Thread
from typing import Any, TypeVar

from triagedesk.desk import Desk, Now, open_desk
from triagedesk.settings import Settings

T = TypeVar("T")


class DeskThread:
    """An open desk. Its thread is a daemon, so that a process which forgets to close it still ends.

    Raises ConfigError if the desk cannot be opened.
    """

    def __init__(self, settings: Settings, *, now: Now | None = None) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, name="triagedesk", daemon=True)
        self._thread.start()
        self._leave = asyncio.Event()
        opened: Future[Desk] = Future()
        self._life = asyncio.run_coroutine_threadsafe(self._live(settings, now, opened), self._loop)
        self._life.add_done_callback(lambda life: _fail(opened, life))
        try:
            self.desk = opened.result()
        except BaseException:
            self._stop()
            raise

    async def _live(self, settings: Settings, now: Now | None, opened: Future[Desk]) -> None:
        """Open and close the desk in one task, as its task group wants it."""
        async with open_desk(settings, now=now) as desk:
            opened.set_result(desk)
            await self._leave.wait()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine beside the desk, and wait for what it returns or raises."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def close(self) -> None:
        """Close the desk and end the thread. What it is still doing is given up."""
        if self._loop.is_closed():
            return
        self._loop.call_soon_threadsafe(self._leave.set)
        self._life.result()
        self._stop()

    def _stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


def _fail(opened: Future[Desk], life: Future[None]) -> None:
    """Tell whoever waits for the desk why it did not open."""
    wrong = life.exception()
    if wrong is not None and not opened.done():
        opened.set_exception(wrong)
