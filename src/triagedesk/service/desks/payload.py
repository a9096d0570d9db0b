"""Reading what desks send: strict about JSON, lenient about what stands in it. Nothing here raises on odd values."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import re2

from triagedesk.errors import TicketError
from triagedesk.models import MAX_BODY_CHARS, Message, Ticket
from triagedesk.service.desks.adapter import Ignored, Inbound, Json, NotUnderstood
from triagedesk.service.desks.settings import DeskSettings

MAX_MESSAGES = 200
MAX_SUBJECT_CHARS = 10_000

_ID = re2.compile(r"[A-Za-z0-9_-]{1,64}")
_LANGUAGE = re2.compile(r"[A-Za-z]{2,3}([_-][A-Za-z0-9]{2,8}){0,3}")
_YEARS = range(1990, 2100)


def parse(raw: bytes) -> Json | None:
    """Return the JSON object that a body is, or None. A key that stands twice, NaN and infinity make it none.

    Control characters within strings are borne: desks that fill a template put line feeds there.
    """
    try:
        body = json.loads(raw.decode("utf-8-sig"), object_pairs_hook=_object, parse_constant=_refuse, strict=False)
    except (ValueError, RecursionError, OverflowError):
        return None
    return body if isinstance(body, dict) else None


def _object(pairs: list[tuple[str, Any]]) -> Json:
    """Build an object; text that breaks out of a template's quotes must not overrule a key (a ticket's id)."""
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError
    return made


def _refuse(_name: str) -> None:
    raise ValueError


def at(body: object, path: str) -> Any:
    """Return what stands at a dotted path ("ticket.customer.id", "messages.0.body"), or None."""
    for part in path.split("."):
        if isinstance(body, Mapping):
            body = body.get(part)
        elif isinstance(body, list) and part.isascii() and part.isdigit() and len(part) < 7 and int(part) < len(body):
            body = body[int(part)]
        else:
            return None
    return body


def text(value: object) -> str:
    """Return a value as text: numbers in digits, lone surrogates replaced, everything else nothing."""
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        return ""
    made = str(value) if isinstance(value, str) or value.bit_length() < 200 else ""
    return made if made.isascii() else made.encode("utf-8", "replace").decode()


def identifier(value: object) -> str:
    """Return an id that may stand in a path. Raises NotUnderstood for anything else."""
    found = text(value).strip()
    if not _ID.fullmatch(found):
        raise NotUnderstood
    return found


def moment(value: object) -> datetime | None:
    """Read ISO 8601, "2026-01-02 03:04:05 UTC" or Unix seconds; None for what is no time of our days."""
    made: datetime | None = None
    try:
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            made = datetime.fromtimestamp(value, UTC)
        elif isinstance(value, str) and len(value) <= 40:
            plain = value.strip().removesuffix(" UTC")
            made = datetime.fromtimestamp(int(plain), UTC) if plain.isdecimal() else datetime.fromisoformat(plain)
    except (ValueError, OverflowError, OSError):
        return None
    if made is None or made.year not in _YEARS:
        return None
    return made if made.tzinfo is not None else made.replace(tzinfo=UTC)


def tags(value: object, separator: str = ",") -> list[str] | None:
    """Return tags from a list, from a list of objects with names, or from one string; None where there is neither."""
    if isinstance(value, Mapping):
        value = value.get("tags")
    if isinstance(value, str):
        value = value.split(separator)
    if not isinstance(value, list):
        return None
    names = (text(one.get("name") if isinstance(one, Mapping) else one).strip() for one in value)
    return [name for name in names if name]


def is_ours(settings: DeskSettings, names: Iterable[str] | None) -> bool:
    """Say whether one of the tags is ours: this ticket was seen before."""
    return any(name.lower().startswith(settings.tag_prefix) for name in names or ())


def digest(raw: bytes) -> str:
    """Return an id made of the body: it can be changed only with the body."""
    return f"sha256:{hashlib.sha256(raw).hexdigest()}"


def message(author: str, body: object, when: object = None) -> Message | None:
    """Return a message of the thread, or None without text."""
    said = text(body)[:MAX_BODY_CHARS]
    if not said.strip():
        return None
    return Message(author=author, body=said, at=moment(when))


def thread(*messages: Message | None) -> tuple[Message, ...]:
    """Return messages in order of time, those without one where they stood, at most the newest 200."""
    found = [one for one in messages if one is not None]
    if all(one.at is not None for one in found):
        found.sort(key=lambda one: one.at or datetime.min.replace(tzinfo=UTC))
    return tuple(found[-MAX_MESSAGES:])


def build(
    settings: DeskSettings, body: Json, delivery_id: str, reference: Json, facts: Json, messages: tuple[Message, ...]
) -> Inbound:
    """Return the ticket of a delivery: facts and messages, with the fields of the settings' map.

    The newest customer message decides; where there is none, the subject does.
    """
    subject = text(facts.get("subject"))[:MAX_SUBJECT_CHARS].strip()
    newest = next((one.body for one in reversed(messages) if one.author == "customer"), "")
    if not newest:
        newest, subject = subject, ""
    if not newest:
        return Inbound(settings.name, delivery_id, None, Ignored.NO_TEXT, reference)
    mapped = {name: at(body, path) for name, path in settings.map.items()}
    row = {**facts, **{name: value for name, value in mapped.items() if value is not None}}
    row |= {
        "id": f"{settings.name}:{reference['id']}", "subject": subject, "body": newest,
        "channel": _word(settings.channels, row.get("channel")),
        "customer_tier": _word(settings.tiers, row.get("customer_tier")),
        "language": _language(row.get("language")),
        "created_at": moment(row.get("created_at")), "due_at": moment(row.get("due_at")),
        "product": text(row.get("product"))[:500] or None, "region": text(row.get("region"))[:100] or None,
    }  # fmt: skip
    if len(messages) > 1:
        row["messages"] = messages
    try:
        return Inbound(settings.name, delivery_id, Ticket.parse(row), None, reference)
    except TicketError:
        raise NotUnderstood from None


def _word(table: Mapping[str, str], value: object) -> str | None:
    """Return the playbook's word for a desk's word: by the settings' table, else as it stands."""
    word = text(value).strip()
    return table.get(word, table.get(word.lower(), word)) or None


def _language(value: object) -> str | None:
    name = text(value).strip()
    return name.replace("_", "-") if _LANGUAGE.fullmatch(name) else None
