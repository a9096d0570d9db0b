"""Chatwoot: account webhooks; only a customer's public message counts. Its labels are replaced, so they are merged."""

from __future__ import annotations

from typing import Any

from triagedesk.service.desks import note, payload
from triagedesk.service.desks.adapter import Adapter, Change, Ignored, Inbound, Json, NotUnderstood, Request
from triagedesk.service.desks.settings import DeskSettings, Proof, SignatureFormat

# github.com/chatwoot/chatwoot/pull/13573: HMAC-SHA256 of the webhook's secret over "{timestamp}.{raw body}"
SIGNATURE = SignatureFormat(
    header="X-Chatwoot-Signature", prefix="sha256=", timestamp_header="X-Chatwoot-Timestamp", separator=".",
)  # fmt: skip
PRIORITIES = ("urgent", "high", "medium", "low")
CHANNELS = {
    "Channel::WebWidget": "live_chat", "Channel::Email": "email", "Channel::TwilioSms": "live_chat",
    "Channel::Sms": "live_chat", "Channel::Whatsapp": "social_media", "Channel::Telegram": "social_media",
    "Channel::Line": "social_media", "Channel::FacebookPage": "social_media", "Channel::Instagram": "social_media",
    "Channel::TwitterProfile": "social_media", "Channel::Voice": "voice",
}  # fmt: skip
_NUMBERED: dict[object, str] = {0: "incoming", 1: "outgoing", 2: "activity", 3: "template"}


def read(settings: DeskSettings, body: Json, raw: bytes) -> Inbound:
    """Read a message_created; every other event is one that our own writing may have caused."""
    if payload.text(body.get("event")) != "message_created":
        return Inbound(settings.name, payload.digest(raw), None, Ignored.OTHER_EVENT)
    talk = body.get("conversation")
    account = payload.identifier(payload.at(body, "account.id"))
    delivery = f"message:{account}:{payload.identifier(body.get('id'))}"
    if not isinstance(talk, dict):
        raise NotUnderstood
    labels = payload.tags(talk.get("labels"))
    reference = {
        "id": payload.identifier(talk.get("id")), "account": account, "tags": labels,
        "priority": payload.text(talk.get("priority")) or None,
    }  # fmt: skip
    ignored = _why_not(settings, body, labels)
    if ignored is not None:
        return Inbound(settings.name, delivery, None, ignored, reference)
    word = payload.text(talk.get("channel"))
    facts = {
        "subject": payload.at(body, "content_attributes.email.subject")
        or payload.at(talk, "additional_attributes.mail_subject"),
        "channel": word if word in settings.channels else CHANNELS.get(word),
        "created_at": talk.get("created_at") or body.get("created_at"),
    }
    newest = payload.message("customer", body.get("content"), body.get("created_at"))
    if newest is None:  # a picture alone, of an old mail with a subject too
        return Inbound(settings.name, delivery, None, Ignored.NO_TEXT, reference)
    return payload.build(settings, body, delivery, reference, facts, payload.thread(*_earlier(body, talk), newest))


def _why_not(settings: DeskSettings, body: Json, labels: list[str] | None) -> Ignored | None:
    if body.get("private") is not False and body.get("private") is not None:
        return Ignored.INTERNAL_NOTE
    kind = _kind(body)
    if kind == "outgoing" or payload.text(payload.at(body, "sender.type")).lower() == "user":
        return Ignored.AGENT_MESSAGE
    if kind != "incoming" or "bot" in payload.text(payload.at(body, "sender.type")).lower():
        return Ignored.NOT_CUSTOMER
    return Ignored.OWN_TAG if payload.is_ours(settings, labels) and not settings.follow_ups else None


def _kind(row: Json) -> str:
    kind: Any = row.get("message_type")
    return _NUMBERED.get(kind, "") if isinstance(kind, int) else payload.text(kind)


def _earlier(body: Json, talk: Json) -> list[Any]:
    """Return what the conversation shows beside the message itself, without private notes."""
    listed = talk.get("messages")
    rows = [row for row in listed if isinstance(row, dict)] if isinstance(listed, list) else []
    others = [row for row in rows if row.get("id") != body.get("id") and row.get("private") is not True]
    authors = {"incoming": "customer", "outgoing": "agent"}
    return [
        payload.message(authors.get(_kind(row), "system"), row.get("content"), row.get("created_at")) for row in others
    ]


def requests(_settings: DeskSettings, change: Change, reference: Json) -> tuple[Request, ...]:
    """Return one call each for labels, priority, team, attributes and the private message."""
    path = f"/api/v1/accounts/{reference['account']}/conversations/{reference['id']}"
    made = []
    if change.tags and reference.get("tags") is not None:
        made.append(Request("POST", f"{path}/labels", {}, {"labels": list(change.tags)}))
    if change.priority is not None and change.priority != reference.get("priority"):
        made.append(Request("POST", f"{path}/toggle_priority", {}, {"priority": change.priority}))
    if change.group is not None:
        made.append(Request("POST", f"{path}/assignments", {}, {"team_id": change.group}))
    if change.fields:
        made.append(Request("POST", f"{path}/custom_attributes", {}, {"custom_attributes": dict(change.fields)}))
    if change.note:
        told = {"content": note.as_markdown(change.note), "private": True}
        made.append(Request("POST", f"{path}/messages", {}, told, once=True))
    return tuple(made)


def authorise(settings: DeskSettings) -> dict[str, str]:
    """Return Chatwoot's own header."""
    return {"api_access_token": settings.api_token.get_secret_value() if settings.api_token else ""}


ADAPTER = Adapter(
    "chatwoot", (Proof.SIGNATURE, Proof.PATH), SIGNATURE, PRIORITIES, read, requests, authorise,
)  # fmt: skip
