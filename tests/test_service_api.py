"""The HTTP API over real sockets: what it answers, to whom, and what it remembers."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import pytest

from desk_parts import clean_environment, default_playbook
from service_api_parts import (
    ENGLISH,
    RULES,
    SCOPES,
    Model,
    Service,
    bearer,
    make_key,
    model_server,
    running,
    service_settings,
    until,
)
from triagedesk.cli.options import Options
from triagedesk.cli.serve import serve
from triagedesk.errors import ConfigError
from triagedesk.evals import read_gold
from triagedesk.service.problems import STATUS, Code
from triagedesk.service.routes import feedback
from triagedesk.service.store.feedback import FeedbackLog

OUTAGE = "We are completely down, nobody can log in."
QUESTION = "Just a question: how do I export a report?"


@pytest.fixture(scope="module")
def open_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service by rules, without keys, that keeps tickets."""
    with running(service_settings(tmp_path_factory.mktemp("open"), store_tickets=True)) as service:
        yield service


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Service, dict[str, str]]]:
    """A service with a key of each scope, and one that was revoked."""
    settings = service_settings(tmp_path_factory.mktemp("keyed"))
    keys = {scope: make_key(settings, scope) for scope in SCOPES}
    revoked_id, revoked = make_key(settings, "admin")
    with running(settings) as service:
        assert service.call(lambda: service.runtime.store.keys.revoke(revoked_id, service.runtime.clocks.now()))
        yield service, {**{scope: secret for scope, (_, secret) in keys.items()}, "revoked": revoked}


@pytest.fixture(scope="module")
def modelled_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Service, Model]]:
    """A service that asks a model, four tickets at once."""
    settings = service_settings(tmp_path_factory.mktemp("modelled"), max_concurrency=4)
    with model_server() as model, running(settings, model.settings(breaker_failures=100)) as service:
        yield service, model


@pytest.fixture
def modelled(modelled_once: tuple[Service, Model]) -> tuple[Service, Model]:
    """The same service; the model has been asked nothing, and waits."""
    until(lambda: modelled_once[0].runtime.duty.at_once == 0)
    modelled_once[1].wait_again()
    return modelled_once


def code_of(answer: httpx2.Response) -> str:
    """Return a problem's code, and see that it is a proper problem document."""
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == answer.status_code == STATUS[Code(problem["code"])]
    assert problem["type"] == f"urn:triagedesk:problem:{problem['code']}"
    assert problem["title"]
    return str(problem["code"])


def test_a_suggestion_comes_with_an_id_under_which_it_is_found_again(open_service: Service) -> None:
    made = open_service.suggest(OUTAGE, id="A-1", channel="email")
    assert made["labels"]["urgency"]["label"] == "critical"
    assert made["previous_id"] is None
    again = open_service.http.get(f"/v1/suggestions/{made['id']}")
    assert again.json() == made
    assert code_of(open_service.http.get("/v1/suggestions/s_nothing")) == "not_found"


def test_an_idempotency_key_gets_the_same_answer_and_refuses_another_body(open_service: Service) -> None:
    key = {"Idempotency-Key": "one"}
    first = open_service.http.post("/v1/suggestions", json={"body": OUTAGE}, headers=key)
    assert open_service.http.post("/v1/suggestions", json={"body": OUTAGE}, headers=key).content == first.content
    other = open_service.http.post("/v1/suggestions", json={"body": QUESTION}, headers=key)
    assert code_of(other) == "idempotency_mismatch"
    unusable = open_service.http.post("/v1/suggestions", json={"body": OUTAGE}, headers={"Idempotency-Key": "k" * 256})
    assert code_of(unusable) == "idempotency_unusable"


def test_a_failed_request_gives_its_idempotency_key_back(open_service: Service) -> None:
    key = {"Idempotency-Key": "two"}
    refused = open_service.http.post("/v1/suggestions", json={"body": OUTAGE, "channel": "smoke"}, headers=key)
    assert code_of(refused) == "ticket_unusable"
    assert open_service.http.post("/v1/suggestions", json={"body": OUTAGE}, headers=key).status_code == 200


def test_the_same_idempotency_key_at_once_asks_the_model_once(modelled: tuple[Service, Model]) -> None:
    service, model = modelled

    def ask(_: int) -> httpx2.Response:
        return service.http.post("/v1/suggestions", json={"body": OUTAGE}, headers={"Idempotency-Key": "k"})

    with ThreadPoolExecutor(8) as pool:
        answers = pool.map(ask, range(8))
        until(lambda: model.asked)
        model.free.set()
        statuses = sorted(answer.status_code for answer in answers)
    assert statuses[0] == 200
    assert set(statuses) <= {200, 409}
    assert model.asked == 1


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        pytest.param("50", 200, id="short"),
        pytest.param("1e9", 200, id="far-beyond-the-cap"),
        pytest.param("0", 422, id="zero"),
        pytest.param("-1", 422, id="negative"),
        pytest.param("NaN", 422, id="not-a-number"),
        pytest.param("soon", 422, id="a-word"),
    ],
)
def test_a_deadline_is_a_number_above_zero(open_service: Service, sent: str, status: int) -> None:
    answer = open_service.http.post("/v1/suggestions", json={"body": OUTAGE}, headers={"X-Deadline-Ms": sent})
    assert answer.status_code == status


def test_a_deadline_in_the_header_holds_against_a_model_that_hangs(modelled: tuple[Service, Model]) -> None:
    answer = modelled[0].http.post("/v1/suggestions", json={"body": OUTAGE}, headers={"X-Deadline-Ms": "100"}).json()
    assert answer["provenance"]["fallback_reason"] == "timeout"
    assert answer["provenance"]["elapsed_ms"] < 4000  # the model hangs for as long as it is let


def test_a_batch_is_answered_line_by_line_with_problems_in_their_own_lines(open_service: Service) -> None:
    rows: list[Any] = [{"body": OUTAGE}, {"body": ""}, 7, {"body": QUESTION, "channel": "smoke"}]
    rows += [{"body": QUESTION, "id": f"B-{n}"} for n in range(40)]
    answer = open_service.http.post("/v1/suggestions:batch", json={"tickets": rows})
    assert answer.headers["content-type"].startswith("application/x-ndjson")
    lines = {line["index"]: line for line in map(json.loads, answer.text.splitlines())}
    assert sorted(lines) == list(range(44))
    assert lines[0]["suggestion"]["labels"]["urgency"]["label"] == "critical"
    assert [lines[n]["problem"]["code"] for n in (1, 2, 3)] == ["ticket_unusable"] * 3
    assert lines[9]["suggestion"]["ticket_id"] == "B-5"


def test_a_batch_may_come_as_lines_and_one_that_is_no_json_is_its_own_problem(open_service: Service) -> None:
    sent = json.dumps({"body": OUTAGE}).encode() + b'\n{"body": NaN}\n\n'
    headers = {"Content-Type": "application/x-ndjson"}
    answer = open_service.http.post("/v1/suggestions:batch", content=sent, headers=headers)
    lines = {line["index"]: line for line in map(json.loads, answer.text.splitlines())}
    assert "suggestion" in lines[0]
    assert lines[1]["problem"]["code"] == "not_json"
    assert len(lines) == 2


def test_a_batch_has_at_most_a_thousand_tickets(open_service: Service) -> None:
    answer = open_service.http.post("/v1/suggestions:batch", json={"tickets": [{"body": "x"}] * 1001})
    assert code_of(answer) == "too_many_tickets"
    assert open_service.http.post("/v1/suggestions:batch", json={"tickets": []}).text == ""


def test_the_newest_message_of_the_customer_decides(open_service: Service) -> None:
    messages = [{"body": QUESTION}, {"body": OUTAGE}, {"author": "agent", "body": "We look into it."}]
    made = open_service.suggest("an opening that does not count", messages=messages)
    assert made["labels"]["urgency"]["label"] == "critical"


def test_urgency_does_not_fall_by_a_message_that_says_nothing_about_it(open_service: Service) -> None:
    first = open_service.suggest(OUTAGE, id="held")
    second = open_service.suggest("Any news?", id="held")
    assert second["previous_id"] == first["id"]
    assert second["labels"]["urgency"]["label"] == "critical"
    assert second["changed"]["urgency"][:2] == ["critical", "critical"]
    assert second["changed"]["urgency"][2].startswith("held")
    assert second["response"]["first_response_due"] < first["response"]["resolution_due"]
    assert second["notify"][0] == first["notify"][0]
    third = open_service.suggest("Hello?", id="held")
    assert third["labels"]["urgency"]["label"] == "critical"


def test_urgency_falls_where_the_customers_newest_words_say_why(open_service: Service) -> None:
    open_service.suggest(OUTAGE, id="falls")
    later = open_service.suggest(QUESTION, id="falls")
    old, new, why = later["changed"]["urgency"]
    assert (old, new) == ("critical", "low")
    assert why == later["labels"]["urgency"]["reasons"][0]["text"]


def test_urgency_rises_at_once_and_says_why(open_service: Service) -> None:
    open_service.suggest(QUESTION, id="rises")
    later = open_service.suggest(OUTAGE, id="rises")
    assert later["changed"]["urgency"][:2] == ["low", "critical"]


def test_a_ticket_without_an_id_of_its_own_is_nobodys_follow_up(open_service: Service) -> None:
    assert open_service.suggest(OUTAGE)["changed"] is None


def test_feedback_leaves_the_suggestion_alone_and_comes_out_as_gold(open_service: Service, tmp_path: Path) -> None:
    made = open_service.suggest(QUESTION, id="gold-1")
    said = {"suggestion_id": made["id"], "kind": "corrected", "labels": {"urgency": "high"}, "by": "Ada"}
    kept = open_service.http.post("/v1/feedback", json=said)
    assert kept.status_code == 201
    assert kept.json()["suggested"]["urgency"] == "low"
    assert open_service.http.get(f"/v1/suggestions/{made['id']}").json() == made
    accepted = open_service.suggest(OUTAGE, id="gold-2")
    open_service.http.post("/v1/feedback", json={"suggestion_id": accepted["id"], "kind": "accepted"})
    exported = open_service.http.get("/v1/feedback", params={"format": "gold"})
    assert exported.headers["x-left-out"] == "0"
    (file := tmp_path / "gold.jsonl").write_bytes(exported.content)
    gold = {row.id: row.labels["urgency"] for row in read_gold(file, default_playbook())}
    assert gold == {"gold-1": "high", "gold-2": "critical"}
    page = open_service.http.get("/v1/feedback", params={"limit": 1}).json()
    assert page["next_after"] == page["feedback"][0]["id"]


class Words(dict[str, Any]):
    """A ticket's words, of which one can say whether they are in memory."""


def test_an_export_holds_one_page_of_tickets_and_adds_up_over_pages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held, alive, right = list[weakref.ref[Words]](), list[int](), FeedbackLog.with_suggestions

    async def with_suggestions(*given: Any, **more: Any) -> Any:
        alive.append(sum(one() is not None for one in held))
        page = []
        for given_word, stored in await right(*given, **more):
            words = Words(stored.ticket or {})
            held.append(weakref.ref(words))
            page.append((given_word, dataclasses.replace(stored, ticket=words)))
        return page

    monkeypatch.setattr(feedback, "PAGE", 2)
    monkeypatch.setattr(FeedbackLog, "with_suggestions", with_suggestions)
    said: tuple[tuple[int, dict[str, str]], ...] = (
        (0, {"urgency": "high"}), (1, {}), (2, {}), (1, {"urgency": "critical"}), (0, {"sentiment": "neutral"}),
    )  # fmt: skip
    with running(service_settings(tmp_path, store_tickets=True)) as service:
        made = [service.suggest(QUESTION, id=f"paged-{n}")["id"] for n in range(3)]
        for n, labels in said:
            row = {"suggestion_id": made[n], "kind": "corrected" if labels else "accepted", "labels": labels}
            assert service.http.post("/v1/feedback", json=row).status_code == 201
        lines = service.http.get("/v1/feedback", params={"format": "gold"}).text.splitlines()
        assert len(alive) == 3
        assert max(alive) <= 2
        page = service.http.get("/v1/feedback", params={"limit": 3}).json()
        rest = service.http.get("/v1/feedback", params={"after": page["next_after"]}).json()
    gold = {row["ticket"]["id"]: (row["ticket"]["body"], row["labels"]["urgency"]) for row in map(json.loads, lines)}
    assert gold == {"paged-0": (QUESTION, "high"), "paged-1": (QUESTION, "critical"), "paged-2": (QUESTION, "low")}
    assert [len(one["feedback"]) for one in (page, rest)] == [3, 2]


@pytest.mark.parametrize(
    ("more", "code"),
    [
        pytest.param({"kind": "corrected"}, "invalid", id="a-correction-of-nothing"),
        pytest.param({"kind": "accepted", "labels": {"urgency": "low"}}, "invalid", id="an-acceptance-with-labels"),
        pytest.param({"kind": "corrected", "labels": {"urgency": "panic"}}, "invalid", id="an-unknown-label"),
        pytest.param({"kind": "corrected", "labels": {"mood": "low"}}, "invalid", id="an-unknown-dimension"),
        pytest.param({"kind": "accepted", "suggestion_id": "s_" + "0" * 26}, "not_found", id="of-no-suggestion"),
    ],
)
def test_feedback_that_cannot_be_is_refused(open_service: Service, more: dict[str, Any], code: str) -> None:
    made = open_service.suggest(QUESTION)
    assert code_of(open_service.http.post("/v1/feedback", json={"suggestion_id": made["id"], **more})) == code


def test_words_are_not_kept_unless_asked_and_gold_says_how_many_are_missing(tmp_path: Path) -> None:
    with running(service_settings(tmp_path)) as service:
        made = service.suggest("The canary Zanzibar sings.", id="c", subject="Zanzibar", channel="email")
        service.http.post("/v1/feedback", json={"suggestion_id": made["id"], "kind": "accepted"})
        exported = service.http.get("/v1/feedback", params={"format": "gold"})
        assert (exported.text, exported.headers["x-left-out"]) == ("", "1")
        stored = service.call(lambda: service.runtime.store.suggestions.get(made["id"]))
        assert stored.ticket == {"id": "c", "channel": "email"}


def test_insights_count_each_ticket_once_and_break_satisfaction_down(tmp_path: Path) -> None:
    with running(service_settings(tmp_path)) as service:
        for body, name, region in ((OUTAGE, "i1", "DE"), (QUESTION, "i2", "DE"), ("Any news?", "i1", "FR")):
            service.suggest(body, id=name, region=region, channel="email", customer_tier="vip")
        told = {"ticket_id": "i2", "kind": "satisfaction", "value": 80, "at": "2026-11-22T10:00:00Z"}
        assert [service.http.post("/v1/outcomes", json=told).json()["known"] for _ in range(2)] == [False, True]
        found = service.http.get("/v1/insights").json()
        assert (found["tickets"], found["suggestions"], found["truncated"]) == (2, 3, False)
        assert found["volumes"]["urgency"] == {"critical": 1, "low": 1}
        assert found["volumes"]["region"] == {"FR": 1, "DE": 1}
        assert found["volumes"]["customer_tier"] == {"vip": 2}
        assert found["volumes"]["source"] == {"rules": 2}
        assert found["satisfaction"]["urgency"] == {"low": {"count": 1, "mean": 80.0}}
        assert sum(bucket["tickets"] for bucket in found["over_time"]) == 2
        assert 0 <= found["escalation_share"] <= 1
        wrong = service.http.get("/v1/insights", params={"since": "2026-11-22T00:00:00Z", "until": "2020-01-01T00:00Z"})
        assert code_of(wrong) == "invalid"


def test_an_outcome_has_a_score_only_where_it_is_a_satisfaction(open_service: Service) -> None:
    for row in ({"kind": "resolved", "value": 3}, {"kind": "satisfaction"}, {"kind": "satisfaction", "value": 101}):
        assert code_of(open_service.http.post("/v1/outcomes", json={"ticket_id": "x", **row})) == "invalid"


def test_the_playbook_shows_its_labels_and_none_of_its_rules(open_service: Service) -> None:
    found = open_service.http.get("/v1/playbook").json()
    assert found["identity"].startswith("default@")
    assert found["dimensions"]["urgency"]["labels"][0]["name"] == "critical"
    assert "email" in found["channels"]
    assert "signals" not in found


NEEDS = {
    ("post", "/v1/suggestions"): "suggest", ("post", "/v1/suggestions:batch"): "suggest",
    ("get", "/v1/suggestions/{suggestion_id}"): "read", ("post", "/v1/feedback"): "feedback",
    ("get", "/v1/feedback"): "read", ("post", "/v1/outcomes"): "feedback", ("get", "/v1/insights"): "read",
    ("get", "/v1/playbook"): "read", ("get", "/metrics"): "read",
    ("get", "/livez"): None, ("get", "/readyz"): None,
}  # fmt: skip


def test_every_route_names_the_scope_that_it_needs(keyed: tuple[Service, dict[str, str]]) -> None:
    service, keys = keyed
    document = service.http.get("/openapi.json", headers=bearer(keys["read"])).json()
    assert {(method, path) for path, item in document["paths"].items() for method in item} == set(NEEDS)


@pytest.mark.parametrize(("route", "scope"), [pytest.param(*item, id=" ".join(item[0])) for item in NEEDS.items()])
def test_a_route_refuses_everybody_without_its_scope(
    keyed: tuple[Service, dict[str, str]], route: tuple[str, str], scope: str | None
) -> None:
    service, keys = keyed

    def code(secret: str | None) -> str | None:
        headers = {} if secret is None else bearer(secret)
        answer = service.http.request(route[0], route[1].format(suggestion_id="s_x"), headers=headers)
        return code_of(answer) if answer.status_code in (401, 403) else None

    wrong = [None, keys["revoked"], "tdk_" + "a" * 43, "x", *(keys[name] for name in SCOPES[:3] if name != scope)]
    refusals = ["key_missing", "key_revoked", "key_unknown", "key_unknown"]
    expected = [*refusals, *["scope_missing"] * (len(wrong) - 4)] if scope else [None] * len(wrong)
    assert [code(secret) for secret in wrong] == expected
    assert code(keys[scope or "read"]) is None
    assert code(keys["admin"]) is None


def test_without_keys_only_this_machine_is_served_and_not_through_a_proxy(open_service: Service) -> None:
    for headers in ({"X-Forwarded-For": "127.0.0.1"}, {"Host": "evil.example"}, {"Forwarded": "for=127.0.0.1"}):
        assert code_of(open_service.http.get("/v1/playbook", headers=headers)) == "key_missing"
    assert open_service.http.get("/v1/playbook").status_code == 200


def test_revoking_the_last_key_opens_nothing(tmp_path: Path) -> None:
    settings = service_settings(tmp_path)
    key_id, _ = make_key(settings)
    with running(settings) as service:
        service.call(lambda: service.runtime.store.keys.revoke(key_id, service.runtime.clocks.now()))
        assert code_of(service.http.get("/v1/playbook")) == "key_missing"


def test_a_rate_and_a_budget_end_in_429_with_the_time_to_come_back(tmp_path: Path) -> None:
    settings = service_settings(tmp_path, rate_burst=2, rate_per_minute=1)
    _, secret = make_key(settings, "suggest")
    poor_id, poor = make_key(settings, "suggest", budget=0.01)
    with running(settings) as service:
        answers = [
            service.http.post("/v1/suggestions", json={"body": QUESTION}, headers=bearer(secret)) for _ in range(3)
        ]
        assert [answer.status_code for answer in answers] == [200, 200, 429]
        assert code_of(answers[2]) == "rate_limited"
        assert int(answers[2].headers["retry-after"]) > 0
        day = service.runtime.clocks.now().date().isoformat()
        service.call(lambda: service.runtime.store.keys.spend(poor_id, day, 0.02))
        broke = service.http.post("/v1/suggestions", json={"body": QUESTION}, headers=bearer(poor))
        assert code_of(broke) == "budget_spent"


def test_too_many_tickets_at_once_are_answered_by_rules_that_say_so(modelled: tuple[Service, Model]) -> None:
    service, model = modelled
    with ThreadPoolExecutor(4) as pool:
        slow = [pool.submit(service.suggest, f"{OUTAGE} {n}") for n in range(4)]
        until(lambda: model.asked == 4)
        shed = service.suggest(QUESTION)
        assert shed["provenance"]["source"] == "rules"
        assert shed["provenance"]["fallback_reason"] == "overloaded"
        assert shed["provenance"]["elapsed_ms"] < 4000  # before the desk's own deadline
        model.free.set()
        assert {each.result()["provenance"]["source"] for each in slow} == {"model"}
    text = service.http.get("/metrics").text
    assert 'triagedesk_suggestions_total{fallback_reason="overloaded",source="rules"} 1.0' in text
    assert 'triagedesk_breaker_state{state="closed"} 1.0' in text
    assert 'triagedesk_requests_total{method="POST",route="/v1/suggestions",status="200"}' in text


def test_a_caller_who_hangs_up_ends_the_question_to_the_model(modelled: tuple[Service, Model]) -> None:
    service, model = modelled
    before = _gone(service)
    with pytest.raises(httpx2.ReadTimeout):
        service.http.post("/v1/suggestions", json={"body": OUTAGE}, timeout=0.3)
    until(lambda: model.hung_up == 1, 2)
    assert model.asked == 1
    until(lambda: _gone(service) == before + 1)


def _gone(service: Service) -> float:
    lines = service.http.get("/metrics").text.splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith("triagedesk_client_gone_total "))


def test_a_batch_ends_when_its_caller_hangs_up(modelled: tuple[Service, Model]) -> None:
    service, model = modelled
    tickets = [{"body": f"{OUTAGE} {n}"} for n in range(50)]
    with service.http.stream("POST", "/v1/suggestions:batch", json={"tickets": tickets}) as answer:
        assert answer.status_code == 200
        until(lambda: model.asked == 2)  # half of what the desk takes: single tickets keep their places
    until(lambda: model.hung_up == 2, 3)
    assert model.asked == 2


def test_readiness_tells_degraded_and_why(tmp_path: Path) -> None:
    with running(service_settings(tmp_path), RULES.model_copy(update={"model": None})) as service:
        found = service.http.get("/readyz")
        assert (found.status_code, found.json()["status"], found.json()["reasons"]) == (200, "degraded", ["no_model"])
        assert service.http.get("/livez").json() == {"status": "alive"}


def test_an_open_breaker_degrades(tmp_path: Path) -> None:
    with model_server() as model:
        settings = model.settings(breaker_failures=1, deadline_s=0.3)
        with running(service_settings(tmp_path), settings) as service:
            assert service.http.get("/readyz").json()["status"] == "ready"
            assert service.suggest(OUTAGE)["provenance"]["fallback_reason"] == "timeout"
            assert service.http.get("/readyz").json()["reasons"] == ["breaker_open"]


def test_a_changed_playbook_is_taken_up_and_a_broken_one_keeps_the_old(tmp_path: Path) -> None:
    file = tmp_path / "playbook.yaml"
    whole = ENGLISH
    file.write_text(whole)
    with running(service_settings(tmp_path), RULES.model_copy(update={"playbook": file})) as service:
        first = service.http.get("/v1/playbook").json()["identity"]
        file.write_text(whole + "\nnonsense: true\n")
        assert service.call(service.runtime.duty.look) is False
        found = service.http.get("/readyz").json()
        assert (found["playbook"], found["reasons"]) == (first, ["playbook_broken"])
        assert "nonsense: unknown key" in found["playbook_problem"]
        assert str(tmp_path) not in json.dumps(found)
        file.write_text(whole + "\n# another\n")
        assert service.call(service.runtime.duty.look) is True
        assert service.http.get("/readyz").json()["reasons"] == []
        assert service.http.get("/v1/playbook").json()["identity"] != first
        assert service.suggest(QUESTION)["provenance"]["playbook"] != first


def test_a_changed_playbook_is_read_beside_the_loop_that_answers(tmp_path: Path) -> None:
    file = tmp_path / "playbook.yaml"
    file.write_text(ENGLISH)
    with running(service_settings(tmp_path), RULES.model_copy(update={"playbook": file})) as service:

        async def look() -> float:
            thread, process = time.thread_time(), time.process_time()
            assert await service.runtime.duty.look() is True
            return (time.thread_time() - thread) / (time.process_time() - process)

        file.write_text(ENGLISH + "\n# another\n")
        assert service.call(look) < 0.3  # the share of the work that the loop's own thread did


def test_a_reload_does_not_disturb_a_ticket_at_the_old_desk(tmp_path: Path) -> None:
    file = tmp_path / "playbook.yaml"
    whole = ENGLISH
    file.write_text(whole)
    with (
        model_server() as model,
        running(service_settings(tmp_path), model.settings(playbook=file)) as service,
        ThreadPoolExecutor(1) as pool,
    ):
        slow = pool.submit(service.suggest, OUTAGE)
        until(lambda: model.asked)
        file.write_text(whole + "\n# another\n")
        assert service.call(service.runtime.duty.look) is True
        model.free.set()
        assert slow.result()["provenance"]["source"] == "model"


def test_what_was_accepted_is_answered_at_the_end(tmp_path: Path) -> None:
    settings = service_settings(tmp_path, shutdown_s=1.5)
    with (
        model_server() as model,
        running(settings, model.settings(deadline_s=30)) as service,
        ThreadPoolExecutor(5) as pool,
    ):
        waiting = [pool.submit(service.suggest, f"{OUTAGE} {n}") for n in range(5)]
        until(lambda: model.asked == 5)
        service.server.should_exit = True
        until(lambda: service.runtime.duty.leaving)
        reasons = {answer.result()["provenance"]["fallback_reason"] for answer in waiting}
        assert reasons == {"shutdown"}


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        pytest.param("GET", "/v2/suggestions", "no_route", id="unknown-address"),
        pytest.param("GET", "/v1/playbook/", "no_route", id="one-slash-more"),
        pytest.param("DELETE", "/v1/suggestions", "method_not_allowed", id="unknown-method"),
        pytest.param("GET", "/docs", "no_route", id="no-documentation-page-by-default"),
    ],
)
def test_an_address_that_is_not_there_is_a_problem_too(
    open_service: Service, method: str, path: str, code: str
) -> None:
    assert code_of(open_service.http.request(method, path)) == code


def test_the_openapi_document_lists_every_problem_that_a_route_can_have(open_service: Service) -> None:
    document = open_service.http.get("/openapi.json").json()
    for path, item in document["paths"].items():
        for method, operation in item.items():
            told = set(operation["responses"])
            assert {"401", "403", "408", "413", "429", "431", "500", "503"} <= told, (method, path)
            assert ("415" in told) == (method == "post")
    text = json.dumps(document)
    names = set(document["components"]["schemas"])
    wanted = {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert wanted <= names


def test_the_command_refuses_an_address_that_others_reach_while_no_key_exists(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="triagedesk keys create"):
        serve(Options(model="rules"), host="0.0.0.0", port=0, database_url=f"sqlite:///{tmp_path / 's.db'}")


def test_the_command_serves_and_ends_clean_at_sigterm(tmp_path: Path) -> None:
    (file := tmp_path / "english.yaml").write_text(ENGLISH)
    environment = clean_environment(tmp_path, XDG_DATA_HOME=str(tmp_path), TRIAGEDESK_PLAYBOOK=str(file))
    code = "import sys; from triagedesk.cli.options import Options; from triagedesk.cli.serve import serve; "
    code += "sys.exit(serve(Options(model='rules'), port=0))"
    process = subprocess.Popen([sys.executable, "-c", code], env=environment, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        address = process.stderr.readline().split()[2]
        answer = httpx2.post(f"{address}/v1/suggestions", json={"body": OUTAGE}, timeout=10)
        assert answer.json()["labels"]["urgency"]["label"] == "critical"
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(10) == 0
        assert process.stderr.read() == ""
    finally:
        process.kill()
        process.wait()
        if process.stderr:
            process.stderr.close()
