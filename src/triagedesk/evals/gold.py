"""Gold tickets: what stands in a labelled set, read with line numbers for everything that is wrong with it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic_core import from_json

from triagedesk.errors import ConfigError, TicketError
from triagedesk.evals.metrics.scale import Scale, scale_of
from triagedesk.models import Ticket
from triagedesk.playbook import Playbook

MAX_LINE_BYTES = 8 * 1024 * 1024
Scales = dict[str, Scale]


@dataclass(slots=True, frozen=True)
class Gold:
    """One labelled ticket. `data` is the ticket as it was written; `labels` holds a label per dimension.

    `group` names what belongs together (a customer, a thread): never parted by a split, drawn together by a bootstrap.
    """

    line: int
    id: str
    data: Mapping[str, Any] = field(repr=False)
    labels: Mapping[str, str]
    quotes: Mapping[str, str] = field(default_factory=dict, repr=False)
    group: str | None = None
    traits: tuple[str, ...] = ()

    @property
    def ticket(self) -> Ticket:
        """The ticket, parsed anew. Raises TicketError."""
        return Ticket.parse({**self.data, "id": self.id})

    @property
    def text(self) -> str:
        """Subject and body, a line break between."""
        return f"{self.data.get('subject') or ''}\n{self.data.get('body') or ''}"


class GoldError(ConfigError):
    """A labelled set cannot be used; one line says where and why."""


def parsed_lines(path: Path) -> Iterator[tuple[int, Any]]:
    """Yield the JSON values of a file with their line numbers; a line that is no JSON yields the ValueError.

    Raises ConfigError when the file cannot be read.
    """
    try:
        stream = path.open("rb")
    except OSError as wrong:
        raise ConfigError(f"{path}: cannot be read ({wrong.strerror})") from None
    with stream:
        for number, line in enumerate(stream, 1):
            text = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
            if text.isspace():
                continue
            try:
                yield number, from_json(text.rstrip(), allow_inf_nan=False)
            except ValueError as wrong:
                yield number, ValueError(f"not JSON: {str(wrong).replace(' at line 1 column', ' at column')}")


def checked(values: Iterable[tuple[int, Any]], playbook: Playbook) -> Iterator[tuple[Gold | None, str | None]]:
    """Yield values as gold tickets or with what is wrong with them."""
    seen: dict[str, int] = {}
    for number, value in values:
        row, problem = _made(number, value, playbook)
        if row is not None and seen.setdefault(row.id, number) != number:
            yield None, f"line {number}: the id {row.id!r} stands in line {seen[row.id]} already"
            continue
        yield row, None if problem is None else f"line {number}: {problem}"


def _made(number: int, value: Any, playbook: Playbook) -> tuple[Gold | None, str | None]:
    if isinstance(value, ValueError):
        return None, str(value)
    if not isinstance(value, Mapping):
        return None, "a gold line is an object with ticket and labels"
    data, labels = value.get("ticket"), value.get("labels", value.get("gold"))
    if not isinstance(data, Mapping) or not isinstance(labels, Mapping):
        return None, "a gold line is an object with ticket and labels"
    problem = _label_problem(labels, playbook)
    if problem is not None:
        return None, problem
    identity = str(data.get("id") or value.get("id") or value.get("ticket_id") or f"line-{number}")
    try:
        ticket = Ticket.parse({**data, "id": identity})
        playbook.check_ticket(ticket)
    except TicketError as wrong:
        return None, str(wrong)
    data = data if "body" in data else {**data, "body": ticket.body}
    traits = value.get("traits") or ()
    return Gold(
        number, identity, data, dict(labels), value.get("quotes") or {}, value.get("group"),
        tuple(map(str, traits)) if isinstance(traits, Sequence) and not isinstance(traits, str) else (str(traits),),
    ), None  # fmt: skip


def _label_problem(labels: Mapping[str, Any], playbook: Playbook) -> str | None:
    known = playbook.dimensions
    if not labels:
        return "labels is empty"
    for name, label in labels.items():
        if name not in known:
            return f"{name!r} is no dimension of the playbook ({', '.join(known)})"
        if label not in known[name].names:
            some = ", ".join(known[name].names[:8])
            return (
                f"{name}: {label!r} is no label of the playbook ({some}{', …' if len(known[name].names) > 8 else ''})"
            )
    return None


def scales_of(rows: Iterable[Gold], playbook: Playbook) -> Scales:
    """Return a scale for each dimension that some row has a label for, in the playbook's order."""
    held = {name for row in rows for name in row.labels}
    return {name: scale_of(playbook, name) for name in playbook.dimensions if name in held}
