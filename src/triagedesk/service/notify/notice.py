"""What an alarm may say: ids, labels, queue, the reasons' sentences, and at most one short quote without personal data.

Everything in a `Notice` is one inert line of bounded length, so that each builder only has to mind its own format.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum, auto
from urllib.parse import quote as percent_encoded

import re2

from triagedesk.models import Reason, Suggestion, Ticket
from triagedesk.playbook import Playbook
from triagedesk.privacy import KINDS, Redacted, redact

MAX_REASONS = 3
MAX_SENTENCE_CHARS = 300
MAX_QUOTE_CHARS = 120
MAX_NAME_CHARS = 200
_AROUND_CHARS = 200
"""How much of the ticket beside a quote is searched for personal data: "my password is", and the word itself quoted."""
_PLACEHOLDER = re2.compile(rf"\[(?:{'|'.join(KINDS)})_\d{{1,6}}\]")


class Kind(StrEnum):
    """Why somebody is told."""

    CRITICAL = auto()  # the most severe urgency, whatever the playbook calls it
    SLA_BREACH = auto()  # a promised time has passed
    ESCALATION = auto()  # the next step of the escalation path is due


class Promise(StrEnum):
    """Which of the two promised times has passed."""

    FIRST_RESPONSE = auto()
    RESOLUTION = auto()


class Severity(StrEnum):
    """PagerDuty's four levels; other targets show them as they are."""

    CRITICAL = auto()
    ERROR = auto()
    WARNING = auto()
    INFO = auto()


_LATE = {Promise.FIRST_RESPONSE: "First response", Promise.RESOLUTION: "Resolution"}


@dataclass(frozen=True)
class Notice:
    """One alarm about one ticket. Built by `notice_of`, which is what keeps text and personal data out of it."""

    kind: Kind
    at: datetime
    suggestion_id: str
    ticket_id: str
    urgency: str
    issue_type: str
    queue: str
    severity: Severity
    reasons: tuple[str, ...] = field(default=(), repr=False)
    quote: str | None = field(default=None, repr=False)
    due_at: datetime | None = None
    step: int | None = None
    team: str | None = None
    link: str | None = None
    promise: Promise | None = None

    @property
    def headline(self) -> str:
        """What happened, in one line without any of the ticket's words."""
        if self.kind is Kind.SLA_BREACH:
            late = _LATE[self.promise] if self.promise else "A promised time"
            return f"{late} missed: ticket {self.ticket_id}, urgency {self.urgency}"
        if self.kind is Kind.ESCALATION:
            return f"Escalation step {self.step or '?'} is due: ticket {self.ticket_id} for {self.team or self.queue}"
        return f"Urgency {self.urgency}: ticket {self.ticket_id}, {self.issue_type}"

    def without_quote(self) -> Notice:
        """Return the same alarm without the customer's words, for a target that shall not see them."""
        return Notice(**{**vars(self), "quote": None})


def notice_of(
    kind: Kind, suggestion: Suggestion, *, suggestion_id: str, playbook: Playbook, at: datetime,
    ticket: Ticket | None = None, due_at: datetime | None = None, step: int | None = None, team: str | None = None,
    link: str | None = None, promise: Promise | None = None,
) -> Notice:  # fmt: skip
    """Say what may be said about a suggestion.

    `ticket` is needed for the quote alone: it is searched for personal data in the words around it, and without the
    ticket none is sent. `link` is a template such as `https://desk.example/tickets/{ticket_id}`.
    """
    urgency, issue = suggestion.labels["urgency"], suggestion.labels["issue_type"]
    reasons = (*urgency.reasons, *issue.reasons)
    return Notice(
        kind=kind, at=at, suggestion_id=_line(suggestion_id), ticket_id=_line(suggestion.ticket_id),
        urgency=_line(urgency.label), issue_type=_line(issue.label), queue=_line(suggestion.queue),
        severity=severity_of(playbook, urgency.label, kind), reasons=tuple(_sentences(reasons)),
        quote=None if ticket is None else _quote(reasons, ticket),
        due_at=due_at, step=step, team=None if team is None else _line(team),
        link=None if link is None else link.replace("{ticket_id}", percent_encoded(suggestion.ticket_id, safe="")),
        promise=promise,
    )  # fmt: skip


def severity_of(playbook: Playbook, urgency: str, kind: Kind = Kind.CRITICAL) -> Severity:
    """Say how severe an urgency is by its place in the playbook's order; a missed time is never mere information."""
    order = playbook.dimensions["urgency"].names
    place = order.index(urgency) if urgency in order else len(order) - 1
    level = list(Severity)[min(place, len(Severity) - 1)]
    if level is Severity.INFO and kind is not Kind.CRITICAL:
        return Severity.WARNING
    return level


def _sentences(reasons: Iterable[Reason]) -> Iterator[str]:
    told: set[str] = set()
    for reason in reasons:
        sentence = _line(redact(reason.text[: MAX_SENTENCE_CHARS * 2]).text, MAX_SENTENCE_CHARS)
        if sentence and sentence not in told and len(told) < MAX_REASONS:
            told.add(sentence)
            yield sentence


def _quote(reasons: Iterable[Reason], ticket: Ticket) -> str | None:
    """Return the first quote, short, on one line, and with placeholders for personal data."""
    for reason in reasons:
        if reason.quote and reason.start is not None and reason.field in ("subject", "body"):
            source = ticket.subject if reason.field == "subject" else ticket.body
            return _line(_harmless(reason.quote, reason.start, source), MAX_QUOTE_CHARS) or None
    return None


def _harmless(quote: str, start: int, source: str) -> str:
    """Return the quote with placeholders for what is personal, judged with the words around it."""
    before = min(start, _AROUND_CHARS)
    around = source[start - before : start + len(quote) + _AROUND_CHARS]
    shown, at = [], 0
    for original, safe in _pieces(redact(around)):
        first, last = max(before - at, 0), min(before + len(quote) - at, len(original))
        if first < last:
            shown.append(safe[first:last] if safe == original else safe)
        at += len(original)
    return "".join(shown)


def _pieces(redacted: Redacted) -> Iterator[tuple[str, str]]:
    """Yield what stood in the text and what stands there now, piece by piece."""
    last = 0
    for match in _PLACEHOLDER.finditer(redacted.text):
        start, end = match.span()
        yield redacted.text[last:start], redacted.text[last:start]
        yield redacted.restore(match.group()), match.group()
        last = end
    yield redacted.text[last:], redacted.text[last:]


def _line(text: str, limit: int = MAX_NAME_CHARS) -> str:
    """Return one line of printable characters, with an ellipsis where something was cut."""
    shown = " ".join("".join(char if char.isprintable() else " " for char in text[: limit * 4]).split())
    return shown if len(shown) <= limit else shown[: limit - 1].rstrip() + "…"
