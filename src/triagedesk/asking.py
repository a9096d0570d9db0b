"""One question, asked once: the cache, one flight for all who ask the same, and answers that come too late.

A flight belongs to nobody: callers wait for it within their own deadlines. Who leaves last because time is up leaves
the flight running, within bounds, to fill the cache; who goes away for another reason takes it down.
"""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import TYPE_CHECKING, NamedTuple, Protocol

import anyio
from anyio.abc import TaskGroup
from pydantic import ValidationError

from triagedesk.budget import Budget
from triagedesk.errors import FallbackReason, ModelError
from triagedesk.models import ModelAnswer, Source
from triagedesk.punctual import Punctual
from triagedesk.tracing import Fact, span

if TYPE_CHECKING:
    from triagedesk.cache import CacheKey, CacheStats
    from triagedesk.classifiers.llm import ModelClassifier

FIRST_POLL_S, LONGEST_POLL_S = 0.02, 0.25
"""How often another process's answer is looked for: soon, then less often."""


ANSWERS_READ = 512
"""So many answers are kept as objects, by their text."""


_LEADERS_OWN = (FallbackReason.TIMEOUT, FallbackReason.OVERLOADED)
"""What a flight comes to because its leader's time was up, in flight or in the queue."""


class Answers(Protocol):
    """A cache as it is asked here: on disk it says at once, on a server elsewhere it may have to wait. None raises."""

    def get(self, key: str) -> str | Awaitable[str | None] | None: ...
    def refuse(self) -> None: ...
    def put(self, key: str, value: str) -> None: ...
    def claim(self, key: str, seconds: float) -> bool | Awaitable[bool]: ...
    def release(self, key: str) -> None: ...
    def stats(self) -> CacheStats: ...


class Question(NamedTuple):
    """What the model is asked about a ticket, and its cache key."""

    text: str
    key: str


class Prepaid(Protocol):
    """Answers that were bought beforehand: what came of a question, or None where it is to be asked now."""

    def settled(self, question: Question) -> Asked | None: ...


@dataclass(frozen=True)
class Asked:
    """What came of a question: an answer and who gave it, or the reason why there is none."""

    answer: ModelAnswer | None = None
    source: Source = Source.RULES
    reason: FallbackReason | None = None
    attempts: int = 0

    def shared(self) -> Asked:
        """Return this as it is for who came along: the leader's request, tokens and money are counted once."""
        return self if self.source is not Source.MODEL else Asked(answer=self.answer, source=Source.CACHE)


@dataclass(eq=False)
class _Flight:
    done: anyio.Event = field(default_factory=anyio.Event)
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    outcome: Asked = Asked(reason=FallbackReason.SHUTDOWN)
    waiting: int = 0
    queues: bool = True
    holds_slot: bool = False
    late: bool = False


class Asking:
    """Asks one model through the cache. `tasks` carries the flights; closing it ends them."""

    def __init__(
        self, model: ModelClassifier, tasks: TaskGroup, *, cache: Answers | None, key: CacheKey,
        max_concurrency: int, max_late: int,
    ) -> None:  # fmt: skip
        self.model = model
        self.cache = cache
        self.prepaid: Prepaid | None = None
        self._key = key
        self._tasks = tasks
        self._flights: dict[str, _Flight] = {}
        self._slots = anyio.Semaphore(max_concurrency)
        self._max_late = max_late
        self._late = 0
        self._punctual = Punctual(tasks)
        self._read = lru_cache(maxsize=ANSWERS_READ)(partial(_read_answer, labels=model.labels))

    @property
    def in_flight(self) -> int:
        """How many questions are being asked now, late ones included."""
        return len(self._flights)

    def question(self, subject: str, body: str) -> Question:
        """Return the question about a ticket's (redacted) words."""
        text = self.model.question(subject, body)
        return Question(text, self._key.of(text))

    async def ask(self, question: Question, budget: Budget) -> Asked:
        """Return the answer from cache, a running flight or a new one, within the budget. Never raises."""
        text, key = question
        paid = self.prepaid.settled(question) if self.prepaid is not None else None
        if paid is not None and paid.answer is not None:
            return self._keep_paid(key, paid)
        while True:
            with span("cache") as told:
                known = await self._look_up(key, budget)
                told.tell({Fact.CACHE_HIT: known is not None})
            if known is not None:
                return Asked(answer=known, source=Source.CACHE)
            if paid is not None:
                return paid
            if budget.left() <= 0:
                return Asked(reason=FallbackReason.TIMEOUT)
            flight = self._flights.get(key)
            leads = flight is None
            if flight is None:
                flight = self._take_off(key, text, budget)
            outcome = await self._wait(flight, budget)
            if leads or outcome.reason not in _LEADERS_OWN:
                return outcome if leads else outcome.shared()  # else: a leader's own short deadline fails no follower

    async def knows(self, question: Question, budget: Budget) -> bool:
        """Say if the cache holds the answer to a question."""
        return await self._look_up(question.key, budget) is not None

    def _keep_paid(self, key: str, paid: Asked) -> Asked:
        if self.cache is not None and paid.answer is not None and paid.source is Source.MODEL:
            self.cache.put(key, paid.answer.model_dump_json())
        return paid

    async def _look_up(self, key: str, budget: Budget) -> ModelAnswer | None:
        if self.cache is None:
            return None
        found = self.cache.get(key)
        text = found if found is None or isinstance(found, str) else await _within(found, budget)
        if text is None:
            return None
        answer = self._read(text)
        if answer is None:
            self.cache.refuse()
        return answer

    def _take_off(self, key: str, question: str, budget: Budget) -> _Flight:
        flight = self._flights[key] = _Flight()
        try:
            self._tasks.start_soon(self._fly, key, question, budget, flight)
        except RuntimeError:  # the task group has ended: the desk is closed
            del self._flights[key]
            flight.done.set()
        return flight

    async def _wait(self, flight: _Flight, budget: Budget) -> Asked:
        if flight.done.is_set():
            return flight.outcome
        flight.waiting += 1
        try:
            with self._punctual.within(budget):
                await flight.done.wait()
                return flight.outcome
            budget.give_up()
            return _out_of_time(flight)
        finally:
            flight.waiting -= 1
            if not flight.waiting and not flight.done.is_set():
                self._leave(flight, time_is_up=budget.left() <= 0)

    def _leave(self, flight: _Flight, *, time_is_up: bool) -> None:
        """Let a flight without passengers fly on as a late one, or end it."""
        if time_is_up and self._late < self._max_late and flight.holds_slot:
            self._late += 1
            flight.late, flight.holds_slot = True, False
            self._slots.release()
        elif not flight.late:
            flight.scope.cancel()

    async def _fly(self, key: str, question: str, budget: Budget, flight: _Flight) -> None:
        try:
            with flight.scope:
                flight.outcome = await self._slotted(key, question, budget, flight)
        finally:
            if flight.scope.cancelled_caught:
                flight.outcome = _out_of_time(flight)
            if flight.holds_slot:
                self._slots.release()
            self._late -= flight.late
            self._flights.pop(key, None)
            flight.done.set()

    async def _slotted(self, key: str, question: str, budget: Budget, flight: _Flight) -> Asked:
        with anyio.move_on_after(budget.left()):
            await self._slots.acquire()
            flight.queues, flight.holds_slot = False, True
        if not flight.holds_slot:
            return Asked(reason=FallbackReason.OVERLOADED)
        return await self._once_across_processes(key, question, budget)

    async def _once_across_processes(self, key: str, question: str, budget: Budget) -> Asked:
        cache = self.cache
        if cache is None:
            return await self._ask_model(key, question, budget)
        pause = FIRST_POLL_S
        while not await _claimed(cache, key, budget.left_late() + LONGEST_POLL_S):
            known = await self._look_up(key, budget)
            if known is not None:
                return Asked(answer=known, source=Source.CACHE)
            if budget.left() <= 0:
                return Asked(reason=FallbackReason.TIMEOUT)
            await anyio.sleep(min(pause, budget.left()))
            pause = min(2 * pause, LONGEST_POLL_S)
        try:
            known = await self._look_up(key, budget)  # another process may have answered between look-up and claim
            return Asked(known, Source.CACHE) if known else await self._ask_model(key, question, budget)
        finally:
            cache.release(key)

    async def _ask_model(self, key: str, question: str, budget: Budget) -> Asked:
        try:
            answer = await self.model.ask(question, budget)
        except ModelError as wrong:
            return Asked(reason=wrong.reason, attempts=wrong.attempts)
        if self.cache is not None:
            self.cache.put(key, answer.model_dump_json())
        return Asked(answer=answer, source=Source.MODEL, attempts=answer.attempts)


def _out_of_time(flight: _Flight) -> Asked:
    """Return what a flight comes to that time ends: in the queue, or on its way."""
    return (
        Asked(reason=FallbackReason.OVERLOADED) if flight.queues else Asked(reason=FallbackReason.TIMEOUT, attempts=1)
    )


async def _within(found: Awaitable[str | None], budget: Budget) -> str | None:
    """Wait for a cache elsewhere, but not past the deadline."""
    with anyio.move_on_after(budget.left()):
        return await found
    return None


async def _claimed(cache: Answers, key: str, seconds: float) -> bool:
    claimed = cache.claim(key, seconds)
    return claimed if isinstance(claimed, bool) else await claimed


Labels = dict[str, frozenset[str]]


def _read_answer(text: str, *, labels: Labels) -> ModelAnswer | None:
    """Read a cached answer; one that this model cannot have given is a miss, not a crash."""
    try:
        answer = ModelAnswer.model_validate_json(text)
    except ValidationError:
        return None
    fits = answer.said.keys() == labels.keys() and all(said.label in labels[name] for name, said in answer.said.items())
    return answer if fits and labels.get("issue_type", frozenset()).issuperset(answer.secondary_issues) else None
