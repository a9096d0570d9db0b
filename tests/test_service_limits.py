"""What strangers send: too much, too slowly, or no JSON at all. The service answers with a problem, and goes on."""

from __future__ import annotations

import json
import resource
import socket
import time
from collections.abc import Iterator
from typing import NoReturn

import httpx2
import pytest

from desk_parts import default_playbook
from service_api_parts import Service, running, service_settings
from test_service_api import code_of
from triagedesk.service.alarms import Alarms
from triagedesk.service.runtime import utc_now

JSON = {"Content-Type": "application/json"}
MIB = 1024 * 1024


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service with a short patience, that logs what it does by default."""
    settings = service_settings(tmp_path_factory.mktemp("limits"), body_timeout_s=0.4)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("TRIAGEDESK_LOG", raising=False)
        with running(settings) as found:
            yield found


@pytest.mark.parametrize(
    ("body", "code"),
    [
        pytest.param(b"", "not_json", id="empty"),
        pytest.param(b'{"body": NaN}', "not_json", id="nan"),
        pytest.param(b'{"body": "x", "fields": {"n": 1e999}}', "ticket_unusable", id="beyond-a-double"),
        pytest.param(b'{"body": "\\ud800"}', "not_json", id="lone-surrogate"),
        pytest.param(b'{"body": "\xff"}', "not_json", id="not-utf-8"),
        pytest.param(b'{"body": ' + b"[" * 100_000, "not_json", id="deep"),
        pytest.param(b'{"body": "x", "fields": {"n": ' + b"9" * 4000 + b"}}", "ticket_unusable", id="huge-integer"),
        pytest.param(b'{"body": "x", "n": ' + b"9" * 5000 + b"}", "not_json", id="unreadable-integer"),
        pytest.param(b'["x"]', "ticket_unusable", id="a-list"),
        pytest.param(b'{"body": 7}', "ticket_unusable", id="a-number-as-body"),
        pytest.param(b'{"body": "  "}', "ticket_unusable", id="blank"),
        pytest.param(b'{"subject": "x"}', "ticket_unusable", id="no-body"),
        pytest.param(b'{"body": "x", "messages": 7}', "ticket_unusable", id="messages-of-the-wrong-type"),
        pytest.param(b'{"body": "x", "created_at": "soon"}', "ticket_unusable", id="no-time"),
        pytest.param(b'{"body": "x", "id": {"a": 1}}', "ticket_unusable", id="an-object-as-id"),
    ],
)
def test_a_body_that_is_no_ticket_is_told_so(service: Service, body: bytes, code: str) -> None:
    assert code_of(service.http.post("/v1/suggestions", content=body, headers=JSON)) == code


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b'{"body": "x", "body": "We are completely down, nobody can log in."}', id="the-last-of-two-keys"),
        pytest.param(b'{"body": "nul \\u0000 in it", "id": "n\\u0000l", "fields": {"\\u0000": 1}}', id="nul"),
        pytest.param(b'\xef\xbb\xbf{"body": "x"}', id="byte-order-mark"),
        pytest.param(b'{"body": "x", "created_at": "0001-01-01T00:00:00Z"}', id="the-first-year"),
        pytest.param(b'{"body": "x", "due_at": "9999-12-31T23:59:59Z"}', id="the-last-year"),
    ],
)
def test_a_strange_ticket_is_answered(service: Service, body: bytes) -> None:
    answer = service.http.post("/v1/suggestions", content=body, headers=JSON)
    assert answer.status_code == 200, answer.text
    found = service.http.get(f"/v1/suggestions/{answer.json()['id']}")
    assert found.json() == answer.json()


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"Content-Type": "text/plain"}, id="text"),
        pytest.param({"Content-Type": "multipart/form-data"}, id="form"),
        pytest.param({**JSON, "Content-Encoding": "gzip"}, id="compressed"),
        pytest.param({}, id="nothing-said"),
    ],
)
def test_another_media_type_is_refused(service: Service, headers: dict[str, str]) -> None:
    answer = service.http.post("/v1/suggestions", content=b'{"body": "x"}', headers=headers)
    assert (answer.status_code, code_of(answer)) == (415, "unsupported_media_type")


def test_a_body_too_large_by_its_length_is_refused_unread(service: Service) -> None:
    answer = service.http.post("/v1/suggestions", content=b"x" * (2 * MIB), headers=JSON)
    assert (answer.status_code, code_of(answer)) == (413, "body_too_large")


def test_two_hundred_megabytes_in_chunks_are_refused_and_take_no_memory(service: Service) -> None:
    part = b"x" * (64 * 1024)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with socket.create_connection(("127.0.0.1", service.port)) as raw:
        raw.sendall(b"POST /v1/suggestions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                    b"Transfer-Encoding: chunked\r\n\r\n")  # fmt: skip
        try:
            for _ in range(200 * MIB // len(part)):
                raw.sendall(b"%x\r\n" % len(part) + part + b"\r\n")
        except ConnectionError:
            pass
        assert raw.recv(100).startswith(b"HTTP/1.1 413 ")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 16 * 1024


def test_a_batch_may_be_larger_than_a_ticket(service: Service) -> None:
    rows = {"tickets": [{"body": "x" * (2 * MIB // 4)}] * 4}
    assert service.http.post("/v1/suggestions:batch", json=rows).status_code == 200
    answer = service.http.post("/v1/suggestions:batch", content=b" " * (17 * MIB), headers=JSON)
    assert code_of(answer) == "body_too_large"


def test_a_body_that_does_not_come_is_given_up(service: Service) -> None:
    with socket.create_connection(("127.0.0.1", service.port), timeout=5) as raw:
        raw.sendall(b"POST /v1/suggestions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                    b"Content-Length: 100\r\n\r\n{")  # fmt: skip
        began = time.monotonic()
        answer = b"".join(iter(lambda: raw.recv(10_000), b""))
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b'"code":"body_timeout"' in answer
        assert time.monotonic() - began < 4.5


def test_heads_that_are_too_large_are_refused(service: Service) -> None:
    answer = service.http.get("/v1/playbook", headers={"X-Long": "x" * 17_000})
    assert (answer.status_code, code_of(answer)) == (431, "headers_too_large")
    with socket.create_connection(("127.0.0.1", service.port), timeout=5) as raw:
        raw.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 60_000)
        assert raw.recv(100).startswith(b"HTTP/1.1 400 ")


def test_what_is_not_http_is_told_so_as_a_problem(service: Service) -> None:
    with socket.create_connection(("127.0.0.1", service.port), timeout=5) as raw:
        raw.sendall(b"\x16\x03\x01 hello\r\n\r\n")
        head, _, body = b"".join(iter(lambda: raw.recv(10_000), b"")).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 400 ")
        assert json.loads(body)["code"] == "not_http"


def test_connections_that_say_nothing_are_closed_and_disturb_nobody(service: Service) -> None:
    idle = [socket.create_connection(("127.0.0.1", service.port), timeout=5) for _ in range(200)]
    try:
        for each in idle[::2]:
            each.sendall(b"POST /v1/suggestions HT")
        assert service.http.post("/v1/suggestions", json={"body": "x"}).status_code == 200
        assert all(each.recv(1) == b"" for each in idle)
    finally:
        for each in idle:
            each.close()


def test_more_requests_than_the_service_takes_are_sent_away_but_health_is_told(service: Service) -> None:
    service.runtime.door.inside += service.runtime.service.max_connections
    try:
        answer = service.http.get("/v1/playbook")
        assert (answer.status_code, code_of(answer), answer.headers["retry-after"]) == (503, "busy", "1")
        assert service.http.get("/livez").status_code == 200
    finally:
        service.runtime.door.inside -= service.runtime.service.max_connections


def test_a_bug_of_ours_is_a_problem_without_a_traceback(service: Service, capfd: pytest.CaptureFixture[str]) -> None:
    class Broken(Alarms):
        def plan(self, *_: object) -> NoReturn:
            raise ZeroDivisionError("Zanzibar")

    runtime = service.runtime
    runtime.reception.alarms = Broken(runtime.store, now=utc_now, playbook=default_playbook, tell=print)
    try:
        answer = service.http.post("/v1/suggestions", json={"body": "Zanzibar"})
    finally:
        runtime.reception.alarms = None
    assert (answer.status_code, code_of(answer)) == (500, "internal")
    said = capfd.readouterr()
    assert "Zanzibar" not in answer.text + said.out + said.err
    assert "ZeroDivisionError" in said.err


def test_a_database_that_is_locked_sends_callers_away_for_a_moment(service: Service) -> None:
    import sqlite3

    file = service.runtime.service.database_url.get_secret_value().removeprefix("sqlite:///")
    with sqlite3.connect(file, isolation_level=None) as lock:
        lock.execute("BEGIN IMMEDIATE")
        answer = service.http.post("/v1/suggestions", json={"body": "x"})
        lock.execute("ROLLBACK")
    lock.close()
    assert (answer.status_code, code_of(answer), answer.headers["retry-after"]) == (503, "store_unavailable", "2")


def test_answers_carry_headers_that_keep_browsers_and_caches_out(service: Service) -> None:
    answer = service.http.get("/livez")
    assert (answer.headers["x-content-type-options"], answer.headers["cache-control"]) == ("nosniff", "no-store")
    assert "server" not in answer.headers
    assert "access-control-allow-origin" not in answer.headers


def test_hundreds_of_requests_over_one_connection_are_answered(service: Service) -> None:
    began = time.monotonic()
    with httpx2.Client(base_url=f"http://127.0.0.1:{service.port}") as http:
        assert {http.get("/livez").status_code for _ in range(300)} == {200}
    assert time.monotonic() - began < 6  # with Nagle's algorithm it is 40 ms for each
