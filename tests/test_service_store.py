"""The store: what is kept comes back, once, whatever is killed, locked or asked at the same time."""

from __future__ import annotations

import sqlite3
import stat
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import anyio
import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, inspect, text
from sqlalchemy.dialects import sqlite

from service_store_parts import (
    COMMITS,
    KINDS,
    NOON,
    Clock,
    claimers,
    commits_seen,
    database_of,
    in_store,
    suggestion,
)
from triagedesk.errors import ConfigError
from triagedesk.service.store import forgetting
from triagedesk.service.store.connection import address
from triagedesk.service.store.database import Store, StoreUnavailable, downgrade, open_store, upgrade
from triagedesk.service.store.ids import is_id, new_id
from triagedesk.service.store.migrate import connected
from triagedesk.service.store.records import (
    Feedback,
    FeedbackKind,
    Job,
    JobState,
    Outcome,
    OutcomeKind,
    StepDue,
    StepState,
)
from triagedesk.service.store.tables import AnyText, Table

HOSTILE = 'NUL \x00, a lone surrogate \ud800, a backslash \\u0041, a "quote" and an 😀'


@pytest.fixture(params=KINDS)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with database_of(request.param, tmp_path) as made:
        yield made


def test_a_suggestion_comes_back_as_it_was_kept(url: str) -> None:
    kept = suggestion(
        ticket_id=HOSTILE, created_at=datetime(2026, 11, 22, 9, 0, 0, 123456, timezone(timedelta(hours=9))),
        suggestion={"text": HOSTILE, "big": 2**70, "n": None}, ticket={"body": HOSTILE}, source_desk="zammad",
        previous_id="s_0", changed={"urgency": ["low", "high"]},
    )  # fmt: skip

    async def work(store: Store) -> None:
        await store.suggestions.add(kept, suggestion(2))
        found = await store.suggestions.get(kept.id)
        assert found == kept
        assert found is not None
        assert found.created_at.tzinfo is UTC
        assert await store.suggestions.newest(HOSTILE) == kept
        assert await store.suggestions.get("s_none") is None
        assert HOSTILE not in repr(found).replace("ticket_id=" + repr(HOSTILE), "")

    in_store(url, work)


def test_a_suggestion_is_never_overwritten(url: str) -> None:
    async def work(store: Store) -> None:
        await store.suggestions.add(suggestion())
        await store.suggestions.add(suggestion(suggestion={"labels": {}}), suggestion(2))
        assert await store.suggestions.get(suggestion().id) == suggestion()
        assert await store.suggestions.get(suggestion(2).id) == suggestion(2)

    in_store(url, work)


def test_a_time_without_a_zone_and_a_number_that_json_cannot_carry_are_refused(url: str) -> None:
    async def work(store: Store) -> None:
        for wrong in (suggestion(created_at=datetime(2026, 1, 1)), suggestion(suggestion={"x": float("nan")})):
            with pytest.raises(Exception, match=r"zone|JSON"):
                await store.suggestions.add(wrong)
        assert await store.suggestions.between() == []

    in_store(url, work)


def test_pages_of_suggestions_go_from_the_newest_to_the_oldest_without_a_gap(url: str) -> None:
    async def work(store: Store) -> None:
        await store.suggestions.add(*(suggestion(n, ticket_id=f"T-{n % 2}") for n in range(7)))
        page = await store.suggestions.between(limit=4)
        rest = await store.suggestions.between(limit=4, before_id=page[-1].id)
        assert [one.id for one in page + rest] == [suggestion(n).id for n in reversed(range(7))]
        some = await store.suggestions.between(NOON + timedelta(minutes=2), NOON + timedelta(minutes=5))
        assert [one.id for one in some] == [suggestion(n).id for n in (4, 3, 2)]
        newest = await store.suggestions.newest("T-1", key_id="k_1")
        assert newest is not None
        assert newest.id == suggestion(5).id
        assert await store.suggestions.newest("T-1", key_id="k_other") is None
        assert await store.suggestions.newest("T-1", source_desk="zendesk") is None

    in_store(url, work)


def test_a_correction_stands_beside_the_suggestion(url: str) -> None:
    said = Feedback("f_1", suggestion().id, FeedbackKind.CORRECTED, {"urgency": "low"}, HOSTILE, NOON, HOSTILE)

    async def work(store: Store) -> None:
        assert await store.feedback.add(said) is False  # of nothing that is known
        await store.suggestions.add(suggestion(ticket={"body": "x"}))
        assert await store.feedback.add(said) is True
        assert await store.feedback.add(said) is True
        assert await store.feedback.of(said.suggestion_id) == [said]
        assert await store.feedback.with_suggestions() == [(said, suggestion(ticket={"body": "x"}))]
        assert await store.feedback.with_suggestions(after_id="f_1") == []
        assert await store.feedback.with_suggestions(until=NOON) == []

    in_store(url, work)


def test_what_is_old_is_forgotten_with_all_that_hangs_on_it(url: str) -> None:
    async def work(store: Store) -> None:
        await store.suggestions.add(suggestion(1), suggestion(2))
        await store.feedback.add(Feedback("f_1", suggestion(1).id, FeedbackKind.ACCEPTED, {}, "ann", NOON))
        await store.steps.plan(StepDue(suggestion(1).id, 1, NOON))
        assert await store.suggestions.forget(suggestion(2).created_at) == 1
        assert [one.id for one in await store.suggestions.between()] == [suggestion(2).id]
        assert await store.feedback.with_suggestions() == []
        assert await store.steps.of(suggestion(1).id) == []

    in_store(url, work)


def test_much_that_is_old_is_forgotten_by_bites_between_which_others_may_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forgetting, "BITE", 10)
    monkeypatch.setattr(forgetting, "PAUSE_S", 0.0)

    async def work(store: Store) -> None:
        await store.suggestions.add(*(suggestion(n) for n in range(45)))
        for n in range(25):
            await store.deliveries.first("zendesk", str(n))
        seen: list[str] = []
        COMMITS.set(seen)
        assert await store.suggestions.forget(suggestion(42).created_at) == 42
        assert seen.count("write") == 5
        assert await store.deliveries.forget(NOON + timedelta(days=1)) == 25
        assert seen.count("write") == 8
        COMMITS.set(None)
        assert len(await store.suggestions.between()) == 3

    with commits_seen(), database_of("sqlite", tmp_path) as url:
        in_store(url, work)


def test_old_outcomes_and_dead_letters_are_forgotten(url: str) -> None:
    clock = Clock()

    async def work(store: Store) -> None:
        for days in (0, 1):
            await store.outcomes.add(Outcome("T-1", OutcomeKind.FIRST_REPLY, NOON + timedelta(days=days)))
            await store.jobs.add("classify", {"ticket": {"body": "my words"}})
            await store.jobs.bury((await store.jobs.claim())[0], "rejected")
            clock.pass_s(86_400)
        border = NOON + timedelta(days=1)
        assert await store.outcomes.forget(border) == 1
        assert [one.at for one in await store.outcomes.of("T-1")] == [border]
        assert await store.jobs.forget(clock.now, dead_before=border) == 1
        assert [one.due_at for one in await store.jobs.dead()] == [border]

    in_store(url, work, now=clock)


def test_an_outcome_is_kept_once(url: str) -> None:
    reply, score = Outcome("T-1", OutcomeKind.FIRST_REPLY, NOON), Outcome("T-1", OutcomeKind.SATISFACTION, NOON, 4.5)

    async def work(store: Store) -> None:
        assert [await store.outcomes.add(one) for one in (reply, score, reply)] == [True, True, False]
        assert await store.outcomes.of("T-1", "T-2") == [reply, score]
        assert await store.outcomes.of("T-2") == []
        assert await store.outcomes.between(NOON, NOON + timedelta(seconds=1)) == [reply, score]
        assert await store.outcomes.between(NOON - timedelta(days=1), NOON) == []

    in_store(url, work)


@pytest.mark.parametrize(
    "delivery_id",
    [
        pytest.param("d-1", id="plain"),
        pytest.param("x" * 5000, id="too-long-for-an-index"),
        pytest.param(HOSTILE, id="hostile"),
        pytest.param("sha256:me", id="made-to-look-like-a-hash"),
        pytest.param("", id="empty"),
    ],
)
def test_a_delivery_is_the_first_only_once_even_after_a_restart(url: str, delivery_id: str) -> None:
    async def together(store: Store) -> list[bool]:
        said: list[bool] = []

        async def ask(desk: str) -> None:
            said.append(await store.deliveries.first(desk, delivery_id))

        async with anyio.create_task_group() as tasks:
            for _ in range(10):
                tasks.start_soon(ask, "zendesk")
        return said

    async def once_more(store: Store) -> tuple[bool, bool, datetime | None]:
        kept = await store.deliveries.get("zendesk", delivery_id)
        seen = await store.deliveries.first("zendesk", delivery_id), await store.deliveries.first("zammad", delivery_id)
        return (*seen, kept.at if kept else None)

    assert sorted(in_store(url, together)) == [False] * 9 + [True]
    assert in_store(url, once_more) == (False, True, NOON)


def test_old_deliveries_are_forgotten(url: str) -> None:
    clock = Clock()

    async def work(store: Store) -> None:
        await store.deliveries.first("zendesk", "old")
        clock.pass_s(60)
        await store.deliveries.first("zendesk", "new")
        assert await store.deliveries.forget(clock.now) == 1
        assert await store.deliveries.get("zendesk", "old") is None
        assert not await store.deliveries.first("zendesk", "new")

    in_store(url, work, now=clock)


def test_a_delivery_and_its_job_are_kept_together_or_not_at_all(url: str) -> None:
    async def work(store: Store) -> None:
        with pytest.raises(Exception, match="JSON"):
            await store.deliveries.accept("zendesk", "d-1", "suggest", {"x": float("inf")})
        job = await store.deliveries.accept("zendesk", "d-1", "suggest", {"body": HOSTILE})
        assert job is not None
        assert await store.deliveries.accept("zendesk", "d-1", "suggest", {}) is None
        assert await store.deliveries.accept("freshdesk", None, "suggest", {}) is not None
        assert await store.deliveries.accept("freshdesk", None, "suggest", {}) is not None
        assert (await store.jobs.depth())[JobState.QUEUED] == 3
        assert await store.jobs.get(job.id) == job

    in_store(url, work)


def test_jobs_are_claimed_when_they_are_due_and_the_longest_due_first(url: str) -> None:
    clock = Clock()

    async def work(store: Store) -> None:
        late = await store.jobs.add("suggest", {"n": 1}, due_at=NOON + timedelta(seconds=60))
        later = await store.jobs.add("suggest", {"n": 2}, due_at=NOON + timedelta(seconds=90))
        soon = await store.jobs.add("suggest", {"n": 3})
        assert [job.id for job in await store.jobs.claim(5, lease_s=100)] == [soon.id]
        assert await store.jobs.claim(5) == []
        clock.pass_s(95)
        assert [job.id for job in await store.jobs.claim(1)] == [late.id]  # the first one's lease still holds
        assert [job.id for job in await store.jobs.claim(2)] == [later.id]

    in_store(url, work, now=clock)


def test_a_job_whose_worker_was_killed_is_claimed_again_and_the_old_claim_counts_no_more(url: str) -> None:
    clock = Clock()

    async def work(store: Store) -> None:
        await store.jobs.add("suggest", {})
        (mine,) = await store.jobs.claim(lease_s=30)
        assert (mine.attempts, mine.state, mine.due_at) == (1, JobState.RUNNING, NOON + timedelta(seconds=30))
        assert await store.jobs.extend(mine, lease_s=60)
        clock.pass_s(59)
        assert await store.jobs.claim() == []
        clock.pass_s(1)
        (theirs,) = await store.jobs.claim()
        assert theirs.attempts == 2
        for too_late in (store.jobs.done(mine), store.jobs.bury(mine, "timeout"), store.jobs.extend(mine)):
            assert await too_late is False
        assert await store.jobs.retry(mine, clock.now, "timeout") is False
        assert await store.jobs.done(theirs) is True
        assert (await store.jobs.depth())[JobState.DONE] == 1

    in_store(url, work, now=clock)


def test_a_job_is_retried_later_then_buried_then_revived(url: str) -> None:
    clock = Clock()

    async def work(store: Store) -> None:
        added = await store.jobs.add("write_back", {})
        (job,) = await store.jobs.claim()
        assert await store.jobs.retry(job, NOON + timedelta(seconds=10), "provider_5xx" * 100)
        assert await store.jobs.claim() == []
        clock.pass_s(10)
        (job,) = await store.jobs.claim()
        assert job.error == ("provider_5xx" * 100)[:300]
        assert await store.jobs.bury(job, "gone")
        (dead,) = await store.jobs.dead()
        assert (dead.id, dead.error, dead.attempts) == (added.id, "gone", 2)
        assert await store.jobs.claim() == []
        assert await store.jobs.revive(dead.id)
        assert not await store.jobs.revive(dead.id)
        assert [job.attempts for job in await store.jobs.claim()] == [1]

    in_store(url, work, now=clock)


def test_the_list_of_dead_letters_stays_bounded(url: str) -> None:
    clock = Clock()

    async def work(store: Store) -> None:
        for _ in range(5):
            await store.jobs.add("suggest", {})
            clock.pass_s(1)
        claimed = await store.jobs.claim(5)
        await store.jobs.done(claimed[0])
        for job in claimed[1:]:
            clock.pass_s(1)
            await store.jobs.bury(job, "gone")
        clock.pass_s(3600)
        assert await store.jobs.forget(clock.now, dead_kept=2) == 3
        assert [job.id for job in await store.jobs.dead()] == [claimed[4].id, claimed[3].id]

    in_store(url, work, now=clock)


def test_processes_that_start_and_claim_at_the_same_time_take_every_job_and_none_twice(url: str) -> None:
    async def fill(store: Store) -> set[str]:
        return {(await store.jobs.add("suggest", {"n": n})).id for n in range(120)}

    with claimers(url, 4) as workers:  # all find no table, and migrate
        for worker in workers:
            assert worker.wire.recv() == "ready"
        jobs = in_store(url, fill, now=lambda: datetime.now(UTC))
        for worker in workers:
            worker.wire.send("go")
        claimed = [worker.first_three() for worker in workers]  # all are at work before any may go on
        for worker, mine in zip(workers, claimed, strict=True):
            worker.wire.send("on")
            assert len(mine) == 3
        for worker, mine in zip(workers, claimed, strict=True):
            mine.extend(worker.to_the_end())
    assert sorted(job for mine in claimed for job in mine) == sorted(jobs)


def test_jobs_of_a_worker_that_was_killed_outlive_it(url: str) -> None:
    async def fill(store: Store) -> None:
        for n in range(30):
            await store.jobs.add("suggest", {"n": n})

    async def take_up(store: Store) -> list[Job]:
        return await store.jobs.claim(100)

    in_store(url, fill, now=lambda: datetime.now(UTC))
    with claimers(url, 1) as (worker,):
        assert worker.wire.recv() == "ready"
        worker.wire.send("go")
        assert len(worker.first_three()) == 3
        worker.process.kill()
        worker.process.join()
    jobs = in_store(url, take_up, now=lambda: datetime.now(UTC) + timedelta(seconds=61))
    assert sorted(job.attempts for job in jobs) == [1] * 27 + [2] * 3


def test_a_due_step_is_given_out_once_and_with_its_job(url: str) -> None:
    clock = Clock()
    first, second = (StepDue(suggestion().id, n, NOON + timedelta(minutes=n * 10)) for n in (1, 2))

    async def work(store: Store) -> None:
        await store.suggestions.add(suggestion())
        await store.steps.plan(first, second)
        await store.steps.plan(first)
        assert await store.steps.take_due() == []
        clock.pass_s(600)
        taken: list[StepDue] = []

        async def take() -> None:
            taken.extend(await store.steps.take_due(job_kind="notify"))

        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(take)
        assert taken == [StepDue(first.suggestion_id, 1, first.due_at, StepState.NOTIFIED)]
        (job,) = await store.jobs.claim(5)
        assert (job.kind, job.payload["suggestion_id"], job.payload["step"]) == ("notify", first.suggestion_id, 1)
        assert await store.steps.close_ticket("T-other") == 0
        assert await store.steps.close_ticket("T-1") == 1
        assert await store.steps.close(first.suggestion_id) == 0
        assert [step.state for step in await store.steps.of(first.suggestion_id)] == ["notified", "closed"]
        clock.pass_s(3600)
        assert await store.steps.take_due() == []

    in_store(url, work, now=clock)


def test_of_many_equal_requests_one_is_the_first_and_the_rest_get_its_answer(url: str) -> None:
    clock = Clock()

    async def work(store: Store) -> None:
        claims = []

        async def ask() -> None:
            claims.append(await store.idempotency.claim("k_1", HOSTILE, "abc"))

        async with anyio.create_task_group() as tasks:
            for _ in range(20):
                tasks.start_soon(ask)
        assert sum(claim.first for claim in claims) == 1
        assert (await store.idempotency.claim("k_2", HOSTILE, "abc")).first
        await store.idempotency.settle("k_1", HOSTILE, "s_1")
        await store.idempotency.settle("k_1", HOSTILE, "s_2")
        await store.idempotency.release("k_1", HOSTILE)
        clock.pass_s(3600)
        again = await store.idempotency.claim("k_1", HOSTILE, "other")
        assert (again.first, again.fingerprint, again.suggestion_id) == (False, "abc", "s_1")
        clock.pass_s(86_400)
        assert await store.idempotency.forget(clock.now) == 2

    in_store(url, work, now=clock)


def test_a_claim_that_came_to_nothing_is_free_again(url: str) -> None:
    clock = Clock()

    async def work(store: Store) -> None:
        assert (await store.idempotency.claim("k_1", "a", "x")).first
        await store.idempotency.release("k_1", "a")
        assert (await store.idempotency.claim("k_1", "a", "x")).first
        clock.pass_s(61)  # its process died
        assert (await store.idempotency.claim("k_1", "a", "x")).first
        assert not (await store.idempotency.claim("k_1", "a", "x")).first

    in_store(url, work, now=clock)


def test_the_migrations_make_exactly_the_tables_that_the_code_knows_and_take_them_back(url: str) -> None:
    upgrade(url)
    upgrade(url)
    with connected(url) as connection:
        assert compare_metadata(MigrationContext.configure(connection), Table.metadata) == []
    downgrade(url)
    with connected(url) as connection:
        assert set(inspect(connection).get_table_names()) <= {"alembic_version"}
    upgrade(url)


def test_a_database_of_a_newer_version_is_left_alone(url: str) -> None:
    upgrade(url)
    with connected(url) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(ConfigError, match="newer triagedesk"):
        upgrade(url)


def test_a_caller_that_hangs_up_does_not_cut_a_transaction_in_two(url: str) -> None:
    async def work(store: Store) -> None:
        for n in range(20):
            with anyio.move_on_after(0.0005 * n):
                await store.deliveries.accept("zendesk", str(n), "suggest", {})
        for n in range(20):
            known = await store.deliveries.get("zendesk", str(n))
            again = await store.deliveries.accept("zendesk", str(n), "suggest", {})
            assert (known is None) == (again is not None)
        assert (await store.jobs.depth())[JobState.QUEUED] == 20

    in_store(url, work)


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_a_locked_file_is_waited_for_and_then_said_to_be_unavailable(url: str, tmp_path: Path) -> None:
    async def work(store: Store) -> None:
        lock = sqlite3.connect(tmp_path / "service.db", isolation_level=None)
        lock.execute("BEGIN IMMEDIATE")
        started = time.monotonic()
        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(refused, store)
        assert time.monotonic() - started < 1
        await store.ping()
        assert (await store.jobs.depth())[JobState.QUEUED] == 0  # readers never wait for a writer
        lock.execute("ROLLBACK")
        lock.close()
        assert await store.deliveries.first("zendesk", "1")

    async def refused(store: Store) -> None:
        with pytest.raises(StoreUnavailable):
            await store.deliveries.first("zendesk", "1")

    in_store(url, work, patience_s=0.1)


@pytest.mark.parametrize("url", [KINDS[1]], indirect=True)
def test_connections_that_a_restart_cut_are_made_anew(url: str) -> None:
    async def work(store: Store) -> None:
        await store.deliveries.first("zendesk", "1")
        tries = []

        def cut_at_first(connection: Connection) -> str:
            tries.append(1)
            if len(tries) == 1:
                connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
            return str(connection.execute(text("SELECT 'here'")).scalar_one())

        assert await store.database.write(cut_at_first) == "here"
        assert len(tries) == 2
        assert not await store.deliveries.first("zendesk", "1")

    in_store(url, work)


def test_a_server_that_is_not_there_is_unavailable_and_the_password_stays_unsaid() -> None:
    async def opened() -> None:
        async with open_store("postgresql://me:canary@127.0.0.1:9/x", migrate=False, patience_s=0.1) as store:
            await store.ping()

    with pytest.raises(StoreUnavailable) as refused:
        anyio.run(opened)
    assert "canary" not in repr(refused.value)
    with pytest.raises(StoreUnavailable):
        upgrade("postgresql://me:canary@127.0.0.1:9/x")


@pytest.mark.parametrize(
    "wrong",
    ["", "canary", "mysql://u:canary@h/x", "sqlite://", "sqlite:///:memory:", "postgresql://u:canary@h:port/x"],
)
def test_an_address_that_cannot_be_used_is_refused_without_being_repeated(wrong: str) -> None:
    with pytest.raises(ConfigError, match=r"^database_url: ") as refused:
        address(wrong)
    assert "canary" not in str(refused.value)


@pytest.mark.parametrize("given_url", ["postgres://h/x", "postgresql://h/x", "postgresql+psycopg://h/x"])
def test_every_way_to_write_postgresql_is_one(given_url: str) -> None:
    assert address(given_url).drivername == "postgresql+psycopg"


def test_the_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    file = tmp_path / "new" / "service.db"
    in_store(f"sqlite:///{file}", lambda store: store.ping())
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


def test_a_folder_that_cannot_be_made_is_the_operators_to_mend(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="database_url"):
        upgrade(f"sqlite:///{tmp_path}/file/service.db")


def test_ids_sort_by_time_and_tell_their_form() -> None:
    ids = [new_id("s", NOON + timedelta(milliseconds=n)) for n in range(50)]
    assert ids == sorted(ids)
    assert len({new_id("s", NOON) for _ in range(1000)}) == 1000
    assert all(is_id(one, "s") for one in ids)
    for wrong in ("", "s_", "s_" + "0" * 25, "s_" + "u" * 26, "k" + ids[0][1:], ids[0] + "\n", "x" * 28):
        assert not is_id(wrong, "s")


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet=st.characters(codec=None), max_size=40))
def test_any_text_is_kept_in_a_form_that_no_database_refuses(words: str) -> None:
    written = AnyText().process_bind_param(words, sqlite.dialect())
    assert written is not None
    assert "\x00" not in written
    written.encode()
    assert AnyText().process_result_value(written, sqlite.dialect()) == words.encode("utf-16", "surrogatepass").decode(
        "utf-16", "surrogatepass"
    )
