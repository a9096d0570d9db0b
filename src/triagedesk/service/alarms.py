"""Alarms: which steps a suggestion brings, and telling people of those that are due.

What is due at once is told by the process that made the suggestion. A job, written down with the suggestion and held by
this process from the start, keeps the alarm safe until it was told: after a kill another process takes it up.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import anyio

from triagedesk.logs import get_logger
from triagedesk.models import Suggestion, Ticket
from triagedesk.playbook import Playbook
from triagedesk.service.escalation import Before, is_over, kind_of, planned, team_of
from triagedesk.service.notify import Notice, notice_of
from triagedesk.service.store.database import Store, StoreUnavailable
from triagedesk.service.store.ids import new_id
from triagedesk.service.store.records import Job, JobState, Known, StepDue, StepState, StoredSuggestion
from triagedesk.service.wire import suggestion_of
from triagedesk.service.worker import Bell, Ended, Task

ALARM = "alarm"

GATHER_S = 0.2
"""Alarms that were told within so long are said to be done in one commit; a quarter of a lease at most."""

Tell = Callable[[Notice], object]


@dataclass(frozen=True, slots=True)
class Plan:
    """What is written down with a suggestion: its steps, and the jobs of those that are due at once."""

    stored: StoredSuggestion
    suggestion: Suggestion
    steps: tuple[StepDue, ...]
    due: tuple[StepDue, ...]
    jobs: tuple[Job, ...]


class Alarms:
    """Plans the steps of suggestions and tells of them.

    `tell` takes an alarm and returns at once; None where nobody wants to know: then the steps and the log alone say
    that one was due. `link` is the template of a ticket's address for people; `ended` counts.
    """

    def __init__(
        self, store: Store, *, now: Callable[[], datetime], playbook: Callable[[], Playbook],
        tell: Tell | None, link: str | None = None, lease_s: float = 60.0, ended: Ended = lambda _kind, _how: None,
    ) -> None:  # fmt: skip
        self._store, self._now, self._playbook, self._tell, self._link = store, now, playbook, tell, link
        self._lease, self._ended = timedelta(seconds=lease_s), ended
        self._to_tell: deque[Plan] = deque()
        self._told: list[Job] = []
        self._bell = Bell()
        self._log = get_logger("alarms")

    def plan(self, stored: StoredSuggestion, suggestion: Suggestion, known: Known) -> Plan:
        """Return the steps of a suggestion that is about to be kept. What is due now is taken by this process."""
        now = self._now()
        before = Before.of(known.previous, known.steps, known.outcomes)
        steps = planned(stored, suggestion, self._playbook(), before, now)
        due = tuple(step for step in steps if step.state is StepState.WAITING and step.due_at <= now)
        if due:
            told = {step.step for step in due}
            steps = tuple(
                dataclasses.replace(step, state=StepState.NOTIFIED) if step.step in told else step for step in steps
            )
        jobs = tuple(self._held(step, now) for step in due) if self._tell else ()
        return Plan(stored, suggestion, steps, due, jobs)

    def kept(self, plan: Plan) -> None:
        """Tell soon of what is due: the plan was written down."""
        if plan.due:
            self._to_tell.append(plan)
            self._bell.ring()

    async def run(self) -> None:
        """Tell of what is due, again and again."""
        while True:
            await self._bell.wait(self._lease.total_seconds())
            self._tell_all()
            await anyio.sleep(min(GATHER_S, self._lease.total_seconds() / 4))
            self._tell_all()
            await self._settle()

    async def finish(self) -> None:
        """Tell of what is left: the service stops."""
        self._tell_all()
        await self._settle()

    async def alarm(self, task: Task) -> None:
        """Tell of a step that the scheduler found, or whose first process was killed, unless an outcome came."""
        payload = task.job.payload
        stored = await self._store.suggestions.get(payload["suggestion_id"])
        if stored is None:
            return
        number, due_at = int(payload["step"]), datetime.fromisoformat(payload["due_at"])
        if not is_over(number, await self._store.outcomes.of(stored.ticket_id), stored.created_at):
            self._tell_of(stored, suggestion_of(stored), number, due_at)

    def _held(self, step: StepDue, now: datetime) -> Job:
        """Return the job of a step, claimed by this process."""
        payload = {"suggestion_id": step.suggestion_id, "step": step.step, "due_at": step.due_at.isoformat()}
        return Job(new_id("j", now), ALARM, payload, 1, now + self._lease, JobState.RUNNING)

    def _tell_all(self) -> None:
        while self._to_tell:
            plan = self._to_tell.popleft()
            for step in plan.due:
                self._tell_of(plan.stored, plan.suggestion, step.step, step.due_at)
            self._told += plan.jobs

    async def _settle(self) -> None:
        """Say that alarms were told. Where that cannot be written down their leases end, and they are told again."""
        jobs, self._told = self._told, []
        with anyio.CancelScope(shield=True):  # at the end of the service, too
            try:
                await self._store.jobs.done_all(jobs)
            except StoreUnavailable:
                self._log.warning("alarms not settled", reason="store_unavailable", jobs=len(jobs))
        for _ in jobs:
            self._ended(ALARM, "done")

    def _tell_of(self, stored: StoredSuggestion, suggestion: Suggestion, number: int, due_at: datetime) -> None:
        if self._tell is not None:
            self._tell(
                notice_of(
                    kind_of(number), suggestion, suggestion_id=stored.id, playbook=self._playbook(), at=self._now(),
                    ticket=_ticket(stored), due_at=due_at, step=number if number > 0 else None,
                    team=team_of(number, suggestion), link=self._link,
                )
            )  # fmt: skip
        self._log.info("alarm", kind=kind_of(number).value, suggestion_id=stored.id, step=number)


def _ticket(stored: StoredSuggestion) -> Ticket | None:
    """Return the ticket where its words were kept: a quote is shown only with what stands around it."""
    row = stored.ticket or {}
    return Ticket.parse({**row, "id": stored.ticket_id}) if "body" in row else None
