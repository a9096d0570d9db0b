"""Zammad: what its triggers send about a ticket and its newest article; three priorities, tags one by one."""

from __future__ import annotations

from datetime import datetime

from triagedesk.service.desks import note, payload
from triagedesk.service.desks.adapter import Adapter, Change, Ignored, Inbound, Json, NotUnderstood, Request
from triagedesk.service.desks.settings import DeskSettings, Proof, SignatureFormat

# zammad lib/user_agent.rb: HMAC-SHA1 of the token over the raw body; only where a token is set and the body not empty
SIGNATURE = SignatureFormat(header="X-Hub-Signature", algorithm="sha1", prefix="sha1=")
PRIORITIES = ("3 high", "2 normal", "1 low")
CHANNELS = {
    "email": "email", "phone": "voice", "web": "self_service", "chat": "live_chat", "sms": "live_chat",
    "twitter": "social_media", "twitter status": "social_media", "twitter direct-message": "social_media",
    "facebook": "social_media", "facebook feed post": "social_media", "facebook feed comment": "social_media",
    "telegram personal-message": "social_media", "whatsapp message": "social_media",
}  # fmt: skip


def sent_at(body: Json) -> datetime | None:
    """Return the newest time that stands in the body: it is signed, and no header tells a time."""
    told = [payload.moment(payload.at(body, path)) for path in ("article.updated_at", "ticket.updated_at")]
    return max((one for one in told if one is not None), default=None)


def read(settings: DeskSettings, body: Json, raw: bytes) -> Inbound:
    """Read the default body, or a custom one with the same keys."""
    ticket, article = body.get("ticket"), body.get("article")
    if not isinstance(ticket, dict):
        raise NotUnderstood
    delivery, tags = payload.digest(raw), payload.tags(ticket.get("tags"))
    priority = ticket.get("priority")
    name = payload.text(priority.get("name") if isinstance(priority, dict) else priority)
    reference = {"id": payload.identifier(ticket.get("id")), "tags": tags, "priority": name or None}
    ignored = _why_not(settings, article if isinstance(article, dict) else {}, tags)
    if ignored is not None:
        return Inbound(settings.name, delivery, None, ignored, reference)
    said = payload.message("customer", payload.at(article, "body"), payload.at(article, "created_at"))
    facts = {
        "subject": ticket.get("title") or payload.at(article, "subject"), "created_at": ticket.get("created_at"),
        "due_at": ticket.get("escalation_at"), "channel": _channel(settings, ticket, article),
        "customer_tier": "vip" if _is_vip(ticket) else None,
    }  # fmt: skip
    if said is None:
        return Inbound(settings.name, delivery, None, Ignored.NO_TEXT, reference)
    return payload.build(settings, body, delivery, reference, facts, payload.thread(said))


def _why_not(settings: DeskSettings, article: Json, tags: list[str] | None) -> Ignored | None:
    """An article must say that a customer wrote it in public; one that does not say so is none."""
    if article.get("internal") is True:
        return Ignored.INTERNAL_NOTE
    sender = article.get("sender")
    who = payload.text(sender.get("name") if isinstance(sender, dict) else sender)
    if who == "Agent":
        return Ignored.AGENT_MESSAGE
    if article and who != "Customer":
        return Ignored.NOT_CUSTOMER
    return Ignored.OWN_TAG if payload.is_ours(settings, tags) and not settings.follow_ups else None


def _is_vip(ticket: Json) -> bool:
    return payload.at(ticket, "customer.vip") is True or payload.at(ticket, "organization.vip") is True


def _channel(settings: DeskSettings, ticket: Json, article: object) -> str | None:
    kind = payload.at(article, "type")
    word = payload.text(kind.get("name") if isinstance(kind, dict) else kind) or payload.text(
        ticket.get("create_article_type")
    )
    return word if word in settings.channels else CHANNELS.get(word.strip().lower())


def requests(settings: DeskSettings, change: Change, reference: Json) -> tuple[Request, ...]:
    """Return the PUT of the fields, one call for each tag of ours that comes or goes, and the internal article."""
    number = int(reference["id"]) if reference["id"].isdigit() else reference["id"]
    row: Json = dict(change.fields)
    if change.priority is not None and change.priority != reference.get("priority"):
        row["priority"] = change.priority
    if change.group is not None:
        row["group_id" if isinstance(change.group, int) else "group"] = change.group
    made = [Request("PUT", f"/api/v1/tickets/{reference['id']}", {}, row)] if row else []
    seen = reference.get("tags") or []
    ours = [tag for tag in change.tags if tag.startswith(settings.tag_prefix)]
    old = [tag for tag in seen if ours and payload.is_ours(settings, [tag]) and tag not in ours]
    for verb, path, names in (("POST", "add", [tag for tag in ours if tag not in seen]), ("DELETE", "remove", old)):
        tag = {"object": "Ticket", "o_id": number}
        made += [Request(verb, f"/api/v1/tags/{path}", {}, {**tag, "item": name}) for name in names]
    if change.note:
        told = {"ticket_id": number, "subject": settings.tag_prefix, "body": note.plain(change.note),
                "content_type": "text/plain", "type": "note", "internal": True}  # fmt: skip
        made.append(Request("POST", "/api/v1/ticket_articles", {}, told, once=True))
    return tuple(made)


def authorise(settings: DeskSettings) -> dict[str, str]:
    """Return Zammad's token header."""
    return {"Authorization": f"Token token={settings.api_token.get_secret_value() if settings.api_token else ''}"}


ADAPTER = Adapter(
    "zammad", (Proof.SIGNATURE, Proof.BASIC, Proof.BEARER), SIGNATURE, PRIORITIES, read, requests, authorise, sent_at,
)  # fmt: skip
