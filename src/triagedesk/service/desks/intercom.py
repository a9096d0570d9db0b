"""Intercom: notifications of an app about conversations and tickets; two priorities, so labels travel as attributes."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from triagedesk.models import Message
from triagedesk.service.desks import note, payload
from triagedesk.service.desks.adapter import Adapter, Change, Ignored, Inbound, Json, NotUnderstood, Request
from triagedesk.service.desks.settings import DeskSettings, Proof, SignatureFormat

SIGNATURE = SignatureFormat(header="X-Hub-Signature", algorithm="sha1", prefix="sha1=")
PRIORITIES = ("priority", "not_priority")
API = {"Intercom-Version": "2.14"}
READ = ("conversation.user.created", "conversation.user.replied", "ticket.created")
TALK = {"conversation.admin.noted": Ignored.INTERNAL_NOTE, "conversation.admin.replied": Ignored.AGENT_MESSAGE,
        "conversation.admin.single.created": Ignored.AGENT_MESSAGE, "ping": Ignored.PING}  # fmt: skip
CHANNELS = {
    "conversation": "live_chat", "push": "live_chat", "email": "email", "phone_call": "voice", "phone_switch": "voice",
    "facebook": "social_media", "instagram": "social_media", "twitter": "social_media", "whatsapp": "social_media",
    "sms": "live_chat",
}  # fmt: skip
_AUTHORS = {"user": "customer", "lead": "customer", "contact": "customer", "admin": "agent", "team": "agent"}


def sent_at(body: Json) -> datetime | None:
    """Return when the notification was made: it is signed with the body, and no header tells a time."""
    return payload.moment(body.get("created_at"))


def read(settings: DeskSettings, body: Json, raw: bytes) -> Inbound:
    """Read a notification about a conversation or a ticket."""
    topic = payload.text(body.get("topic"))
    delivery = payload.text(body.get("id"))[:200] or payload.digest(raw)
    if topic not in READ:
        return Inbound(settings.name, delivery, None, TALK.get(topic, Ignored.OTHER_EVENT))
    item = payload.at(body, "data.item")
    if not isinstance(item, dict):
        raise NotUnderstood
    reference = _reference(settings, item)
    follow_up = settings.follow_ups and topic.endswith("replied")
    if _ours(settings, item) and not follow_up:
        return Inbound(settings.name, delivery, None, Ignored.OWN_TAG, reference)
    if item.get("type") == "ticket":
        return _ticket(settings, body, item, delivery, reference)
    messages = _thread(item)
    if messages and not any(one.author == "customer" for one in messages):
        return Inbound(settings.name, delivery, None, Ignored.NOT_CUSTOMER, reference)
    source = item.get("source") if isinstance(item.get("source"), dict) else item.get("conversation_message")
    subject = payload.text(payload.at(source, "subject")) or payload.text(item.get("title"))
    facts = {
        "subject": subject.removeprefix("<p>").removesuffix("</p>"), "created_at": item.get("created_at"),
        "channel": _channel(settings, payload.at(source, "type")),
    }  # fmt: skip
    return payload.build(settings, body, delivery, reference, facts, messages)


def _ticket(settings: DeskSettings, body: Json, item: Json, delivery: str, reference: Json) -> Inbound:
    if payload.text(item.get("category")) not in ("", "Customer"):
        return Inbound(settings.name, delivery, None, Ignored.NOT_CUSTOMER, reference)
    told = item.get("ticket_attributes")
    first = payload.message("customer", payload.at(told, "_default_description_"), item.get("created_at"))
    facts = {"subject": payload.at(told, "_default_title_"), "created_at": item.get("created_at")}
    return payload.build(settings, body, delivery, reference, facts, payload.thread(first))


def _thread(item: Json) -> tuple[Message, ...]:
    """Return the source (of the older shape too) and the parts that were said to the customer or by them."""
    source = item.get("source")
    if not isinstance(source, dict):
        source = item.get("conversation_message")
    opening = _message({**source, "created_at": item.get("created_at")}) if isinstance(source, dict) else None
    parts = payload.at(item, "conversation_parts.conversation_parts")
    said = [_message(part) for part in parts if isinstance(part, dict)] if isinstance(parts, list) else []
    return payload.thread(opening, *said)


def _message(part: Json) -> Message | None:
    if payload.text(part.get("part_type")) == "note" or part.get("redacted") is True:
        return None
    author = _AUTHORS.get(payload.text(payload.at(part, "author.type")), "system")
    return payload.message(author, part.get("body"), part.get("created_at"))


def _channel(settings: DeskSettings, value: object) -> str | None:
    word = payload.text(value).strip()
    return word if word in settings.channels else CHANNELS.get(word.lower())


def _ours(settings: DeskSettings, item: Json) -> bool:
    """Look for our tag, and for our attributes, which are set even where no tag can be."""
    names = [*(payload.tags(item.get("tags")) or ())]
    for key in ("custom_attributes", "ticket_attributes"):
        attributes = item.get(key)
        names += [name for name, value in attributes.items() if value] if isinstance(attributes, dict) else []
    return payload.is_ours(settings, names)


def _reference(settings: DeskSettings, item: Json) -> Json:
    kind = "tickets" if item.get("type") == "ticket" else "conversations"
    listed = payload.at(item, "tags.tags")
    tags: list[Any] = listed if isinstance(listed, list) else []
    ids = {payload.text(one.get("name")): payload.text(one.get("id")) for one in tags if isinstance(one, dict)}
    ours = {name: number for name, number in ids.items() if name.lower().startswith(settings.tag_prefix) and number}
    return {
        "id": payload.identifier(item.get("id")), "kind": kind, "tags": payload.tags(item.get("tags")),
        "priority": payload.text(item.get("priority")) or None,
        "tag_ids": {name: payload.identifier(number) for name, number in ours.items()},
    }  # fmt: skip


def requests(settings: DeskSettings, change: Change, reference: Json) -> tuple[Request, ...]:
    """Return the PUT of attributes, one call for each tag whose id is known, and the note.

    Intercom's two priorities cannot be set by its API; `priority` names what an inbox rule should do of an attribute.
    """
    path = f"/{reference['kind']}/{reference['id']}"
    made = []
    attributes = dict(change.fields)
    if change.priority is not None:
        attributes[f"{settings.tag_prefix}_priority"] = change.priority
    if attributes:
        key = "ticket_attributes" if reference["kind"] == "tickets" else "custom_attributes"
        made.append(Request("PUT", path, API, {key: attributes}))
    made += _tags(settings, change, reference, path)
    if change.note:
        told = {"message_type": "note", "type": "admin", "admin_id": settings.admin_id,
                "body": note.as_html(change.note)}  # fmt: skip
        made.append(Request("POST", f"{path}/reply", API, told, once=True))
    return tuple(made)


def _tags(settings: DeskSettings, change: Change, reference: Json, path: str) -> list[Request]:
    """Add our tags whose ids the settings know, and take off ours of an earlier time."""
    who = {"admin_id": settings.admin_id}
    seen = reference.get("tag_ids") or {}
    new = [name for name in change.tags if name in settings.tag_ids and name not in seen]
    old = [number for name, number in seen.items() if change.tags and name not in change.tags]
    added = [Request("POST", f"{path}/tags", API, {"id": settings.tag_ids[name], **who}) for name in new]
    return added + [Request("DELETE", f"{path}/tags/{number}", API, who) for number in old]


def authorise(settings: DeskSettings) -> dict[str, str]:
    """Return the bearer token."""
    return {"Authorization": f"Bearer {settings.api_token.get_secret_value() if settings.api_token else ''}"}


ADAPTER = Adapter(
    "intercom", (Proof.SIGNATURE,), SIGNATURE, PRIORITIES, read, requests, authorise, sent_at,
)  # fmt: skip
