"""Deliveries of helpdesks: who is believed, what is read, what is left alone."""

from __future__ import annotations

import base64
import json
import random
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as checked
from hypothesis import strategies as st

import desk_deliveries as desks
from desk_deliveries import NOW, SECRET, signed
from triagedesk.errors import ConfigError
from triagedesk.models import Ticket
from triagedesk.playbook import load_playbook
from triagedesk.service.desks.adapter import Ignored, Inbound, Refused
from triagedesk.service.desks.directory import load_desks
from triagedesk.service.desks.payload import MAX_MESSAGES, moment, parse
from triagedesk.service.desks.proof import sign
from triagedesk.service.desks.receive import ADAPTERS, fitted, receive, verify
from triagedesk.service.desks.sender import SendFailure
from triagedesk.service.desks.settings import DeskSettings

KINDS = ("zendesk", "freshdesk", "intercom", "zammad", "chatwoot", "generic")
SIGNING = tuple(kind for kind in KINDS if kind != "freshdesk")


def inbound(desk: DeskSettings, body: dict[str, Any] | bytes) -> Inbound:
    found = receive(desk, *signed(desk, body), NOW)
    assert isinstance(found, Inbound), found
    return found


def ticket(desk: DeskSettings, body: dict[str, Any]) -> Ticket:
    found = inbound(desk, body)
    assert found.ignored is None
    assert found.ticket is not None
    load_playbook().check_ticket(found.ticket)
    return found.ticket


def ignored(kind: str, body: dict[str, Any], **given: Any) -> str | None:
    found = inbound(desks.settings(kind, **given), body)
    assert (found.ticket is None) == (found.ignored is not None)
    return found.ignored


# --- who is believed


VECTORS = [
    pytest.param(
        "zendesk", "dGhpc19zZWNyZXRfaXNfZm9yX3Rlc3Rpbmdfb25seQ==", b'{"ticket_id":"42","title":"Cannot log in"}',
        [(b"x-zendesk-webhook-signature", b"XmMGUr95Z5bv46Oprm0fvBE6G4SafYJU6NZ4xtT1wRs="),
         (b"x-zendesk-webhook-signature-timestamp", b"2026-01-02T03:04:05Z")], id="zendesk"),
    pytest.param(
        "zendesk", "dGhpc19zZWNyZXRfaXNfZm9yX3Rlc3Rpbmdfb25seQ==", b"",
        [(b"X-Zendesk-Webhook-Signature", b"1xsiPKGHFyXedEmvxNaOg4VQ2U4XjHcPMETpJymjCkg="),
         (b"X-Zendesk-Webhook-Signature-Timestamp", b"2026-01-02T03:04:05Z")], id="zendesk-with-an-empty-body"),
    pytest.param(
        "intercom", "test-client-secret", b'{"type":"notification_event","topic":"ping"}',
        [(b"x-hub-signature", b"sha1=a9a86d569c3cf75748b5320b8a71226029b4d0f0")], id="intercom"),
    pytest.param(
        "zammad", "test-token", b'{"ticket":{"id":81},"article":{"id":104}}',
        [(b"x-hub-signature", b"sha1=667ed8813483f000297c6c89f05aba21a97ff5fc")], id="zammad"),
    pytest.param(
        "chatwoot", "test-secret", b'{"event":"message_created","id":1}',
        [(b"x-chatwoot-signature", b"sha256=9f720c77edc799fe1b4efc1a72731661fd364ec98ea832760610caa82a0e2691"),
         (b"x-chatwoot-timestamp", b"1767323045")], id="chatwoot"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "secret", "raw", "headers"), VECTORS)
def test_the_published_signature_is_believed_with_an_old_secret_beside_it(
    kind: str, secret: str, raw: bytes, headers: desks.Raw
) -> None:
    assert verify(desks.settings(kind, secrets=[secret]), headers, raw, NOW) is None
    assert verify(desks.settings(kind, secrets=["the one before", secret]), headers, raw, NOW) is None


@pytest.mark.parametrize(("kind", "secret", "raw", "headers"), VECTORS)
def test_every_header_of_the_proof_must_stand_there_once_and_in_ascii(
    kind: str, secret: str, raw: bytes, headers: desks.Raw
) -> None:
    desk = desks.settings(kind, secrets=secret)
    for name, value in headers:
        others = [header for header in headers if header[0] != name]
        assert verify(desk, others, raw, NOW) is Refused.MISSING_PROOF
        assert verify(desk, [*others, (name, b"")], raw, NOW) is Refused.MISSING_PROOF
        assert verify(desk, [*headers, (name.upper(), value)], raw, NOW) is Refused.DUPLICATE_HEADER
        assert verify(desk, [*others, (name, "ключ".encode())], raw, NOW) is Refused.BAD_PROOF
        assert verify(desk, [*others, (name, b"\xff" + value)], raw, NOW) is Refused.BAD_PROOF


@pytest.mark.parametrize("kind", ["zendesk", "chatwoot"])
@pytest.mark.parametrize(("seconds", "believed"), [(300, True), (-300, True), (301, False), (-301, False)])
def test_a_signed_time_is_believed_within_five_minutes(kind: str, seconds: int, believed: bool) -> None:
    desk = desks.settings(kind)
    headers, raw = signed(desk, desks.delivery_of(kind))
    found = verify(desk, headers, raw, NOW + timedelta(seconds=seconds))
    assert found is (None if believed else Refused.STALE)


@pytest.mark.parametrize("kind", ["intercom", "zammad"])
def test_a_body_that_is_signed_without_a_timestamp_is_refused_when_it_tells_an_old_time(kind: str) -> None:
    desk = desks.settings(kind)
    headers, raw = signed(desk, desks.delivery_of(kind))
    assert isinstance(receive(desk, headers, raw, NOW + timedelta(hours=23)), Inbound)
    assert receive(desk, headers, raw, NOW + timedelta(hours=25)) is Refused.STALE


@pytest.mark.parametrize(
    "value", ["yesterday", "2026-01-02T03:04:05", "9" * 40, "-1", "1e9", "١٧٦٧٣٢٣", "999999999999"]
)
@pytest.mark.parametrize("kind", ["zendesk", "chatwoot"])
def test_a_timestamp_that_is_none_is_refused_even_when_signed(kind: str, value: str) -> None:
    desk = desks.settings(kind)
    form = ADAPTERS[kind].signature
    assert form is not None
    headers = [((form.timestamp_header or "").encode(), value.encode()),
               (form.header.encode(), sign(form, SECRET, b"{}", value).encode())]  # fmt: skip
    assert verify(desk, headers, b"{}", NOW) in (Refused.BAD_TIMESTAMP, Refused.STALE, Refused.BAD_PROOF)


def forged(choose: random.Random, kind: str) -> tuple[desks.Raw, bytes, timedelta]:
    """Return a delivery that somebody tampered with, and how late it comes."""
    desk = desks.settings(kind)
    headers, raw = signed(desk, desks.delivery_of(kind))
    proof = [index for index, (name, _) in enumerate(headers) if name != b"content-type"]
    how = choose.randrange(7)
    index = choose.choice(proof)
    name, value = headers[index]
    if how == 0 and desk.kind != "freshdesk":
        place = choose.randrange(len(raw))
        raw = raw[:place] + bytes([raw[place] ^ (1 << choose.randrange(8))]) + raw[place + 1 :]
    elif how == 1:
        place = choose.randrange(len(value))
        headers[index] = (name, value[:place] + bytes([value[place] ^ (1 << choose.randrange(8))]) + value[place + 1 :])
    elif how == 2:
        del headers[index]
    elif how == 3:
        headers.append((name, choose.choice([value, b"", choose.randbytes(8)])))
    elif how == 4:
        headers, raw = signed(desk, raw, secret=choose.choice(["", "another secret, just as long too", SECRET + " "]))
    elif how == 5 and kind in ("zendesk", "chatwoot"):
        return headers, raw, timedelta(seconds=choose.choice([-1, 1]) * choose.uniform(301, 1e7))
    else:
        headers[index] = (name, value[: choose.randrange(len(value))] or b" ")
    return headers, raw, timedelta()


def test_ten_thousand_forged_or_late_deliveries_are_refused() -> None:
    choose = random.Random(11)
    made = {kind: desks.settings(kind) for kind in KINDS}
    for number in range(10_000):
        kind = KINDS[number % len(KINDS)]
        headers, raw, late = forged(choose, kind)
        found = receive(made[kind], headers, raw, NOW + late)
        assert isinstance(found, Refused), (number, kind)
        assert found.status == 401


@pytest.mark.parametrize("kind", KINDS)
def test_a_replay_has_the_same_delivery_id_whatever_unsigned_headers_say(kind: str) -> None:
    desk = desks.settings(kind)
    headers, raw = signed(desk, desks.delivery_of(kind))
    seen = set()
    for number in range(200):
        unsigned = [(b"x-zammad-delivery", b"%d" % number), (b"x-chatwoot-delivery", b"%d" % number),
                    (b"x-zendesk-webhook-invocation-id", b"%d" % number)]  # fmt: skip
        found = receive(desk, [*headers, *unsigned], raw, NOW + timedelta(seconds=number))
        assert isinstance(found, Inbound)
        seen.add(found.delivery_id)
    assert len(seen) == 1
    assert None not in seen


@checked(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kind=st.sampled_from(SIGNING), names=st.lists(st.binary(max_size=40)), raw=st.binary(max_size=200))
def test_no_headers_and_no_bytes_make_it_raise(kind: str, names: list[bytes], raw: bytes) -> None:
    form = desks.settings(kind).signature or ADAPTERS[kind].signature
    assert form is not None
    for one in names:
        headers = [(form.header.encode(), one), ((form.timestamp_header or "x").encode(), one)]
        assert isinstance(receive(desks.settings(kind), headers, raw, NOW), Refused)
    found = receive(desks.settings(kind), *signed(desks.settings(kind), raw), NOW)
    assert isinstance(found, Refused | Inbound)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


@checked(max_examples=300, deadline=None)
@given(kind=st.sampled_from(KINDS), draw=st.data())
def test_odd_values_anywhere_in_a_believed_body_never_make_it_raise(kind: str, draw: st.DataObject) -> None:
    body = desks.delivery_of(kind)
    place: Any = body
    while isinstance(place, dict) and place:
        key = draw.draw(st.sampled_from(sorted(place)))
        if not isinstance(place[key], dict) or draw.draw(st.booleans()):
            place[key] = draw.draw(JSON)
            break
        place = place[key]
    desk = desks.settings(kind)
    found = receive(desk, *signed(desk, body), NOW)
    assert isinstance(found, Refused | Inbound)


@pytest.mark.parametrize(
    ("proof", "header"),
    [("basic", b"Basic " + base64.b64encode(f"desk:{SECRET}".encode())), ("bearer", f"Bearer {SECRET}".encode())],
)
def test_name_and_password_or_a_bearer_token_prove_a_desk_that_does_not_sign(proof: str, header: bytes) -> None:
    desk = desks.settings("freshdesk", proof=proof, user="desk")
    assert verify(desk, [(b"authorization", header)], b"{}", NOW) is None
    assert verify(desk, [(b"authorization", header[:-2] + b"xx")], b"{}", NOW) is Refused.BAD_PROOF
    assert verify(desk, [(b"authorization", b"Digest " + header)], b"{}", NOW) is Refused.BAD_PROOF
    assert verify(desk, [(b"authorization", header)] * 2, b"{}", NOW) is Refused.DUPLICATE_HEADER
    assert verify(desk, [], b"{}", NOW, SECRET) is Refused.MISSING_PROOF


def test_a_token_in_the_address_proves_only_where_the_settings_say_so() -> None:
    by_path = desks.settings("chatwoot", proof="path")
    assert verify(by_path, [], b"{}", NOW, SECRET) is None
    assert verify(by_path, [], b"{}", NOW, SECRET[:-1]) is Refused.BAD_PROOF
    assert verify(by_path, [], b"{}", NOW, "\udcff") is Refused.BAD_PROOF
    assert verify(by_path, [], b"{}", NOW) is Refused.MISSING_PROOF
    assert verify(desks.settings("chatwoot"), [], b"{}", NOW, SECRET) is Refused.MISSING_PROOF


# --- JSON that is none


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"[]", id="a-list"),
        pytest.param(b'{"a": NaN}', id="NaN"),
        pytest.param(b'{"a": Infinity}', id="infinity"),
        pytest.param(b'{"a": 1, "a": 2}', id="a-key-twice"),
        pytest.param(b'{"a":' * 100_000, id="nested-deeply"),
        pytest.param(b"[" * 200_000, id="lists-nested-deeply"),
        pytest.param(b'{"a": ' + b"9" * 10_000 + b"}", id="a-huge-number"),
        pytest.param(b'{"a": "\xff"}', id="no-utf-8"),
    ],
)
def test_what_is_no_plain_json_object_is_refused_after_it_was_believed(raw: bytes) -> None:
    desk = desks.settings("intercom")
    assert receive(desk, *signed(desk, raw), NOW) is Refused.NOT_JSON


def test_lone_surrogates_are_replaced_and_line_feeds_in_strings_are_borne() -> None:
    body = json.dumps(desks.chatwoot(content="NOTHING works")).replace("NOTHING", "\\ud800\n").encode()
    found = inbound(desks.settings("chatwoot"), body).ticket
    assert found is not None
    assert found.body.endswith("works")
    found.body.encode("utf-8")


# --- what is read


def test_a_zendesk_event_becomes_a_ticket_with_its_tags_in_the_reference() -> None:
    found = inbound(desks.settings("zendesk"), desks.zendesk_event())
    assert found.ticket is not None
    assert (found.ticket.id, found.ticket.subject, found.ticket.channel) == ("zendesk:35436", "Charged twice", "email")
    assert found.delivery_id == "2b24ef10-19f6-4f1f-9dd7-000000000001"
    assert found.reference == {"id": "35436", "tags": ["shop", "eu"], "priority": "low"}
    assert found.ticket.created_at == moment("2026-01-02T03:00:00Z")


def test_a_customers_comment_decides_and_the_description_stays_in_the_thread() -> None:
    found = ticket(desks.settings("zendesk"), desks.zendesk_comment())
    assert found.body == "Now my account is closed!"
    assert [one.body for one in found.messages] == ["I was charged twice for order 881.", "Now my account is closed!"]


def test_a_zendesk_trigger_body_is_read_with_tags_in_one_string() -> None:
    found = inbound(desks.settings("zendesk"), desks.zendesk_trigger(latest_comment="Still not."))
    assert found.reference == {"id": "42", "tags": ["shop", "eu"], "priority": "normal"}
    assert found.ticket is not None
    assert (found.ticket.language, found.ticket.body, len(found.ticket.messages)) == ("en-US", "Still not.", 2)
    assert found.delivery_id is not None
    assert found.delivery_id.startswith("sha256:")


def test_a_trigger_body_with_only_a_title_is_classified_by_it() -> None:
    found = ticket(desks.settings("zendesk"), {"ticket_id": "42", "title": "Cannot log in"})
    assert (found.subject, found.body) == ("", "Cannot log in")


def test_a_trigger_body_with_bare_quotes_is_mended() -> None:
    raw = b'{"ticket_id":"42","subject":"The "big" one","description":"It says "no",\nand stops","tags":"a b"}'
    found = inbound(desks.settings("zendesk"), raw)
    assert found.ticket is not None
    assert (found.ticket.subject, found.ticket.body) == ('The "big" one', 'It says "no",\nand stops')
    assert found.reference["tags"] == ["a", "b"]


@pytest.mark.parametrize(
    "words",
    [
        pytest.param('x","ticket_id":"1', id="valid-JSON-with-the-key-twice"),
        pytest.param('say "x","ticket_id":"1', id="broken-JSON-with-the-key-twice"),
    ],
)
def test_a_customers_words_cannot_name_another_ticket(words: str) -> None:
    desk = desks.settings("zendesk")
    raw = f'{{"ticket_id":"42","subject":"{words}","description":"d"}}'.encode()
    assert receive(desk, *signed(desk, raw), NOW) is Refused.NOT_JSON


def test_freshdesk_passes_html_on_and_reads_what_simple_and_advanced_content_hold() -> None:
    desk = desks.settings("freshdesk")
    wrapped, flat = desks.freshdesk(), desks.freshdesk()["freshdesk_webhook"]
    for body in (wrapped, flat):
        found = inbound(desk, body)
        assert found.reference == {"id": "11", "tags": ["shop", "eu"], "priority": "Low"}
        assert found.ticket is not None
        assert found.ticket.body == "<div>My <b>parcel</b> never came.</div>"
        assert found.ticket.channel == "self_service"


def test_a_freshdesk_body_without_type_or_priority_is_read() -> None:
    body = desks.freshdesk()
    for name in ("ticket_type", "ticket_priority", "ticket_tags", "triggered_event"):
        del body["freshdesk_webhook"][name]
    assert inbound(desks.settings("freshdesk"), body).reference == {"id": "11", "tags": None, "priority": None}


def test_the_newest_customer_part_of_an_intercom_conversation_decides_and_notes_are_left_out() -> None:
    parts = [
        desks.intercom_part("comment", "user", "<p>Nobody can work now!</p>", 1767323030),
        desks.intercom_part("comment", "admin", "<p>We look into it.</p>", 1767323020),
        desks.intercom_part("note", "admin", "<p>He is a pain.</p>", 1767323035),
        desks.intercom_part("comment", "bot", "<p>Hi!</p>", 1767323010),
    ]
    body = desks.intercom("conversation.user.replied", conversation_parts={"conversation_parts": parts})
    found = ticket(desks.settings("intercom"), body)
    assert (found.body, found.subject, found.channel) == ("<p>Nobody can work now!</p>", "Help", "email")
    assert [one.author for one in found.messages] == ["customer", "system", "agent", "customer"]
    assert "pain" not in found.model_dump_json()


def test_the_older_shape_of_intercom_is_read() -> None:
    body = desks.intercom()
    item = body["data"]["item"]
    del item["source"]
    item["conversation_message"] = {"subject": "", "body": "<p>Old but alive</p>", "author": {"type": "user"}}
    assert ticket(desks.settings("intercom"), body).body == "<p>Old but alive</p>"


def test_an_intercom_ticket_is_read_by_its_attributes() -> None:
    told = {"_default_title_": "Broken", "_default_description_": "The screen is black."}
    item = {"type": "ticket", "id": "5", "category": "Customer", "ticket_attributes": told, "source": None}
    body = desks.intercom("ticket.created", **item)
    found = inbound(desks.settings("intercom"), body)
    assert found.ticket is not None
    assert (found.ticket.subject, found.ticket.body) == ("Broken", "The screen is black.")
    assert found.reference["kind"] == "tickets"
    assert ignored("intercom", desks.intercom("ticket.created", **{**item, "category": "Tracker"})) == "not_customer"


def test_zammads_newest_article_decides_and_vips_are_known() -> None:
    found = inbound(desks.settings("zammad"), desks.zammad(escalation_at="2026-01-02T02:00:00Z"))
    assert found.ticket is not None
    assert (found.ticket.body, found.ticket.channel, found.ticket.customer_tier) == ("<p>It burns.</p>", "email", "vip")
    assert found.ticket.due_at == moment("2026-01-02T02:00:00Z")
    assert found.reference == {"id": "81", "tags": None, "priority": "2 normal"}


def test_a_zammad_priority_may_be_a_word() -> None:
    assert inbound(desks.settings("zammad"), desks.zammad(priority="3 high")).reference["priority"] == "3 high"


def test_a_chatwoot_message_carries_the_thread_that_came_with_it() -> None:
    earlier = [
        {"id": 553, "content": "Hello?", "message_type": 0, "created_at": 1767323000},
        {"id": 554, "content": "How can I help?", "message_type": 1, "created_at": 1767323001},
        {"id": 552, "content": "annoying", "message_type": 1, "private": True, "created_at": 1767323002},
        {"id": 555, "content": "Where is my parcel?", "message_type": 0, "created_at": 1767323040},
    ]
    found = ticket(desks.settings("chatwoot"), desks.chatwoot(messages=earlier))
    assert found.body == "Where is my parcel?"
    assert [(one.author, one.body) for one in found.messages] == [
        ("customer", "Hello?"), ("agent", "How can I help?"), ("customer", "Where is my parcel?")]  # fmt: skip


def test_a_generic_desk_is_read_by_its_map() -> None:
    thread = [{"who": "agent", "body": "Which one?"}, {"who": "contact", "body": "Good day"}]
    found = inbound(desks.settings("generic"), desks.generic(thread=thread))
    assert found.ticket is not None
    assert (found.delivery_id, found.reference["id"], found.reference["tags"]) == ("d-1", "9", ["shop"])
    assert found.ticket.body == "The invoice is wrong."
    assert (found.ticket.region, found.ticket.customer_tier) == ("DE", "vip")
    assert [one.author for one in found.ticket.messages] == ["agent", "customer", "customer"]
    assert found.ticket.fields == {}


def test_the_settings_table_names_a_channel_that_we_do_not_know() -> None:
    desk = desks.settings("zendesk", channels={"fax": "email"}, map={"product": "detail.form_id"})
    found = ticket(desk, desks.zendesk_event(via={"channel": "fax"}, form_id=360))
    assert (found.channel, found.product) == ("email", "360")
    assert ticket(desks.settings("zendesk"), desks.zendesk_event(via={"channel": "fax"})).channel is None


def test_a_channel_or_tier_that_the_playbook_does_not_know_is_left_out() -> None:
    found = ticket(desks.settings("zammad"), desks.zammad())
    document = load_playbook().document
    assert fitted(found, document) == found
    smaller = document.model_copy(update={"channels": {}, "tiers": {}})
    assert (fitted(found, smaller).channel, fitted(found, smaller).customer_tier) == (None, None)


def test_a_long_thread_keeps_its_newest_messages() -> None:
    parts = [desks.intercom_part("comment", "user", f"message {n}", 1767323001 + n) for n in range(3 * MAX_MESSAGES)]
    body = desks.intercom("conversation.user.replied", conversation_parts={"conversation_parts": parts})
    found = ticket(desks.settings("intercom"), body)
    assert len(found.messages) == MAX_MESSAGES
    assert found.body == found.messages[-1].body == parts[-1]["body"]


@pytest.mark.parametrize("number", ["../users/1", "1/../../x", "", "a b", "1?x=1", "१", 1.5, True, None, {"id": 1}])
def test_an_id_that_is_none_never_gets_into_a_path(number: object) -> None:
    desk = desks.settings("zammad")
    assert receive(desk, *signed(desk, desks.zammad(id=number)), NOW) is Refused.NOT_UNDERSTOOD


# --- what is left alone


@pytest.mark.parametrize(
    ("kind", "body", "reason"),
    [
        pytest.param("zendesk", desks.zendesk_comment(staff=True), "agent_message", id="zendesk-an-agents-comment"),
        pytest.param("zendesk", desks.zendesk_comment(public=False), "internal_note", id="zendesk-a-private-comment"),
        pytest.param("zendesk", desks.zendesk_event(is_public=False), "internal_note", id="zendesk-a-private-ticket"),
        pytest.param("zendesk", desks.zendesk_event("ticket.tags_changed"), "other_event", id="zendesk-tags-changed"),
        pytest.param("zendesk", desks.zendesk_event(subject="", description=" "), "no_text", id="zendesk-no-text"),
        pytest.param("freshdesk", desks.freshdesk(triggered_event="{note_type:private}"), "internal_note", id="fd-1"),
        pytest.param("freshdesk", desks.freshdesk(triggered_event="{note_type:public}"), "agent_message", id="fd-2"),
        pytest.param("freshdesk", desks.freshdesk(triggered_event="{reply_sent:sent}"), "agent_message", id="fd-reply"),
        pytest.param(
            "freshdesk", desks.freshdesk(triggered_event="{priority:{from:3,to:1}}"), "other_event", id="fd-priority"),
        pytest.param(
            "freshdesk", desks.freshdesk(triggered_event="{status:{from:4,to:6}}"), "other_event", id="fd-status"),
        pytest.param("intercom", {"type": "notification_event", "topic": "ping"}, "ping", id="intercom-ping"),
        pytest.param("intercom", desks.intercom("conversation.admin.noted"), "internal_note", id="intercom-a-note"),
        pytest.param("intercom", desks.intercom("conversation.admin.replied"), "agent_message", id="intercom-a-reply"),
        pytest.param("intercom", desks.intercom("conversation_part.tag.created"), "other_event", id="intercom-a-tag"),
        pytest.param(
            "intercom", desks.intercom(source={"body": "Buy!", "author": {"type": "admin"}}), "not_customer",
            id="intercom-a-campaign"),
        pytest.param("zammad", desks.zammad(article={"internal": True}), "internal_note", id="zammad-internal"),
        pytest.param("zammad", desks.zammad(article={"sender": "Agent"}), "agent_message", id="zammad-agent"),
        pytest.param("zammad", desks.zammad(article={"sender": "System"}), "not_customer", id="zammad-system"),
        pytest.param("zammad", desks.zammad(article={"sender": None}), "not_customer", id="zammad-nobody-says-who"),
        pytest.param("zammad", desks.zammad(article={"body": ""}), "no_text", id="zammad-no-text"),
        pytest.param("zammad", {"ticket": {"id": 81}}, "no_text", id="zammad-a-scheduler-without-an-article"),
        pytest.param("chatwoot", desks.chatwoot(private=True), "internal_note", id="chatwoot-a-private-note"),
        pytest.param("chatwoot", desks.chatwoot(message_type="outgoing"), "agent_message", id="chatwoot-outgoing"),
        pytest.param("chatwoot", desks.chatwoot(message_type="template"), "not_customer", id="chatwoot-template"),
        pytest.param("chatwoot", desks.chatwoot(message_type="activity"), "not_customer", id="chatwoot-activity"),
        pytest.param("chatwoot", desks.chatwoot(content=None), "no_text", id="chatwoot-a-picture-alone"),
        pytest.param("chatwoot", {"event": "conversation_updated", "id": 17}, "other_event", id="chatwoot-updated"),
        pytest.param("generic", desks.generic(private=True), "internal_note", id="generic-private"),
        pytest.param("generic", desks.generic(author="agent"), "agent_message", id="generic-agent"),
        pytest.param("generic", {**desks.generic(), "event": "x"}, "other_event", id="generic-another-event"),
    ],
)  # fmt: skip
def test_what_no_customer_wrote_in_public_is_ignored(kind: str, body: dict[str, Any], reason: str) -> None:
    assert ignored(kind, body) == reason


TAGGED = [
    ("zendesk", desks.zendesk_event(tags=["triagedesk"])),
    ("zendesk", desks.zendesk_trigger(tags="shop triagedesk_urgency_high")),
    ("freshdesk", desks.freshdesk(ticket_tags="shop, Triagedesk")),
    ("intercom", desks.intercom(tags={"tags": [{"id": "8", "name": "triagedesk"}]})),
    ("intercom", desks.intercom(custom_attributes={"triagedesk_urgency": "high"})),
    ("zammad", desks.zammad(tags=["triagedesk"])),
    ("chatwoot", desks.chatwoot(labels=["triagedesk"])),
    ("generic", desks.generic(tags=["triagedesk"])),
]


@pytest.mark.parametrize(("kind", "body"), TAGGED)
def test_a_ticket_with_our_tag_is_ignored(kind: str, body: dict[str, Any]) -> None:
    assert ignored(kind, body) == "own_tag"


def test_with_follow_ups_a_customers_new_message_is_read_though_our_tag_is_there() -> None:
    comment = desks.zendesk_comment()
    comment["detail"]["tags"] = ["triagedesk"]
    assert ignored("zendesk", comment) == "own_tag"
    assert ignored("zendesk", comment, follow_ups=True) is None
    assert ignored("zendesk", desks.zendesk_event(tags=["triagedesk"]), follow_ups=True) == "own_tag"
    assert ignored("chatwoot", desks.chatwoot(labels=["triagedesk"]), follow_ups=True) is None
    assert ignored("chatwoot", desks.chatwoot(labels=["triagedesk"], private=True), follow_ups=True) == "internal_note"


# --- how desks are connected


def desks_file(folder: Path, text: str) -> Path:
    file = folder / "desks.yaml"
    file.write_text(text, encoding="utf-8")
    return file


def test_a_file_names_desks_and_secrets_come_from_the_environment_or_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DESK_SECRET", SECRET)
    (tmp_path / "token").write_text("the-key\n", encoding="utf-8")
    found = load_desks(desks_file(tmp_path, f"""
desks:
  shop:
    kind: zendesk
    secrets: [env:DESK_SECRET, the older one]
    base_url: https://shop.zendesk.com
    api_token: file:{tmp_path}/token
    automation: {{urgency: apply, issue_type: suggest}}
"""))  # fmt: skip
    assert found["shop"].secrets[0].get_secret_value() == SECRET
    assert found["shop"].api_token is not None
    assert found["shop"].api_token.get_secret_value() == "the-key"
    assert SECRET not in repr(found)


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ("kind: zendesk, secrets: short", "secrets"),
        ("kind: zendesk, secrets: env:NOT_SET_ANYWHERE", "environment variable"),
        ("kind: freshdesk, secrets: canary-canary", "does not sign"),
        ("kind: freshdesk, proof: path, secrets: canary-canary", "at least 24"),
        ("kind: freshdesk, proof: basic, secrets: canary-canary", "needs user"),
        ("kind: intercom, proof: path, secrets: canary-canary-canary-canary", "intercom can do signature"),
        ("kind: generic, secrets: canary-canary", "needs signature"),
        ("kind: zendesk, secrets: canary-canary, signature: {header: X}", "generic"),
        ("kind: zendesk, secrets: canary-canary, base_url: 'http://169.254.169.254', api_token: canary", "metadata"),
        ("kind: zendesk, secrets: canary-canary, base_url: 'https://x.example'", "api_token"),
        ("kind: zendesk, secrets: canary-canary, api_token: \"canary\\r\\nHost: x\"", "no header can carry"),
        ("kind: zendesk, secrets: canary-canary, automation: {urgency: all}", "automation"),
        ("kind: helpspot, secrets: canary-canary", "kind"),
    ],
)  # fmt: skip
def test_settings_that_cannot_be_used_are_told_in_one_line_without_the_secret(
    tmp_path: Path, row: str, told: str
) -> None:
    with pytest.raises(ConfigError) as raised:
        load_desks(desks_file(tmp_path, f"desks: {{shop: {{{row}}}}}"))
    assert told in str(raised.value)
    assert "shop" in str(raised.value)
    assert "canary" not in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("text", ["", "desks: 3", "[", "shop: {}", "desks: {shop: 3}", "desks: {shop: {1: 2}}"])
def test_a_file_that_names_no_desks_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError):
        load_desks(desks_file(tmp_path, text))


def test_the_example_of_the_documentation_can_be_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = (Path(__file__).parents[1] / "docs" / "desks.md").read_text(encoding="utf-8")
    text = told.split("```yaml\n")[1].split("```")[0]
    for line in text.splitlines():
        for word in line.replace(",", " ").replace("[", " ").replace("]", " ").split():
            if word.startswith("env:"):
                monkeypatch.setenv(word[4:], "s" * 32)
    found = load_desks(desks_file(tmp_path, text))
    assert {one.kind for one in found.values()} == set(KINDS)


def test_the_documentation_names_every_reason() -> None:
    told = (Path(__file__).parents[1] / "docs" / "desks.md").read_text(encoding="utf-8")
    for one in (*Refused, *Ignored, *SendFailure):
        assert f"`{one.value}`" in told


def test_a_parsed_body_is_an_object() -> None:
    assert parse(b'\xef\xbb\xbf{"a": 1}') == {"a": 1}
    assert parse(b"3") is None
