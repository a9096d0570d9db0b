"""A suggestion as a card for a person: what was decided, why, by when, who takes it, and who answered."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from rich.console import Group
from rich.table import Table
from rich.text import Text

from triagedesk.cli.terminal import excerpt, inert
from triagedesk.models import Choice, Provenance, Reason, Source, Suggestion, Ticket
from triagedesk.playbook import Playbook

SEVERITY_STYLES = ("bold white on red", "bold yellow", "cyan", "green")
"""From the most severe label of an ordinal dimension on; longer lists repeat the last."""

QUOTE_STYLE = "italic yellow"


def label_text(playbook: Playbook, dimension: str, label: str) -> Text:
    """Return the label, coloured by how severe it is where its dimension has an order."""
    shown = playbook.dimensions.get(dimension)
    if shown is None or shown.kind != "ordinal" or label not in shown.names:
        return Text(f" {inert(label)} ", "bold")
    rank = min(shown.names.index(label), len(SEVERITY_STYLES) - 1)
    return Text(f" {inert(label)} ", SEVERITY_STYLES[rank])


def card(suggestion: Suggestion, ticket: Ticket, playbook: Playbook) -> Group:
    """Draw a suggestion. Text of the ticket is shown inert: no markup, no control characters."""
    return Group(_heading(suggestion, ticket), Text(), _labels(suggestion, playbook), Text(), _facts(suggestion))


def _heading(suggestion: Suggestion, ticket: Ticket) -> Text:
    known = (ticket.channel, ticket.customer_tier, ticket.region, suggestion.language)
    about = " · ".join(inert(value) for value in known if value)
    return Text.assemble((inert(suggestion.ticket_id), "bold"), (f"  {about}" if about else "", "dim"))


def _labels(suggestion: Suggestion, playbook: Playbook) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(overflow="fold")
    for name, choice in suggestion.labels.items():
        table.add_row(name.replace("_", " "), label_text(playbook, name, choice.label), sureness(choice), _why(choice))
    return table


def sureness(choice: Choice) -> Text:
    """Return the confidence in per cent; "~" marks one that the model reported of itself."""
    if choice.confidence is None:
        return Text("–", "dim")
    mark = "" if choice.confidence_kind == "measured" else "~"
    return Text(f"{mark}{choice.confidence:.0%}")


def _why(choice: Choice) -> Text:
    lines = [_reason(reason) for reason in choice.reasons[:3]]
    return Text("\n").join(lines) if lines else Text("no reason stands in the text", "dim")


def _reason(reason: Reason) -> Text:
    line = Text(excerpt(reason.text, 200))
    if reason.quote:
        line.append(" ")
        line.append(f"“{excerpt(reason.quote, 160)}”", QUOTE_STYLE)
    elif reason.field:
        line.append(f" ({inert(reason.field)})", "dim")
    return line


def _facts(suggestion: Suggestion) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in _rows(suggestion):
        table.add_row(name, value)
    return table


def _rows(suggestion: Suggestion) -> Iterator[tuple[str, Text]]:
    due = suggestion.response
    late = ("  the promise is broken", "bold red") if due.breached else ("", "")
    yield "first reply", Text.assemble(f"by {moment(due.first_response_due)}", late)
    yield "solved", Text(f"by {moment(due.resolution_due)}")
    yield "queue", Text(inert(suggestion.queue))
    if suggestion.escalation_path:
        yield "path", Text(path(suggestion))
    for name, values in (
        ("also", suggestion.secondary_issues), ("notify", suggestion.notify), ("flags", suggestion.flags),
    ):  # fmt: skip
        if values:
            yield name, Text(inert(", ".join(values)))
    yield "review", _review(suggestion)
    if suggestion.customer_note:
        yield "holding note", Text(inert(suggestion.customer_note), "dim")
    yield "answered by", Text(answered_by(suggestion.provenance))


def _review(suggestion: Suggestion) -> Text:
    if not suggestion.needs_review:
        return Text("not needed", "dim")
    return Text("a person should look: " + inert(", ".join(suggestion.review_reasons)), "yellow")


def moment(when: datetime) -> str:
    """Return a time in UTC, to the minute."""
    return when.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")


def path(suggestion: Suggestion) -> str:
    """Return the escalation path in one line: team, then the hours after which the next takes over."""
    return " → ".join(
        inert(step.team) + (f" after {duration(step.after_minutes)}" if step.after_minutes else "")
        for step in suggestion.escalation_path
    )


def duration(minutes: int) -> str:
    """Return minutes as "45 min", "4 h" or "2 d"."""
    if minutes % 1440 == 0:
        return f"{minutes // 1440} d"
    return f"{minutes // 60} h" if minutes % 60 == 0 else f"{minutes} min"


def answered_by(provenance: Provenance) -> str:
    """Say who answered, why not the model, and what it took."""
    who = provenance.source.value
    if provenance.source is Source.TRAINED and provenance.model:
        who = provenance.model
    elif provenance.source is not Source.RULES and provenance.model:
        who += f" {provenance.model}"
    if provenance.fallback_reason:
        who += f" (no model answer: {provenance.fallback_reason})"
    parts = [who, f"{provenance.elapsed_ms:.0f} ms"]
    if provenance.source is Source.MODEL:
        parts.append(f"{provenance.tokens.prompt}+{provenance.tokens.completion} tokens")
    if provenance.cost_usd is not None:
        parts.append(f"${provenance.cost_usd:.4f}")
    parts.append(f"playbook {provenance.playbook}")
    return inert(", ".join(parts))
