"""Policy: what a desk does with an answer. Deterministic, after the cache, the same for every classifier.

What depends only on labels, metadata and signals is a `Plan`, worked out once per `Situation` and remembered; quotes,
times and confidences are then filled in for the ticket at hand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from triagedesk.models import (
    Choice,
    Classification,
    ConfidenceKind,
    Frozen,
    Indicators,
    Reason,
    Response,
    Span,
    Step,
    Ticket,
)
from triagedesk.playbook import Condition, Document, Playbook, is_overdue
from triagedesk.playbook.conditions import Hit
from triagedesk.policy.automation import AUTO_APPLY, BELOW_SUGGEST_LEVEL, below_suggest_level, may_apply
from triagedesk.policy.plan import Change, Plan, Planner, Situation, primary
from triagedesk.policy.routing import Router
from triagedesk.policy.sla import Agreement
from triagedesk.tracing import traced

REMEMBERED_PLANS = 4096
BODY_AT = 10_000_000
"""Where the body stands when subject and body share one axis: far beyond the longest subject."""

Measure = Callable[[str, Choice], Choice]
"""Gives the choice in a dimension its measured confidence, where there is one."""

NO_REASON = "No reason was given that stands in the ticket."


@dataclass(frozen=True)
class Decision:
    """What policy decided: a Suggestion but for the ticket's id and the provenance."""

    labels: dict[str, Choice]
    secondary_issues: tuple[str, ...]
    response: Response
    escalation_path: tuple[Step, ...]
    indicators: Indicators
    queue: str
    notify: tuple[str, ...]
    flags: tuple[str, ...]
    customer_note: str | None
    language: str | None
    needs_review: bool
    review_reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What policy says of an answer whatever the time: all of a Decision but its response times.

    It depends on the answers, the playbook, the ticket's text and metadata, and on whether the ticket is overdue.
    """

    urgency: str
    overdue: bool
    said: Mapping[str, Any]


class Policy:
    """The policy half of a playbook, made ready once. Safe to share between tasks and threads.

    Raises PlaybookError when a target, a calendar or the queue template cannot be used. A condition's `near` knows
    the first place of each signal only.
    """

    def __init__(self, playbook: Playbook) -> None:
        self._playbook = playbook
        document = playbook.document
        self._names = {name: dimension.names for name, dimension in playbook.dimensions.items()}
        self._min_confidence = document.review.min_confidence
        self._automation = document.automation
        self._agreement = Agreement(document, where=playbook.where)
        planner = Planner(document, Router(document, where=playbook.where))
        self._plan = lru_cache(maxsize=REMEMBERED_PLANS)(planner.plan)
        self._read, self._places_matter = _signals_read(document)

    def warm_up(self, now: datetime) -> None:
        """Read the holidays of this year and the next; else the first ticket of a region pays for them."""
        self._agreement.warm_up(now)

    def apply(
        self, classification: Classification, ticket: Ticket, *,
        rules: Classification, language: str | None, now: datetime, notes: Iterable[str] = (),
        doubts: Iterable[str] = (),
    ) -> Decision:  # fmt: skip
        """Decide. `rules` is the rules' own answer (it may be `classification`).

        `notes` become flags and reasons for review, `doubts` only the latter.

        `now` must carry a time zone. Never raises for a ticket that `Playbook.check_ticket` lets pass.
        """
        verdict = self.judge(
            classification, ticket, rules=rules, language=language, overdue=is_overdue(ticket, now), notes=notes,
            doubts=doubts,
        )  # fmt: skip
        return self.decide(verdict, ticket, now)

    def decide(self, verdict: Verdict, ticket: Ticket, now: datetime) -> Decision:
        """Add to a verdict what the clock says of this ticket."""
        response = self._agreement.response(verdict.urgency, ticket, now, overdue=verdict.overdue)
        return Decision(response=response, **verdict.said)

    @traced("policy")
    def judge(
        self, classification: Classification, ticket: Ticket, *,
        rules: Classification, language: str | None, overdue: bool, notes: Iterable[str] = (),
        doubts: Iterable[str] = (), measure: Measure | None = None,
    ) -> Verdict:  # fmt: skip
        """Say all that does not depend on the clock. `measure` gives the final labels their measured confidence."""
        said = {name: self._choice(name, classification, rules) for name in self._names}
        plan = self._plan(self._situation(said, ticket, rules, language, overdue))
        labels, unsure = self._settle(said, plan, ticket, rules, measure)
        route, notes = plan.route, tuple(notes)
        review = tuple(dict.fromkeys((*plan.review, *unsure, *notes, *doubts)))
        flags = (*route.flags, *notes, *self._opened(labels, review))
        return Verdict(plan.urgency, overdue, {
            "labels": labels,
            "secondary_issues": self._secondary(classification, labels["issue_type"].label),
            "escalation_path": route.path, "indicators": route.indicators, "queue": route.queue,
            "notify": route.notify, "flags": tuple(dict.fromkeys(flags)),
            "customer_note": route.customer_note, "language": language,
            "needs_review": bool(review), "review_reasons": review,
        })  # fmt: skip

    def _choice(self, name: str, classification: Classification, rules: Classification) -> Choice:
        """Take the classifier's choice, else the rules': not every dimension is asked of every classifier."""
        for source in (classification, rules):
            choice = source.labels.get(name)
            if choice is not None and choice.label in self._names[name]:
                return choice
        dimension = self._playbook.dimensions[name]
        return Choice(label=dimension.fallback, reasons=(Reason(text=dimension.fallback_reason),))

    def _situation(
        self, said: Mapping[str, Choice], ticket: Ticket, rules: Classification, language: str | None, overdue: bool
    ) -> Situation:
        signals = rules.signals
        return Situation(
            said=tuple(choice.label for choice in said.values()),
            rules=tuple(self._choice(name, rules, rules).label for name in said),
            tier=ticket.customer_tier, channel=ticket.channel, region=ticket.region,
            language=None if language is None else primary(language), overdue=overdue,
            hits=tuple(
                (name, _places(span) if self._places_matter else ())
                for name, span in signals.items() if name in self._read
            ),
        )  # fmt: skip

    def _settle(
        self, said: dict[str, Choice], plan: Plan, ticket: Ticket, rules: Classification, measure: Measure | None,
    ) -> tuple[dict[str, Choice], list[str]]:  # fmt: skip
        """Put changes in place; return the final choices and what is doubtful about them."""
        labels, doubts = dict(said), []
        for name, change in plan.changes.items():
            more = rules.labels[name].reasons if change.with_rules_reasons and name in rules.labels else ()
            labels[name] = Choice(label=change.label, reasons=(_reason(change, ticket, rules, labels), *more))
        bare = [name for name, choice in labels.items() if not choice.reasons]
        for name in bare:
            labels[name] = _with_reason(labels[name], rules.labels.get(name))
        if bare or not all(any(map(_rests, choice.reasons)) for choice in labels.values()):
            doubts.append("ungrounded_reason")
        if measure is not None:
            labels = {name: measure(name, choice) for name, choice in labels.items()}
        for name in plan.held:
            labels[name] = self._held(labels[name])
        labels = {name: _without_strength(choice) for name, choice in labels.items()}
        return labels, [*doubts, *self._unsure(labels)]

    def _held(self, choice: Choice) -> Choice:
        """Leave a doubt out that changes nothing: a floor holds this label, however sure who said it was."""
        doubted = choice.confidence is not None and choice.confidence < self._min_confidence
        nothing = {"confidence": None, "confidence_kind": ConfidenceKind.NONE}
        return choice.model_copy(update=nothing) if doubted else choice

    def _unsure(self, labels: Mapping[str, Choice]) -> Iterator[str]:
        least = self._min_confidence
        if any(choice.confidence is not None and choice.confidence < least for choice in labels.values()):
            yield "low_confidence"
        if self._automation and below_suggest_level(labels, self._automation):
            yield BELOW_SUGGEST_LEVEL

    def _opened(self, labels: Mapping[str, Choice], review: tuple[str, ...]) -> tuple[str, ...]:
        """Mark labels that may be applied without a person; what somebody should look at never may."""
        ready = bool(self._automation) and not review and may_apply(labels, self._automation)
        return (AUTO_APPLY,) if ready else ()

    def _secondary(self, classification: Classification, issue: str) -> tuple[str, ...]:
        known = self._names["issue_type"]
        return tuple(name for name in classification.secondary_issues if name != issue and name in known)


def _without_strength(choice: Choice) -> Choice:
    """Leave the classifier's raw score behind: what goes out equals what comes back from its JSON."""
    return choice if choice.strength is None else choice.model_copy(update={"strength": None})


def _signals_read(document: Document) -> tuple[frozenset[str], bool]:
    """Return the signals that policy's conditions name, and whether any asks where they stand."""
    parts = (getattr(document, name) for name in type(document).model_fields if name != "rules")
    conditions = tuple(condition for part in parts for condition in _conditions(part))
    named = {name for condition in conditions for name in condition.signals}
    return frozenset((*named, *document.injection_signals)), any(condition.near for condition in conditions)


def _conditions(part: object) -> Iterator[Condition]:
    """Yield every condition inside a part of the playbook."""
    if isinstance(part, Condition):
        yield part
    elif isinstance(part, Frozen):
        for name in type(part).model_fields:
            yield from _conditions(getattr(part, name))
    elif isinstance(part, (tuple, dict)):
        for item in part.values() if isinstance(part, dict) else part:
            yield from _conditions(item)


def _places(span: Span) -> tuple[Hit, ...]:
    if span.start >= span.end:  # the rules saw the signal, but across subject and body
        return ()
    offset = 0 if span.field == "subject" else BODY_AT
    return ((span.start + offset, span.end + offset),)


def _reason(change: Change, ticket: Ticket, rules: Classification, labels: Mapping[str, Choice]) -> Reason:
    """Rest a change on the first place of a signal that its condition names, on a label's own words, or on a field."""
    span = _evidence(change.when, rules.signals)
    if span is None:
        quoted = (reason for name in change.when.labels if name in labels for reason in labels[name].reasons)
        because = next((reason for reason in quoted if _rests(reason)), None)
        if because is not None and _metadata_field(change.when) is None:
            return because.model_copy(update={"text": change.text, "factor": change.factor})
        return Reason(text=change.text, factor=change.factor, field=_metadata_field(change.when))
    source = ticket.subject if span.field == "subject" else ticket.body
    return Reason(
        text=change.text, factor=change.factor, quote=source[span.start : span.end],
        field=span.field, start=span.start, end=span.end,
    )  # fmt: skip


def _evidence(condition: Condition, signals: Mapping[str, Span]) -> Span | None:
    named = (*(name for pair in condition.near for name in pair), *condition.any, *condition.all)
    found = (signals[name] for name in named if name in signals)
    return next((span for span in found if span.start < span.end), None)


def _metadata_field(condition: Condition) -> str | None:
    given = (
        (condition.overdue, "due_at"), (condition.tier, "customer_tier"), (condition.channel, "channel"),
        (condition.region, "region"), (condition.language, "language"),
    )  # fmt: skip
    return next((name for value, name in given if value), None)


def _rests(reason: Reason) -> bool:
    """Say whether a reason rests on a quote or on a field of the ticket."""
    return reason.quote is not None or reason.field is not None


def _with_reason(choice: Choice, rules: Choice | None) -> Choice:
    """Give a bare label the rules' reasons if they agree, else say that there is none."""
    agreed = rules.reasons if rules is not None and rules.label == choice.label else ()
    return choice.model_copy(update={"reasons": agreed or (Reason(text=NO_REASON),)})
