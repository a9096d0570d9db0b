"""Columns of a table of tickets: which name in a file means which field of a ticket."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from pydantic_core import from_json

from triagedesk.errors import ConfigError, TicketError

if TYPE_CHECKING:
    from triagedesk.playbook import Playbook

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

FIELDS = (*ALIASES, "messages", "fields")
"""Everything that a ticket has."""

JSON_COLUMNS = ("fields", "messages")
CLOSED_LISTS = ("channel", "customer_tier")

MAX_ID_CHARS = 200
"""As long as a ticket's id gets."""

MAX_NAMED = 20
"""So many columns are named in one line of an error."""

ColumnMap = Mapping[str, str]
"""A ticket's field, and the column that holds it."""


def read_map(pairs: Iterable[str]) -> dict[str, str]:
    """Read `OUR=THEIRS` pairs. Raises ConfigError for a field that tickets do not have, or one that is given twice."""
    columns: dict[str, str] = {}
    for pair in pairs:
        ours, equals, theirs = (part.strip() for part in pair.partition("="))
        if not (equals and ours and theirs):
            raise ConfigError("--map: write it as OUR=THEIRS, such as --map body=Beschreibung")
        if ours not in FIELDS:
            raise ConfigError(f"--map: a ticket has no field {ours[:60]!r}; there are {', '.join(FIELDS)}")
        if ours in columns:
            raise ConfigError(f"--map: {ours} is given twice; leave one out")
        columns[ours] = theirs
    return columns


def words_in(playbook: Playbook) -> frozenset[str]:
    """Return the playbook's channels and tiers, which tables may write as "Live Chat"."""
    return frozenset((*playbook.document.channels, *playbook.document.tiers))


class Words:
    """The playbook's channels and tiers, which a table may write as "Live Chat"."""

    def __init__(self, words: frozenset[str]) -> None:
        self._words = words

    def settle(self, data: dict[str, Any]) -> None:
        """Read "Live Chat" as live_chat where the playbook has that name."""
        for name in CLOSED_LISTS:
            value = data.get(name)
            if isinstance(value, str) and value not in self._words and plain(value) in self._words:
                data[name] = plain(value)


class Columns:
    """The header of one file. Raises ConfigError if no column holds the ticket's text, or a mapped one is missing."""

    def __init__(
        self, header: list[str], where: str, words: frozenset[str], mapped: ColumnMap | None = None,
        *, is_schema: bool = False,
    ) -> None:  # fmt: skip
        self._words = Words(words)
        chosen = _chosen(header, where, mapped or {})
        self._names = _fields([plain(name) for name in header], chosen)
        if "body" not in self._names and "messages" not in self._names:
            if is_schema:  # names of its columns; a first line may be some customer's text
                raise ConfigError(f"{where}: no column holds the text; there are {named(header)}; "
                                  "pass --map body=COLUMN")  # fmt: skip
            known = ", ".join(("body", *ALIASES["body"]))
            raise ConfigError(f"{where}: the first line names no column for the text; call one of them {known}, "
                              "or pass --map body=COLUMN")  # fmt: skip

    def ticket(self, cells: list[str]) -> dict[str, Any]:
        """Return a row of text cells as a ticket's data; empty cells are absent. Raises TicketError."""
        if len(cells) != len(self._names):
            raise TicketError(f"{len(cells)} cells, but the header names {len(self._names)} columns")
        return self.of_values(cells)

    def of_values(self, values: Iterable[Any]) -> dict[str, Any]:
        """Return a row of values, one for each column, as a ticket's data. Raises TicketError."""
        pairs = zip(self._names, values, strict=True)
        data: dict[str, Any] = {name: value for name, value in pairs if name and value is not None and value != ""}
        self._words.settle(data)
        for name in JSON_COLUMNS:
            if isinstance(data.get(name), str):
                data[name] = _json(name, data[name])
        return data

    def without_unread(self, values: list[Any], unread: object) -> list[Any]:
        """Leave out values that could not be read. Raises TicketError if a ticket's own field is among them."""
        for name, value in zip(self._names, values, strict=True):
            if value is unread and name in FIELDS:
                raise TicketError(f"{name}: the value cannot be read: a time out of range, or bytes that are no UTF-8")
        return [None if value is unread else value for value in values]

    def id_in(self, cells: list[str]) -> str:
        """Return the ticket's id that a row tells which is no ticket; empty if it is not sure to be one."""
        place = self._names.index("id") if "id" in self._names else len(cells)
        body = self._names.index("body") if "body" in self._names else 0
        sure = len(cells) == len(self._names) or place < body
        return told_id(cells[place]) if sure and place < len(cells) else ""


def told_id(value: str) -> str:
    """Return a value if it may be an id: one word, so that no customer's sentence gets into an error file."""
    return value if len(value) <= MAX_ID_CHARS and value.isprintable() and len(value.split()) == 1 else ""


def plain(name: str) -> str:
    """Return a name as it is compared: "Ticket ID" is ticket_id."""
    return name.strip().casefold().replace(" ", "_").replace("-", "_")


def named(names: Iterable[str]) -> str:
    """Return names for one line of an error: the first twenty, each cut and printable."""
    listed = [name[:60] if name.isprintable() else ascii(name)[:60] for name in names]
    return ", ".join(listed[:MAX_NAMED]) + (" …" if len(listed) > MAX_NAMED else "")


def _chosen(header: list[str], where: str, mapped: ColumnMap) -> dict[int, str]:
    """Return the places of the mapped columns with their fields; a name as it stands goes before one folded."""
    chosen = {}
    folded = [plain(name) for name in header]
    for field, theirs in mapped.items():
        if theirs in header:
            chosen[header.index(theirs)] = field
        elif plain(theirs) in folded:
            chosen[folded.index(plain(theirs))] = field
        else:
            raise ConfigError(f"{where}: has no column {theirs[:60]!r} for {field}; there are {named(header)}")
    return chosen


def _fields(header: list[str], chosen: Mapping[int, str]) -> list[str]:
    """Give each column its field; the first alias of a field that is not there under its own name takes it."""
    given = set(chosen.values())
    taken = {*header, *given}
    names = []
    for place, name in enumerate(header):
        field = chosen.get(place) or next((field for field, others in ALIASES.items() if name in others), name)
        if place not in chosen and (field in given or (field != name and field in taken)):
            field = f"{name}_" if name in given else name  # a column of that name stays, in the ticket's fields
        taken.add(field)
        names.append(field)
    return names


def _json(name: str, cell: str) -> Any:
    try:
        return from_json(cell, allow_inf_nan=False)
    except ValueError:
        raise TicketError(f"{name}: the cell is not JSON") from None
