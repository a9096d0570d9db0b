"""Columns of a CSV file of tickets: which header names what."""

from __future__ import annotations

from typing import Any

from pydantic_core import from_json

from triagedesk.errors import ConfigError, TicketError

ALIASES = {
    "id": ("ticket_id", "ticket", "ticket_number", "case_id", "key", "number"),
    "subject": ("title", "summary"),
    "body": ("text", "message", "description", "content", "comment", "ticket_text"),
    "channel": ("via", "source"),
    "customer_tier": ("tier", "plan", "segment", "customer_segment"),
    "product": ("product_name",),
    "region": ("country",),
    "language": ("lang", "locale"),
    "created_at": ("created", "opened_at", "received_at", "date"),
    "due_at": ("due", "due_date", "sla_due"),
}
"""A ticket's field, and other headers that helpdesk exports give it. A column of the field's own name wins."""

_JSON_COLUMNS = ("fields", "messages")
_CLOSED_LISTS = ("channel", "customer_tier")


MAX_ID_CHARS = 200
"""As long as a ticket's id gets."""


class Columns:
    """The header of one file. Raises ConfigError if no column holds the ticket's text."""

    def __init__(self, header: list[str], where: str, words: frozenset[str]) -> None:
        self._words = words
        self._names = _fields([_plain(name) for name in header])
        if "body" not in self._names:
            known = ", ".join(("body", *ALIASES["body"]))
            raise ConfigError(f"{where}: the first line names no column for the text; call one of them {known}")

    def ticket(self, cells: list[str]) -> dict[str, Any]:
        """Return a row as a ticket's data; empty cells are absent. Raises TicketError."""
        if len(cells) != len(self._names):
            raise TicketError(f"{len(cells)} cells, but the header names {len(self._names)} columns")
        data: dict[str, Any] = {name: cell for name, cell in zip(self._names, cells, strict=True) if cell and name}
        for name in _CLOSED_LISTS:
            if name in data and data[name] not in self._words:
                data[name] = self._word(data[name])
        for name in _JSON_COLUMNS:
            if name in data:
                data[name] = _json(name, data[name])
        return data

    def id_in(self, cells: list[str]) -> str:
        """Return the ticket's id that a row tells which is no ticket; empty if it is not sure to be one."""
        place = self._names.index("id") if "id" in self._names else len(cells)
        sure = len(cells) == len(self._names) or place < self._names.index("body")
        return told_id(cells[place]) if sure and place < len(cells) else ""

    def _word(self, value: str) -> str:
        """Read "Live Chat" as live_chat where the playbook has that name."""
        word = _plain(value)
        return word if word in self._words else value


def told_id(value: str) -> str:
    """Return a value if it may be an id: one word, so that no customer's sentence gets into an error file."""
    return value if len(value) <= MAX_ID_CHARS and value.isprintable() and len(value.split()) == 1 else ""


def _plain(name: str) -> str:
    return name.strip().casefold().replace(" ", "_").replace("-", "_")


def _fields(header: list[str]) -> list[str]:
    """Give each column its field; the first alias of a field that is not there under its own name takes it."""
    taken = set(header)
    names = []
    for name in header:
        field = next((field for field, others in ALIASES.items() if name in others), name)
        if field != name and field in taken:
            field = name
        taken.add(field)
        names.append(field)
    return names


def _json(name: str, cell: str) -> Any:
    try:
        return from_json(cell, allow_inf_nan=False)
    except ValueError:
        raise TicketError(f"{name}: the cell is not JSON") from None
