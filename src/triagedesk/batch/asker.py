"""How a batch asks: one question once, at the pace that the server bears, and again where the server was only busy."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from hashlib import blake2b
from typing import TYPE_CHECKING

from triagedesk.batch.gate import Gate, Passage
from triagedesk.batch.pace import Ending
from triagedesk.batch.rows import Row
from triagedesk.batch.tally import Tally
from triagedesk.errors import FallbackReason, TicketError
from triagedesk.models import Source, Suggestion, Ticket

if TYPE_CHECKING:
    from triagedesk.desk import Desk

TRIES = 3
"""A row that the server was too busy for is asked again so often, each time after a pause."""

MAX_SEEN = 100_000
"""So many questions are remembered to count those that come again."""

_BUSY = frozenset((FallbackReason.RATE_LIMITED, FallbackReason.OVERLOADED))
_BUSY_IF_SAID = frozenset((FallbackReason.BREAKER_OPEN, FallbackReason.PROVIDER_5XX, FallbackReason.POOL))
_NEVER_ASKED = frozenset((FallbackReason.TIMEOUT,))
"""With no request made: another process said that it asks this very question, and did not come back in time."""

_HOPELESS = frozenset((FallbackReason.QUOTA, FallbackReason.AUTH))


class Purse:
    """The money of a batch, in USD: what may be spent, what has been, and what those in flight are about to cost."""

    def __init__(self, limit_usd: float | None, spent_usd: float = 0.0) -> None:
        self.limit_usd, self.spent_usd = limit_usd, spent_usd
        self._before, self._priced, self._in_flight = spent_usd, 0, 0
        self._moved = asyncio.Event()

    @property
    def is_empty(self) -> bool:
        """Say if the limit is reached."""
        return self.limit_usd is not None and self.spent_usd >= self.limit_usd

    @property
    def _is_promised(self) -> bool:
        """Say if those in flight will reach the limit at the mean price so far; before one is known, if any is."""
        if self.limit_usd is None or not self._in_flight:
            return False
        if not self._priced:
            return True
        mean = (self.spent_usd - self._before) / self._priced
        return self.spent_usd + self._in_flight * mean >= self.limit_usd

    @asynccontextmanager
    async def question(self) -> AsyncIterator[bool]:
        """Wait until the money does for one more question; says if it does. The block is its time in flight."""
        while self._is_promised and not self.is_empty:
            self._moved.clear()
            await self._moved.wait()
        self._in_flight += 1
        try:
            yield not self.is_empty
        finally:
            self._in_flight -= 1
            self._moved.set()

    def pay(self, suggestion: Suggestion) -> bool:
        """Take what an answer cost. Says if it cost anything."""
        provenance = suggestion.provenance
        cost = provenance.cost_usd if provenance.source is Source.MODEL else None
        self.spent_usd += cost or 0.0
        self._priced += cost is not None
        return bool(cost)


class SameQuestions:
    """Holds a question back while the same words are being asked, and counts those that have come before."""

    def __init__(self) -> None:
        self._asked: dict[bytes, asyncio.Event] = {}
        self._seen: set[bytes] = set()

    @asynccontextmanager
    async def turn(self, ticket: Ticket) -> AsyncIterator[bool]:
        """Wait until nobody else asks these words; says if they were asked before."""
        words = blake2b(f"{ticket.subject}\0{ticket.body}".encode("utf-8", "surrogatepass"), digest_size=12).digest()
        while (asked := self._asked.get(words)) is not None:
            await asked.wait()
        done = self._asked[words] = asyncio.Event()
        try:
            yield words in self._seen
        finally:
            if len(self._seen) < MAX_SEEN:
                self._seen.add(words)
            del self._asked[words]
            done.set()


class Asker:
    """Answers rows through the desk. All are judged at the moment `began`."""

    def __init__(self, desk: Desk, gate: Gate, tally: Tally, purse: Purse, began: datetime) -> None:
        self._desk, self._gate, self._tally, self._purse, self._began = desk, gate, tally, purse, began
        self._same = SameQuestions()

    async def answer(self, row: Row) -> Suggestion | str | None:
        """Return the row's suggestion, or what is wrong with it; None where the money is spent: it was not asked."""
        if row.ticket is None:
            return row.problem
        try:
            async with self._same.turn(row.ticket) as again:
                suggestion = await self._patiently(row.ticket)
        except TicketError as wrong:
            return str(wrong)
        if suggestion is not None and again and suggestion.provenance.source is Source.CACHE:
            self._tally.same_question += 1
        return suggestion

    async def _patiently(self, ticket: Ticket) -> Suggestion | None:
        for left in range(TRIES, -1, -1):
            async with self._purse.question() as is_paid_for, self._gate.passage() as passage:
                if not is_paid_for:
                    return None
                suggestion = await self._desk.suggest(ticket, now=self._began)
                passage.ending = self._ending(suggestion)
                passage.tokens = suggestion.provenance.tokens.prompt + suggestion.provenance.tokens.completion
            if not self._worth_another(passage, left):
                break
            self._tally.asked_again += 1
        return suggestion

    def _worth_another(self, passage: Passage, left: int) -> bool:
        refused = passage.ending is Ending.REFUSED and self._gate.pace.is_refused
        return left > 0 and (refused or passage.ending is Ending.STALLED)

    def _ending(self, suggestion: Suggestion) -> Ending:
        provenance = suggestion.provenance
        reason = provenance.fallback_reason
        if provenance.source is Source.MODEL:
            return Ending.ANSWERED
        if reason in _HOPELESS:
            return Ending.HOPELESS
        if reason in _NEVER_ASKED and not provenance.attempts:
            return Ending.STALLED
        refused = reason in _BUSY or (reason in _BUSY_IF_SAID and self._gate.pace.is_refused)
        return Ending.REFUSED if refused else Ending.IDLE
