"""A later message of a ticket that is known: what changed and why, and an urgency that does not flap.

Urgency falls only where the customer's newest words carry a reason of their own for it: "any news?" under a report of
an outage says nothing about urgency, and the outage stands.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from triagedesk.classifiers.rules import NOTHING_ELSE
from triagedesk.models import Choice, Reason, Suggestion, Ticket
from triagedesk.opinions import Considered
from triagedesk.playbook import Playbook
from triagedesk.policy import Policy

URGENCY = "urgency"
HELD = "held"
WHY_HELD = "held: the newest message alone says nothing about it"

Changed = dict[str, tuple[str, str, str]]


@dataclass(frozen=True)
class Reconsidered:
    """A suggestion about a ticket that was suggested before, and how it differs: dimension → old, new, why."""

    suggestion: Suggestion
    changed: Changed

    @property
    def held(self) -> bool:
        """Say whether the urgency was kept from falling."""
        return self.changed.get(URGENCY, ("", "", ""))[2] == WHY_HELD


def reconsider(
    before: Mapping[str, Any], considered: Considered, ticket: Ticket, *,
    playbook: Playbook, policy: Policy, now: datetime,
) -> Reconsidered:  # fmt: skip
    """Compare with the suggestion before (as it was stored), and hold an urgency that would fall without a reason."""
    old = _labels(before)
    fresh = considered.suggestion
    held = _would_fall(old.get(URGENCY), fresh, playbook) and not _own_reason(considered, playbook)
    if held:
        fresh = _held_at(old[URGENCY], considered, ticket, policy=policy, now=now)
    return Reconsidered(fresh, _changed(old, fresh, held=held))


def _labels(before: Mapping[str, Any]) -> dict[str, str]:
    """Read the labels of a stored suggestion; one that is not as expected counts as none."""
    labels = before.get("labels")
    rows = labels.items() if isinstance(labels, Mapping) else ()
    return {name: str(choice["label"]) for name, choice in rows if isinstance(choice, Mapping) and "label" in choice}


def _would_fall(old: str | None, fresh: Suggestion, playbook: Playbook) -> bool:
    if old not in playbook.dimensions[URGENCY].names:  # none before, or one of a playbook that is gone
        return False
    return playbook.severity(URGENCY, fresh.labels[URGENCY].label) < playbook.severity(URGENCY, old)


def _own_reason(considered: Considered, playbook: Playbook) -> bool:
    """Say whether the newest words give a reason of their own for the urgency that came out.

    The rules must see a signal that is not weak in them; in a language that the rules do not read, a model's quote from
    them is enough.
    """
    language = (considered.suggestion.language or "").partition("-")[0]
    known = {name.partition("-")[0] for name in playbook.document.languages}
    if considered.model is not None and language not in known:
        return any(reason.field == "body" and reason.quote for reason in _reasons(considered.model.labels))
    hollow = _hollow(playbook)
    seen = _reasons(considered.rules.labels)
    return any(reason.field == "body" and reason.quote and reason.text not in hollow for reason in seen)


def _reasons(labels: Mapping[str, Choice]) -> tuple[Reason, ...]:
    return labels[URGENCY].reasons if URGENCY in labels else ()


def _hollow(playbook: Playbook) -> frozenset[str]:
    """Return the sentences that rest on nothing in particular: the fallback's, and those of weak signals."""
    weak = (signal.reason for signal in playbook.document.signals.values() if signal.weak)
    return frozenset((NOTHING_ELSE, playbook.dimensions[URGENCY].fallback_reason, *weak))


def _held_at(label: str, considered: Considered, ticket: Ticket, *, policy: Policy, now: datetime) -> Suggestion:
    """Let policy decide anew with the higher urgency: targets, path, queue and notices follow from it."""
    fresh, found = considered.suggestion, considered.model or considered.rules
    kept = Choice(label=label, reasons=(Reason(text="The newest message alone says nothing about it; it was so before.",
                                               field="messages"),))  # fmt: skip
    decision = policy.apply(
        found.model_copy(update={"labels": {**found.labels, URGENCY: kept}}), ticket,
        rules=considered.rules, language=fresh.language, now=now,
        notes=[flag for flag in fresh.flags if flag in fresh.review_reasons],
        doubts=[why for why in fresh.review_reasons if not why.startswith(f"{URGENCY}_")],
    )  # fmt: skip
    labels = {
        name: fresh.labels[name] if fresh.labels[name].label == choice.label else choice
        for name, choice in decision.labels.items()
    }
    made: dict[str, Any] = {**vars(decision), "labels": labels}
    return Suggestion(ticket_id=fresh.ticket_id, provenance=fresh.provenance, **made)


def _changed(old: Mapping[str, str], fresh: Suggestion, *, held: bool) -> Changed:
    changed: Changed = {}
    for name, choice in fresh.labels.items():
        before = old.get(name)
        if name == URGENCY and held:
            changed[name] = (before or choice.label, choice.label, WHY_HELD)
        elif before is not None and before != choice.label:
            changed[name] = (before, choice.label, choice.reasons[0].text if choice.reasons else "")
    return changed
