"""How an actor asks: its share of the calls in flight, and one back-off for all.

Provider limits are shared by division: each actor keeps `max_concurrency` ÷ actors tickets in flight, and the adaptive
limit of `batch.pace` works within that share. Handing out permits ticket by ticket would use the last of them better,
but costs a call to another machine for every ticket, and the permits of a dead actor would have to be missed and taken
back; a share cannot be lost. What cannot be divided is the provider's wish to be left alone: an actor that is told to
wait tells the ledger, and all actors wait.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from triagedesk.batch.asker import Asker, Purse
from triagedesk.batch.gate import Gate
from triagedesk.batch.on_ray.desk_thread import DeskThread
from triagedesk.batch.pace import CEILING, Pace
from triagedesk.batch.rows import Row
from triagedesk.batch.tally import Tally
from triagedesk.classifiers.limits import Heard
from triagedesk.desk import Desk
from triagedesk.errors import TicketError
from triagedesk.models import Suggestion
from triagedesk.playbook import Playbook
from triagedesk.settings import Settings

POLL_S = 0.25
"""So often an actor asks the ledger if somebody else was told to wait."""

Outcome = Suggestion | str
"""An answer, or why there is none."""


class Answers:
    """One actor's desk, and the pace at which it asks. Raises ConfigError if the desk cannot be opened.

    All is judged at the moment `began`; without one, each call to `all_of` at its own. `ledger` is the handle of the
    actor through which `actors` of them share the provider's back-off; None: this one is alone.
    """

    def __init__(
        self, settings: Settings, began: datetime | None = None, ledger: Any = None, *, actors: int = 1,
        adapts: bool = False,
    ) -> None:  # fmt: skip
        self._began, self._ledger, self.tally = began, ledger, Tally()
        self._thread = DeskThread(settings)
        self._desk: Desk = self._thread.desk
        self._quiet_until = 0.0
        if self._desk.model is not None:
            self._thread.run(self._prepare(actors, adapts=adapts))

    @property
    def playbook(self) -> Playbook:
        """The desk's playbook."""
        return self._desk.playbook

    async def _prepare(self, actors: int, *, adapts: bool) -> None:
        """Set the pace on the desk's own loop; a local server's slots are divided too."""
        settings, slots = self._desk.settings, await self._desk.slots() if adapts else None
        ceiling = min(settings.max_concurrency, max(1, slots // actors) if slots else CEILING)
        self._gate = Gate(
            Pace(
                ceiling if adapts else settings.max_concurrency, adapts=adapts, pause_s=settings.breaker_probe_s,
                slow_s=settings.deadline_s / 2,
            )
        )  # fmt: skip
        self._desk.remember_answers()
        self._desk.listen(self._hear)

    def all_of(self, rows: list[Row]) -> list[Outcome]:
        """Answer rows: with a model side by side, by rules one after the other."""
        return self._thread.run(self._by_rules(rows) if self._desk.model is None else self._by_model(rows))

    def count(self, outcome: Outcome) -> None:
        """Count what came of a row."""
        if isinstance(outcome, str):
            self.tally.errors += 1
        else:
            self.tally.add(outcome, asks_a_model=self._desk.model is not None)

    async def _by_rules(self, rows: list[Row]) -> list[Outcome]:
        moment = self._began or datetime.now(UTC)
        return [await self._alone(row, moment) for row in rows]

    async def _alone(self, row: Row, moment: datetime) -> Outcome:
        if row.ticket is None:
            return row.problem
        try:
            return await self._desk.suggest(row.ticket, now=moment)
        except TicketError as wrong:
            return str(wrong)

    async def _by_model(self, rows: list[Row]) -> list[Outcome]:
        asker = Asker(self._desk, self._gate, self.tally, Purse(None), self._began or datetime.now(UTC))
        listening = asyncio.create_task(self._listen_to_others())
        try:
            answers = await asyncio.gather(*map(asker.answer, rows))
        finally:
            listening.cancel()
            with suppress(asyncio.CancelledError):
                await listening
        return [
            answer for answer in answers if answer is not None
        ]  # None is for a purse that is empty: ours has no end

    def _hear(self, heard: Heard) -> None:
        """Take to heart what the server says; tell the others if it is that everybody shall wait."""
        self._gate.hear(heard)
        if heard.is_busy and self._ledger is not None:
            seconds = self._desk.settings.breaker_probe_s if heard.wait_s is None else heard.wait_s
            self._quiet_until = max(self._quiet_until, time.monotonic() + seconds)
            self._ledger.slow.remote(seconds)

    async def _listen_to_others(self) -> None:
        """Wait as long as another actor was told to."""
        while self._ledger is not None:
            seconds: float = await self._ledger.quiet_s.remote()
            if time.monotonic() + seconds > self._quiet_until + 2 * POLL_S:
                self._quiet_until = time.monotonic() + seconds
                self._gate.hear(Heard(is_busy=True, wait_s=seconds))
            await asyncio.sleep(POLL_S)

    def close(self) -> None:
        """Close the desk."""
        self._thread.close()
