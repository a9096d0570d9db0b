"""The scheduler: steps and promised times are found by the clock, told once, and not at all once somebody answered."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest

from desk_parts import by_rules, default_playbook
from notify_parts import receiver
from office_parts import deliver, later, office
from service_api_parts import until
from service_store_parts import KINDS, Clock, database_of, in_store
from triagedesk.models import Choice, Response, Step, Suggestion
from triagedesk.service.alarms import ALARM, Alarms, Plan
from triagedesk.service.escalation import FIRST_RESPONSE, GRAVE, LATEST_ALARM, RESOLUTION, Before, planned
from triagedesk.service.notify import Done, Failure, Kind, Notice, notice_of
from triagedesk.service.scheduler import Scheduler
from triagedesk.service.settings import ServiceSettings
from triagedesk.service.store.database import Store, open_store
from triagedesk.service.store.records import (
    Entry,
    Job,
    JobState,
    Outcome,
    OutcomeKind,
    StepDue,
    StepState,
    StoredSuggestion,
)

PLAIN = by_rules("The printer needs paper.")
NOON = datetime.fromisoformat("2026-11-23T12:00:00+00:00")
PATH = (Step(step=1, team="desk", after_minutes=0), Step(step=2, team="lead", after_minutes=60),
        Step(step=3, team="head", after_minutes=240))  # fmt: skip


def suggestion(*, grave: bool = False, escalates: bool = True, path: tuple[Step, ...] = PATH,
               answer_h: float = 2, solve_h: float = 8) -> Suggestion:  # fmt: skip
    """A suggestion with a path of three steps and two promises."""
    made, dimensions = PLAIN, default_playbook().dimensions
    urgency, escalation = dimensions["urgency"].names, dimensions["escalation"]
    other = next(name for name in escalation.names if name != escalation.fallback)
    labels = {**made.labels, "urgency": Choice(label=urgency[0] if grave else urgency[1]),
              "escalation": Choice(label=other if escalates else escalation.fallback)}  # fmt: skip
    due = Response(first_response_due=NOON + timedelta(hours=answer_h), resolution_due=NOON + timedelta(hours=solve_h))
    return made.model_copy(update={"labels": labels, "escalation_path": path, "response": due})


def stored(number: int, made: Suggestion, at: datetime = NOON, previous: str | None = None,
           created_at: datetime | None = None) -> StoredSuggestion:  # fmt: skip
    ticket = {"id": "T-1", **({"created_at": created_at.isoformat()} if created_at else {})}
    return StoredSuggestion(
        id=f"s_{number:026d}", ticket_id="T-1", created_at=at, key_id=None, suggestion=made.model_dump(mode="json"),
        ticket=ticket, previous_id=previous,
    )  # fmt: skip


class Office:
    """A store, a scheduler, a clock, and what was told; `only` is whom it was for, `late` what nobody answered yet."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self.store, self.clock, self.told = store, clock, list[Notice]()
        self.scheduler = self.another()
        self.fails: Mapping[str, Failure] | None = {}
        self.only, self.late = list[str | None](), list[Done]()
        self.alarms = Alarms(store, now=clock, playbook=default_playbook, tell=self.tell, drain=self.drain)
        self._kept: StoredSuggestion | None = None
        self._seen = 0

    def tell(self, notice: Notice, done: Done, only: str | None) -> None:
        """Write down that an alarm came, and answer at once, if at all."""
        self.told.append(notice)
        self.only.append(only)
        if self.fails is None:
            self.late.append(done)
        else:
            done(self.fails)

    async def drain(self) -> None:
        """Give up what nobody answered."""
        for done in self.late:
            done({"ops": Failure.SHUTDOWN})
        self.late.clear()

    async def depth(self) -> dict[str, int]:
        """Count the jobs."""
        return {state.value: count for state, count in (await self.store.jobs.depth()).items() if count}

    def another(self) -> Scheduler:
        """Make the scheduler of a replica."""
        return Scheduler(self.store, ServiceSettings(), now=self.clock)

    async def keep(self, made: Suggestion, created_at: datetime | None = None) -> StoredSuggestion:
        """Keep a suggestion (after the one before) with its steps; tell of what is due at once."""
        before = self._kept
        number = int(before.id[2:]) + 1 if before else 1
        kept = stored(number, made, self.clock(), before.id if before else None, created_at)
        await self.write_down(kept, made)
        await self.alarms.finish()
        self._kept = kept
        return kept

    async def write_down(self, kept: StoredSuggestion, made: Suggestion) -> Plan:
        """Keep a suggestion with its steps, and be about to tell."""
        known = await self.store.ledger.known(kept.ticket_id, key_id=None, source_desk=None)
        plan = self.alarms.plan(kept, made, known)
        await self.store.ledger.keep(Entry(kept, plan.steps, plan.jobs))
        self.alarms.kept(plan)
        return plan

    async def outcome(self, kind: OutcomeKind) -> None:
        """Say what became of the ticket."""
        await self.store.outcomes.add(Outcome("T-1", kind, self.clock()))

    async def after(self, minutes: float) -> list[tuple[Kind, int | None]]:
        """Let time pass, and return what was told since the last look."""
        self.clock.pass_s(minutes * 60)
        await self.scheduler.look()
        await self.alarms.round()
        fresh, self._seen = self.told[self._seen :], len(self.told)
        in_order = sorted(fresh, key=lambda notice: notice.due_at or NOON)  # jobs run side by side
        return [(notice.kind, notice.step) for notice in in_order]


@pytest.fixture(params=KINDS)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with database_of(request.param, tmp_path) as made:
        yield made


def run(url: str, work: Callable[[Office], Awaitable[None]]) -> None:
    async def opened() -> None:
        clock = Clock(NOON)
        async with open_store(url, now=clock) as store:
            await work(Office(store, clock))

    anyio.run(opened)


def test_each_step_is_told_when_its_time_has_passed_and_only_then(url: str) -> None:
    async def work(office: Office) -> None:
        kept = await office.keep(suggestion())
        assert await office.after(0) == [(Kind.ESCALATION, 1)]
        assert await office.after(59) == []
        assert await office.after(1) == [(Kind.ESCALATION, 2)]
        assert office.told[-1].team == "lead"
        assert office.told[-1].due_at == NOON + timedelta(hours=1)
        assert await office.after(60) == [(Kind.SLA_BREACH, None)]
        assert await office.after(600) == [(Kind.ESCALATION, 3), (Kind.SLA_BREACH, None)]
        states = {step.step: step.state for step in await office.store.steps.of(kept.id)}
        assert set(states.values()) == {StepState.NOTIFIED}
        assert len(states) == 5

    run(url, work)


@pytest.mark.parametrize(
    ("made", "told"),
    [
        pytest.param(suggestion(grave=True), [(Kind.CRITICAL, None)], id="a-grave-one-is-one-alarm"),
        pytest.param(suggestion(escalates=False), [], id="one-that-does-not-escalate-waits-in-its-queue"),
        pytest.param(suggestion(answer_h=-1), [(Kind.SLA_BREACH, None), (Kind.ESCALATION, 1)], id="one-that-is-late"),
        pytest.param(suggestion(answer_h=-30), [(Kind.ESCALATION, 1)], id="one-that-is-long-past"),
    ],
)
def test_what_is_told_at_once(made: Suggestion, told: list[tuple[Kind, int | None]], tmp_path: Path) -> None:
    async def work(office: Office) -> None:
        await office.keep(made)
        assert await office.after(0) == told

    with database_of("sqlite", tmp_path) as url:
        run(url, work)


def test_an_outcome_ends_the_path_and_the_promise_that_it_keeps(url: str) -> None:
    async def work(office: Office) -> None:
        await office.keep(suggestion())
        await office.after(0)
        await office.outcome(OutcomeKind.FIRST_REPLY)
        assert await office.after(240) == []
        assert await office.after(240) == [(Kind.SLA_BREACH, None)]  # answered, but not solved in time

    run(url, work)


def test_a_satisfaction_ends_nothing_and_a_resolution_all(url: str) -> None:
    async def work(office: Office) -> None:
        await office.keep(suggestion())
        await office.outcome(OutcomeKind.SATISFACTION)
        assert await office.after(60) == [(Kind.ESCALATION, 1), (Kind.ESCALATION, 2)]
        await office.outcome(OutcomeKind.RESOLVED)
        assert await office.after(6000) == []

    run(url, work)


def test_a_later_message_neither_starts_the_clock_anew_nor_tells_twice(url: str) -> None:
    async def work(office: Office) -> None:
        first = await office.keep(suggestion())
        assert await office.after(60) == [(Kind.ESCALATION, 1), (Kind.ESCALATION, 2)]
        office.clock.pass_s(1800)
        await office.keep(suggestion())
        assert await office.after(0) == []
        assert await office.after(30) == [(Kind.SLA_BREACH, None)]
        assert await office.after(120) == [(Kind.ESCALATION, 3)]
        assert StepState.WAITING not in {step.state for step in await office.store.steps.of(first.id)}

    run(url, work)


def test_a_message_after_an_answer_starts_the_path_anew(url: str) -> None:
    async def work(office: Office) -> None:
        await office.keep(suggestion(), NOON)
        assert await office.after(0) == [(Kind.ESCALATION, 1)]
        await office.outcome(OutcomeKind.FIRST_REPLY)
        office.clock.pass_s(3 * 3600)
        again = suggestion(path=(Step(step=1, team="other", after_minutes=0), *PATH[1:]))
        await office.keep(again, NOON)
        assert await office.after(0) == [(Kind.ESCALATION, 1)]
        assert await office.after(60) == [(Kind.ESCALATION, 2)]

    run(url, work)


def test_writing_down_twice_is_writing_down_once(url: str) -> None:
    async def work(office: Office) -> None:
        kept = await office.keep(suggestion())
        await office.after(0)
        await office.store.ledger.keep(Entry(kept, tuple(StepDue(kept.id, n, NOON) for n in (1, 2, 3))))
        assert await office.after(0) == []
        assert len(await office.store.steps.of(kept.id)) == 5

    run(url, work)


def test_two_replicas_tell_of_a_step_once(url: str) -> None:
    async def work(office: Office) -> None:
        await office.keep(suggestion())
        office.clock.pass_s(3600)
        async with anyio.create_task_group() as tasks:
            for scheduler in (office.scheduler, office.another(), office.another()):
                tasks.start_soon(scheduler.look)
        assert await office.alarms.round() == 1
        assert [(notice.kind, notice.step) for notice in office.told[1:]] == [(Kind.ESCALATION, 2)]

    run(url, work)


def test_what_is_older_than_the_retention_is_forgotten_letters_and_outcomes_too(url: str) -> None:
    async def work(office: Office) -> None:
        store = office.store
        await office.keep(suggestion(escalates=False))
        await office.outcome(OutcomeKind.RESOLVED)
        await store.jobs.add("classify", {"ticket": {"body": "my words"}})
        (job,) = await store.jobs.claim(kinds=("classify",))
        await store.jobs.bury(job, "rejected")
        for days, kept in ((89, 1), (2, 0)):
            office.clock.pass_s(days * 86_400)
            await office.scheduler._keep_house()
            left = await store.suggestions.between(), await store.outcomes.of("T-1"), await store.jobs.dead()
            assert [len(each) for each in left] == [kept] * 3

    run(url, work)


def test_what_is_due_at_once_is_told_by_who_made_it_and_by_nobody_else(url: str) -> None:
    async def work(office: Office) -> None:
        await office.keep(suggestion(grave=True))
        assert [notice.kind for notice in office.told] == [Kind.CRITICAL]
        assert await office.scheduler.look() == 0
        assert (await office.store.jobs.depth())[JobState.DONE] == 1
        office.clock.pass_s(3600 * 24)
        assert await office.alarms.round() == 0

    run(url, work)


def test_an_alarm_outlives_a_kill_between_writing_down_and_telling(url: str) -> None:
    async def work(office: Office) -> None:
        await office.write_down(stored(1, suggestion(grave=True)), suggestion(grave=True))
        assert office.told == []  # the process is killed now
        assert await office.after(0.5) == []
        assert await office.after(1) == [(Kind.CRITICAL, None)]

    run(url, work)


def test_an_alarm_outlives_a_kill_between_finding_and_telling(url: str) -> None:
    async def work(office: Office) -> None:
        await office.keep(suggestion())
        assert await office.after(59) == [(Kind.ESCALATION, 1)]
        office.clock.pass_s(60)
        await office.scheduler.look()
        assert len(await office.store.jobs.claim()) == 1  # by a process that is killed then
        assert await office.after(0.5) == []
        assert await office.after(1) == [(Kind.ESCALATION, 2)]

    run(url, work)


def test_what_passed_more_than_a_day_ago_is_recorded_and_not_told() -> None:
    old = NOON - LATEST_ALARM - timedelta(days=300)
    kept = stored(1, suggestion(answer_h=-7000, solve_h=-6999), NOON, created_at=old)
    made = planned(kept, suggestion(answer_h=-7000, solve_h=-6999), default_playbook(), Before(), NOON)
    assert {step.state for step in made} == {StepState.CLOSED}


def test_a_ticket_from_the_future_begins_now() -> None:
    kept = stored(1, suggestion(), NOON, created_at=NOON + timedelta(days=9))
    made = {step.step: step.due_at for step in planned(kept, suggestion(), default_playbook(), Before(), NOON)}
    assert made[2] == NOON + timedelta(minutes=60)
    assert set(made) == {FIRST_RESPONSE, RESOLUTION, 1, 2, 3}
    assert GRAVE not in made


def test_the_same_people_are_not_told_again_but_others_are() -> None:
    told = {step.step: StepDue("s_1", step.step, NOON, StepState.NOTIFIED) for step in PATH}
    path = (PATH[0], Step(step=2, team="somebody else", after_minutes=60))
    kept, made = stored(2, suggestion(path=path), NOON), suggestion(path=path)
    states = {step.step: step.state for step in planned(kept, made, default_playbook(), Before(PATH, told), NOON)}
    assert (states[1], states[2]) == (StepState.NOTIFIED, StepState.WAITING)


def test_a_critical_ticket_and_a_missed_answer_reach_the_webhook_of_the_operators(
    tmp_path: Path,
) -> None:
    clock = Clock(NOON)
    with receiver() as operators:
        file = tmp_path / "notify.yaml"
        file.write_text(
            f"targets: [{{type: webhook, name: ops, url: '{operators.url('/alarms')}', secret: {'s' * 32}}}]\n", "utf-8"
        )
        with office(tmp_path, None, "generic", clock=clock, notifications=file) as service:
            body = {"event": "message.created", "uuid": "d-9", "payload": {
                "id": 9, "subject": "Outage", "text": "Our production system is down for all customers since 10 am.",
                "tags": [], "author": "contact", "private": False,
            }}  # fmt: skip
            assert deliver(service.http, "generic", body, now=NOON).status_code == 202
            until(lambda: len(operators.got) == 1)
            sent = 'triagedesk_notifications_total{outcome="sent",target="ops"} 1.0'
            until(lambda: sent in service.http.get("/metrics").text)
            later(service, clock, 3 * 3600)
            until(lambda: len(operators.got) >= 3)
            row = {"ticket_id": "generic:9", "kind": "resolved"}
            assert service.http.post("/v1/outcomes", json=row).status_code == 201
            told = len(operators.got)
            later(service, clock, 86_400)
            service.call(service.app.state.office.opened.scheduler.look)
        assert len(operators.got) == told
    kinds = [got.json["kind"] for got in operators.got]
    assert kinds[0] == "critical"
    assert {"sla_breach", "escalation"} <= set(kinds)


def test_a_service_that_stops_at_once_has_told_and_says_so(tmp_path: Path) -> None:
    with receiver() as operators:
        file = tmp_path / "notify.yaml"
        file.write_text(
            f"targets: [{{type: webhook, name: ops, url: '{operators.url('/alarms')}', secret: {'s' * 32}}}]\n", "utf-8"
        )
        with office(tmp_path, None, "generic", notifications=file) as service:
            service.suggest("Our production system is down for all customers since 10 am.")
        assert [got.json["kind"] for got in operators.got] == ["critical"]
    depth = in_store(f"sqlite:///{tmp_path / 'service.db'}", lambda store: store.jobs.depth())
    assert (depth[JobState.DONE], depth[JobState.RUNNING], depth[JobState.QUEUED]) == (1, 0, 0)


# --- an alarm is told, or is a dead letter that everybody sees


def test_an_alarm_that_a_target_refuses_is_a_dead_letter_of_that_target_alone(url: str) -> None:
    async def work(office: Office) -> None:
        office.fails = {"pager": Failure.AUTH}
        await office.keep(suggestion(grave=True))
        (letter,) = await office.store.jobs.dead()
        assert (letter.kind, letter.error, letter.payload["target"]) == (ALARM, "auth:pager", "pager")
        office.fails = {}
        assert await office.store.jobs.revive(letter.id)
        assert await office.after(0.1) == [(Kind.CRITICAL, None), (Kind.CRITICAL, None)]
        assert office.only == [None, "pager"]
        assert await office.depth() == {"done": 2}

    run(url, work)


def test_a_target_that_is_down_is_told_when_it_is_back(url: str) -> None:
    async def work(office: Office) -> None:
        office.fails = {"ops": Failure.UNAVAILABLE, "pager": Failure.TIMEOUT}
        await office.keep(suggestion(grave=True))
        assert await office.depth() == {"done": 1, "queued": 2}
        await office.after(0.1)
        office.fails = {}
        for _ in range(3):
            await office.after(5)
        assert sorted(name for name in office.only[-2:] if name) == ["ops", "pager"]
        assert await office.depth() == {"done": 3}

    run(url, work)


def test_a_target_that_stays_down_has_a_dead_letter_after_so_many_tries(url: str) -> None:
    async def work(office: Office) -> None:
        office.fails = {"ops": Failure.QUEUE_FULL}
        await office.keep(suggestion(grave=True, path=(), answer_h=99, solve_h=99))
        for _ in range(8):
            await office.after(60)
        assert [(job.error, job.attempts) for job in await office.store.jobs.dead()] == [("queue_full:ops", 6)]
        assert office.only.count("ops") == 5

    run(url, work)


def test_an_alarm_is_held_until_its_targets_were_told_and_nobody_else_has_it_meanwhile(url: str) -> None:
    async def work(office: Office) -> None:
        office.fails = None
        kept = stored(1, suggestion(grave=True))
        await office.write_down(kept, suggestion(grave=True))
        assert await office.alarms.round() == 0
        office.alarms._tell_all()
        for _ in range(9):
            office.clock.pass_s(25)
            await office.alarms.extend()
            assert await office.store.jobs.claim(kinds=(ALARM,)) == []
        assert await office.depth() == {"running": 1}
        office.late.pop()({})
        await office.alarms.round()
        assert (await office.depth(), len(office.told)) == ({"done": 1}, 1)

    run(url, work)


def test_an_alarm_outlives_a_kill_while_it_waits_for_its_target(url: str) -> None:
    async def work(office: Office) -> None:
        office.fails = None
        await office.write_down(stored(1, suggestion(grave=True)), suggestion(grave=True))
        office.alarms._tell_all()
        assert await office.alarms.round() == 0
        office.fails = {}  # the process is killed now; this is the next
        office.alarms = Alarms(office.store, now=office.clock, playbook=default_playbook, tell=office.tell)
        assert await office.after(0.5) == [(Kind.CRITICAL, None)]  # by the first, which nobody heard
        assert await office.after(1) == [(Kind.CRITICAL, None)]
        assert await office.depth() == {"done": 1}

    run(url, work)


def test_an_alarm_on_which_every_process_ends_is_a_dead_letter(url: str) -> None:
    async def work(office: Office) -> None:
        office.fails = None
        await office.write_down(stored(1, suggestion(grave=True)), suggestion(grave=True))
        for _ in range(6):
            office.clock.pass_s(61)
            await office.alarms.round()
        assert [job.error for job in await office.store.jobs.dead()] == ["worn_out"]

    run(url, work)


def test_what_was_not_told_when_the_service_stops_is_given_back_at_once(url: str) -> None:
    async def work(office: Office) -> None:
        office.fails = None
        await office.keep(suggestion(grave=True))
        assert await office.depth() == {"done": 1, "queued": 1}
        office.fails = {}
        assert await office.alarms.round() == 1  # of another replica, or after the start
        assert office.only == [None, "ops"]

    run(url, work)


def test_an_alarm_queued_again_is_not_told_once_somebody_answered(url: str) -> None:
    async def work(office: Office) -> None:
        office.fails = {"ops": Failure.UNAVAILABLE}
        await office.keep(suggestion(grave=True))
        await office.outcome(OutcomeKind.FIRST_REPLY)
        await office.after(5)
        assert (len(office.told), await office.depth()) == (1, {"done": 2})

    run(url, work)


def test_a_bug_in_one_alarm_ends_neither_the_others_nor_the_alarm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, broken = notice_of, ["s_" + "1".zfill(26)]

    def notice(*given: Any, **more: Any) -> Notice:
        if more["suggestion_id"] in broken:
            raise ZeroDivisionError
        return whole(*given, **more)

    async def work(office: Office) -> None:
        await office.write_down(stored(1, suggestion(grave=True)), suggestion(grave=True))
        await office.store.jobs.add(ALARM, {"suggestion_id": "s_1", "step": "none"})
        await office.keep(suggestion(), NOON)
        await office.alarms.finish()
        assert [job.error for job in await office.store.jobs.dead()] == []
        broken.clear()
        assert (Kind.CRITICAL, None) in await office.after(5)

    monkeypatch.setattr("triagedesk.service.alarms.notice_of", notice)
    with database_of("sqlite", tmp_path) as url:
        run(url, work)


def test_an_error_in_one_round_does_not_end_the_telling(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("POLL_S", "AFTER_A_BUG_S", "GATHER_S"):
        monkeypatch.setattr(f"triagedesk.service.alarms.{name}", 0.001)

    async def work(office: Office) -> None:
        claim, failed = office.store.jobs.claim, list[int]()

        async def broken(*given: Any, **more: Any) -> list[Job]:
            if len(failed) < 3:
                failed.append(1)
                raise RuntimeError("can't start new thread")
            return await claim(*given, **more)

        monkeypatch.setattr(office.store.jobs, "claim", broken)
        await office.write_down(stored(1, suggestion(grave=True)), suggestion(grave=True))
        office.alarms._to_tell.clear()  # as after a kill
        office.clock.pass_s(90)
        with anyio.fail_after(10):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(office.alarms.run)
                while await office.depth() != {"done": 1}:  # noqa: ASYNC110 - what is watched is the table
                    await anyio.sleep(0.005)
                tasks.cancel_scope.cancel()
        assert (len(office.told), len(failed)) == (1, 3)

    with database_of("sqlite", tmp_path) as url:
        run(url, work)


def test_an_alarm_that_the_operators_server_refuses_can_be_told_again_from_the_dead_letters(tmp_path: Path) -> None:
    with receiver(403, 200) as operators:
        file = tmp_path / "notify.yaml"
        file.write_text(
            f"targets: [{{type: webhook, name: ops, url: '{operators.url('/alarms')}', secret: {'s' * 32}}}]\n", "utf-8"
        )
        with office(tmp_path, None, "generic", notifications=file) as service:
            service.suggest("Our production system is down for all customers since 10 am.")
            until(lambda: service.http.get("/v1/dead-letters").json()["dead_letters"])
            (letter,) = service.http.get("/v1/dead-letters").json()["dead_letters"]
            assert (letter["kind"], letter["reason"]) == ("alarm", "auth:ops")
            assert service.http.post(f"/v1/dead-letters/{letter['id']}:revive").status_code == 204
            until(lambda: len(operators.got) == 2)
            until(lambda: not service.http.get("/v1/dead-letters").json()["dead_letters"])
    assert len({got.headers["x-triagedesk-delivery"] for got in operators.got}) == 1
