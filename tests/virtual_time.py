"""An event loop in virtual time: where it would sleep it skips ahead, and work takes time by saying so."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

import anyio

T = TypeVar("T")


class Skipping(selectors.BaseSelector):
    """A selector whose sleep is a step of the clock."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._real = selectors.DefaultSelector()

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._real.unregister(fileobj)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._real.get_map()

    def close(self) -> None:
        self._real.close()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout:
            self.now += timeout
        return self._real.select(0)


class VirtualTime:
    """The clock of such a loop."""

    def __init__(self) -> None:
        self._selector = Skipping()

    def now(self) -> float:
        """Seconds, as `time.monotonic` gives them."""
        return self._selector.now

    def work(self, seconds: float) -> None:
        """Hold the loop."""
        self._selector.now += seconds

    def run(self, life: Callable[[], Awaitable[T]]) -> T:
        """Run what waits for nothing but time and its own tasks."""

        def make_loop() -> asyncio.AbstractEventLoop:
            loop = asyncio.SelectorEventLoop(self._selector)
            loop.time = self.now  # type: ignore[method-assign]
            return loop

        return anyio.run(life, backend_options={"loop_factory": make_loop})
