"""What a measured confidence opens: labels that are applied without a person, and those that a person must look at."""

from __future__ import annotations

from collections.abc import Mapping

from triagedesk.models import Choice, ConfidenceKind
from triagedesk.playbook.document import REQUIRED_DIMENSIONS
from triagedesk.playbook.terms import Automation

BELOW_SUGGEST_LEVEL = "below_suggest_level"
"""The reason for review of a label whose measured confidence does not reach its suggest level."""

AUTO_APPLY = "auto_apply"
"""The flag of a ticket whose labels may all be applied without a person."""


def below_suggest_level(labels: Mapping[str, Choice], levels: Mapping[str, Automation]) -> bool:
    """Say whether some measured confidence lies under its suggest level."""
    return any(
        (confidence := _measured(labels.get(name))) is not None and confidence < level.suggest_from
        for name, level in levels.items()
    )


def may_apply(labels: Mapping[str, Choice], levels: Mapping[str, Automation]) -> bool:
    """Say whether every required dimension has a level, and a measured confidence that reaches it."""
    return all(
        name in levels and (confidence := _measured(labels.get(name))) is not None
        and confidence >= levels[name].apply_from
        for name in REQUIRED_DIMENSIONS
    )  # fmt: skip


def _measured(choice: Choice | None) -> float | None:
    measured = choice is not None and choice.confidence_kind is ConfidenceKind.MEASURED
    return choice.confidence if measured and choice is not None else None
