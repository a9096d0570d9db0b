"""When a condition holds: one place that reads signals, metadata and labels, for rules and for policy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from triagedesk.models import Ticket
from triagedesk.playbook.rulebook import Condition

NEAR_CHARS = 60
"""Two signals are near when at most this many characters lie between them."""

Hit = tuple[int, int]
"""Start and end of a match in the text that was read."""


@dataclass(frozen=True)
class Facts:
    """What is known of a ticket when a condition is asked.

    `hits` holds each signal's places in order (empty tuples where only the name is known); `opening` says where the
    text's opening ends.
    """

    tier: str | None = None
    channel: str | None = None
    region: str | None = None
    language: str | None = None
    overdue: bool = False
    hits: Mapping[str, tuple[Hit, ...]] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    opening: int = 0


def is_overdue(ticket: Ticket, now: datetime) -> bool:
    """Say whether a promise is broken: `due_at` lies before `created_at`, or before now."""
    if ticket.due_at is None:
        return False
    return ticket.due_at < (ticket.created_at or now) or ticket.due_at < now.astimezone(UTC)


def holds(condition: Condition, facts: Facts) -> bool:
    """Say whether every key of the condition holds."""
    return _metadata_holds(condition, facts) and _signals_hold(condition, facts) and _labels_hold(condition, facts)


def _metadata_holds(condition: Condition, facts: Facts) -> bool:
    if condition.overdue is not None and condition.overdue != facts.overdue:
        return False
    wanted = (
        (condition.tier, facts.tier),
        (condition.channel, facts.channel),
        (condition.region, facts.region),
        (condition.language, facts.language),
    )
    return all(not names or value in names for names, value in wanted)


def _signals_hold(condition: Condition, facts: Facts) -> bool:
    hits = facts.hits
    if condition.any and not any(name in hits for name in condition.any):
        return False
    if not all(name in hits for name in condition.all):
        return False
    if any(name in hits for name in condition.none):
        return False
    return not condition.near or nearest(condition.near, facts) is not None


def _labels_hold(condition: Condition, facts: Facts) -> bool:
    return all(facts.labels.get(dimension) in names for dimension, names in condition.labels.items())


def nearest(pairs: tuple[tuple[str, str], ...], facts: Facts) -> Hit | None:
    """Return the span over the first pair of signals that stand near each other, or None."""
    for left, right in pairs:
        for first in facts.hits.get(left, ()):
            for second in facts.hits.get(right, ()):
                low, high = min(first, second), max(first, second)
                if high[0] - low[1] <= NEAR_CHARS:
                    return low[0], max(low[1], high[1])
    return None


def evidence(condition: Condition, facts: Facts) -> Hit | None:
    """Return the place in the text that a condition rests on, or None if it rests on metadata alone."""
    if condition.near:
        return nearest(condition.near, facts)
    for name in (*condition.any, *condition.all):
        places = facts.hits.get(name)
        if places:
            return places[0]
    return None
