"""The worker: what fails comes again later, what cannot be done is laid aside, and a kill loses and doubles nothing."""

from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from sqlalchemy.exc import InternalError

from fake_desk import fake_desk
from office_parts import deliver, desks_file
from service_api_parts import model_server, serving, until
from service_store_parts import KINDS, NOON, Clock, database_of, in_store
from triagedesk.errors import TicketError
from triagedesk.service.store.database import Store, StoreUnavailable
from triagedesk.service.store.records import Job, JobState
from triagedesk.service.worker import Bell, Failed, Task, Worker, working

Handler = Callable[[Task], Awaitable[None]]


@pytest.fixture(params=KINDS)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with database_of(request.param, tmp_path) as made:
        yield made


def worker(store: Store, clock: Clock, handler: Handler, **given: Any) -> Worker:
    return Worker(store.jobs, {"work": handler}, now=clock, **{"chance": lambda: 0.0, "lease_s": 60.0, **given})


async def found(store: Store, job: Job) -> Job:
    made = await store.jobs.get(job.id)
    assert made is not None
    return made


def always(failure: Exception, seen: list[Task] | None = None) -> Handler:
    async def handler(task: Task) -> None:
        if seen is not None:
            seen.append(task)
        raise failure

    return handler


def test_what_fails_is_tried_later_and_later_and_then_laid_aside(url: str) -> None:
    clock, pauses = Clock(), []

    async def work(store: Store) -> None:
        job = await store.jobs.add("work", {"a": 1})
        mine = worker(store, clock, always(Failed("busy", again=True)), attempts=4)
        for _ in range(3):
            assert await mine.round() == 1
            assert await mine.round() == 0
            pauses.append(((await found(store, job)).due_at - clock()).total_seconds())
            clock.pass_s(pauses[-1])
        assert await mine.round() == 1
        dead = await found(store, job)
        assert (dead.state, dead.error, dead.attempts) == (JobState.DEAD, "busy", 4)
        assert [one.id for one in await store.jobs.dead()] == [job.id]

    in_store(url, work, now=clock)
    assert pauses == [5.0, 20.0, 80.0]


def test_pauses_are_scattered_and_a_wish_to_wait_longer_is_granted(url: str) -> None:
    clock = Clock()

    async def work(store: Store) -> None:
        for wish, chance, pause in ((None, 1.0, 2.5), (600.0, 1.0, 600.0), (1.0, 0.0, 5.0)):
            job = await store.jobs.add("work", {})
            handler = always(Failed("busy", again=True, retry_after_s=wish))
            await worker(store, clock, handler, chance=lambda chance=chance: chance).round()
            assert (await found(store, job)).due_at - clock() == timedelta(seconds=pause)

    in_store(url, work, now=clock)


@pytest.mark.parametrize(
    ("failure", "state", "error"),
    [
        pytest.param(Failed("rejected", again=False), JobState.DEAD, "rejected", id="trying-again-cannot-help"),
        pytest.param(TicketError("body is empty"), JobState.DEAD, "ticket_unusable", id="a-ticket-that-is-none"),
        pytest.param(StoreUnavailable(), JobState.QUEUED, "attempt 1: store_unavailable", id="the-database-is-away"),
        pytest.param(KeyError("a customer's words"), JobState.QUEUED, "attempt 1: bug:KeyError", id="a-bug-of-ours"),
    ],
)
def test_a_failure_has_a_closed_name_and_never_a_text(
    failure: Exception, state: JobState, error: str, tmp_path: Path
) -> None:
    async def work(store: Store) -> None:
        job, other = await store.jobs.add("work", {}), await store.jobs.add("work", {})
        await worker(store, Clock(), always(failure)).round()
        for one in (job, other):
            made = await found(store, one)
            assert (made.state, made.error) == (state, error)

    with database_of("sqlite", tmp_path) as url:
        in_store(url, work, now=Clock())


def test_only_a_try_that_ended_without_a_word_counts_as_cut_off(url: str) -> None:
    clock, seen = Clock(), list[Task]()

    async def work(store: Store) -> None:
        await store.jobs.add("work", {})
        mine = worker(store, clock, always(Failed("busy", again=True), seen))
        await mine.round()
        clock.pass_s(60)
        await mine.round()
        clock.pass_s(600)
        assert len(await store.jobs.claim()) == 1  # by a worker that is killed then
        assert await mine.round() == 0
        clock.pass_s(60)
        await mine.round()

    in_store(url, work, now=clock)
    assert [task.cut_off for task in seen] == [False, False, True]
    assert [task.job.attempts for task in seen] == [1, 2, 4]


def test_a_revived_dead_letter_begins_anew(url: str) -> None:
    seen = list[Task]()

    async def work(store: Store) -> None:
        job = await store.jobs.add("work", {"kept": True})
        mine = worker(store, Clock(), always(Failed("rejected", again=False), seen))
        await mine.round()
        assert await store.jobs.revive(job.id) is True
        await mine.round()

    in_store(url, work, now=Clock())
    assert [(task.job.attempts, task.cut_off, task.job.payload) for task in seen] == [(1, False, {"kept": True})] * 2


def test_jobs_of_a_newer_version_are_left_to_it(url: str) -> None:
    async def work(store: Store) -> None:
        job = await store.jobs.add("of_tomorrow", {})
        assert await worker(store, Clock(), always(Failed("x", again=False))).round() == 0
        assert (await found(store, job)).state is JobState.QUEUED

    in_store(url, work, now=Clock())


def test_a_job_that_is_done_forgets_what_it_held(url: str) -> None:
    async def work(store: Store) -> None:
        job = await store.jobs.add("work", {"ticket": {"body": "my words"}})

        async def handler(task: Task) -> None:
            assert task.job.payload["ticket"]["body"] == "my words"

        await worker(store, Clock(), handler).round()
        made = await found(store, job)
        assert (made.state, made.payload) == (JobState.DONE, {})

    in_store(url, work, now=Clock())


def test_the_same_job_put_twice_is_one(url: str) -> None:
    async def work(store: Store) -> None:
        job = Job("j_1.0", "work", {"a": 1}, 0, NOON, JobState.QUEUED)
        await store.jobs.put(job)
        await store.jobs.put(job, Job("j_1.1", "work", {}, 0, NOON, JobState.QUEUED))
        assert (await store.jobs.depth())[JobState.QUEUED] == 2

    in_store(url, work, now=Clock())


def test_a_job_that_runs_long_keeps_its_lease_until_somebody_else_has_it(tmp_path: Path) -> None:
    clock, ended = Clock(), list[str]()

    async def work(store: Store) -> None:
        job = await store.jobs.add("work", {})
        began = anyio.Event()

        async def handler(_task: Task) -> None:
            began.set()
            await anyio.sleep_forever()

        mine = worker(store, clock, handler, lease_s=0.03, ended=lambda _kind, how: ended.append(how))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(mine.round)
            await began.wait()
            clock.pass_s(10)  # the machine slept, and the lease ended
            theirs = await store.jobs.claim(lease_s=3600)
        if theirs:  # else the lease was kept up in time, and the test ends below
            assert (await found(store, job)).attempts == 2
            assert await store.jobs.done(theirs[0]) is True

    async def bounded(store: Store) -> None:
        with anyio.fail_after(10):
            await work(store)

    with database_of("sqlite", tmp_path) as url:
        in_store(url, bounded, now=clock)
    assert ended == ["lost"]


def test_a_stop_lets_what_runs_end_and_gives_the_rest_back(tmp_path: Path) -> None:
    async def work(store: Store) -> None:
        quick, slow = await store.jobs.add("work", {"s": 0.05}), await store.jobs.add("work", {"s": 600})
        begun, both = list[Task](), anyio.Event()

        async def handler(task: Task) -> None:
            begun.append(task)
            if len(begun) == 2:
                both.set()
            await anyio.sleep(task.job.payload["s"])

        with anyio.fail_after(10):
            async with working(worker(store, Clock(), handler), grace_s=0.3):
                await both.wait()
        assert (await found(store, quick)).state is JobState.DONE
        given_back = await found(store, slow)
        assert (given_back.state, given_back.due_at, given_back.error) == (JobState.QUEUED, NOON, "shutdown")

    with database_of("sqlite", tmp_path) as url:
        in_store(url, work, now=Clock())


def test_a_job_whose_tries_end_without_a_word_is_laid_aside_and_not_tried_for_ever(url: str) -> None:
    clock, seen = Clock(), list[Task]()

    async def work(store: Store) -> None:
        job = await store.jobs.add("work", {})
        for _ in range(3):
            assert len(await store.jobs.claim(lease_s=60)) == 1  # by a process that it kills
            clock.pass_s(60)
        await worker(store, clock, always(Failed("busy", again=True), seen), attempts=3).round()
        made = await found(store, job)
        assert (made.state, made.error, seen) == (JobState.DEAD, "worn_out", [])
        assert await store.jobs.revive(job.id) is True
        await worker(store, clock, always(Failed("busy", again=True), seen), attempts=3).round()
        assert len(seen) == 1

    in_store(url, work, now=clock)


@pytest.mark.parametrize("broken", ["claim", "done", "extend"])
def test_a_worker_survives_whatever_the_database_says(
    broken: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, failures = Clock(), list[str]()

    async def work(store: Store) -> None:
        right, job, bell = getattr(store.jobs, broken), await store.jobs.add("work", {}), Bell()
        failed, done = anyio.Event(), anyio.Event()

        async def once_wrong(*given: Any, **more: Any) -> Any:
            if not failures:
                failures.append(broken)
                failed.set()
                clock.pass_s(0.5)  # the lease ends
                bell.ring()
                raise InternalError("UPDATE jobs", {}, Exception("read-only transaction"))
            return await right(*given, **more)

        async def handler(_task: Task) -> None:
            if broken == "extend":
                await failed.wait()

        monkeypatch.setattr(store.jobs, broken, once_wrong)

        def ended(_kind: str, how: str) -> None:
            if how == "done":
                done.set()

        mine = worker(store, clock, handler, lease_s=0.3, bell=bell, ended=ended)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(mine.run)
            with anyio.fail_after(10):
                await done.wait()
            mine.stop()
        assert (await found(store, job)).state is JobState.DONE

    with database_of("sqlite", tmp_path) as url:
        in_store(url, work, now=clock)
    assert failures == [broken]


def test_nothing_is_claimed_while_the_service_leaves(url: str) -> None:
    async def work(store: Store) -> None:
        await store.jobs.add("work", {})
        assert await worker(store, Clock(), always(Failed("x", again=False)), paused=lambda: True).round() == 0

    in_store(url, work, now=Clock())


def test_a_kill_between_acceptance_and_work_loses_nothing_and_doubles_nothing(tmp_path: Path) -> None:
    with fake_desk() as desk, model_server() as model:
        desks_file(tmp_path, desk.url, "zendesk")
        asks = {
            "TRIAGEDESK_MODEL": "openai/made-up", "TRIAGEDESK_BASE_URL": f"http://127.0.0.1:{model.port}/v1",
            "TRIAGEDESK_DEADLINE_S": "60",
        }  # fmt: skip
        with serving(tmp_path, **asks) as (process, http):
            assert deliver(http, "zendesk", now=datetime.now(UTC)).status_code == 202
            until(lambda: model.asked == 1)  # it works, and the model does not answer
            process.send_signal(signal.SIGKILL)
            process.wait(10)
        assert desk.calls == []
        with serving(tmp_path, TRIAGEDESK_MODEL="rules") as (process, http):
            assert deliver(http, "zendesk", now=datetime.now(UTC)).status_code == 200  # the desk sends it once more
            until(lambda: desk.calls, 20)
            until(lambda: set(_states(http)) == {"done"}, 20)
            process.send_signal(signal.SIGTERM)
            assert process.wait(15) == 0
    assert {(method, path) for method, path, _ in desk.calls} == {("PUT", "/api/v2/tickets/35436.json")}
    assert len({repr(body) for _, _, body in desk.calls}) == len(desk.calls)


def _states(http: httpx2.Client) -> dict[str, float]:
    rows = [line for line in http.get("/metrics").text.splitlines() if line.startswith("triagedesk_jobs{")]
    pairs = [(line.split('"')[1], float(line.rpartition(" ")[2])) for line in rows]
    return {state: count for state, count in pairs if count}
