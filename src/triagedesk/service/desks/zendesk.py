"""Zendesk: event subscriptions (A) and trigger bodies (B), signed alike; fields and note are written back apart."""

from __future__ import annotations

import base64
from typing import Any

from triagedesk.models import Message
from triagedesk.service.desks import note, payload
from triagedesk.service.desks.adapter import Adapter, Change, Ignored, Inbound, Json, Request
from triagedesk.service.desks.settings import DeskSettings, Proof, SignatureFormat

# developer.zendesk.com/documentation/webhooks/verifying: base64(HMAC-SHA256(secret, timestamp + raw body))
SIGNATURE = SignatureFormat(
    header="x-zendesk-webhook-signature", encoding="base64",
    timestamp_header="x-zendesk-webhook-signature-timestamp", timestamp="iso",
)  # fmt: skip
PRIORITIES = ("urgent", "high", "normal", "low")
CHANNELS = {
    "web": "self_service", "web form": "self_service", "help_center": "self_service", "api": None, "web service": None,
    "mail": "email", "chat": "live_chat", "chat_transcript": "live_chat", "native_messaging": "live_chat",
    "messaging": "live_chat", "web widget": "self_service", "web_widget": "self_service", "mobile_sdk": "self_service",
    "phone": "voice", "voice": "voice", "phone call (incoming)": "voice", "voicemail": "voice",
    "facebook": "social_media", "facebook post": "social_media", "twitter": "social_media", "x": "social_media",
    "instagram_dm": "social_media", "whatsapp": "social_media",
}  # fmt: skip
_EVENT = "zen:event-type:"
_TEMPLATE_KEYS = ("ticket_id", "subject", "title", "description", "latest_comment", "channel", "priority", "tags",
                  "requester_email", "locale", "created_at", "updated_at")  # fmt: skip


def read(settings: DeskSettings, body: Json, raw: bytes) -> Inbound:
    """Read an event (A) or the body that a trigger's template makes (B)."""
    kind = payload.text(body.get("type"))
    return _event(settings, body, kind, raw) if kind.startswith(_EVENT) else _trigger(settings, body, raw)


def _event(settings: DeskSettings, body: Json, kind: str, raw: bytes) -> Inbound:
    delivery = payload.text(body.get("id"))[:200] or payload.digest(raw)
    name, detail = kind.removeprefix(_EVENT), body.get("detail")
    if name not in ("ticket.created", "ticket.comment_added") or not isinstance(detail, dict):
        return Inbound(settings.name, delivery, None, Ignored.OTHER_EVENT)
    tags = payload.tags(detail.get("tags"), " ")
    reference = _reference(detail.get("id"), tags, detail.get("priority"))
    comment = payload.at(body, "event.comment") if name == "ticket.comment_added" else None
    ignored = _why_not(settings, name, detail, comment, tags)
    if ignored is not None:
        return Inbound(settings.name, delivery, None, ignored, reference)
    created = detail.get("created_at")
    first = payload.message("customer", detail.get("description"), created)
    facts = {
        "subject": detail.get("subject"),
        "channel": channel(settings, payload.at(detail, "via.channel")),
        "created_at": created,
    }
    return payload.build(settings, body, delivery, reference, facts, _thread(first, comment, body))


def _why_not(settings: DeskSettings, name: str, detail: Json, comment: Any, tags: list[str] | None) -> Ignored | None:
    if name == "ticket.comment_added":
        if payload.at(comment, "is_public") is not True:
            return Ignored.INTERNAL_NOTE
        if payload.at(comment, "author.is_staff") is not False:
            return Ignored.AGENT_MESSAGE
    elif detail.get("is_public") is False:
        return Ignored.INTERNAL_NOTE
    follow_up = settings.follow_ups and name == "ticket.comment_added"
    return Ignored.OWN_TAG if payload.is_ours(settings, tags) and not follow_up else None


def _thread(first: Message | None, comment: Any, body: Json) -> tuple[Message, ...]:
    if not isinstance(comment, dict):
        return payload.thread(first)
    return payload.thread(first, payload.message("customer", comment.get("body"), body.get("time")))


def _trigger(settings: DeskSettings, body: Json, raw: bytes) -> Inbound:
    """Read a trigger's body: every value is text, and tags stand in one string."""
    delivery, tags = payload.digest(raw), payload.tags(body.get("tags"), " ")
    reference = _reference(body.get("ticket_id"), tags, body.get("priority"))
    if payload.is_ours(settings, tags):
        return Inbound(settings.name, delivery, None, Ignored.OWN_TAG, reference)
    first = payload.message("customer", body.get("description"))
    last = payload.message("customer", body.get("latest_comment"))
    facts = {
        "subject": body.get("subject", body.get("title")), "channel": channel(settings, body.get("channel")),
        "language": body.get("locale"), "created_at": body.get("created_at"),
    }  # fmt: skip
    same = first is not None and last is not None and last.body.strip() == first.body.strip()
    return payload.build(settings, body, delivery, reference, facts, payload.thread(first, None if same else last))


def channel(settings: DeskSettings, value: object) -> str | None:
    """Return the playbook's channel for Zendesk's; None for one that says nothing about how the customer wrote."""
    word = payload.text(value).strip()
    return word if word in settings.channels else CHANNELS.get(word.lower(), "email" if word == "email" else None)


def _reference(number: object, tags: list[str] | None, priority: object) -> Json:
    return {
        "id": payload.identifier(number),
        "tags": tags,
        "priority": payload.text(priority).strip().lower() or None,
    }


def mend(raw: bytes) -> Json | None:
    """Read a trigger's body whose values hold bare quotes, as templates produce them; None where it is ambiguous.

    Each of our keys may stand once: what looks like a key within a customer's words makes the body unreadable.
    """
    try:
        source = raw.decode("utf-8").strip()
    except UnicodeDecodeError:
        return None
    marks = [(f'"{key}":"', key) for key in _TEMPLATE_KEYS]
    if not (source.startswith("{") and source.endswith('"}')) or any(source.count(mark) > 1 for mark, _ in marks):
        return None
    places = sorted((source.find(mark), mark, key) for mark, key in marks if mark in source)
    made: Json = {}
    for (start, mark, key), (end, *_) in zip(places, [*places[1:], (len(source), "", "")], strict=True):
        value = source[start + len(mark) : end]
        closing = '"}' if end == len(source) else '",'
        if not value.rstrip().endswith(closing):
            return None
        made[key] = value.rstrip().removesuffix(closing).replace('\\"', '"').replace("\\n", "\n")
    return made if source.startswith('{"') and places and places[0][0] == 1 else None


def requests(_settings: DeskSettings, change: Change, reference: Json) -> tuple[Request, ...]:
    """Return the PUT that sets what may be set twice, and the one that adds the comment, which may not.

    Tags are replaced there: those seen on arrival are sent along.
    """
    ticket: Json = {}
    if change.priority is not None and change.priority != reference.get("priority"):
        ticket["priority"] = change.priority
    if change.group is not None:
        ticket["group_id"] = change.group
    if change.tags and reference.get("tags") is not None:
        ticket["tags"] = list(change.tags)
    if change.fields:
        ticket["custom_fields"] = [{"id": _number(key), "value": value} for key, value in change.fields.items()]
    path = f"/api/v2/tickets/{reference['id']}.json"
    made = [Request("PUT", path, {}, {"ticket": ticket})] if ticket else []
    if change.note:
        comment = {"body": note.plain(change.note), "public": False}
        made.append(Request("PUT", path, {}, {"ticket": {"comment": comment}}, once=True))
    return tuple(made)


def _number(key: str) -> int | str:
    return int(key) if key.isascii() and key.isdigit() else key


def authorise(settings: DeskSettings) -> dict[str, str]:
    """Return basic authentication of `EMAIL/token`, or a bearer token where no agent is named."""
    secret = settings.api_token.get_secret_value() if settings.api_token else ""
    if not settings.api_user:
        return {"Authorization": f"Bearer {secret}"}
    pair = base64.b64encode(f"{settings.api_user.removesuffix('/token')}/token:{secret}".encode()).decode()
    return {"Authorization": f"Basic {pair}"}


ADAPTER = Adapter(
    "zendesk", (Proof.SIGNATURE,), SIGNATURE, PRIORITIES, read, requests, authorise, mend=mend,
)  # fmt: skip
