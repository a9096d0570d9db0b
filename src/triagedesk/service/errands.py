"""The jobs behind the webhooks: classify what a desk sent, and write back what may be written.

Both may be tried any number of times: a job's suggestion and its write-backs have ids made of the job's own.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

import anyio

from triagedesk.logs import get_logger
from triagedesk.models import Ticket
from triagedesk.service.desks import DeskSettings, Request
from triagedesk.service.desks.levels import Levels
from triagedesk.service.desks.receive import fitted
from triagedesk.service.desks.sender import Sender, SendFailure
from triagedesk.service.desks.writeback import plan_writeback
from triagedesk.service.runtime import Runtime
from triagedesk.service.store.records import Job, JobState, StoredSuggestion
from triagedesk.service.tracing import carried
from triagedesk.service.wire import suggestion_of
from triagedesk.service.worker import Failed, Task

CLASSIFY, WRITE_BACK = "classify", "write_back"


class Errands:
    """Runs both kinds of jobs. `planned` is called when write-backs were queued."""

    def __init__(
        self, runtime: Runtime, desks: Mapping[str, DeskSettings], sender: Sender, *,
        planned: Callable[[], None] = lambda: None,
    ) -> None:  # fmt: skip
        self._runtime, self._desks, self._sender, self._planned = runtime, desks, sender, planned
        self._turns: dict[str, tuple[anyio.Lock, int]] = {}
        self._log = get_logger("errands")

    async def classify(self, task: Task) -> None:
        """Suggest labels for a desk's ticket, keep them, and queue what is to be written back."""
        payload = task.job.payload
        desk = self._desk(payload["desk"])
        ticket = fitted(Ticket.parse(payload["ticket"]), self._runtime.duty.desk.playbook.document)
        async with self._turn(ticket.id):
            stored = await self._suggested(suggestion_id_of(task.job), ticket, desk)
            if stored is not None:
                await self._queue_write_back(task.job, stored, desk)

    async def _suggested(self, suggestion_id: str, ticket: Ticket, desk: DeskSettings) -> StoredSuggestion | None:
        """Return this job's suggestion, made now or by a try before; None where a later message was faster."""
        store = self._runtime.store
        newest = await store.suggestions.newest(ticket.id, source_desk=desk.name)
        if newest is not None and newest.id > suggestion_id:
            self._log.info("delivery overtaken", desk=desk.name)
            return None
        if newest is None or newest.id != suggestion_id:
            return await self._runtime.reception.take(
                ticket, deadline_s=self._runtime.deadline_s(None), source_desk=desk.name, suggestion_id=suggestion_id
            )
        return newest

    async def _queue_write_back(self, job: Job, stored: StoredSuggestion, desk: DeskSettings) -> None:
        runtime = self._runtime
        levels = Levels.of(runtime.duty.desk.playbook.document, desk, on=runtime.service.write_back)
        suggestion = suggestion_of(stored)
        requests = plan_writeback(desk.name, desk, suggestion, levels, dict(job.payload["reference"]))
        known = {"desk": desk.name, "suggestion_id": stored.id, "ticket_id": stored.ticket_id, **carried()}
        now = runtime.clocks.now()
        await runtime.store.jobs.put(*(
            Job(f"{job.id}.{number}", WRITE_BACK, {**known, "request": request.as_json()}, 0, now, JobState.QUEUED)
            for number, request in enumerate(requests)
        ))  # fmt: skip
        if requests:
            self._planned()

    async def write_back(self, task: Task) -> None:
        """Send one call to a desk, unless all of it was switched off or a later message was suggested meanwhile."""
        payload = task.job.payload
        desk, request = self._desk(payload["desk"]), Request.of(payload["request"])
        async with self._turn(payload["ticket_id"]):
            newest = await self._runtime.store.suggestions.newest(payload["ticket_id"], source_desk=desk.name)
            if newest is not None and newest.id > payload["suggestion_id"]:
                self._log.info("write-back overtaken", desk=desk.name)
                return
            if request.once and task.cut_off:  # a note may stand there already
                raise Failed(SendFailure.UNKNOWN_OUTCOME.value, again=False)
            await self._send(desk, request)

    async def _send(self, desk: DeskSettings, request: Request) -> None:
        sent = await self._sender.send(desk, request)
        if sent.reason is SendFailure.SWITCHED_OFF:
            self._log.info("write-back dropped", desk=desk.name, reason=sent.reason.value)
        elif sent.reason is not None:
            raise Failed(sent.reason.value, again=sent.transient, retry_after_s=sent.retry_after_s)

    def _desk(self, name: str) -> DeskSettings:
        if name not in self._desks:
            raise Failed("unknown_desk", again=False)
        return self._desks[name]

    @asynccontextmanager
    async def _turn(self, ticket_id: str) -> AsyncIterator[None]:
        """Let a ticket's jobs in one after the other, in the order they came."""
        lock, waiting = self._turns.get(ticket_id, (anyio.Lock(), 0))
        self._turns[ticket_id] = (lock, waiting + 1)
        try:
            async with lock:
                yield
        finally:
            lock, waiting = self._turns.pop(ticket_id)
            if waiting > 1:
                self._turns[ticket_id] = (lock, waiting - 1)


def suggestion_id_of(job: Job) -> str:
    """Return the id of the one suggestion that comes of a job; it sorts by when the delivery came."""
    return f"s_{job.id.removeprefix('j_')}"
