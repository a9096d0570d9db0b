"""When a suggestion's alarms are due: the steps of its escalation path, its promised times, and at once if it is grave.

All of them are rows of `store.steps`: numbers from 1 are the path's, the others stand below.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from triagedesk.models import Step, Suggestion
from triagedesk.playbook import Playbook
from triagedesk.service.notify import Kind, Promise
from triagedesk.service.store.records import Outcome, OutcomeKind, StepDue, StepState, StoredSuggestion
from triagedesk.service.wire import suggestion_of

GRAVE, FIRST_RESPONSE, RESOLUTION = 0, -1, -2
"""Steps that are none of the path: the most severe urgency; a first response, and a resolution, that did not come."""

LATEST_ALARM = timedelta(days=1)
"""What passed longer ago is recorded as closed: nobody is called up because of an old ticket that was read in."""

URGENCY, ESCALATION = "urgency", "escalation"
_ENDS = {FIRST_RESPONSE: (OutcomeKind.FIRST_REPLY, OutcomeKind.RESOLVED), RESOLUTION: (OutcomeKind.RESOLVED,)}
_ENDS_STEP = (OutcomeKind.FIRST_REPLY, OutcomeKind.RESOLVED)


@dataclass(frozen=True)
class Before:
    """What is known of a ticket when a suggestion comes: the one before, its steps, and what became of the ticket."""

    path: tuple[Step, ...] = ()
    steps: Mapping[int, StepDue] = field(default_factory=dict)
    outcomes: tuple[Outcome, ...] = ()

    @classmethod
    def of(
        cls, previous: StoredSuggestion | None, steps: Iterable[StepDue], outcomes: Iterable[Outcome]
    ) -> Before:  # fmt: skip
        """Gather it from what is stored."""
        path = suggestion_of(previous).escalation_path if previous else ()
        return cls(path, {step.step: step for step in steps}, tuple(outcomes))


def planned(
    stored: StoredSuggestion, suggestion: Suggestion, playbook: Playbook, before: Before, now: datetime
) -> tuple[StepDue, ...]:
    """Return every step of a suggestion. What was told of the one before is not told again; what is over is closed."""
    begin = _begin(stored, before)
    due = {FIRST_RESPONSE: suggestion.response.first_response_due, RESOLUTION: suggestion.response.resolution_due}
    if is_grave(suggestion, playbook):
        due[GRAVE] = stored.created_at
    for step in suggestion.escalation_path:
        due[step.step] = begin + timedelta(minutes=step.after_minutes)
    silent = _silent(suggestion, playbook)
    return tuple(
        StepDue(stored.id, number, at, _state(number, at, suggestion, before, silent, now))
        for number, at in sorted(due.items())
    )


def is_grave(suggestion: Suggestion, playbook: Playbook) -> bool:
    """Say whether the urgency is the playbook's most severe one."""
    return suggestion.labels[URGENCY].label == playbook.dimensions[URGENCY].names[0]


def is_over(number: int, outcomes: Iterable[Outcome], since: datetime) -> bool:
    """Say whether an outcome since then makes an alarm needless; a promise that was kept once stays kept."""
    ends = _ENDS.get(number, _ENDS_STEP)
    return any(one.kind in ends and (number in _ENDS or one.at >= since) for one in outcomes)


def kind_of(number: int) -> Kind:
    """Return why somebody is told of a step."""
    if number == GRAVE:
        return Kind.CRITICAL
    return Kind.SLA_BREACH if number in _ENDS else Kind.ESCALATION


def promise_of(number: int) -> Promise | None:
    """Return which promise a step watches, if any."""
    return {FIRST_RESPONSE: Promise.FIRST_RESPONSE, RESOLUTION: Promise.RESOLUTION}.get(number)


def team_of(number: int, suggestion: Suggestion) -> str | None:
    """Return who takes a step."""
    return next((step.team for step in suggestion.escalation_path if step.step == number), None)


def arrived_at(stored: StoredSuggestion) -> datetime:
    """Return when a ticket came: as it says itself, if that is not in the future, else when it was suggested."""
    said: Any = (stored.ticket or {}).get("created_at")
    try:
        moment = datetime.fromisoformat(said) if isinstance(said, str) else stored.created_at
    except ValueError:
        moment = stored.created_at
    moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return min(moment, stored.created_at)


def _begin(stored: StoredSuggestion, before: Before) -> datetime:
    """Return when the path's clock began: with the ticket; anew with a message that came after an answer."""
    moments = [arrived_at(stored)]
    known = [step for step in before.path if step.step in before.steps]
    moments += [before.steps[step.step].due_at - timedelta(minutes=step.after_minutes) for step in known[:1]]
    begin = min(moments)
    answered = any(one.kind in _ENDS_STEP and begin <= one.at <= stored.created_at for one in before.outcomes)
    return stored.created_at if answered else begin


def _silent(suggestion: Suggestion, playbook: Playbook) -> frozenset[int]:
    """Return the steps that begin by themselves: the queue has them, or the alarm of a grave ticket tells of them."""
    escalates = suggestion.labels[ESCALATION].label != playbook.dimensions[ESCALATION].fallback
    if escalates and not is_grave(suggestion, playbook):
        return frozenset()
    return frozenset(step.step for step in suggestion.escalation_path if step.after_minutes == 0)


def _state(
    number: int, at: datetime, suggestion: Suggestion, before: Before, silent: frozenset[int], now: datetime
) -> StepState:
    if number in silent or number in _told(suggestion, before):
        return StepState.NOTIFIED
    if number in _ENDS and is_over(number, before.outcomes, at):
        return StepState.CLOSED
    return StepState.CLOSED if at < now - LATEST_ALARM else StepState.WAITING


def _told(suggestion: Suggestion, before: Before) -> Iterator[int]:
    """Yield the steps of which the same people were told already."""
    teams = {step.step: step.team for step in before.path}
    for number, step in before.steps.items():
        if step.state is StepState.NOTIFIED and (number < 1 or teams.get(number) == team_of(number, suggestion)):
            yield number
