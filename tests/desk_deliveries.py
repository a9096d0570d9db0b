"""What the desks send, written by hand after their documentation, and signed as they sign."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from triagedesk.service.desks.proof import sign
from triagedesk.service.desks.receive import ADAPTERS
from triagedesk.service.desks.settings import DeskSettings, Proof, SignatureFormat

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SECRET = "a secret of this test, long enough"
Raw = list[tuple[bytes, bytes]]
Json = dict[str, Any]

LIBRE = SignatureFormat(header="X-Libredesk-Signature", prefix="sha256=")
MAP = {
    "id": "payload.id", "subject": "payload.subject", "body": "payload.text", "tags": "payload.tags",
    "author": "payload.author", "internal": "payload.private", "event": "event",
    "events": "message.created conversation.created", "delivery_id": "uuid", "region": "payload.country",
    "customer_tier": "payload.plan", "messages": "payload.thread", "message_author": "who",
}  # fmt: skip


def settings(kind: str, **given: Any) -> DeskSettings:
    """Return a desk of a kind, with defaults that do."""
    more: Json = {"proof": "header"} if kind == "freshdesk" else {}
    if kind == "generic":
        more = {"signature": LIBRE, "map": MAP, "tiers": {"gold": "vip"}}
    if kind == "intercom":
        more = {"admin_id": "814860"}
    row = {"name": kind, "kind": kind, "secrets": SECRET, "base_url": "http://127.0.0.1:9", "api_token": "the-key"}
    return DeskSettings(**{**row, **more, **given})


def signed(desk: DeskSettings, body: Json | bytes, *, now: datetime = NOW, secret: str = SECRET) -> tuple[Raw, bytes]:
    """Return headers and raw body of a delivery as the desk would send it."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    form = desk.signature or ADAPTERS[desk.kind].signature
    if desk.proof is Proof.HEADER:
        return [(desk.secret_header.encode(), secret.encode())], raw
    assert form is not None
    timestamp = ""
    headers: Raw = [(b"content-type", b"application/json")]
    if form.timestamp_header:
        timestamp = str(int(now.timestamp())) if form.timestamp == "unix" else now.strftime("%Y-%m-%dT%H:%M:%SZ")
        headers.append((form.timestamp_header.lower().encode(), timestamp.encode()))
    return [*headers, (form.header.lower().encode(), sign(form, secret, raw, timestamp).encode())], raw


def zendesk_event(kind: str = "ticket.created", **detail: Any) -> Json:
    """A Zendesk event (A)."""
    return {
        "type": f"zen:event-type:{kind}", "account_id": 22129848, "id": "2b24ef10-19f6-4f1f-9dd7-000000000001",
        "time": "2026-01-02T03:04:00Z", "zendesk_event_version": "2022-11-06", "subject": "zen:ticket:35436",
        "detail": {
            "actor_id": "8447388090494", "assignee_id": None, "created_at": "2026-01-02T03:00:00Z",
            "description": "I was charged twice for order 881.", "id": "35436", "is_public": True, "priority": "low",
            "requester_id": "8447388090494", "status": "NEW", "subject": "Charged twice", "tags": ["shop", "eu"],
            "via": {"channel": "mail"}, **detail,
        },
        "event": {"meta": {"sequence": {"id": "CE4A", "position": 1}}},
    }  # fmt: skip


def zendesk_comment(body: str = "Now my account is closed!", *, staff: bool = False, public: bool = True) -> Json:
    """A Zendesk comment_added."""
    made = zendesk_event("ticket.comment_added")
    author = {"id": "8447388090494", "is_staff": staff, "name": "Somebody"}
    made["event"]["comment"] = {"author": author, "body": body, "id": "8447388090654", "is_public": public}
    return made


def zendesk_trigger(**given: str) -> Json:
    """A trigger's body (B) as the documentation suggests it."""
    return {
        "ticket_id": "42", "subject": "Cannot log in", "description": "The password is not taken.", "channel": "Mail",
        "priority": "Normal", "tags": "shop eu", "requester_email": "a@example.com", "locale": "en-US",
        "created_at": "2026-01-02T03:00:00Z", **given,
    }  # fmt: skip


def freshdesk(**given: Any) -> Json:
    """Freshdesk's simple content."""
    return {"freshdesk_webhook": {
        "triggered_event": "{ticket_action:created}", "ticket_id": "11", "ticket_type": "Incident",
        "ticket_url": "https://desk.example/helpdesk/tickets/11", "ticket_subject": "Test ticket subject",
        "ticket_description": "<div>My <b>parcel</b> never came.</div>", "ticket_status": "Open",
        "ticket_priority": "Low", "requester_name": "Bob", "requester_email": "bob@example.com",
        "ticket_tags": "shop, eu", "ticket_source": "Portal", **given,
    }}  # fmt: skip


def intercom(topic: str = "conversation.user.created", **item: Any) -> Json:
    """An Intercom notification about a conversation."""
    return {
        "type": "notification_event", "app_id": "jv1", "id": "notif_c1a2", "topic": topic, "delivery_attempts": 1,
        "delivered_at": 0, "created_at": int(NOW.timestamp()) - 5,
        "data": {"type": "notification_event_data", "item": {
            "type": "conversation", "id": "24856738516", "created_at": 1767323000, "title": None, "open": True,
            "priority": "not_priority", "tags": {"type": "tag.list", "tags": [{"id": "7", "name": "shop"}]},
            "source": {"type": "email", "id": "1", "delivered_as": "customer_initiated", "subject": "<p>Help</p>",
                       "body": "<p>The app crashes.</p>", "author": {"type": "user", "id": "u", "name": "N"}},
            "custom_attributes": {"plan": "pro"},
            "conversation_parts": {"conversation_parts": []}, **item,
        }},
    }  # fmt: skip


def intercom_part(kind: str, author: str, body: str, when: int) -> Json:
    """A part of an Intercom conversation."""
    return {"id": "9", "part_type": kind, "body": body, "created_at": when, "author": {"type": author, "id": "1"}}


def zammad(*, article: Json | None = None, **ticket: Any) -> Json:
    """Zammad's default body."""
    return {
        "ticket": {
            "id": 81, "number": "10081", "title": "Printer on fire", "priority": {"id": 2, "name": "2 normal"},
            "priority_id": 2, "state": "new", "group": {"id": 1, "name": "Users"}, "created_at": "2026-01-02T03:00:00Z",
            "customer": {"id": 3, "email": "nicole@example.org", "vip": False}, "organization": {"vip": True},
            "updated_at": "2026-01-02T03:04:00Z", "create_article_type": "phone", **ticket,
        },
        "article": {
            "id": 104, "ticket_id": 81, "body": "<p>It burns.</p>", "content_type": "text/html", "sender": "Customer",
            "type": "email", "internal": False, "created_at": "2026-01-02T03:04:00Z",
            "updated_at": "2026-01-02T03:04:00Z", **(article or {}),
        },
    }  # fmt: skip


def chatwoot(**given: Any) -> Json:
    """Chatwoot's message_created; `labels` and `priority` go into the conversation."""
    talk = {name: given.pop(name) for name in ("labels", "priority", "messages") if name in given}
    return {
        "event": "message_created", "id": 555, "content": "Where is my parcel?",
        "created_at": "2026-01-02 03:04:00 UTC",
        "message_type": "incoming", "content_type": "text", "private": False, "content_attributes": {},
        "sender": {"id": 4, "name": "Ann", "type": "contact"}, "inbox": {"id": 2, "name": "Web"},
        "account": {"id": 1, "name": "Shop"},
        "conversation": {
            "id": 17, "inbox_id": 2, "channel": "Channel::WebWidget", "status": "open", "priority": None,
            "labels": ["shop"], "additional_attributes": {"mail_subject": ""}, "created_at": 1767323000,
            "messages": [{"id": 555, "content": "Where is my parcel?", "message_type": 0, "created_at": 1767323040}],
            **talk,
        }, **given,
    }  # fmt: skip


def generic(**payload: Any) -> Json:
    """A desk that nobody knows, read by a map."""
    return {"event": "message.created", "uuid": "d-1", "payload": {
        "id": 9, "subject": "Invoice", "text": "The invoice is wrong.", "tags": ["shop"], "author": "contact",
        "private": False, "country": "DE", "plan": "gold", **payload,
    }}  # fmt: skip


def delivery_of(kind: str) -> Json:
    """Return the plain delivery of a customer's message for a kind of desk."""
    made = {"zendesk": zendesk_event, "freshdesk": freshdesk, "intercom": intercom, "zammad": zammad,
            "chatwoot": chatwoot, "generic": generic}  # fmt: skip
    return made[kind]()
