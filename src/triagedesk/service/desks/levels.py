"""Urgencies and desks' priorities, both ways; and how far automation may go with each label."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from triagedesk.models import Choice, ConfidenceKind, Suggestion
from triagedesk.playbook.document import Document
from triagedesk.playbook.terms import Automation
from triagedesk.service.desks.settings import DeskSettings, Mode

URGENCY = "urgency"


@dataclass(frozen=True)
class LevelTable:
    """A playbook's urgencies and a desk's priorities, side by side; both most urgent first.

    By rank: with as many on both sides one to one; where the desk has fewer, neighbours share a priority and the exact
    urgency travels as a tag; where it has more, the ends meet and some priorities stay unused.
    """

    urgencies: tuple[str, ...]
    priorities: tuple[str, ...]
    named: Mapping[str, str] = field(default_factory=dict)

    def priority(self, urgency: str) -> str | None:
        """Return the desk's priority for an urgency; None for one that the playbook does not have."""
        if urgency in self.named:
            return self.named[urgency]
        if urgency not in self.urgencies or not self.priorities:
            return None
        rank, ours, theirs = self.urgencies.index(urgency), len(self.urgencies), len(self.priorities)
        if ours >= theirs or ours == 1:
            return self.priorities[rank * theirs // ours]
        return self.priorities[(2 * rank * (theirs - 1) + ours - 1) // (2 * (ours - 1))]

    def urgencies_of(self, priority: str) -> tuple[str, ...]:
        """Return the urgencies that a desk's priority may stand for, most urgent first; none for an unused one."""
        return tuple(urgency for urgency in self.urgencies if self.priority(urgency) == priority)


@dataclass(frozen=True)
class Levels:
    """How far automation may go: modes by dimension, measured thresholds, and the one switch that turns all off.

    `urgencies` are the playbook's, most urgent first.
    """

    urgencies: tuple[str, ...]
    modes: Mapping[str, Mode] = field(default_factory=dict)
    thresholds: Mapping[str, Automation] = field(default_factory=dict)
    on: bool = True

    @classmethod
    def of(cls, document: Document, settings: DeskSettings, *, on: bool = True) -> Levels:
        """Take the thresholds from the playbook and the modes from the desk's settings."""
        return cls(document.dimensions[URGENCY].names, settings.automation, document.automation, on)

    def mode(self, dimension: str, suggestion: Suggestion) -> Mode:
        """Return how far this label goes: never further than its mode, and applied only where it was measured.

        A suggestion that a person must look at, or a confidence that is not a measured one, is not applied.
        """
        wanted = self.modes.get(dimension, Mode.SHADOW)
        choice = suggestion.labels.get(dimension)
        if not self.on or choice is None or wanted is Mode.SHADOW:
            return Mode.SHADOW
        level, measured = self.thresholds.get(dimension), _measured(choice)
        if level is not None and measured is not None and measured < level.suggest_from:
            return Mode.SHADOW
        enough = level is not None and measured is not None and measured >= level.apply_from
        return Mode.APPLY if wanted is Mode.APPLY and enough and not suggestion.needs_review else Mode.SUGGEST


def _measured(choice: Choice) -> float | None:
    return choice.confidence if choice.confidence_kind is ConfidenceKind.MEASURED else None
