"""Alarms: which steps a suggestion brings, and telling people of those that are due.

What is due at once is told by the process that made the suggestion, what came due later by the one that takes it up.
Each alarm is a job, held until every target has ended: told, to be tried again later, or among the dead letters. After
a kill another process takes the job up when its lease ends; so an alarm may come twice, but none is lost in silence.
"""

from __future__ import annotations

import dataclasses
import random
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

import anyio

from triagedesk.logs import get_logger
from triagedesk.models import Suggestion, Ticket
from triagedesk.playbook import Playbook
from triagedesk.service.escalation import Before, is_over, kind_of, planned, promise_of, team_of
from triagedesk.service.notify import Done, Failure, Notice, notice_of
from triagedesk.service.store.database import Store, StoreUnavailable
from triagedesk.service.store.ids import new_id
from triagedesk.service.store.records import Job, JobState, Known, StepDue, StepState, StoredSuggestion
from triagedesk.service.tracing import carried, job_span
from triagedesk.service.wire import suggestion_of
from triagedesk.service.worker import BUG, FIRST_PAUSE_S, GROWTH, LONGEST_PAUSE_S, WORN_OUT, Bell, Ended, told

ALARM = "alarm"
TARGET = "target"
"""Under this name the payload of an alarm that is for one target alone says for which."""

GATHER_S = 0.2
"""Alarms that ended within so long are written down in one commit; a quarter of a lease at most."""

POLL_S = 1.0
"""How long an alarm that another replica queued may lie before it is seen."""

AFTER_A_BUG_S = 1.0
TAKEN_AT_ONCE = 100

Tell = Callable[[Notice, Done, str | None], object]
"""Takes an alarm (for one target, if it is named) and returns at once; says later what became of it."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is written down with a suggestion: its steps, and the jobs of those that are due at once."""

    stored: StoredSuggestion
    suggestion: Suggestion
    steps: tuple[StepDue, ...]
    due: tuple[StepDue, ...]
    jobs: tuple[Job, ...]


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why an alarm was not told, to one target or (None) to any, and whether another try may help."""

    reason: str
    again: bool
    target: str | None = None

    @property
    def error(self) -> str:
        """What stands in the dead letter."""
        return self.reason if self.target is None else f"{self.reason}:{self.target}"


async def _nothing() -> None:
    pass


class Alarms:
    """Plans the steps of suggestions and tells of them.

    `tell` is None where nobody wants to know: then the steps and the log alone say that one was due. `drain` lets
    those who are told end when the service stops. `link` is the template of a ticket's address for people; `ended`
    counts.
    """

    def __init__(
        self, store: Store, *, now: Callable[[], datetime], playbook: Callable[[], Playbook],
        tell: Tell | None, drain: Callable[[], Awaitable[None]] = _nothing, link: str | None = None,
        lease_s: float = 60.0, attempts: int = 6, paused: Callable[[], bool] = lambda: False,
        ended: Ended = lambda _kind, _how: None, chance: Callable[[], float] = random.random,
    ) -> None:  # fmt: skip
        self._store, self._now, self._playbook, self._link = store, now, playbook, link
        self._tell, self._drain, self._paused, self._ended = tell, drain, paused, ended
        self._lease_s, self._attempts, self._chance = lease_s, attempts, chance
        self._to_tell: deque[Plan] = deque()
        self._in_hand: dict[str, tuple[Job, datetime]] = {}
        self._over: list[tuple[Job, tuple[Trouble, ...]]] = []
        self._bell, self._look_at = Bell(), 0.0
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

    def queued(self) -> None:
        """Look soon for what is due: jobs were queued."""
        self._look_at = 0.0
        self._bell.ring()

    async def run(self) -> None:
        """Tell of what is due, again and again; nothing but a cancellation ends it."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._hold)
            while True:
                await self._bell.wait(POLL_S)
                await self._safely(self._turn)

    async def finish(self) -> None:
        """Tell of what is left, and give back what was not told in time: the service stops."""
        self._tell_all()
        await self._drain()
        await self._safely(self._settle)

    async def round(self) -> int:
        """Take up the jobs that are due, and tell of them. Returns how many."""
        jobs = [] if self._paused() else await self._store.jobs.claim(
            TAKEN_AT_ONCE, lease_s=self._lease_s, kinds=(ALARM,)
        )  # fmt: skip
        for job in jobs:
            await self._take_up(job)
        await self._settle()
        return len(jobs)

    async def _turn(self) -> None:
        self._tell_all()
        await anyio.sleep(min(GATHER_S, self._lease_s / 4))
        self._tell_all()
        await self._settle()
        if anyio.current_time() >= self._look_at:
            self._look_at = anyio.current_time() + POLL_S
            if await self.round() == TAKEN_AT_ONCE:
                self.queued()

    async def _safely(self, work: Callable[[], Awaitable[object]]) -> None:
        try:
            await work()
        except StoreUnavailable:
            self._log.warning("alarms not looked after", reason="store_unavailable")
        except Exception as bug:  # noqa: BLE001 - one broken round must not end all others
            self._log.error(BUG, reason=type(bug).__name__)
            await anyio.sleep(AFTER_A_BUG_S)

    async def _hold(self) -> None:
        """Keep up the leases of what waits for its targets."""
        while True:
            await anyio.sleep(self._lease_s / 3)
            await self._safely(self.extend)

    async def extend(self) -> None:
        """Extend the leases that are a third over, of what waits for its targets."""
        late = self._now() + timedelta(seconds=self._lease_s * 2 / 3)
        for job, until in tuple(self._in_hand.values()):
            if until <= late and job.id in self._in_hand:
                await self._store.jobs.extend(job, lease_s=self._lease_s)
                if job.id in self._in_hand:
                    self._in_hand[job.id] = job, self._now() + timedelta(seconds=self._lease_s)

    async def _take_up(self, job: Job) -> None:
        """Tell of a step that the scheduler found, or that was not told before, unless an outcome came."""
        if job.attempts > self._attempts:  # the tries before ended without a word
            self._over.append((job, (Trouble(WORN_OUT, again=False),)))
            return
        try:
            stored = await self._store.suggestions.get(job.payload["suggestion_id"])
            number, due_at = int(job.payload["step"]), datetime.fromisoformat(job.payload["due_at"])
            if stored is None or is_over(number, await self._store.outcomes.of(stored.ticket_id), stored.created_at):
                self._over.append((job, ()))
            else:
                self._tell_of(job, stored, suggestion_of(stored), number, due_at)
        except StoreUnavailable:
            raise
        except Exception as bug:  # noqa: BLE001 - one broken alarm must not end all others
            self._broken(job, bug)

    def _held(self, step: StepDue, now: datetime) -> Job:
        """Return the job of a step, claimed by this process."""
        payload = {"suggestion_id": step.suggestion_id, "step": step.step, "due_at": step.due_at.isoformat()}
        until = now + timedelta(seconds=self._lease_s)
        return Job(new_id("j", now), ALARM, {**payload, **carried()}, 1, until, JobState.RUNNING)

    def _tell_all(self) -> None:
        while self._to_tell:
            plan = self._to_tell.popleft()
            for step, job in zip(plan.due, plan.jobs or (None,) * len(plan.due), strict=True):
                try:
                    self._tell_of(job, plan.stored, plan.suggestion, step.step, step.due_at)
                except Exception as bug:  # noqa: BLE001 - one broken alarm must not end all others
                    self._broken(job, bug)

    def _tell_of(
        self, job: Job | None, stored: StoredSuggestion, suggestion: Suggestion, number: int, due_at: datetime
    ) -> None:
        self._log.info("alarm", kind=kind_of(number).value, suggestion_id=stored.id, step=number)
        if job is None:
            return
        with job_span(ALARM, job.attempts, job.payload):
            if self._tell is None:
                self._over.append((job, ()))
                return
            notice = notice_of(
                kind_of(number), suggestion, suggestion_id=stored.id, playbook=self._playbook(), at=self._now(),
                ticket=_ticket(stored), due_at=due_at, step=number if number > 0 else None,
                team=team_of(number, suggestion), link=self._link, promise=promise_of(number),
            )  # fmt: skip
            self._in_hand[job.id] = job, job.due_at
            self._tell(notice, partial(self._told, job), job.payload.get(TARGET))

    def _told(self, job: Job, failed: Mapping[str, Failure]) -> None:
        """Take note that every target of an alarm has ended."""
        self._in_hand.pop(job.id, None)
        troubles = (Trouble(why.value, why.passing, target) for target, why in failed.items())
        self._over.append((job, tuple(troubles)))
        self._bell.ring()

    def _broken(self, job: Job | None, bug: Exception) -> None:
        self._log.error(BUG, reason=type(bug).__name__)
        if job is not None:
            self._in_hand.pop(job.id, None)
            self._over.append((job, (Trouble(f"{BUG}:{type(bug).__name__}", again=True),)))

    async def _settle(self) -> None:
        """Write down what became of alarms. Where that cannot be done their leases end, and they are told again."""
        over, self._over = self._over, []
        done = [job for job, troubles in over if not troubles]
        with anyio.CancelScope(shield=True):  # at the end of the service, too
            try:
                await self._store.jobs.done_all(done)
                for _ in done:
                    self._ended(ALARM, "done")
                for job, troubles in over:
                    if troubles:
                        await self._lay_aside(job, troubles)
            except StoreUnavailable:
                self._log.warning("alarms not settled", reason="store_unavailable", jobs=len(over))

    async def _lay_aside(self, job: Job, troubles: tuple[Trouble, ...]) -> None:
        """Try a job again later, or bury it; of several targets only those that were not told."""
        jobs = self._store.jobs
        parts = [self._part(job, trouble) for trouble in troubles]
        if TARGET not in job.payload and troubles[0].target is not None:
            await jobs.put(*parts)
            await jobs.done(job)
        elif parts[0].state is JobState.QUEUED:
            await jobs.retry(job, parts[0].due_at, parts[0].error or "")
        else:
            await jobs.bury(job, parts[0].error or "")
        for part in parts:
            how = "retried" if part.state is JobState.QUEUED else "dead"
            self._ended(ALARM, how)
            level = self._log.warning if how == "retried" else self._log.error
            level(f"alarm {how}", suggestion_id=job.payload.get("suggestion_id"), reason=part.error)

    def _part(self, job: Job, trouble: Trouble) -> Job:
        """Return the job of one target that was not told: to be tried later, or dead."""
        now, stopped = self._now(), trouble.reason == Failure.SHUTDOWN.value
        payload = job.payload if trouble.target is None else {**job.payload, TARGET: trouble.target}
        again = stopped or (trouble.again and job.attempts < self._attempts)
        pause = min(FIRST_PAUSE_S * GROWTH ** (job.attempts - 1), LONGEST_PAUSE_S) * (1 - self._chance() / 2)
        due_at = now + timedelta(seconds=pause) if again and not stopped else now
        error = told(job.attempts, trouble.error) if again else trouble.error
        state = JobState.QUEUED if again else JobState.DEAD
        return Job(new_id("j", now), ALARM, payload, job.attempts, due_at, state, error)


def _ticket(stored: StoredSuggestion) -> Ticket | None:
    """Return the ticket where its words were kept: a quote is shown only with what stands around it."""
    row = stored.ticket or {}
    return Ticket.parse({**row, "id": stored.ticket_id}) if "body" in row else None
