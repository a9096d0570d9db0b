"""The rules classifier: the playbook's weighted rules over a reading. Always there, microseconds, no network.

It gives the fallback answer, and the signals on which the floors of policy rest.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from triagedesk.classifiers.reasons import metadata_field, opening, quoted
from triagedesk.models import Choice, Classification, Factor, Reason, Span
from triagedesk.playbook import Dimension, Document, Facts, Playbook, Rule, evidence, holds
from triagedesk.playbook.conditions import Hit, nearest
from triagedesk.playbook.patterns import PatternSet
from triagedesk.playbook.rulebook import Scores
from triagedesk.playbook.signals import inline_signal
from triagedesk.reading import Reading
from triagedesk.tracing import traced

THRESHOLD = 1.0
"""Votes that a label needs when the first label in order wins."""

MAX_REASONS = 3
SALUTATION_CHARS = 35
"""A first paragraph shorter than this is no more than a greeting ("Sehr geehrte Damen und Herren,")."""
SECOND_MATTER = 2.0
"""Votes of strong signals that make another issue a secondary one."""
HEARD = 0.75
"""Below this, what was found in the text is too faint to decide a sum of votes: the fallback label stands."""
HARM_IN_DROPPED_TEXT, NOTHING_RECOGNISED = "harm_in_dropped_text", "nothing_recognised"
"""Reasons for a person to look that `overlooked` and `unrecognised` give."""
NOTHING_ELSE = "Nothing in the ticket speaks for another label."


@dataclass(frozen=True, slots=True)
class _Vote:
    label: str
    weight: float
    text: str
    factor: Factor | None
    hit: Hit | None
    rule: Rule | None = None
    weak: bool = False


@dataclass(frozen=True, slots=True)
class _Score:
    """One entry of a dimension's scores: one signal, or two near each other."""

    names: tuple[str, ...]
    label: str
    weight: float
    text: str
    factor: Factor | None
    weak: bool

    def place(self, facts: Facts) -> Hit | None:
        """Return where the entry rests in the text, or None if it does not apply."""
        if len(self.names) > 1:
            return nearest((self.names,), facts)  # type: ignore[arg-type]  # two names, as the schema has it
        places = facts.hits.get(self.names[0])
        return places[0] if places else None


class RulesClassifier:
    """Classifies by the rules of one playbook. Safe to share between tasks and threads."""

    def __init__(self, playbook: Playbook) -> None:
        self._playbook = playbook
        document = playbook.document
        self._rules_of = {
            name: tuple(rule for rule in document.rules if name in rule.says) for name in document.dimensions
        }
        self._scores_of = {name: tuple(_scores(document, name)) for name in document.dimensions}
        self._steering = document.injection_signals
        self._calm_of = {name: _calm_and_alarm(document, name) for name in document.dimensions}
        self._bias_of = {name: scores.bias for name, scores in document.scores.items()}
        self._grave = _grave(document)

    @traced("rules")
    def classify(self, reading: Reading, facts: Facts) -> Classification:
        """Decide every dimension in the playbook's order; `facts` carries the ticket's metadata."""
        hits = self._playbook.finder.find(reading.text, facts.language)
        facts = replace(facts, hits=hits, opening=_opening_end(reading))
        labels: dict[str, Choice] = {}
        sums: dict[str, dict[str, float]] = {}
        issues: tuple[str, ...] = ()
        for name in self._playbook.document.order:
            dimension = self._playbook.dimensions[name]
            if dimension.decide == "catalogue":
                labels[name] = self._look_up(name, dimension, reading)
            else:
                votes = self._votes(name, facts)
                sums[name] = self._sums(name, votes)
                labels[name] = self._decide(name, votes, sums[name], reading, labels)
                if name == "issue_type":
                    issues = _others(dimension, votes, labels[name].label)
            facts = replace(facts, labels={**facts.labels, name: labels[name].label})
        ordered = {name: labels[name] for name in self._playbook.dimensions}
        return Classification(labels=ordered, secondary_issues=issues, signals=_spans(hits, reading), votes=sums)

    def overlooked(self, reading: Reading, found: Classification) -> str | None:
        """Say if a signal of the highest floors stands only in what tidying dropped: it decides no label."""
        if not reading.dropped or self._grave <= found.signals.keys():
            return None
        there = self._playbook.finder.find(reading.dropped, reading.language)
        return HARM_IN_DROPPED_TEXT if self._grave & there.keys() - found.signals.keys() else None

    def unrecognised(self, found: Classification) -> str | None:
        """Say if neither urgency nor issue type of the rules' answer rests on anything in the ticket."""
        dimensions = self._playbook.dimensions
        fallen = all(
            [reason.text for reason in found.labels[name].reasons] == [dimensions[name].fallback_reason]
            for name in ("urgency", "issue_type")
        )
        return NOTHING_RECOGNISED if fallen else None

    def _votes(self, dimension: str, facts: Facts) -> list[_Vote]:
        votes = list(self._scored(dimension, facts))
        for rule in self._rules_of[dimension]:
            own = facts.hits.get(inline_signal(rule.id), ())
            if (rule.match and not own) or not holds(rule.when, facts):
                continue
            hit = own[0] if own else evidence(rule.when, facts)
            weight = rule.weight_for(dimension)
            votes.append(_Vote(rule.says[dimension], weight, rule.reason, rule.factor, hit, rule))
        return votes

    def _scored(self, dimension: str, facts: Facts) -> Iterator[_Vote]:
        calm, alarm = self._calm_of[dimension]
        alarms = (facts.hits[name][0][0] for name in alarm if name in facts.hits)
        calm_until = min((facts.opening, *alarms))
        steered = min((facts.hits[name][0][0] for name in self._steering if name in facts.hits), default=None)
        for score in self._scores_of[dimension]:
            hit = score.place(facts) if score.names[0] in facts.hits else None
            if hit is None or (hit[0] > calm_until and not calm.isdisjoint(score.names)):
                continue
            if alarm and steered is not None and hit[0] >= steered and score.names[0] not in alarm:
                continue  # what follows on an instruction to the reader counts only if it alarms
            yield _Vote(score.label, score.weight, score.text, score.factor, hit, weak=score.weak)

    def _sums(self, name: str, votes: list[_Vote]) -> dict[str, float]:
        sums = dict.fromkeys(self._playbook.dimensions[name].names, 0.0) | self._bias_of.get(name, {})
        for vote in votes:
            sums[vote.label] += vote.weight
        return sums

    def _decide(
        self, name: str, votes: list[_Vote], sums: Mapping[str, float], reading: Reading, decided: Mapping[str, Choice]
    ) -> Choice:
        dimension = self._playbook.dimensions[name]
        bias = self._bias_of.get(name, {})
        label = _first(sums) if dimension.decide == "first" else _most(sums)
        strength = _strength(sums, label or dimension.fallback)
        if dimension.decide == "first":  # it follows from the labels decided before: it is as sure as the least of them
            strength = min([strength, *(choice.strength for choice in decided.values() if choice.strength is not None)])
        heard = max(total - bias.get(each, 0.0) for each, total in sums.items())
        if label is None or heard < HEARD:
            reasons = [opening(dimension.fallback_reason, reading)]
            return Choice(label=dimension.fallback, strength=strength, reasons=tuple(reasons))
        winners = sorted((vote for vote in votes if vote.label == label), key=lambda vote: (vote.weak, -vote.weight))
        if not winners:
            return Choice(label=label, strength=strength, reasons=(opening(NOTHING_ELSE, reading),))
        if not winners[0].weak:
            winners = [vote for vote in winners if not vote.weak]
        reasons = [_reason(vote, reading, decided) for vote in winners[:MAX_REASONS]]
        return Choice(label=label, strength=strength, reasons=tuple(dict.fromkeys(reasons)))

    @cached_property
    def _aliases(self) -> dict[str, tuple[PatternSet, tuple[str, ...]]]:
        made = {}
        for name, dimension in self._playbook.dimensions.items():
            if dimension.decide == "catalogue":
                pairs = [(alias, label.name) for label in dimension.labels for alias in label.aliases]
                patterns = [f"\\b{_literal(alias)}\\b" for alias, _ in pairs]
                made[name] = PatternSet(patterns), tuple(label for _, label in pairs)
        return made

    def _look_up(self, name: str, dimension: Dimension, reading: Reading) -> Choice:
        """Find a catalogue entry in the ticket's fields first, then in its text: the first named wins."""
        aliases, owners = self._aliases[name]
        for field, value in _named_fields(reading, name):
            for index, _, _ in aliases.find(value):
                return Choice(label=owners[index], reasons=(Reason(text=f"Named in {field}.", field=field),))
            if value in dimension.names:
                return Choice(label=value, reasons=(Reason(text=f"Named in {field}.", field=field),))
        found = sorted((start, -end, index) for index, start, end in aliases.find(reading.text))
        if not found:
            return Choice(label=dimension.fallback, reasons=(opening(dimension.fallback_reason, reading),))
        start, end, index = found[0]
        reason = quoted("Named in the text.", None, reading, (start, -end))
        return Choice(label=owners[index], reasons=(reason,))


def _scores(document: Document, dimension: str) -> Iterator[_Score]:
    if dimension not in document.scores:
        return
    for label, weights in document.scores[dimension].votes.items():
        for key, weight in weights.items():
            names = tuple(key.split(" + "))
            told = [document.signals[name] for name in names]
            text = " ".join(dict.fromkeys(signal.reason or f"It speaks of {signal.description}." for signal in told))
            factor = next((signal.factor for signal in told if signal.factor), None)
            yield _Score(names, label, weight, text, factor, all(signal.weak for signal in told))


def _grave(document: Document) -> frozenset[str]:
    """Return the signals on which floors at the first label of their dimension rest."""
    highest = (floor for floor in document.floors if floor.at_least == document.dimensions[floor.dimension].names[0])
    return frozenset(name for floor in highest for name in floor.when.signals)


def _calm_and_alarm(document: Document, dimension: str) -> tuple[frozenset[str], tuple[str, ...]]:
    scores = document.scores.get(dimension, Scores())
    return frozenset(scores.calm), scores.alarm


def _literal(alias: str) -> str:
    return "".join(char if char.isalnum() or char == " " else f"\\{char}" for char in alias)


def _named_fields(reading: Reading, name: str) -> list[tuple[str, str]]:
    ticket = reading.ticket
    named: list[tuple[str, object]] = [(name, ticket.product)] if name == "product" else []
    named.append((f"fields.{name}", ticket.fields.get(name)))
    return [(field, value) for field, value in named if isinstance(value, str)]


def _strength(sums: Mapping[str, float], label: str) -> float:
    """Return the label's share of the votes on a logistic scale: the scores were fitted as logits."""
    best = max(sums.values())
    return math.exp(sums[label] - best) / sum(math.exp(total - best) for total in sums.values())


def _first(sums: Mapping[str, float]) -> str | None:
    return next((label for label, weight in sums.items() if weight >= THRESHOLD), None)


def _most(sums: Mapping[str, float]) -> str | None:
    best = max(sums.values())
    return next(label for label, weight in sums.items() if weight == best) if best > 0 else None


def _others(dimension: Dimension, votes: list[_Vote], chosen: str) -> tuple[str, ...]:
    """Name further issues for which strong signals voted enough, in the dimension's order."""
    sums = dict.fromkeys(dimension.names, 0.0)
    for vote in votes:
        sums[vote.label] += 0.0 if vote.weak else vote.weight
    return tuple(label for label in dimension.names if sums[label] >= SECOND_MATTER and label != chosen)[:3]


def _reason(vote: _Vote, reading: Reading, decided: Mapping[str, Choice]) -> Reason:
    rule = vote.rule
    if vote.hit is not None or rule is None:
        return quoted(vote.text, vote.factor, reading, vote.hit or (0, 0))
    field = metadata_field(rule)
    if field is None:
        for dimension in rule.when.labels:  # it follows from another label: it rests on the same words
            for reason in decided[dimension].reasons:
                return reason.model_copy(update={"text": rule.reason, "factor": rule.factor})
    return Reason(text=rule.reason, factor=rule.factor, field=field)


def _opening_end(reading: Reading) -> int:
    """Return where the opening ends: subject and first paragraph, a mere salutation not counted."""
    end = reading.text.find("\n\n", reading.body_at + SALUTATION_CHARS)
    return len(reading.text) if end < 0 else end


def _spans(hits: Mapping[str, tuple[Hit, ...]], reading: Reading) -> dict[str, Span]:
    spans = {}
    for name, places in hits.items():
        if name.startswith("rule:"):
            continue
        span = next((found for place in places if (found := reading.locate(*place))), None)
        spans[name] = span or Span(field="body", start=0, end=0)
    return spans
