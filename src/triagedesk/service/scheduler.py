"""The scheduler: finds by the clock what is due, each step once whatever the replicas, and keeps the house.

A step is taken and its alarm queued in one transaction; the alarm is a job, so a kill loses none.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from triagedesk.logs import get_logger
from triagedesk.models import Suggestion, Ticket
from triagedesk.playbook import Playbook
from triagedesk.service.escalation import Before, is_over, kind_of, planned, team_of
from triagedesk.service.notify import Notice, notice_of
from triagedesk.service.settings import ServiceSettings
from triagedesk.service.store.database import Store, StoreUnavailable
from triagedesk.service.store.records import StoredSuggestion
from triagedesk.service.worker import Bell, Task

ALARM = "alarm"
TAKEN_AT_ONCE = 200
HOUSEKEEPING = timedelta(hours=1)
DONE_KEPT, IDEMPOTENCY_KEPT = timedelta(hours=1), timedelta(days=1)

Tell = Callable[[Notice], object]


class Scheduler:
    """Plans the steps of suggestions, finds those that are due, and tells of them.

    `tell` takes an alarm and returns at once; `link` is the template of a ticket's address for people.
    """

    def __init__(
        self, store: Store, service: ServiceSettings, *, now: Callable[[], datetime],
        playbook: Callable[[], Playbook], tell: Tell, link: str | None = None,
        queued: Callable[[], None] = lambda: None,
    ) -> None:  # fmt: skip
        self._store, self._service, self._now = store, service, now
        self._playbook, self._tell, self._link, self._queued = playbook, tell, link, queued
        self._bell = Bell()
        self._kept_house: datetime | None = None
        self._log = get_logger("scheduler")

    async def told(self, stored: StoredSuggestion, suggestion: Suggestion) -> None:
        """Plan the steps of a suggestion that was kept, in place of those of the one before. May be repeated."""
        previous = await self._store.suggestions.get(stored.previous_id) if stored.previous_id else None
        steps = await self._store.steps.of(previous.id) if previous else []
        before = Before.of(previous, steps, await self._store.outcomes.of(stored.ticket_id))
        await self._store.steps.plan(*planned(stored, suggestion, self._playbook(), before, self._now()))
        if previous is not None:
            await self._store.steps.close(previous.id)
        self._bell.ring()

    async def run(self) -> None:
        """Look for what is due, again and again."""
        while True:
            try:
                await self.look()
                await self._keep_house()
            except StoreUnavailable:
                self._log.warning("steps not looked for", reason="store_unavailable")
            await self._bell.wait(self._service.scheduler_s)

    async def look(self) -> int:
        """Take the steps that are due and queue their alarms. Returns how many."""
        taken = 0
        while True:
            steps = await self._store.steps.take_due(TAKEN_AT_ONCE, job_kind=ALARM)
            taken += len(steps)
            if steps:
                self._queued()
            if len(steps) < TAKEN_AT_ONCE:
                return taken

    async def alarm(self, task: Task) -> None:
        """Tell of a step that is due, unless an outcome came meanwhile."""
        payload = task.job.payload
        stored = await self._store.suggestions.get(payload["suggestion_id"])
        if stored is None:
            return
        number, due_at = int(payload["step"]), datetime.fromisoformat(payload["due_at"])
        if is_over(number, await self._store.outcomes.of(stored.ticket_id), stored.created_at):
            return
        suggestion = Suggestion.model_validate(stored.suggestion)
        self._tell(
            notice_of(
                kind_of(number), suggestion, suggestion_id=stored.id, playbook=self._playbook(), at=self._now(),
                ticket=_ticket(stored), due_at=due_at, step=number if number > 0 else None,
                team=team_of(number, suggestion), link=self._link,
            )
        )  # fmt: skip
        self._log.info("alarm", kind=kind_of(number).value, suggestion_id=stored.id, step=number)

    async def _keep_house(self) -> None:
        """Forget what is older than the settings say, once an hour."""
        now = self._now()
        if self._kept_house is not None and now < self._kept_house + HOUSEKEEPING:
            return
        store, service = self._store, self._service
        await store.jobs.forget(now - DONE_KEPT, dead_kept=service.dead_letters)
        await store.deliveries.forget(now - timedelta(days=service.delivery_days))
        await store.idempotency.forget(now - IDEMPOTENCY_KEPT)
        await store.suggestions.forget(now - timedelta(days=service.retention_days))
        self._kept_house = now


def _ticket(stored: StoredSuggestion) -> Ticket | None:
    """Return the ticket where its words were kept: a quote is shown only with what stands around it."""
    row = stored.ticket or {}
    return Ticket.parse({**row, "id": stored.ticket_id}) if "body" in row else None
