"""From what a model said to a classification: every quote is looked up in the ticket, or dropped and counted."""

from __future__ import annotations

from collections.abc import Callable

from triagedesk.models import Choice, Classification, ConfidenceKind, ModelAnswer, Reason, Said
from triagedesk.reading import Reading

MAX_REASON_CHARS = 300

Restore = Callable[[str], str]
"""Puts redacted words back in place of their placeholders."""


def ground(answer: ModelAnswer, reading: Reading, restore: Restore) -> Classification:
    """Check each reason's quote against the ticket; a reason whose quote does not stand there is dropped."""
    labels = {name: _choice(said, reading, restore) for name, said in answer.said.items()}
    return Classification(
        labels=labels,
        secondary_issues=answer.secondary_issues,
        dropped_quotes=sum(not choice.reasons for choice in labels.values()),
    )


def _choice(said: Said, reading: Reading, restore: Restore) -> Choice:
    kind = ConfidenceKind.NONE if said.confidence is None else ConfidenceKind.SELF_REPORTED
    reason = _reason(said, reading, restore)
    reasons = (reason,) if reason else ()
    return Choice(
        label=said.label, confidence=said.confidence, confidence_kind=kind, strength=said.confidence, reasons=reasons
    )


def _reason(said: Said, reading: Reading, restore: Restore) -> Reason | None:
    span = reading.find(restore(said.quote)) if said.quote else None
    if span is None:
        return None
    text = "".join(char if char.isprintable() else " " for char in restore(said.reason))[:MAX_REASON_CHARS].strip()
    return Reason(
        text=text or "Decided by these words.", factor=said.factor, quote=reading.quote(span),
        field=span.field, start=span.start, end=span.end,
    )  # fmt: skip
