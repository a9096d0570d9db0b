"""The OpenAPI document holds: no answer that it does not name, no 5xx, and no door that a stranger may use."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import anyio
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from fake_desk import fake_desk
from office_parts import KINDS, desks_file, ticking
from service_api_parts import ENGLISH, SCOPES, Service, bearer, make_key, running, service_settings
from triagedesk.service.app import OPENAPI_PATH
from triagedesk.service.assembly import assemble
from triagedesk.service.problems import Code
from triagedesk.service.runtime import Clocks
from triagedesk.service.settings import ServiceSettings
from triagedesk.service.store.database import open_store
from triagedesk.settings import Settings

DOCS = Path(__file__).parents[1] / "docs" / "service.md"
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
EXAMPLES = 25
"""Requests of each operation and mode: half a minute in all on a busy machine."""

Route = tuple[str, str]

SCOPE_OF: dict[Route, str] = {
    ("POST", "/v1/suggestions"): "suggest",
    ("POST", "/v1/suggestions:batch"): "suggest",
    ("GET", "/v1/suggestions/{suggestion_id}"): "read",
    ("POST", "/v1/feedback"): "feedback",
    ("GET", "/v1/feedback"): "read",
    ("POST", "/v1/outcomes"): "feedback",
    ("GET", "/v1/insights"): "read",
    ("GET", "/v1/playbook"): "read",
    ("GET", "/metrics"): "read",
    ("GET", "/openapi.json"): "read",
    ("GET", "/v1/dead-letters"): "admin",
    ("POST", "/v1/dead-letters/{job_id}:revive"): "admin",
}
"""The scope that opens each route, beside admin."""

PUBLIC = {
    ("GET", "/livez"), ("GET", "/readyz"), ("HEAD", "/v1/webhooks/{desk}"), ("POST", "/v1/webhooks/{desk}"),
    ("POST", "/v1/webhooks/{desk}/{token}"),
}  # fmt: skip
"""Routes that ask for no key: health says nothing of tickets, webhooks prove themselves by a signature."""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The whole service with a desk of each kind; it has keys, so that nobody comes in without one."""
    folder = tmp_path_factory.mktemp("contract")
    book = folder / "book.yaml"
    book.write_text(ENGLISH, "utf-8")
    with fake_desk() as desk:
        made = service_settings(folder, webhooks=desks_file(folder, desk.url, *KINDS), store_tickets=True)
        make_key(made, "admin")
        desk_settings = Settings(model="rules", playbook=book)
        with running(made, desk_settings, clocks=Clocks(now=ticking()), build=assemble) as opened:
            yield opened


@pytest.fixture(scope="module")
def keys(service: Service) -> dict[str, str]:
    """A key of each scope, and one that was revoked."""
    made = {scope: make_key(service.runtime.service, scope)[1] for scope in SCOPES}
    revoked, made["revoked"] = make_key(service.runtime.service, "admin")

    async def revoke() -> None:
        async with open_store(service.runtime.service.database_url.get_secret_value()) as store:
            await store.keys.revoke(revoked, service.runtime.clocks.now())

    anyio.run(revoke)
    return made


@pytest.fixture(scope="module")
def document(service: Service) -> dict[str, Any]:
    """The OpenAPI document that is served."""
    found: dict[str, Any] = service.app.openapi()
    return found


def routes_of(document: dict[str, Any]) -> set[Route]:
    return {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}


def operations() -> list[str]:
    """Name every operation, for pytest: the routes of an application without desks are the same."""
    return sorted(f"{method} {path}" for method, path in {*SCOPE_OF, *PUBLIC} - {("GET", OPENAPI_PATH)})


def test_every_route_says_who_may_use_it(document: dict[str, Any], service: Service) -> None:
    unlisted = (route for route in service.app.routes if not getattr(route, "include_in_schema", True))
    served = routes_of(document) | {
        (method, getattr(route, "path", "")) for route in unlisted for method in getattr(route, "methods", ())
    }
    served -= {("HEAD", path) for path in (OPENAPI_PATH,)}
    assert served == {*SCOPE_OF, *PUBLIC}


def test_every_route_refuses_whoever_has_no_key_a_wrong_one_or_a_revoked_one(
    service: Service, document: dict[str, Any], keys: dict[str, str]
) -> None:
    for method, path in sorted((routes_of(document) | {("GET", OPENAPI_PATH)}) - PUBLIC):
        address = path.format(suggestion_id="s_" + "0" * 26, job_id="j_" + "0" * 26)

        def ask(*shown: str, method: str = method, address: str = address) -> tuple[int, str | None]:
            answer = service.http.request(method, address, headers=[("Authorization", one) for one in shown])
            refused = answer.status_code in (401, 403)
            return answer.status_code, answer.json()["code"] if refused else None

        assert ask() == (401, "key_missing"), path
        assert ask(f"Bearer {keys['revoked']}") == (401, "key_revoked"), path
        for wrong in ("Bearer", "Bearer tdk_", f"Basic {keys['admin']}", f"Bearer {keys['admin'][:-1]}"):
            assert ask(wrong)[0] == 401, (path, wrong)
        assert ask(f"Bearer {keys['revoked']}", f"Bearer {keys['admin']}")[0] == 401, path
        for scope in SCOPES:
            said = ask(f"Bearer {keys[scope]}")
            if scope in ("admin", SCOPE_OF[method, path]):
                assert said[0] not in (401, 403), (path, scope)
            else:
                assert said == (403, "scope_missing"), (path, scope)


def test_every_error_is_described_as_a_problem(document: dict[str, Any]) -> None:
    for path, methods in document["paths"].items():
        for method, described in methods.items():
            for status, answer in described["responses"].items():
                ready = (path, status) == ("/readyz", "503")
                kind = "application/json" if ready else "application/problem+json"
                assert status < "400" or set(answer["content"]) == {kind}, (path, method, status)


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "TRACE", "OPTIONS"])
def test_no_route_knows_a_method_that_is_not_described(service: Service, document: dict[str, Any], method: str) -> None:
    for path in sorted({path for _, path in routes_of(document)}):
        answer = service.http.request(method, path.format(suggestion_id="s", job_id="j", desk="zendesk", token="t"))
        assert answer.status_code == 405, path
        assert answer.json()["code"] == "method_not_allowed"


@pytest.mark.parametrize("operation", operations())
def test_no_request_meets_an_answer_that_is_not_described(
    operation: str, service: Service, document: dict[str, Any], keys: dict[str, str]
) -> None:
    method, _, path = operation.partition(" ")
    described = schemathesis.openapi.from_dict(document)[path][method]
    headers = {} if (method, path) in PUBLIC else bearer(keys["admin"])
    address = f"http://127.0.0.1:{service.port}"
    known = document["paths"][path][method.lower()]
    modes = (
        [GenerationMode.POSITIVE, GenerationMode.NEGATIVE]
        if {"parameters", "requestBody"} & {*known}
        else [GenerationMode.POSITIVE]
    )
    for mode in modes:

        @settings(
            max_examples=EXAMPLES, deadline=None, database=None, derandomize=True,
            suppress_health_check=list(HealthCheck), phases=[Phase.explicit, Phase.generate],
        )  # fmt: skip
        @given(case=described.as_strategy(generation_mode=mode))
        def holds(case: Case[Any]) -> None:
            case.call_and_validate(address, headers=headers, checks=CHECKS)

        holds()


def test_what_the_documentation_lists_is_what_there_is() -> None:
    told = DOCS.read_text("utf-8")
    named = {path.replace("suggestion_id", "id").replace("job_id", "id") for _, path in {*SCOPE_OF, *PUBLIC}}
    wanted = chain((path for path in named), (code.value for code in Code), ServiceSettings.model_fields, SCOPES)
    assert [name for name in wanted if name not in told] == []
