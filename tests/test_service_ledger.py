"""The ledger: what belongs together is kept together, who comes together is one commit, no answer comes before it."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import httpx2
import pytest
from fastapi import FastAPI
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from starlette.types import ASGIApp, Receive, Scope, Send

from desk_deliveries import NOW
from office_parts import deliver, desks_file
from service_api_parts import (
    RULES,
    bearer,
    make_key,
    model_server,
    running,
    service_settings,
    serving,
    until,
)
from service_store_parts import COMMITS, KINDS, NOON, Clock, commits_seen, database_of, in_store, suggestion
from triagedesk.service.assembly import assemble
from triagedesk.service.keyring import KeyRing
from triagedesk.service.keys import create_key
from triagedesk.service.runtime import Clocks
from triagedesk.service.store.database import Store, StoreUnavailable, open_store
from triagedesk.service.store.records import (
    Claimed,
    Entry,
    Job,
    JobState,
    Outcome,
    OutcomeKind,
    Spent,
    StepDue,
    StepState,
)


@pytest.fixture(params=KINDS)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with database_of(request.param, tmp_path) as made:
        yield made


async def keep_all(store: Store, entries: list[Entry], failed: dict[str, Exception]) -> None:
    """Keep entries that come at the same time."""

    async def keep(entry: Entry) -> None:
        try:
            await store.ledger.keep(entry)
        except IntegrityError as wrong:
            failed[entry.stored.id] = wrong

    async with anyio.create_task_group() as tasks:
        for entry in entries:
            tasks.start_soon(keep, entry)


def test_entries_that_come_together_are_one_commit(url: str) -> None:
    async def work(store: Store) -> None:
        seen: list[str] = []
        COMMITS.set(seen)
        await keep_all(store, [Entry(suggestion(n)) for n in range(40)], {})
        COMMITS.set(None)
        assert seen == ["write"]
        assert len(await store.suggestions.between()) == 40

    with commits_seen():
        in_store(url, work)


def test_an_entry_is_kept_whole_or_not_at_all_and_spoils_no_other(url: str) -> None:
    bad = Entry(
        suggestion(3), (StepDue(suggestion(3).id, 1, NOON),), (Job("j_3", "alarm", {}, 1, NOON, JobState.RUNNING),),
        spent=Spent("k_of_nobody", "2026-11-22", 5),
    )  # fmt: skip

    async def work(store: Store) -> None:
        failed: dict[str, Exception] = {}
        await keep_all(store, [bad if n == 3 else Entry(suggestion(n)) for n in range(6)], failed)
        assert list(failed) == [suggestion(3).id]
        assert {one.id for one in await store.suggestions.between()} == {suggestion(n).id for n in (0, 1, 2, 4, 5)}
        assert await store.steps.of(suggestion(3).id) == []
        assert await store.jobs.get("j_3") is None

    in_store(url, work)


def test_an_entry_brings_steps_alarms_money_and_the_answer_of_its_idempotency_key(url: str) -> None:
    async def work(store: Store) -> None:
        key = (await create_key(store.keys, "a", ["suggest"], now=NOON)).key
        first, second = suggestion(1, key_id=key.id), suggestion(2, key_id=key.id, previous_id=suggestion(1).id)
        await store.ledger.keep(Entry(first, (StepDue(first.id, 1, NOON), StepDue(first.id, 2, NOON))))
        await store.outcomes.add(Outcome("T-1", OutcomeKind.FIRST_REPLY, NOON))
        known = await store.ledger.known("T-1", key_id=key.id, source_desk=None)
        assert (known.previous, len(known.steps), len(known.outcomes)) == (first, 2, 1)
        for other in ("k_other", None):
            assert (await store.ledger.known("T-1", key_id=other, source_desk=None)).previous is None
        assert (await store.idempotency.claim(key.id, "again", "f")).first
        alarm = Job("j_1", "alarm", {"step": 1}, 1, NOON, JobState.RUNNING)
        steps = (StepDue(second.id, 1, NOON, StepState.NOTIFIED),)
        spent = Spent(key.id, "2026-11-22", 250_000_000)
        await store.ledger.keep(Entry(second, steps, (alarm,), spent, Claimed(key.id, "again")))
        assert {step.state for step in await store.steps.of(first.id)} == {StepState.CLOSED}
        assert await store.steps.of(second.id) == list(steps)
        assert await store.jobs.get("j_1") == alarm
        assert await store.keys.spent(key.id, "2026-11-22") == 0.25
        assert (await store.idempotency.claim(key.id, "again", "f")).suggestion_id == second.id

    in_store(url, work)


def test_writers_who_come_together_share_a_commit_and_a_mistake_is_its_makers_alone(tmp_path: Path) -> None:
    answers: dict[int, object] = {}

    async def work(store: Store) -> None:
        async def accept(number: int) -> None:
            try:
                payload = {"x": float("nan") if number == 3 else number}
                answers[number] = await store.deliveries.accept("zendesk", str(number), "suggest", payload)
            except SQLAlchemyError as wrong:
                answers[number] = wrong

        seen: list[str] = []
        COMMITS.set(seen)
        async with anyio.create_task_group() as tasks:
            for number in range(20):
                tasks.start_soon(accept, number)
        COMMITS.set(None)
        assert seen.count("write") <= 3
        assert isinstance(answers.pop(3), SQLAlchemyError)
        assert {isinstance(answer, Job) for answer in answers.values()} == {True}
        assert await store.deliveries.get("zendesk", "3") is None
        assert (await store.jobs.depth())[JobState.QUEUED] == 19

    with commits_seen(), database_of("sqlite", tmp_path) as url:
        in_store(url, work)


def test_nobody_is_told_that_his_entry_is_kept_when_it_is_not(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    told, rounds = dict[str, str](), list[int]()

    async def work(store: Store) -> None:
        right = store.database.write

        async def write(given: Any) -> Any:
            rounds.append(1)
            if len(rounds) in (1, 3):  # the commit of all three, and that of the second alone
                raise RuntimeError("can't start new thread")
            return await right(given)

        async def keep(n: int) -> None:
            try:
                await store.ledger.keep(Entry(suggestion(n)))
                told[suggestion(n).id] = "kept"
            except RuntimeError as wrong:
                told[suggestion(n).id] = type(wrong).__name__

        monkeypatch.setattr(store.database, "write", write)
        async with anyio.create_task_group() as tasks:
            for n in range(3):
                tasks.start_soon(keep, n)
        kept = {one.id for one in await store.suggestions.between()}
        assert kept == {its_id for its_id, what in told.items() if what == "kept"}
        assert sorted(told.values()) == ["RuntimeError", "kept", "kept"]

    in_store(url, work)


def test_who_waits_for_a_commit_that_is_torn_off_is_not_told_that_it_came_about(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = list[str]()

    async def work(store: Store) -> None:
        async def write(_given: Any) -> None:
            raise KeyboardInterrupt

        async def keep(n: int) -> None:
            try:
                await store.ledger.keep(Entry(suggestion(n)))
                told.append("kept")
            except (KeyboardInterrupt, StoreUnavailable) as wrong:
                told.append(type(wrong).__name__)

        monkeypatch.setattr(store.database, "write", write)
        async with anyio.create_task_group() as tasks:
            for n in range(3):
                tasks.start_soon(keep, n)

    in_store(url, work)
    assert told == ["KeyboardInterrupt", "StoreUnavailable", "StoreUnavailable"]


def test_an_entry_whose_commit_is_done_again_is_paid_once(url: str) -> None:
    async def work(store: Store) -> None:
        key = (await create_key(store.keys, "a", ["suggest"], now=NOON)).key
        paid = [Entry(suggestion(n, key_id=key.id), spent=Spent(key.id, "2026-11-22", 250_000_000)) for n in (1, 2)]
        await store.ledger.keep(paid[0])  # and the connection is lost before it says so
        await keep_all(store, [*paid, Entry(suggestion(3))], {})
        assert await store.keys.spent(key.id, "2026-11-22") == 0.5
        assert len(await store.suggestions.between()) == 3

    in_store(url, work)


def test_a_caller_who_hangs_up_takes_no_entry_back(url: str) -> None:
    async def work(store: Store) -> None:
        async with anyio.create_task_group() as tasks:
            for n in range(20):
                tasks.start_soon(store.ledger.keep, Entry(suggestion(n)))
            await anyio.lowlevel.checkpoint()
            tasks.cancel_scope.cancel()
        assert len(await store.suggestions.between()) == 20

    in_store(url, work)


def test_a_key_that_another_process_revoked_is_let_in_no_longer_than_was_set(url: str) -> None:
    clock = Clock()

    async def work(store: Store) -> None:
        key = (await create_key(store.keys, "a", ["read"], now=NOON)).key
        prefix = await only_prefix(store)
        ring = KeyRing(store.keys, 2.0, clock=lambda: clock.now.timestamp())
        each_time = KeyRing(store.keys, 0.0, clock=lambda: clock.now.timestamp())
        for one in (ring, each_time):
            assert [found.revoked_at for found, _ in await one.by_prefix(prefix)] == [None]
        async with open_store(url, migrate=False) as elsewhere:
            await elsewhere.keys.revoke(key.id, NOON)
        clock.pass_s(1.9)
        assert [found.revoked_at for found, _ in await ring.by_prefix(prefix)] == [None]
        assert [found.revoked_at for found, _ in await each_time.by_prefix(prefix)] == [NOON]
        clock.pass_s(0.2)
        assert [found.revoked_at for found, _ in await ring.by_prefix(prefix)] == [NOON]

    in_store(url, work, now=clock)


def test_a_key_that_this_process_made_or_revoked_is_looked_up_at_once(url: str) -> None:
    async def work(store: Store) -> None:
        ring = KeyRing(store.keys, 3600.0)
        assert not await ring.any()
        key = (await create_key(store.keys, "a", ["read"], now=NOON)).key
        assert await ring.any()
        prefix = await only_prefix(store)
        assert len(await ring.by_prefix(prefix)) == 1
        await store.keys.revoke(key.id, NOON)
        assert [found.revoked_at for found, _ in await ring.by_prefix(prefix)] == [NOON]
        assert await ring.any()

    in_store(url, work)


async def only_prefix(store: Store) -> str:
    """Return how the only key begins."""
    return str(await store.database.read(lambda session: session.execute(text("SELECT prefix FROM api_keys")).scalar()))


class Seen:
    """A layer that gives the commits of each request to a list of its own."""

    def __init__(self, app: ASGIApp, requests: list[list[str]]) -> None:
        self._app, self._requests = app, requests

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve, with a list for the commits before the answer."""
        if scope["type"] == "http":
            seen: list[str] = []
            self._requests.append(seen)
            COMMITS.set(seen)
        await self._app(scope, receive, send)


def seen_by(requests: list[list[str]]) -> Callable[..., FastAPI]:
    """Return a way to build the service that tells of the commits of its requests."""

    def build(*given: object, **more: object) -> FastAPI:
        app = assemble(*given, **more)  # type: ignore[arg-type]
        app.add_middleware(Seen, requests=requests)
        return app

    return build


def test_a_ticket_is_one_write_and_a_remembered_key_no_read(tmp_path: Path) -> None:
    requests: list[list[str]] = []
    made = service_settings(tmp_path, key_cache_s=60)
    _, secret = make_key(made, "suggest")
    with commits_seen(), running(made, RULES, build=seen_by(requests)) as service:
        for ticket in ({"body": "The shop is down!"}, {"body": "Where is my order?"}):
            assert service.http.post("/v1/suggestions", json=ticket, headers=bearer(secret)).status_code == 200
        row = {"id": "T-1", "body": "The shop is down!"}
        for _ in range(2):
            assert service.http.post("/v1/suggestions", json=row, headers=bearer(secret)).status_code == 200
    first, second, *known = [seen for seen in requests if seen]
    assert first == ["read", "write"]  # the key
    assert second == ["write"]
    assert known == [["read", "write"], ["read", "write"]]  # what is known of the ticket


def test_a_webhook_is_answered_after_one_write_though_the_model_never_answers(tmp_path: Path) -> None:
    requests: list[list[str]] = []
    made = service_settings(tmp_path, webhooks=desks_file(tmp_path, None, "zendesk"))
    with model_server() as model, commits_seen():
        build = seen_by(requests)
        clocks = Clocks(now=lambda: NOW)
        with running(made, model.settings(deadline_s=0.5), clocks=clocks, build=build) as service:
            assert deliver(service.http, "zendesk").status_code == 202
            assert [seen for seen in requests if seen] in ([["write"]], [])  # or the worker's commit held it, too
            until(lambda: model.asked)  # by the worker, afterwards


def test_what_was_acknowledged_outlives_a_kill(tmp_path: Path) -> None:
    acknowledged: list[str] = []

    def ask(http: httpx2.Client) -> None:
        with suppress(httpx2.HTTPError):
            while True:
                answer = http.post("/v1/suggestions", json={"body": "We are completely down, nobody can log in."})
                acknowledged.append(answer.json()["id"])

    with serving(tmp_path, TRIAGEDESK_MODEL="rules") as (process, http), ThreadPoolExecutor(8) as pool:
        for _ in range(8):
            pool.submit(ask, http)
        until(lambda: len(acknowledged) > 40, 30)
        process.send_signal(signal.SIGKILL)

    async def work(store: Store) -> None:
        for suggestion_id in acknowledged:
            assert await store.suggestions.get(suggestion_id) is not None
            assert await store.steps.of(suggestion_id)

    in_store(f"sqlite:///{tmp_path / 'service.db'}", work)
