"""A service whose parts end does not go on as a shell: bugs are survived, and what cannot be ends the process."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from uvicorn import Server

from service_api_parts import RULES, running, service_settings
from service_store_parts import Clock, database_of, in_store
from triagedesk.cli import serve
from triagedesk.service.app import create_app
from triagedesk.service.duty import Duty
from triagedesk.service.runtime import Runtime
from triagedesk.service.scheduler import Scheduler
from triagedesk.service.server import GracefulServer
from triagedesk.service.settings import ServiceSettings
from triagedesk.service.store.database import Store
from triagedesk.settings import Settings


class BrokenDown(Exception):
    """What nobody expects."""


class Enough(BaseException):
    """Ends a loop that has no end."""


def breaking(rounds: int, done: list[int]) -> Callable[..., object]:
    """Return work that fails as nobody expects, each time but the last."""

    async def work(*_given: object, **_more: object) -> int:
        done.append(len(done))
        if len(done) < rounds:
            raise BrokenDown
        return 0

    return work


def test_a_service_whose_part_breaks_down_ends_says_why_and_does_not_exit_as_if_all_were_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    started: list[anyio.Event] = []
    monkeypatch.setenv("TRIAGEDESK_LOG", "json")
    monkeypatch.setattr(serve, "warn", lambda _line: started[0].set())

    @asynccontextmanager
    async def part(_runtime: Runtime) -> AsyncIterator[None]:
        async def break_down() -> None:
            await started[0].wait()
            raise BrokenDown("a customer's words")

        started.append(anyio.Event())
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(break_down)
            yield

    made = service_settings(tmp_path)
    app = create_app(made, RULES, parts=(part,))

    async def bounded() -> None:
        with anyio.fail_after(60):
            await serve._serve(app, made, socket.create_server(("127.0.0.1", 0)))

    with pytest.raises(BrokenDown):
        anyio.run(bounded)
    said = capfd.readouterr().err
    assert '"service ended"' in said
    assert "BrokenDown" in said
    assert "customer" not in said


def test_readiness_tells_that_the_parts_behind_the_routes_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(GracefulServer, "on_tick", Server.on_tick)  # or it ends before anybody can ask
    with running(service_settings(tmp_path)) as service:
        assert service.http.get("/readyz").status_code == 200
        service.app.state.failed = BrokenDown()
        answer = service.http.get("/readyz")
        service.app.state.failed = None
        assert (answer.status_code, answer.json()["reasons"]) == (503, ["failed"])


def test_the_scheduler_survives_a_bug(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked, slept = list[int](), list[float]()

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 3:
            raise Enough

    async def work(store: Store) -> None:
        mine = Scheduler(store, ServiceSettings(), now=Clock())
        monkeypatch.setattr(mine, "look", breaking(3, looked))
        monkeypatch.setattr(anyio, "sleep", sleep)
        with pytest.raises(Enough):
            await mine.run()

    with database_of("sqlite", tmp_path) as url:
        in_store(url, work)
    assert (looked, slept) == ([0, 1, 2], [ServiceSettings().scheduler_s] * 3)


def test_the_watch_over_the_playbook_survives_a_bug(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked, slept = list[int](), list[float]()

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 4:
            raise Enough

    async def work() -> None:
        async with anyio.create_task_group() as tasks:
            settings = Settings(model="rules", playbook=tmp_path / "playbook.yaml")
            duty = Duty(settings, max_at_once=1, tasks=tasks, now=Clock(), reloaded=lambda _outcome: None)
            monkeypatch.setattr(duty, "look", breaking(3, looked))
            with pytest.raises(Enough):
                await duty.watch(sleep)

    anyio.run(work)
    assert looked == [0, 1, 2]
