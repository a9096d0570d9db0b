"""Any other desk: where its fields stand is told by the settings' map, and how it signs by their signature."""

from __future__ import annotations

from collections.abc import Mapping

from triagedesk.models import Message
from triagedesk.service.desks import note, payload
from triagedesk.service.desks.adapter import Adapter, Change, Ignored, Inbound, Json, Request
from triagedesk.service.desks.settings import DeskSettings, Proof

PRIORITIES = ("urgent", "high", "normal", "low")
OWN = ("id", "delivery_id", "body", "tags", "author", "internal", "event", "events", "messages", "message_body",
       "message_author", "message_internal", "message_at", "priority")  # fmt: skip
"""Keys of the map that are read here; the others name fields of the ticket."""


def read(settings: DeskSettings, body: Json, raw: bytes) -> Inbound:
    """Read a body by the map. `events` names, separated by spaces, those that are read; without it all are."""
    where = settings.map
    delivery = payload.text(_get(body, where, "delivery_id"))[:200] or payload.digest(raw)
    wanted = where.get("events", "").split()
    if wanted and payload.text(_get(body, where, "event")) not in wanted:
        return Inbound(settings.name, delivery, None, Ignored.OTHER_EVENT)
    tags = payload.tags(_get(body, where, "tags"))
    priority = payload.text(_get(body, where, "priority")) or None
    reference = {"id": payload.identifier(_get(body, where, "id")), "tags": tags, "priority": priority}
    ignored = _why_not(settings, body, tags)
    if ignored is not None:
        return Inbound(settings.name, delivery, None, ignored, reference)
    rest = settings.model_copy(update={"map": {key: path for key, path in where.items() if key not in OWN}})
    facts = {"subject": _get(body, where, "subject")}
    messages = _thread(settings, body)
    if messages and not any(one.author == "customer" for one in messages):
        return Inbound(settings.name, delivery, None, Ignored.NOT_CUSTOMER, reference)
    return payload.build(rest, body, delivery, reference, facts, messages)


def _get(body: object, where: Mapping[str, str], name: str) -> object:
    return payload.at(body, where[name]) if name in where else None


def _why_not(settings: DeskSettings, body: Json, tags: list[str] | None) -> Ignored | None:
    """A field that the map names must say that it was the customer, and in public; one that is absent does not."""
    if _is_true(_get(body, settings.map, "internal")):
        return Ignored.INTERNAL_NOTE
    if "author" in settings.map and not _customer(settings, _get(body, settings.map, "author")):
        return Ignored.AGENT_MESSAGE
    return Ignored.OWN_TAG if payload.is_ours(settings, tags) and not settings.follow_ups else None


def _is_true(value: object) -> bool:
    return payload.text(value).strip().lower() not in ("", "0", "false", "no", "public") or value is True


def _customer(settings: DeskSettings, value: object) -> bool:
    return payload.text(value).strip().lower() in settings.customer_words


def _thread(settings: DeskSettings, body: Json) -> tuple[Message, ...]:
    where = settings.map
    rows = _get(body, where, "messages")
    made = [_message(settings, row) for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    newest = payload.message("customer", _get(body, where, "body"))
    known = newest is not None and any(one is not None and one.body == newest.body for one in made)
    return (*payload.thread(*made), *(() if newest is None or known else (newest,)))


def _message(settings: DeskSettings, row: Json) -> Message | None:
    where = settings.map
    if _is_true(_get(row, where, "message_internal")):
        return None
    customer = "message_author" not in where or _customer(settings, _get(row, where, "message_author"))
    said = payload.at(row, where.get("message_body", "body"))
    return payload.message("customer" if customer else "agent", said, _get(row, where, "message_at"))


def requests(settings: DeskSettings, change: Change, reference: Json) -> tuple[Request, ...]:
    """Return one POST to `write_path` with what changes; tags are all that the ticket should have then."""
    row: Json = {"ticket_id": reference["id"]}
    for name, value in (("priority", change.priority), ("group", change.group)):
        if value is not None and value != reference.get(name):
            row[name] = value
    if change.tags:
        row["tags"] = list(change.tags)
    if change.fields:
        row["fields"] = dict(change.fields)
    if change.note:
        row["note"] = {"body": note.plain(change.note), "internal": True}
    if len(row) == 1:
        return ()
    return (Request("POST", settings.write_path.replace("{id}", reference["id"]), {}, row, once=bool(change.note)),)


def authorise(settings: DeskSettings) -> dict[str, str]:
    """Return the bearer token."""
    return {"Authorization": f"Bearer {settings.api_token.get_secret_value() if settings.api_token else ''}"}


ADAPTER = Adapter("generic", tuple(Proof), None, PRIORITIES, read, requests, authorise)
