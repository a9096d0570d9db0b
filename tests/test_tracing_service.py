"""A traced service, over real sockets: requests under their caller's trace, jobs linked to the request behind them."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI

from desk_deliveries import NOW
from desk_parts import clean_environment
from fake_desk import fake_desk
from notify_parts import receiver
from office_parts import deliver, desks_file, tries
from service_api_parts import RULES, Service, model_server, running, service_settings, until
from tracing_parts import CALLER, TRACEPARENT, Kept, collector, kept
from triagedesk.service.assembly import assemble
from triagedesk.service.runtime import Clocks, Runtime
from triagedesk.service.tracing import trace
from triagedesk.settings import Settings
from triagedesk.tracing import Tracer

CANARY = "CANARY-7731"


def traced(tracer: Tracer) -> Callable[..., FastAPI]:
    """Return what builds the whole service, traced."""

    def build(*given: Any, **more: Any) -> FastAPI:
        app = assemble(*given, **more)
        trace(app, tracer)
        return app

    return build


def asked(folder: Path, ask: Callable[[Service], object], settings: Settings = RULES) -> Kept:
    """Return the spans of what a service was asked."""
    with kept() as found, running(service_settings(folder), settings, build=traced(found.tracer)) as service:
        ask(service)
    return found


def test_a_request_goes_on_in_its_callers_trace(tmp_path: Path) -> None:
    def ask(service: Service) -> None:
        headers = {"traceparent": TRACEPARENT}
        assert service.http.post("/v1/suggestions", json={"body": "Hello"}, headers=headers).status_code == 200

    found = asked(tmp_path, ask)
    root = found.one("POST /v1/suggestions")
    assert root.kind.name == "SERVER"
    assert found.facts(root.name) == {
        "http.request.method": "POST", "http.route": "/v1/suggestions", "url.scheme": "http",
        "http.response.status_code": 200,
    }  # fmt: skip
    assert root.parent is not None
    assert f"{root.parent.span_id:016x}" == TRACEPARENT.split("-")[2]
    assert {f"{span.context.trace_id:032x}" for span in found.spans if span.context} == {CALLER}
    assert found.parent("desk.suggest") == root.name


def test_the_model_call_of_a_request_stands_under_it(tmp_path: Path) -> None:
    with model_server() as model:
        model.free.set()
        found = asked(tmp_path, lambda service: service.suggest("Hello"), model.settings())
    assert found.parent("chat made-up") == "desk.suggest"
    assert found.parent("desk.suggest") == "POST /v1/suggestions"


def test_a_batchs_tickets_stand_under_one_request(tmp_path: Path) -> None:
    def ask(service: Service) -> None:
        assert service.http.post("/v1/suggestions:batch", json={"tickets": [{"body": f"{n}"} for n in range(5)]}).text

    found = asked(tmp_path, ask)
    (request,) = [span for span in found.spans if span.name == "POST /v1/suggestions:batch"]
    tickets = [span for span in found.spans if span.name == "desk.suggest"]
    assert request.context is not None
    assert [span.parent and span.parent.span_id for span in tickets] == [request.context.span_id] * 5


def test_rules_that_relieve_a_desk_with_too_many_tickets_say_so(tmp_path: Path) -> None:
    with model_server() as model, kept() as found, ThreadPoolExecutor(1) as slow:
        made = service_settings(tmp_path, max_concurrency=1)
        with running(made, model.settings(), build=traced(found.tracer)) as service:
            first = slow.submit(service.suggest, "Hello")
            until(lambda: model.asked)
            service.suggest("Good evening")
            model.free.set()
            first.result(20)
    assert found.facts("desk.relieved")["triagedesk.fallback_reason"] == "overloaded"


def test_nothing_that_a_caller_writes_stands_in_a_requests_span(tmp_path: Path) -> None:
    def ask(service: Service) -> None:
        said = {"Authorization": f"Bearer {CANARY}", "baggage": f"a={CANARY}", "Host": CANARY, "User-Agent": CANARY}
        service.http.get(f"/v1/suggestions/s_{CANARY}?key={CANARY}", headers=said)
        service.http.get(f"/{CANARY}", headers=said)
        service.http.post(f"/v1/webhooks/{CANARY}/{CANARY}", headers=said, content=CANARY)
        service.http.post("/v1/suggestions", json={"id": CANARY, "body": CANARY}, headers=said)
        service.suggest(f"{CANARY} was charged twice", id=CANARY)
        service.http.request(CANARY, "/v1/playbook", headers={**said, "traceparent": CANARY})

    found = asked(tmp_path, ask)
    assert sorted(found.names) == [
        "GET", "GET /v1/suggestions/{suggestion_id}", "POST /v1/suggestions", "POST /v1/suggestions",
        "POST /v1/webhooks/{desk}/{token}",
        "_OTHER /v1/playbook", "desk.suggest", "policy", "rules", "tidy",
    ]  # fmt: skip
    assert CANARY not in found.dump()


def test_probes_make_no_spans(tmp_path: Path) -> None:
    def ask(service: Service) -> None:
        for path in ("/livez", "/readyz", "/metrics"):
            service.http.get(path, headers={"traceparent": TRACEPARENT})

    assert asked(tmp_path, ask).spans == []


def test_a_bug_is_told_by_the_status_alone(tmp_path: Path) -> None:
    def ask(service: Service) -> None:
        async def broken() -> None:
            raise RuntimeError(CANARY)

        service.app.add_api_route("/broken", broken)
        assert service.http.get("/broken").status_code == 500

    found = asked(tmp_path, ask)
    assert found.facts("GET /broken")["error.type"] == "500"
    assert CANARY not in found.dump()


def test_jobs_are_linked_to_the_request_that_queued_them(tmp_path: Path) -> None:
    with fake_desk() as desk, kept() as found:
        made = service_settings(tmp_path, webhooks=desks_file(tmp_path, desk.url, "zendesk"))
        clocks = Clocks(now=lambda: NOW)
        with running(made, RULES, clocks=clocks, build=traced(found.tracer)) as service:
            assert deliver(service.http, "zendesk").status_code == 202
            until(lambda: tries(service, "write_back", "done") >= 1)
    request, job = found.one("POST /v1/webhooks/{desk}"), found.one("job classify")
    written = next(span for span in found.spans if span.name == "job write_back")
    assert (job.parent, job.kind.name) == (None, "CONSUMER")
    assert [link.context.span_id for link in job.links] == [request.context and request.context.span_id]
    assert [link.context.span_id for link in written.links] == [job.context and job.context.span_id]
    assert found.parent("desk.suggest") == "job classify"
    assert found.facts("job classify") == {"triagedesk.job_kind": "classify", "triagedesk.attempts": 1}


def test_an_alarm_that_is_due_at_once_is_linked_to_its_request(tmp_path: Path) -> None:
    with receiver() as operators, kept() as found:
        file = tmp_path / "notify.yaml"
        row = f"{{type: webhook, name: ops, url: '{operators.url('/')}', secret: {'s' * 32}}}"
        file.write_text(f"targets: [{row}]\n", "utf-8")
        with running(service_settings(tmp_path, notifications=file), RULES, build=traced(found.tracer)) as service:
            service.suggest(f"Our production system is down for all customers. {CANARY}")
            until(lambda: operators.got)
    request, job = found.one("POST /v1/suggestions"), found.one("job alarm")
    assert (job.parent, job.kind.name) == (None, "CONSUMER")
    assert [link.context.span_id for link in job.links] == [request.context and request.context.span_id]
    assert found.facts("job alarm") == {"triagedesk.job_kind": "alarm", "triagedesk.attempts": 1}
    assert CANARY not in found.dump()


def test_serve_sends_its_last_spans_when_it_is_told_to_stop(tmp_path: Path) -> None:
    with collector() as to:
        environment = clean_environment(tmp_path, **to.environment, XDG_DATA_HOME=str(tmp_path))
        serving = subprocess.Popen(
            [sys.executable, "-m", "triagedesk", "serve", "--port", "0", "--model", "rules"],
            env=environment, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert serving.stderr is not None
        with serving.stderr as told:
            address = next(word for line in told for word in line.split() if word.startswith("http://"))
            with httpx2.Client(base_url=address, timeout=20) as http:
                until(lambda: _answers(http), 30)
                http.post("/v1/suggestions", json={"body": CANARY}, headers={"traceparent": TRACEPARENT})
            serving.send_signal(signal.SIGTERM)
            assert serving.wait(20) == 0
    names = {span.name for span in to.spans if span.trace_id.hex() == CALLER}
    assert names == {"POST /v1/suggestions", "desk.suggest", "tidy", "rules", "policy"}
    assert CANARY.encode() not in b"".join(to.bodies)


def _answers(http: httpx2.Client) -> bool:
    try:
        return http.get("/readyz").status_code == 200
    except httpx2.TransportError:
        return False


async def drained(runtime: Runtime) -> None:
    """Have the service claim no more jobs."""
    runtime.duty.drain(0)


def test_an_untraced_service_tells_no_job_of_any_span(tmp_path: Path) -> None:
    with fake_desk() as desk:
        made = service_settings(tmp_path, webhooks=desks_file(tmp_path, desk.url, "zendesk"))
        with running(made, RULES, clocks=Clocks(now=lambda: NOW), build=assemble) as service:
            runtime = service.runtime
            service.call(lambda: drained(runtime))  # the worker claims nothing any more
            assert deliver(service.http, "zendesk").status_code == 202
            (job,) = service.call(lambda: runtime.store.jobs.claim(1, kinds=("classify",)))
    assert "trace" not in job.payload


@pytest.mark.parametrize(
    ("sent", "kept_on"),
    [
        pytest.param(TRACEPARENT, True, id="well-formed"),
        pytest.param(TRACEPARENT + "-" + "x" * 1000, False, id="too-long"),
        pytest.param("00-" + "0" * 32 + "-00f067aa0ba902b7-01", False, id="all-zeros"),
        pytest.param("ÿ" * 55, False, id="no-ascii"),
    ],
)
def test_only_a_well_formed_traceparent_is_followed(sent: str, kept_on: bool, tmp_path: Path) -> None:
    def ask(service: Service) -> None:
        service.http.get("/v1/playbook", headers=[(b"traceparent", sent.encode("latin-1"))])

    root = asked(tmp_path, ask).one("GET /v1/playbook")
    assert (root.parent is not None) is kept_on
