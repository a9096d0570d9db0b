"""Where a ticket goes once its labels stand: queue, escalation path, people to notify, flags, holding note."""

from __future__ import annotations

from dataclasses import dataclass
from string import Formatter

from triagedesk.errors import PlaybookError
from triagedesk.models import Indicators, Step
from triagedesk.playbook import Condition, Document, Facts, holds
from triagedesk.playbook.terms import Named, Path

PLACEHOLDERS = ("issue", "tier", "channel", "region", "language")


@dataclass(frozen=True, slots=True)
class Route:
    """Where a ticket goes and who hears of it."""

    queue: str
    path: tuple[Step, ...]
    notify: tuple[str, ...]
    flags: tuple[str, ...]
    customer_note: str | None
    indicators: Indicators


class Router:
    """The routing part of a playbook, made ready once. Raises PlaybookError for an unknown placeholder of a queue."""

    def __init__(self, document: Document, *, where: str = "playbook") -> None:
        self._document = document
        queues = document.queues
        self._template = _pieces(queues.template, where)
        self._first = tuple((rule.when, _pieces(rule.queue, where)) for rule in queues.first)
        self._paths = {
            (label, urgency): _steps(path, urgency)
            for label, path in document.escalation_paths.items()
            for urgency in document.dimensions["urgency"].names
        }

    def route(self, facts: Facts) -> Route:
        """Route by final labels and metadata."""
        document, escalation = self._document, facts.labels["escalation"]
        return Route(
            queue=self._queue(facts),
            path=self._paths.get((escalation, facts.labels["urgency"]), ()),
            notify=_names(document.notify, facts),
            flags=_names(document.flags, facts),
            customer_note=self._note(escalation, facts.language),
            indicators=Indicators(
                complexity=_any(document.indicators.complexity, facts),
                time_sensitivity=_any(document.indicators.time_sensitivity, facts),
                beyond_procedure=_any(document.indicators.beyond_procedure, facts),
            ),
        )

    def _queue(self, facts: Facts) -> str:
        pieces = next((pieces for when, pieces in self._first if holds(when, facts)), self._template)
        values = self._values(facts)
        name = "".join(text + values.get(placeholder, "") for text, placeholder in pieces)
        return name + "".join(item.suffix for item in self._document.queues.suffixes if holds(item.when, facts))

    def _values(self, facts: Facts) -> dict[str, str]:
        """Fill placeholders; where the ticket says nothing, with the playbook's first tier, channel and language."""
        document, issue = self._document, facts.labels["issue_type"]
        return {
            "issue": document.queues.issue.get(issue, issue),
            "tier": facts.tier or next(iter(document.tiers), ""),
            "channel": facts.channel or next(iter(document.channels), ""),
            "region": _plain(facts.region or ""),
            "language": _plain(facts.language or document.languages[0]),
        }

    def _note(self, escalation: str, language: str | None) -> str | None:
        notes = self._document.customer_notes.get(escalation, {})
        return notes.get(language or "") or notes.get(self._document.languages[0])


def _pieces(template: str, where: str) -> tuple[tuple[str, str], ...]:
    """Split a template into (text, placeholder after it). Raises PlaybookError."""
    try:
        parsed = [(text, name or "") for text, name, _, _ in Formatter().parse(template)]
    except ValueError:
        raise PlaybookError(f"queues: {template!r} has an unclosed brace", where=where) from None
    for _, name in parsed:
        if name and name not in PLACEHOLDERS:
            raise PlaybookError(
                f"queues: unknown placeholder {{{name}}}; there are {', '.join(PLACEHOLDERS)}", where=where
            )
    return tuple(parsed)


def _steps(path: Path, urgency: str) -> tuple[Step, ...]:
    """Enter a path where the urgency enters it; the step entered starts at once, later ones keep their distance."""
    enter_at = min(max(path.enter_at.get(urgency, 1), 1), max(len(path.steps), 1))
    steps = path.steps[enter_at - 1 :]
    return tuple(
        Step(step=number, team=step.team, after_minutes=max(step.after - steps[0].after, 0))
        for number, step in enumerate(steps, 1)
    )


def _names(items: tuple[Named, ...], facts: Facts) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for item in items if holds(item.when, facts) for name in item.names))


def _any(conditions: tuple[Condition, ...], facts: Facts) -> bool:
    return any(holds(condition, facts) for condition in conditions)


def _plain(value: str) -> str:
    """Keep what may stand in a queue's name: region and language come from the ticket."""
    return "".join(char for char in value if char.isalnum() or char in "-_")[:40]
