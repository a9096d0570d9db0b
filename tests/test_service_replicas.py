"""Two replicas on one database, in threads and as processes: whatever comes to both is done once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from itertools import cycle
from pathlib import Path
from typing import Any

import httpx2
import pytest

from desk_deliveries import NOW
from fake_desk import fake_desk
from notify_parts import receiver
from office_parts import deliver, desks_file, later, office
from redis_parts import Server
from service_api_parts import RULES, Service, model_server, serving, until
from service_store_parts import KINDS, Clock, database_of
from triagedesk.service.store.records import JobState
from triagedesk.settings import Settings

OUTAGE = {
    "event": "message.created", "uuid": "d-9", "payload": {
        "id": 9, "subject": "Outage", "text": "Our production system is down for all customers since 10 am.",
        "tags": [], "author": "contact", "private": False,
    },
}  # fmt: skip


@contextmanager
def replicas(
    kind: str, folder: Path, desk_url: str, settings: Settings = RULES, **given: Any
) -> Iterator[tuple[Service, Service, Clock]]:
    """Run the service twice, on one database and by one clock."""
    clock = Clock(NOW)
    with ExitStack() as stack:
        url = stack.enter_context(database_of(kind, folder))
        one, other = (
            stack.enter_context(
                office(folder, desk_url, "generic", settings=settings, clock=clock, database_url=url, **given)
            )
            for _ in range(2)
        )
        for service in (one, other):  # FastAPI builds its fields at the first request, and hides warnings meanwhile:
            service.http.get("/livez")  # two apps that do so in two threads would uncover each other's
        yield one, other, clock


def at_rest(service: Service) -> bool:
    """Say whether no background job is left."""
    depth = service.call(service.runtime.store.jobs.depth)
    return bool(depth[JobState.QUEUED] + depth[JobState.RUNNING] == 0)


@pytest.mark.parametrize("kind", KINDS)
def test_a_delivery_that_comes_to_both_at_once_is_handled_once(kind: str, tmp_path: Path) -> None:
    with fake_desk() as desk, replicas(kind, tmp_path, desk.url) as (one, other, _):
        with ThreadPoolExecutor(8) as pool:
            turns = zip(range(16), cycle((one, other)), strict=False)
            answers = list(pool.map(lambda turn: deliver(turn[1].http, "generic", OUTAGE), turns))
        said = Counter(answer.status_code for answer in answers)
        assert said[202] == 1
        assert set(said) <= {200, 202, 503}  # a database that is locked for long says 503: the desk sends it again
        until(lambda: at_rest(one), 30)
        kept = other.call(other.runtime.store.suggestions.between)
        assert [each.ticket_id for each in kept] == ["generic:9"]
        repeated = [call for call, times in Counter(map(str, desk.calls)).items() if times > 1]
        assert desk.calls
        assert repeated == []


@pytest.mark.parametrize("kind", KINDS)
def test_each_step_and_each_broken_promise_is_told_once(kind: str, tmp_path: Path) -> None:
    with receiver() as operators, fake_desk() as desk:
        file = tmp_path / "notify.yaml"
        target = f"{{type: webhook, name: ops, url: '{operators.url('/alarms')}', secret: {'s' * 32}, burst: 100}}"
        file.write_text(f"targets: [{target}]\n", "utf-8")
        with replicas(kind, tmp_path, desk.url, notifications=file) as (one, other, clock):
            assert deliver(one.http, "generic", OUTAGE).status_code == 202
            until(lambda: len(operators.got) == 1 and at_rest(one), 30)
            for _ in range(4):
                clock.pass_s(6 * 3600)
                with ThreadPoolExecutor(2) as pool:
                    list(pool.map(lambda each: later(each, clock, 0), (one, other)))
                until(lambda: at_rest(one), 30)
            until(lambda: len(operators.got) >= 3, 30)
        told = Counter((got.json["kind"], got.json.get("step"), got.json.get("due_at")) for got in operators.got)
    assert {name for name, _, _ in told} == {"critical", "escalation", "sla_breach"}
    assert set(told.values()) == {1}, told


@pytest.mark.parametrize("kind", KINDS)
def test_with_a_shared_cache_the_model_is_asked_once_for_a_question(kind: str, tmp_path: Path) -> None:
    cache = Server(tmp_path)
    try:
        with model_server() as model, fake_desk() as desk:
            settings = model.settings(cache=True, cache_url=cache.url)
            with (
                replicas(kind, tmp_path, desk.url, settings) as (one, other, _),
                ThreadPoolExecutor(8) as pool,
            ):
                turns = zip(range(8), cycle((one, other)), strict=False)
                asked = [pool.submit(each.suggest, "My invoice shows the wrong VAT number.") for _, each in turns]
                until(lambda: one.runtime.door.inside + other.runtime.door.inside == 8 and model.asked == 1)
                model.free.set()
                assert {each.result()["provenance"]["source"] for each in asked} <= {"model", "cache"}
                assert one.suggest("My invoice shows the wrong VAT number.")["provenance"]["source"] == "cache"
            assert model.asked == 1
    finally:
        cache.kill()


@contextmanager
def processes(folder: Path, url: str, **env: str) -> Iterator[tuple[httpx2.Client, httpx2.Client]]:
    """Run the service as two processes on one database."""
    with (
        serving(folder, TRIAGEDESK_SERVICE_DATABASE_URL=url, **env) as (_, one),
        serving(folder, TRIAGEDESK_SERVICE_DATABASE_URL=url, **env) as (_, other),
    ):
        yield one, other


@pytest.mark.parametrize("kind", KINDS[1:])
def test_two_processes_ask_once_take_a_delivery_once_tell_once_and_see_each_others_feedback(
    kind: str, tmp_path: Path
) -> None:
    cache = Server(tmp_path)
    with ExitStack() as stack:
        stack.callback(cache.kill)
        url = stack.enter_context(database_of(kind, tmp_path))
        model, desk = stack.enter_context(model_server()), stack.enter_context(fake_desk())
        operators = stack.enter_context(receiver())
        model.free.set()
        desks_file(tmp_path, desk.url, "generic")
        file = tmp_path / "notify.yaml"
        target = f"{{type: webhook, name: ops, url: '{operators.url('/alarms')}', secret: {'s' * 32}, burst: 100}}"
        file.write_text(f"targets: [{target}]\n", "utf-8")
        env = {
            "TRIAGEDESK_MODEL": "openai/made-up", "TRIAGEDESK_BASE_URL": f"http://127.0.0.1:{model.port}/v1",
            "TRIAGEDESK_CACHE": "true", "TRIAGEDESK_CACHE_URL": cache.url, "TRIAGEDESK_SERVICE_STORE_TICKETS": "true",
            "TRIAGEDESK_CACHE_DIR": str(tmp_path / "cache"), "TRIAGEDESK_SERVICE_NOTIFICATIONS": str(file),
            "TRIAGEDESK_DEADLINE_S": "20",
        }  # fmt: skip
        one, other = stack.enter_context(processes(tmp_path, url, **env))

        row = {"body": "My invoice shows the wrong VAT number."}
        with ThreadPoolExecutor(8) as pool:
            turns = [each for _, each in zip(range(16), cycle((one, other)), strict=False)]
            answers = list(pool.map(lambda http: http.post("/v1/suggestions", json=row).json(), turns))
        assert {answer["provenance"]["source"] for answer in answers} <= {"model", "cache"}
        assert model.asked == 1

        with ThreadPoolExecutor(8) as pool:
            taken = list(pool.map(lambda http: deliver(http, "generic", OUTAGE, now=datetime.now(UTC)), turns))
        assert Counter(answer.status_code for answer in taken)[202] == 1
        until(lambda: operators.got and desk.calls, 30)

        correction = {"suggestion_id": answers[0]["id"], "kind": "corrected", "labels": {"urgency": "low"}}
        assert one.post("/v1/feedback", json=correction).status_code == 201
        [seen] = other.get("/v1/feedback").json()["feedback"]
        assert (seen["suggestion_id"], seen["labels"]) == (answers[0]["id"], {"urgency": "low"})
        assert other.get(f"/v1/suggestions/{answers[0]['id']}").json() == answers[0]
        settled = ("classify", "alarm", "write_back")
        until(lambda: _ended(one, other) >= set(settled), 30)
        until(lambda: len(operators.got) == len(answers) + 1, 30)
    told = Counter(got.json["suggestion_id"] for got in operators.got)  # this model finds every ticket critical
    assert set(told.values()) == {1}
    assert told.keys() > {answer["id"] for answer in answers}
    assert [call for call, times in Counter(map(str, desk.calls)).items() if times > 1] == []


def _ended(*services: httpx2.Client) -> set[str]:
    """Return the kinds of background jobs of which one is done."""
    lines = "".join(http.get("/metrics").text for http in services).splitlines()
    done = (line for line in lines if line.startswith("triagedesk_job_tries_total{") and 'outcome="done"' in line)
    return {line.partition('kind="')[2].partition('"')[0] for line in done}
