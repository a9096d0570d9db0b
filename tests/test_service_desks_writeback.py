"""What is written back to helpdesks, and how it is sent: checked against fake desks on loopback."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import anyio
import pytest

import desk_deliveries as desks
from desk_deliveries import NOW, signed
from fake_desk import FakeDesk, Reply, fake_desk
from triagedesk.desk import Desk
from triagedesk.errors import ConfigError
from triagedesk.models import Choice, ConfidenceKind, Provenance, Reason, Response, Source, Suggestion
from triagedesk.playbook import load_playbook
from triagedesk.playbook.terms import Automation
from triagedesk.service.desks.adapter import Inbound, Request
from triagedesk.service.desks.levels import Levels, LevelTable
from triagedesk.service.desks.receive import ADAPTERS, receive
from triagedesk.service.desks.sender import Sender, SendFailure, Sent, open_sender, retry_after
from triagedesk.service.desks.settings import DeskSettings, Mode
from triagedesk.service.desks.writeback import level_table, plan_writeback
from triagedesk.settings import Settings

URGENCIES = load_playbook().dimensions["urgency"].names
KINDS = ("zendesk", "freshdesk", "intercom", "zammad", "chatwoot", "generic")
EVERY = dict.fromkeys(("urgency", "issue_type", "escalation"), Mode.APPLY)
THRESHOLDS = {name: Automation(apply=0.9, suggest=0.5) for name in EVERY}


def choice(
    label: str, confidence: float | None = 0.95, *, measured: bool = True, quote: str = "charged twice"
) -> Choice:
    kind = ConfidenceKind.MEASURED if measured else ConfidenceKind.SELF_REPORTED
    reason = Reason(text="Money is wrong.", quote=quote, field="body", start=6, end=19)
    return Choice(label=label, confidence=confidence, confidence_kind=kind, reasons=(reason,))


def suggestion(urgency: str = "high", *, review: bool = False, **labels: Choice) -> Suggestion:
    made = {
        "urgency": choice(urgency),
        "issue_type": choice("billing_payment"),
        "escalation": choice("billing_payment"),
    }
    return Suggestion(
        ticket_id="zendesk:42", labels={**made, **labels},
        response=Response(first_response_due=NOW, resolution_due=NOW),
        queue="billing_vip_email", needs_review=review, review_reasons=("safety_words",) if review else (),
        provenance=Provenance(source=Source.MODEL, playbook="default@1"),
    )  # fmt: skip


def levels(modes: dict[str, Mode] | None = None, *, on: bool = True, measured: bool = True) -> Levels:
    return Levels(URGENCIES, EVERY if modes is None else modes, THRESHOLDS if measured else {}, on)


def plan(desk: DeskSettings, found: Suggestion, how: Levels, reference: dict[str, Any]) -> tuple[Request, ...]:
    return plan_writeback(desk.name, desk, found, how, reference)


REFERENCES: dict[str, dict[str, Any]] = {
    "zendesk": {"id": "42", "tags": ["shop", "eu"], "priority": "low"},
    "freshdesk": {"id": "11", "tags": ["shop", "eu"], "priority": "Low"},
    "intercom": {"id": "24", "kind": "conversations", "tags": ["shop"], "priority": "not_priority", "tag_ids": {}},
    "zammad": {"id": "81", "tags": ["shop"], "priority": "2 normal"},
    "chatwoot": {"id": "17", "account": "1", "tags": ["shop"], "priority": None},
    "generic": {"id": "9", "tags": ["shop"], "priority": None},
}
OURS = ["triagedesk", "triagedesk_urgency_high", "triagedesk_issue_type_billing_payment",
        "triagedesk_escalation_billing_payment"]  # fmt: skip


# --- levels


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("zendesk", ["urgent", "high", "normal", "low"]),
        ("freshdesk", ["Urgent", "High", "Medium", "Low"]),
        ("chatwoot", ["urgent", "high", "medium", "low"]),
        ("zammad", ["3 high", "3 high", "2 normal", "1 low"]),
        ("intercom", ["priority", "priority", "not_priority", "not_priority"]),
    ],
)
def test_the_default_urgencies_have_a_priority_in_every_desk_and_back(kind: str, expected: list[str]) -> None:
    table = level_table(desks.settings(kind), URGENCIES)
    assert [table.priority(one) for one in URGENCIES] == expected
    for urgency in URGENCIES:
        priority = table.priority(urgency)
        assert priority is not None
        assert urgency in table.urgencies_of(priority)
    assert sum(len(table.urgencies_of(one)) for one in ADAPTERS[kind].priorities) == len(URGENCIES)


@pytest.mark.parametrize("ours", range(1, 9))
@pytest.mark.parametrize("theirs", range(1, 6))
def test_more_urgent_is_never_less_prior_whatever_the_number_of_levels(ours: int, theirs: int) -> None:
    table = LevelTable(tuple(f"u{n}" for n in range(ours)), tuple(f"p{n}" for n in range(theirs)))
    found = [table.priorities.index(table.priority(one) or "") for one in table.urgencies]
    assert found == sorted(found)
    assert found[0] == 0
    assert ours == 1 or found[-1] == theirs - 1


def test_the_settings_may_name_another_priority_and_an_unknown_urgency_has_none() -> None:
    table = level_table(desks.settings("zendesk", priorities={"high": "urgent"}), URGENCIES)
    assert table.priority("high") == "urgent"
    assert len(table.urgencies_of("urgent")) == 2
    assert table.urgencies_of("high") == ()
    assert table.priority("none of ours") is None


# --- how far automation goes


@pytest.mark.parametrize(
    ("given", "found", "expected"),
    [
        pytest.param(Mode.SHADOW, choice("high"), Mode.SHADOW, id="shadow-stays-shadow"),
        pytest.param(Mode.SUGGEST, choice("high"), Mode.SUGGEST, id="suggest-is-not-exceeded"),
        pytest.param(Mode.APPLY, choice("high", 0.9), Mode.APPLY, id="at-the-threshold"),
        pytest.param(Mode.APPLY, choice("high", 0.8999), Mode.SUGGEST, id="below-the-threshold"),
        pytest.param(Mode.APPLY, choice("high", 0.49), Mode.SHADOW, id="below-the-suggest-level"),
        pytest.param(Mode.APPLY, choice("high", 1.0, measured=False), Mode.SUGGEST, id="self-reported"),
        pytest.param(Mode.APPLY, choice("high", None), Mode.SUGGEST, id="no-confidence"),
    ],
)
def test_a_label_goes_as_far_as_its_mode_and_its_measured_confidence_allow(
    given: Mode, found: Choice, expected: Mode
) -> None:
    made = suggestion(urgency="high").model_copy(update={"labels": {"urgency": found}})
    assert levels({"urgency": given}).mode("urgency", made) is expected


def test_nothing_is_applied_that_a_person_must_look_at_or_that_nobody_measured() -> None:
    assert levels().mode("urgency", suggestion(review=True)) is Mode.SUGGEST
    assert levels(measured=False).mode("urgency", suggestion()) is Mode.SUGGEST
    never = Levels(URGENCIES, EVERY, {"urgency": Automation(apply="never", suggest="never")})
    assert never.mode("urgency", suggestion()) is Mode.SHADOW


@pytest.mark.parametrize("kind", KINDS)
def test_shadow_the_switch_and_a_missing_address_write_nothing(kind: str) -> None:
    desk = desks.settings(kind)
    assert plan(desk, suggestion(), levels({}), REFERENCES[kind]) == ()
    assert plan(desk, suggestion(), levels(on=False), REFERENCES[kind]) == ()
    bare = desks.settings(kind, base_url=None)
    assert plan(bare, suggestion(), levels(), REFERENCES[kind]) == ()


def test_modes_and_thresholds_come_from_the_desk_and_the_playbook() -> None:
    document = load_playbook().document.model_copy(update={"automation": THRESHOLDS})
    made = Levels.of(document, desks.settings("zendesk", automation={"urgency": "apply"}))
    assert made.mode("urgency", suggestion()) is Mode.APPLY
    assert made.mode("issue_type", suggestion()) is Mode.SHADOW
    off = Levels.of(document, desks.settings("zendesk", automation={"urgency": "apply"}), on=False)
    assert off.mode("urgency", suggestion()) is Mode.SHADOW


def test_settings_of_another_desk_are_refused() -> None:
    with pytest.raises(ConfigError):
        plan_writeback("shop", desks.settings("zendesk"), suggestion(), levels(), REFERENCES["zendesk"])


# --- what is written


async def send_all(sender: Sender, made: DeskSettings, requests: tuple[Request, ...]) -> list[Sent]:
    """Send what was planned, in order."""
    return [await sender.send(made, request) for request in requests]


def sent_to(kind: str, how: Levels, **given: Any) -> FakeDesk:
    """Plan, send over a real socket, and return what the desk got."""

    async def run(desk: FakeDesk) -> None:
        reference = given.pop("reference", REFERENCES[kind])
        made = desks.settings(kind, base_url=desk.url, **given)
        async with open_sender() as sender:
            results = await send_all(sender, made, plan(made, suggestion(), how, reference))
        assert all(one.ok for one in results)

    with fake_desk() as desk:
        anyio.run(run, desk)
    return desk


def test_zendesk_gets_merged_tags_and_then_an_internal_comment() -> None:
    desk = sent_to("zendesk", levels(), groups={"billing_vip_email": 360}, fields={"issue_type": "123"},
                   api_user="bot@example.com")  # fmt: skip
    assert [call[:2] for call in desk.calls] == [("PUT", "/api/v2/tickets/42.json")] * 2
    set_there, told = (body["ticket"] for _, _, body in desk.calls)
    assert (set(told), told["comment"]["public"]) == ({"comment"}, False)
    assert set_there == {
        "priority": "high", "group_id": 360, "tags": ["shop", "eu", *OURS],
        "custom_fields": [{"id": 123, "value": "billing_payment"}],
    }  # fmt: skip
    pair = base64.b64decode(desk.headers[0]["authorization"].removeprefix("Basic ")).decode()
    assert pair == "bot@example.com/token:the-key"


def test_in_suggest_only_tags_and_the_note_are_written() -> None:
    desk = sent_to("zendesk", levels(dict.fromkeys(EVERY, Mode.SUGGEST)), groups={"billing_payment": 360},
                   fields={"issue_type": "123"})  # fmt: skip
    tags, note = (body["ticket"] for _, _, body in desk.calls)
    assert (set(tags), set(note)) == ({"tags"}, {"comment"})
    told = note["comment"]["body"]
    assert "urgency: high (95%)" in told
    assert 'Money is wrong. "charged twice"' in told


def test_each_dimension_has_its_own_level() -> None:
    desk = sent_to("zendesk", levels({"urgency": Mode.APPLY, "issue_type": Mode.SUGGEST}),
                   fields={"urgency": "1", "issue_type": "2"})  # fmt: skip
    ticket = desk.calls[0][2]["ticket"]
    assert ticket["priority"] == "high"
    assert ticket["custom_fields"] == [{"id": 1, "value": "high"}]
    assert ticket["tags"] == ["shop", "eu", *OURS[:3]]
    assert "escalation" not in desk.calls[1][2]["ticket"]["comment"]["body"]


def test_freshdesk_gets_numbers_merged_tags_and_a_private_note() -> None:
    desk = sent_to("freshdesk", levels(), groups={"billing_payment": 7}, fields={"escalation": "cf_path",
                   "issue_type": "type"})  # fmt: skip
    (put, post) = desk.calls
    assert put == ("PUT", "/api/v2/tickets/11", {
        "priority": 3, "group_id": 7, "tags": ["shop", "eu", *OURS], "type": "billing_payment",
        "custom_fields": {"cf_path": "billing_payment"}})  # fmt: skip
    assert post[:2] == ("POST", "/api/v2/tickets/11/notes")
    assert post[2]["private"] is True
    assert "<br>" in post[2]["body"]
    assert base64.b64decode(desk.headers[0]["authorization"].split()[1]) == b"the-key:X"


def test_intercom_gets_attributes_known_tags_and_a_note() -> None:
    reference = {**REFERENCES["intercom"], "tag_ids": {"triagedesk_urgency_low": "6"}}
    desk = sent_to("intercom", levels(), fields={"urgency": "triagedesk_urgency"}, reference=reference,
                   tag_ids={"triagedesk": "5", "triagedesk_urgency_high": "7"})  # fmt: skip
    assert [call[:2] for call in desk.calls] == [
        ("PUT", "/conversations/24"), ("POST", "/conversations/24/tags"), ("POST", "/conversations/24/tags"),
        ("DELETE", "/conversations/24/tags/6"), ("POST", "/conversations/24/reply")]  # fmt: skip
    assert desk.calls[0][2] == {
        "custom_attributes": {"triagedesk_urgency": "high", "triagedesk_priority": "priority"}}  # fmt: skip
    assert [call[2] for call in desk.calls[1:4]] == [
        {"id": "5", "admin_id": "814860"}, {"id": "7", "admin_id": "814860"}, {"admin_id": "814860"}]  # fmt: skip
    assert desk.calls[4][2]["message_type"] == "note"
    assert desk.headers[0]["authorization"] == "Bearer the-key"
    assert desk.headers[0]["intercom-version"] == "2.14"


def test_an_intercom_ticket_gets_its_own_attributes() -> None:
    reference = {**REFERENCES["intercom"], "kind": "tickets"}
    desk = sent_to("intercom", levels(), fields={"urgency": "Urgency"}, reference=reference)
    assert desk.calls[0][:2] == ("PUT", "/tickets/24")
    assert desk.calls[0][2]["ticket_attributes"]["Urgency"] == "high"


def test_zammad_gets_fields_each_tag_by_itself_and_an_internal_article() -> None:
    reference = {**REFERENCES["zammad"], "tags": ["shop", "triagedesk", "triagedesk_urgency_low"]}
    desk = sent_to("zammad", levels(), groups={"billing_payment": "Billing"}, fields={"issue_type": "issue"},
                   reference=reference)  # fmt: skip
    put, *tags, article = desk.calls
    assert put == ("PUT", "/api/v1/tickets/81", {"priority": "3 high", "group": "Billing", "issue": "billing_payment"})
    assert [(method, path, body["item"]) for method, path, body in tags] == [
        *(("POST", "/api/v1/tags/add", name) for name in OURS[1:]),
        ("DELETE", "/api/v1/tags/remove", "triagedesk_urgency_low")]  # fmt: skip
    assert tags[0][2] == {"object": "Ticket", "o_id": 81, "item": OURS[1]}
    assert article[:2] == ("POST", "/api/v1/ticket_articles")
    assert (article[2]["ticket_id"], article[2]["internal"], article[2]["type"]) == (81, True, "note")
    assert desk.headers[0]["authorization"] == "Token token=the-key"


def test_chatwoot_gets_merged_labels_a_priority_a_team_and_a_private_message() -> None:
    desk = sent_to("chatwoot", levels(), groups={"billing_payment": 3}, fields={"urgency": "urgency"})
    path = "/api/v1/accounts/1/conversations/17"
    assert desk.calls[:4] == [
        ("POST", f"{path}/labels", {"labels": ["shop", *OURS]}),
        ("POST", f"{path}/toggle_priority", {"priority": "high"}),
        ("POST", f"{path}/assignments", {"team_id": 3}),
        ("POST", f"{path}/custom_attributes", {"custom_attributes": {"urgency": "high"}}),
    ]
    assert desk.calls[4][:2] == ("POST", f"{path}/messages")
    assert desk.calls[4][2]["private"] is True
    assert desk.headers[0]["api_access_token"] == "the-key"


def test_a_generic_desk_gets_one_post() -> None:
    desk = sent_to("generic", levels(), groups={"billing_payment": "billing"}, write_path="/hooks/{id}")
    ((method, path, body),) = desk.calls
    assert (method, path) == ("POST", "/hooks/9")
    assert body.pop("note")["internal"] is True
    assert body == {"ticket_id": "9", "priority": "high", "group": "billing", "tags": ["shop", *OURS]}


@pytest.mark.parametrize("kind", ["zendesk", "freshdesk", "chatwoot"])
def test_where_tags_are_replaced_none_are_sent_unless_those_on_arrival_are_known(kind: str) -> None:
    requests = plan(desks.settings(kind), suggestion(), levels(), {**REFERENCES[kind], "tags": None})
    assert requests
    assert "triagedesk_urgency" not in json.dumps([one.json for one in requests])


@pytest.mark.parametrize("kind", ["zendesk", "freshdesk", "chatwoot", "generic"])
def test_our_tags_of_an_earlier_time_make_way_and_others_stay(kind: str) -> None:
    reference = {**REFERENCES[kind], "tags": ["eu", "triagedesk", "triagedesk_urgency_low"]}
    written = json.dumps([one.json for one in plan(desks.settings(kind), suggestion(), levels(), reference)])
    assert '"eu", "triagedesk", "triagedesk_urgency_high"' in written
    assert "triagedesk_urgency_low" not in written


@pytest.mark.parametrize("kind", ["zendesk", "freshdesk", "zammad", "chatwoot"])
def test_a_priority_that_is_there_already_is_not_written_again(kind: str) -> None:
    desk = desks.settings(kind)
    there = level_table(desk, URGENCIES).priority("high")
    requests = plan(desk, suggestion(), levels(), {**REFERENCES[kind], "priority": there})
    assert '"priority"' not in json.dumps([one.json for one in requests])


ALLOWED = {
    "zendesk": {"ticket", "tags", "comment", "body", "public", "priority", "group_id", "custom_fields", "id", "value"},
    "freshdesk": {"tags", "body", "private", "priority", "group_id", "custom_fields", "c1"},
    "intercom": {"custom_attributes", "c1", "triagedesk_priority", "message_type", "type", "admin_id", "body"},
    "zammad": {"priority", "group_id", "c1", "object", "o_id", "item", "ticket_id", "subject", "body", "content_type",
               "type", "internal"},
    "chatwoot": {"labels", "priority", "team_id", "custom_attributes", "c1", "content", "private"},
    "generic": {"ticket_id", "priority", "group", "tags", "fields", "c1", "note", "body", "internal"},
}  # fmt: skip


def keys(value: object) -> set[str]:
    if isinstance(value, dict):
        return set(value).union(*(keys(inner) for inner in value.values()))
    return set().union(*(keys(inner) for inner in value)) if isinstance(value, list) else set()


@pytest.mark.parametrize("kind", KINDS)
def test_only_fields_of_the_allow_list_are_ever_written_and_nothing_in_public(kind: str) -> None:
    field = "9" if kind == "zendesk" else "c1"
    desk = desks.settings(kind, groups={"billing_payment": 3}, fields={"urgency": field})
    requests = plan(desk, suggestion(), levels(), REFERENCES[kind])
    assert set().union(*(keys(one.json) for one in requests)) <= ALLOWED[kind]
    written = json.dumps([one.json for one in requests])
    assert '"public": true' not in written
    assert '"private": false' not in written
    assert '"internal": false' not in written
    assert "the-key" not in repr(requests) + written


HOSTILE = "<img src=x onerror=alert(1)> [x](http://evil.example) ![](x) @[all](mention://user/1)\x1b[31m\u202e\nline"


@pytest.mark.parametrize("kind", ["freshdesk", "intercom", "chatwoot"])
def test_a_customers_words_are_inert_in_a_note(kind: str) -> None:
    hostile = suggestion(issue_type=choice("billing_payment", quote=HOSTILE))
    note = plan(desks.settings(kind), hostile, levels(), REFERENCES[kind])[-1].json
    text = note.get("body") or note["content"]
    assert "<img" not in text.replace("\\<img", "")
    assert "](" not in text.replace("\\]\\(", "") or kind != "chatwoot"
    assert "\x1b" not in text
    assert "\u202e" not in text


def test_a_long_quote_is_cut() -> None:
    long = suggestion(urgency="high", issue_type=choice("billing_payment", quote="word " * 10_000))
    (_, request) = plan(desks.settings("zendesk"), long, levels(), REFERENCES["zendesk"])
    assert len(request.json["ticket"]["comment"]["body"]) < 2_000


@pytest.mark.parametrize("kind", KINDS)
def test_what_writes_a_note_is_sent_once_and_only_that(kind: str) -> None:
    requests = plan(desks.settings(kind), suggestion(), levels(), REFERENCES[kind])
    assert [one.once for one in requests] == ["charged twice" in json.dumps(one.json) for one in requests]
    assert [one.once for one in requests].count(True) == 1


def test_what_is_planned_survives_a_queue_as_plain_data() -> None:
    for kind in KINDS:
        for request in plan(desks.settings(kind), suggestion(), levels(), REFERENCES[kind]):
            assert Request.of(json.loads(json.dumps(request.as_json()))) == request
            assert "charged" not in repr(request)


# --- from a signed delivery to a written label


@pytest.mark.parametrize("kind", KINDS)
def test_a_delivery_is_read_classified_and_written_back_and_then_it_is_ours(kind: str) -> None:
    suggesting = dict.fromkeys(EVERY, Mode.SUGGEST)

    async def run(desk: FakeDesk) -> None:
        made = desks.settings(kind, base_url=desk.url, automation=suggesting, tag_ids={"triagedesk": "5"})
        found = receive(made, *signed(made, desks.delivery_of(kind)), NOW)
        assert isinstance(found, Inbound)
        assert found.ticket is not None
        triage = Desk(Settings(model="rules"), load_playbook())
        answer = await triage.suggest(found.ticket)
        how = Levels.of(load_playbook().document, made)
        async with open_sender() as sender:
            results = await send_all(sender, made, plan_writeback(found.desk, made, answer, how, found.reference))
        assert results
        assert all(one.ok for one in results)

    with fake_desk() as desk:
        anyio.run(run, desk)
    written = json.dumps([body for _, _, body in desk.calls])
    assert "triagedesk" in written


# --- sending


ONCE = Request("POST", "/notes", {}, {"body": "n"}, once=True)
AGAIN = Request("PUT", "/tickets/1", {}, {"priority": 1})


def send(
    request: Request, *replies: Reply, attempts: int = 3, attempt_s: float = 5.0
) -> tuple[Sent, FakeDesk, list[float]]:
    """Send to a desk that answers so; waits are noted, not waited."""
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    async def run(desk: FakeDesk) -> Sent:
        async with open_sender() as opened:
            sender = Sender(opened._client, attempts=attempts, attempt_s=attempt_s, sleep=sleep, now=lambda: NOW)
            return await sender.send(desks.settings("zendesk", base_url=desk.url), request)

    with fake_desk(*replies) as desk:
        result = anyio.run(run, desk)
    return result, desk, waits


@pytest.mark.parametrize(
    ("status", "reason"),
    [(400, "rejected"), (401, "auth"), (403, "auth"), (404, "not_found"), (410, "not_found"), (422, "rejected"),
     (301, "redirect"), (307, "redirect")],
)  # fmt: skip
def test_a_permanent_failure_is_not_tried_again(status: int, reason: str) -> None:
    result, desk, waits = send(AGAIN, Reply(status, {"Location": "http://127.0.0.1:9/elsewhere"}))
    assert (result.reason, result.transient, result.attempts) == (SendFailure(reason), False, 1)
    assert (len(desk.calls), waits) == (1, [])


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503])
def test_a_transient_failure_is_tried_again_and_the_third_time_works(status: int) -> None:
    result, desk, waits = send(AGAIN, Reply(status), Reply(status))
    assert result == Sent(None, 200, 3)
    assert len(desk.calls) == 3
    assert 0.25 <= waits[0] <= 0.5
    assert 0.5 <= waits[1] <= 1.0


def test_tries_are_bounded_and_the_reason_is_told() -> None:
    result, desk, _ = send(AGAIN, *[Reply(503)] * 9)
    assert (result.reason, result.status, result.attempts, result.transient) == (SendFailure.SERVER_ERROR, 503, 3, True)
    assert len(desk.calls) == 3


def test_retry_after_is_honoured_where_it_fits_and_handed_on_where_it_does_not() -> None:
    result, desk, waits = send(AGAIN, Reply(429, {"Retry-After": "7"}))
    assert (result.ok, waits, len(desk.calls)) == (True, [7.0], 2)
    result, desk, waits = send(AGAIN, Reply(429, {"Retry-After": "60"}))
    assert (result.reason, result.retry_after_s, waits, len(desk.calls)) == (SendFailure.RATE_LIMITED, 60.0, [], 1)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("12", 12.0), ("999999999999", 3600.0), ("-5", None), ("NaN", None), ("soon", None), ("", None), (None, None),
     ("Fri, 02 Jan 2026 03:04:35 GMT", 30.0), ("Fri, 02 Jan 2020 03:04:35 GMT", 0.0), ("١٢", None)],
)  # fmt: skip
def test_a_retry_after_is_read_within_bounds(value: str | None, seconds: float | None) -> None:
    assert retry_after(value, NOW) == seconds


def test_a_note_is_not_sent_twice_when_nobody_knows_whether_it_arrived() -> None:
    for reply in (Reply(500), Reply(breaks=True), Reply(hangs=True)):
        result, desk, _ = send(ONCE, reply, attempt_s=0.3)
        assert (result.reason, result.transient, len(desk.calls)) == (SendFailure.UNKNOWN_OUTCOME, False, 1)
    for reply in (Reply(429), Reply(503)):
        result, desk, _ = send(ONCE, reply)
        assert (result.ok, len(desk.calls)) == (True, 2)


def test_silence_and_broken_connections_are_transient_for_what_may_be_repeated() -> None:
    result, desk, _ = send(AGAIN, Reply(hangs=True), attempt_s=0.3, attempts=1)
    assert (result.reason, result.transient) == (SendFailure.TIMEOUT, True)
    result, desk, _ = send(AGAIN, Reply(breaks=True), Reply())
    assert (result.ok, len(desk.calls)) == (True, 2)


def test_the_body_of_a_reply_is_not_read_and_one_that_tells_its_length_is_refused() -> None:
    result, _, _ = send(AGAIN, Reply(200, {"Content-Length": "500"}), attempt_s=2.0)
    assert result.ok
    result, _, _ = send(AGAIN, Reply(200, {"Content-Length": "999999999"}))
    assert (result.reason, result.transient) == (SendFailure.OVERSIZE, False)


def one(call: Callable[[Sender], Any], **given: Any) -> Any:
    async def run() -> Any:
        async with open_sender(**given) as sender:
            return await call(sender)

    return anyio.run(run)


def test_no_connection_and_no_tls_have_their_names() -> None:
    closed = desks.settings("zendesk", base_url="http://127.0.0.1:9")
    assert one(lambda sender: sender.send(closed, AGAIN), attempts=1).reason is SendFailure.CONNECT
    with fake_desk() as desk:
        plain = desks.settings("zendesk", base_url=desk.url.replace("http:", "https:"))
        found = one(lambda sender: sender.send(plain, AGAIN), attempts=1)
    assert (found.reason, found.transient) == (SendFailure.TLS, False)


@pytest.mark.parametrize("address", ["http://169.254.169.254", "file:///etc/passwd", "http://a:b@127.0.0.1", "x"])
def test_an_address_that_nothing_may_go_to_is_refused(address: str) -> None:
    found = one(lambda sender: sender.send(desks.settings("zendesk", base_url=address), AGAIN))
    assert (found.reason, found.attempts) == (SendFailure.BAD_ADDRESS, 1)


def test_the_switch_stops_what_waits_already() -> None:
    on = [True]

    async def run(desk: FakeDesk) -> Sent:
        async def sleep(_seconds: float) -> None:
            on.clear()

        async with open_sender(allowed=lambda: bool(on), sleep=sleep) as sender:
            return await sender.send(desks.settings("zendesk", base_url=desk.url), AGAIN)

    with fake_desk(Reply(500), Reply(500)) as desk:
        found = anyio.run(run, desk)
    assert (found.reason, len(desk.calls)) == (SendFailure.SWITCHED_OFF, 1)


def test_no_proxy_of_the_environment_is_used_and_nothing_secret_is_logged(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("TRIAGEDESK_LOG", "json")
    secret = Request("PUT", "/tickets/1", {}, {"note": "canary-text"})
    with fake_desk(Reply(401)) as desk:
        made = desks.settings("zendesk", base_url=desk.url, api_token="canary-key", api_user="canary-user")
        found = one(lambda sender: sender.send(made, secret))
    assert found.reason is SendFailure.AUTH
    logged = capfd.readouterr().err
    assert '"auth"' in logged
    assert "canary" not in logged
