"""Freshdesk: bodies of automation rules, which are not signed; its own words for events, which are not JSON."""

from __future__ import annotations

import base64

from triagedesk.service.desks import note, payload
from triagedesk.service.desks.adapter import Adapter, Change, Ignored, Inbound, Json, Request
from triagedesk.service.desks.settings import DeskSettings, Proof

PRIORITIES = ("Urgent", "High", "Medium", "Low")
CODES = {"Low": 1, "Medium": 2, "High": 3, "Urgent": 4}
"""The numbers of the REST API and of `{priority:{from:3,to:1}}`."""

CHANNELS = {
    "1": "email", "email": "email", "2": "self_service", "portal": "self_service", "3": "voice", "phone": "voice",
    "7": "live_chat", "chat": "live_chat", "9": "self_service", "feedback widget": "self_service",
    "facebook": "social_media", "twitter": "social_media", "whatsapp": "social_media",
}  # fmt: skip


def read(settings: DeskSettings, body: Json, raw: bytes) -> Inbound:
    """Read simple content (all under `freshdesk_webhook`) or advanced content with the same keys at the top."""
    inner = body.get("freshdesk_webhook")
    row = inner if isinstance(inner, dict) else body
    delivery = payload.digest(raw)
    ignored = event(payload.text(row.get("triggered_event")))
    tags = payload.tags(row.get("ticket_tags"))
    if ignored is None and payload.is_ours(settings, tags) and not _follow_up(settings, row):
        ignored = Ignored.OWN_TAG
    if ignored is Ignored.OTHER_EVENT and not row.get("ticket_id"):
        return Inbound(settings.name, delivery, None, ignored)
    priority = payload.text(row.get("ticket_priority")).strip()
    reference = {"id": payload.identifier(row.get("ticket_id")), "tags": tags, "priority": priority or None}
    if ignored is not None:
        return Inbound(settings.name, delivery, None, ignored, reference)
    source = payload.text(row.get("ticket_source")).strip()
    facts = {
        "subject": row.get("ticket_subject"), "created_at": row.get("ticket_created_at"),
        "channel": source if source in settings.channels else CHANNELS.get(source.lower()),
    }  # fmt: skip
    first = payload.message("customer", row.get("ticket_description"))
    last = payload.message("customer", row.get("ticket_latest_comment"))
    return payload.build(settings, row, delivery, reference, facts, payload.thread(first, last))


def _follow_up(settings: DeskSettings, row: Json) -> bool:
    return settings.follow_ups and bool(payload.text(row.get("ticket_latest_comment")).strip())


def event(triggered: str) -> Ignored | None:
    """Return why an event is none of a customer's; a rule that sends none is taken at its word."""
    plain = "".join(triggered.lower().split()).strip("{}")
    name, _, rest = plain.partition(":")
    if name in ("", "ticket_action"):
        return None if rest in ("", "created") else Ignored.OTHER_EVENT
    if name == "note_type":
        return Ignored.INTERNAL_NOTE if rest == "private" else Ignored.AGENT_MESSAGE
    return Ignored.AGENT_MESSAGE if name == "reply_sent" else Ignored.OTHER_EVENT


def requests(_settings: DeskSettings, change: Change, reference: Json) -> tuple[Request, ...]:
    """Return the PUT of the fields and the POST of the note. Tags are replaced: without those seen, none are sent."""
    path = f"/api/v2/tickets/{reference['id']}"
    row: Json = {}
    if change.priority is not None and change.priority != reference.get("priority"):
        row["priority"] = CODES.get(change.priority, change.priority)
    if change.group is not None:
        row["group_id"] = change.group
    if change.tags and reference.get("tags") is not None:
        row["tags"] = list(change.tags)
    custom = {key: value for key, value in change.fields.items() if key != "type"}
    if custom:
        row["custom_fields"] = custom
    if "type" in change.fields:
        row["type"] = change.fields["type"]
    made = [Request("PUT", path, {}, row)] if row else []
    if change.note:
        told = {"body": note.as_html(change.note), "private": True}
        made.append(Request("POST", f"{path}/notes", {}, told, once=True))
    return tuple(made)


def authorise(settings: DeskSettings) -> dict[str, str]:
    """Return basic authentication with the key as name, as Freshdesk wants it."""
    secret = settings.api_token.get_secret_value() if settings.api_token else ""
    return {"Authorization": f"Basic {base64.b64encode(f'{secret}:X'.encode()).decode()}"}


ADAPTER = Adapter(
    "freshdesk", (Proof.HEADER, Proof.PATH, Proof.BASIC, Proof.BEARER), None, PRIORITIES, read, requests, authorise,
)  # fmt: skip
