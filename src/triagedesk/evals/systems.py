"""What can be evaluated: anything that suggests labels for a ticket, the desk first of all."""

from __future__ import annotations

import inspect
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from types import TracebackType
from typing import Any, Protocol, Self

from triagedesk.desk import Desk, open_desk
from triagedesk.errors import TriageError
from triagedesk.evals.predictions import prediction_of
from triagedesk.models import Classification, Source, Suggestion, Ticket
from triagedesk.opinions import Considered
from triagedesk.settings import Settings

Line = dict[str, Any]
Answer = Callable[[Ticket], Awaitable[Line]]
"""Answers a ticket with the body of a run's line: suggestion, rules, opinion, strength, latency_ms, error."""

Labeller = Callable[[Ticket], Suggestion | Mapping[str, str] | Awaitable[Suggestion | Mapping[str, str]]]
"""Any function that labels a ticket, blocking or not."""


class System(Protocol):
    """Something to evaluate. Each repeat opens it anew, so that no repeat is answered from another's cache."""

    def open(self, k: int) -> AbstractAsyncContextManager[Answer]:
        """Open the system for the repeat `k`."""
        ...


class DeskSystem:
    """The desk, through the function that production calls. `settings` gives the settings of a repeat."""

    def __init__(self, settings: Callable[[int], Settings]) -> None:
        self._settings = settings

    @asynccontextmanager
    async def open(self, k: int) -> AsyncIterator[Answer]:
        """Open a desk whose cache belongs to this configuration and repeat alone."""
        async with open_desk(self._settings(k)) as desk:
            yield _of_desk(desk)


class Opened:
    """A system whose first repeat is open before the run begins: what cannot be opened is known before all else."""

    def __init__(self, system: System) -> None:
        self._system = system
        self._stack = AsyncExitStack()
        self._first: Answer | None = None

    async def __aenter__(self) -> Self:
        self._first = await self._stack.enter_async_context(self._system.open(0))
        return self

    async def __aexit__(self, kind: type[BaseException] | None, wrong: BaseException | None,
                        at: TracebackType | None) -> None:  # fmt: skip
        await self._stack.aclose()

    @asynccontextmanager
    async def open(self, k: int) -> AsyncIterator[Answer]:
        """Hand out the first repeat as it is open, and close it before another is opened."""
        first, self._first = self._first, None
        try:
            if k == 0 and first is not None:
                yield first
                return
        finally:
            await self._stack.aclose()
        async with self._system.open(k) as answer:
            yield answer


def _of_desk(desk: Desk) -> Answer:
    async def answer(ticket: Ticket) -> Line:
        try:
            considered = await desk.consider(ticket)
        except TriageError as wrong:
            return {"error": type(wrong).__name__}
        return desk_line(considered)

    return answer


def desk_line(considered: Considered) -> Line:
    """Return what a run writes down of a desk's answer. The time of a cached answer is no latency of the model."""
    suggestion = considered.suggestion
    source = suggestion.provenance.source
    model = considered.model
    return {
        "suggestion": suggestion.model_dump(mode="json"),
        "rules": _labels(considered.rules),
        "opinion": None if model is None else {**_labels(considered.rules), **_labels(model)},
        "trained": None if considered.trained is None else _labels(considered.trained),
        "strength": _strengths(considered),
        "sureness": None if considered.sureness is None else round(considered.sureness, 4),
        "latency_ms": None if source is Source.CACHE else suggestion.provenance.elapsed_ms,
    }  # fmt: skip


def _strengths(considered: Considered) -> dict[str, float]:
    """Return the raw scores of the labels that policy left as they were."""
    answered = considered.model or considered.trained
    found = {**considered.rules.labels, **(answered.labels if answered else {})}
    return {
        name: round(found[name].strength or 0.0, 4)
        for name, choice in considered.suggestion.labels.items()
        if name in found and found[name].label == choice.label and found[name].strength is not None
    }


def _labels(classification: Classification) -> dict[str, str]:
    return {name: choice.label for name, choice in classification.labels.items()}


class FunctionSystem:
    """A function of your own: it takes a Ticket and returns a Suggestion or labels by dimension, awaitable or not."""

    def __init__(self, labeller: Labeller) -> None:
        self._labeller = labeller

    @asynccontextmanager
    async def open(self, k: int) -> AsyncIterator[Answer]:  # noqa: ARG002
        """Yield the function as an answer; what it raises becomes the row's error, by its type's name."""
        yield self._answer

    async def _answer(self, ticket: Ticket) -> Line:
        start = time.perf_counter()
        try:
            said = self._labeller(ticket)
            if inspect.isawaitable(said):
                said = await said
            line: Line = {"latency_ms": _since(start), **_said(said)}
            prediction_of({"id": ticket.id, "k": 0, **line})
        except Exception as wrong:  # noqa: BLE001 - whatever a stranger's system raises is this row's error, and counts
            return {"error": type(wrong).__name__, "latency_ms": _since(start)}
        return line


def _said(said: Suggestion | Mapping[str, str]) -> Line:
    if isinstance(said, Suggestion):
        return {"suggestion": said.model_dump(mode="json")}
    return {"labels": dict(said)}


def _since(start: float) -> float:
    return round((time.perf_counter() - start) * 1000, 3)


def as_system(system: System | Desk | Labeller) -> System:
    """Return what was given as a system: a desk, a system, or a function of a ticket."""
    if isinstance(system, Desk):
        return _OpenDesk(system)
    if hasattr(system, "open"):
        return system
    return FunctionSystem(system)


class _OpenDesk:
    """A desk that is open already; its repeats share its cache, which the sources of the answers show."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    @asynccontextmanager
    async def open(self, k: int) -> AsyncIterator[Answer]:  # noqa: ARG002
        yield _of_desk(self._desk)
