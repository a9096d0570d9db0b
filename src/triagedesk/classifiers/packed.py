"""Several short tickets in one request: they share the prompt, and nothing else.

Each answer carries the id of its ticket and is checked by itself. What is missing, invalid, or looks as if it came from
another ticket of the pack is asked again alone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import anyio
from anyio.abc import TaskGroup

from triagedesk.budget import Budget
from triagedesk.classifiers.attempts import Call
from triagedesk.classifiers.faults import ParameterRefused, PromptTooLong
from triagedesk.classifiers.llm import ModelClassifier
from triagedesk.classifiers.pack import (
    PackedAnswers,
    id_of,
    is_strange,
    packed_kind,
    packed_messages,
    plain,
    together,
)
from triagedesk.errors import FallbackReason, ModelAnswerInvalid, ModelError, ModelUnavailable
from triagedesk.models import ModelAnswer, Tokens
from triagedesk.playbook import Playbook
from triagedesk.prompts import Prompt, load_pack_note
from triagedesk.settings import Settings

LINGER_S = 0.05
"""So long the first ticket of a pack waits for company."""

MAX_PACKED_CHARS = 1_200
"""A longer question goes alone: it is its ticket that costs then, not the prompt."""

_ALONE_MAY_HELP = frozenset({
    FallbackReason.INVALID_OUTPUT, FallbackReason.BAD_REPLY, FallbackReason.INCOMPLETE, FallbackReason.TOO_LONG,
    FallbackReason.REFUSED, FallbackReason.OVERSIZE,
})  # fmt: skip
"""Failures of a pack that one of its tickets may have caused; any other would meet each of them."""


@dataclass(eq=False)
class _Seat:
    """One question of a pack, and what came of it; neither answer nor error: it is to be asked alone."""

    question: str
    budget: Budget
    done: anyio.Event = field(default_factory=anyio.Event)
    answer: ModelAnswer | None = None
    error: ModelError | None = None
    tokens: Tokens = field(default_factory=Tokens)
    attempts: int = 0
    left: bool = False


class _Pack(NamedTuple):
    """What one request brought."""

    found: PackedAnswers
    model: str
    tokens: Tokens


class _PackCall(Call):
    """A request for several tickets: where it went wrong because of one of them, it is not sent again as a whole."""

    __slots__ = ()

    def mend(self, wrong: BaseException) -> bool:
        """Leave a parameter off, or wait; else each ticket is asked alone."""
        if isinstance(wrong, ModelAnswerInvalid | PromptTooLong):
            return False
        return super().mend(wrong) if isinstance(wrong, ParameterRefused) else True


class PackedClassifier(ModelClassifier):
    """Asks about up to `settings.pack` tickets at once. `tasks`, once set, carries the requests."""

    tasks: TaskGroup | None = None

    def __init__(self, settings: Settings, playbook: Playbook, prompt: Prompt, **more: Any) -> None:
        super().__init__(settings, playbook, prompt, **more)
        self._size = settings.pack
        note, note_identity = load_pack_note()
        self._opening = self._packed_static = packed_messages(prompt, playbook, note, self._size)
        self._kind = packed_kind(self._answer, self._size)
        self._packed_parameters = {
            name: value * self._size if name.startswith("max_") else value for name, value in self._parameters.items()
        }
        self._seats: list[_Seat] = []
        self._slots = anyio.Semaphore(settings.max_concurrency)
        self.prompt_identity = f"{self.prompt_identity}+{note_identity}x{self._size}"
        parts = [self.identity, self.prompt_identity, self._packed_static, self._kind.schema_, self._packed_parameters]
        self.identity = hashlib.sha256(json.dumps(parts, ensure_ascii=False).encode()).hexdigest()

    async def ask(self, question: str, budget: Budget) -> ModelAnswer:
        """Ask about one ticket, in company where there is some.

        Raises ModelError with its closed reason, within the budget (and its late seconds).
        """
        if self.tasks is None or len(question) > MAX_PACKED_CHARS:
            return await self._alone(question, budget)
        seat = _Seat(question, budget)
        try:
            self._take(seat, self.tasks)
            with anyio.move_on_after(budget.left_late()):
                await seat.done.wait()
        finally:
            seat.left = True
        return seat.answer or await self._otherwise(seat)

    async def _otherwise(self, seat: _Seat) -> ModelAnswer:
        """Ask alone after a pack that brought nothing for this ticket, unless it failed for good. Raises ModelError."""
        if not seat.done.is_set():
            raise ModelUnavailable(FallbackReason.TIMEOUT, "the deadline passed", attempts=seat.attempts)
        if seat.error is not None:
            raise seat.error
        try:
            alone = await self._alone(seat.question, seat.budget)
        except ModelError as wrong:
            wrong.attempts += seat.attempts
            raise
        tokens = _sum(seat.tokens, alone.tokens)
        return alone.model_copy(update={
            "attempts": alone.attempts + seat.attempts, "tokens": tokens, "cost_usd": self._cost(tokens),
        })  # fmt: skip

    async def _alone(self, question: str, budget: Budget) -> ModelAnswer:
        """Ask about one ticket in the words of a single one, when a slot is free. Raises ModelError."""
        with anyio.move_on_after(budget.left()) as waiting:
            await self._slots.acquire()
        if waiting.cancelled_caught:
            raise ModelUnavailable(FallbackReason.TIMEOUT, "the deadline passed", attempts=0)
        try:
            return await super().ask(question, budget)
        finally:
            self._slots.release()

    # --- a pack comes together ---

    def _take(self, seat: _Seat, tasks: TaskGroup) -> None:
        """Take a seat in the pack that is waiting; the last to come has it leave."""
        self._seats.append(seat)
        if len(self._seats) >= self._size:
            self._leave(tasks)
        elif len(self._seats) == 1:
            tasks.start_soon(self._linger, self._seats, tasks)

    async def _linger(self, seats: list[_Seat], tasks: TaskGroup) -> None:
        await anyio.sleep(min(LINGER_S, seats[0].budget.left() / 2))
        if seats is self._seats:
            self._leave(tasks)

    def _leave(self, tasks: TaskGroup) -> None:
        seats, self._seats = [seat for seat in self._seats if not seat.left], []
        if len(seats) == 1:
            seats[0].done.set()  # alone, it is asked as it would be without packs
        elif seats:
            tasks.start_soon(self._fly, seats)

    # --- and is asked ---

    async def _fly(self, seats: Sequence[_Seat]) -> None:
        try:
            async with self._slots:
                await self._ask_together(seats)
        finally:
            for seat in seats:
                seat.done.set()

    async def _ask_together(self, seats: Sequence[_Seat]) -> None:
        budget = Budget(max(seat.budget.left() for seat in seats), late_s=max(seat.budget.late_s for seat in seats))
        ids = [id_of(number, seat.question) for number, seat in enumerate(seats, 1)]
        content = together(ids, [seat.question for seat in seats])
        call = _PackCall([*self._packed_static, {"role": "user", "content": content}], self._packed_parameters)
        try:
            pack = await self.make(call, self._once_packed, budget)
        except ModelError as wrong:
            self._fail(seats, wrong, call)
            return
        items = pack.found.by_id()
        for number, (seat, name) in enumerate(zip(seats, ids, strict=True)):
            seat.tokens, seat.attempts = _share(pack.tokens, len(seats), number), call.attempts
            seat.answer = self._answer_of(items.get(name), pack.model, seat)
        self._send_back_strangers(seats)

    async def _once_packed(self, call: Call) -> _Pack:
        found = await self.complete(self._kind, call)
        told = call.completion.model if call.completion and not self._is_local else ""
        return _Pack(found, told or self.model, call.tokens)

    def _fail(self, seats: Sequence[_Seat], wrong: ModelError, call: Call) -> None:
        """Have each asked alone where one of them may be at fault; else all have failed."""
        for number, seat in enumerate(seats):
            seat.tokens, seat.attempts = _share(call.tokens, len(seats), number), call.attempts
            if wrong.reason not in _ALONE_MAY_HELP:
                seat.error = type(wrong)(wrong.reason, wrong.detail, attempts=call.attempts)

    def _answer_of(self, item: dict[str, Any] | None, model: str, seat: _Seat) -> ModelAnswer | None:
        """Read one answer as it would be read alone; None where it is missing or invalid."""
        if item is None:
            return None
        try:
            answer = self._answer.model_validate_json(json.dumps(item))
        except ModelError:
            return None
        return ModelAnswer(
            said=answer.said(), secondary_issues=answer.other_issues(), model=model, tokens=seat.tokens,
            attempts=seat.attempts, cost_usd=self._cost(seat.tokens),
        )  # fmt: skip

    def _send_back_strangers(self, seats: Sequence[_Seat]) -> None:
        """Drop answers whose quotes tell that they were made from another ticket of the pack."""
        texts = [plain(seat.question) for seat in seats]
        for number, seat in enumerate(seats):
            others = [text for other, text in enumerate(texts) if other != number]
            if seat.answer is not None and is_strange(seat.answer, texts[number], others):
                seat.answer = None


def _share(tokens: Tokens, count: int, number: int) -> Tokens:
    """Return one ticket's part of a pack's tokens; the parts add up to the whole."""

    def part(whole: int) -> int:
        return whole * (number + 1) // count - whole * number // count

    return Tokens(prompt=part(tokens.prompt), cached=part(tokens.cached), completion=part(tokens.completion))


def _sum(one: Tokens, other: Tokens) -> Tokens:
    return Tokens(
        prompt=one.prompt + other.prompt, cached=one.cached + other.cached,
        completion=one.completion + other.completion,
    )  # fmt: skip
