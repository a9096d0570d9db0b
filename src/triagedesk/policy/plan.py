"""What follows from a situation: labels changed by floors, overrides and constraints, the route, reasons for review."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from triagedesk.playbook import Condition, Document, Facts, holds
from triagedesk.playbook.conditions import Hit
from triagedesk.playbook.rulebook import Constraint, Floor
from triagedesk.policy.routing import Route, Router

INJECTION_REASON = "The text tries to steer the answer, so the rules' own reading stands."

Factor = Literal["impact", "customer_value", "time"] | None


class Situation(NamedTuple):
    """All that a plan depends on. `said` and `rules` hold one label per dimension, in the playbook's order."""

    said: tuple[str, ...]
    rules: tuple[str, ...]
    tier: str | None
    channel: str | None
    region: str | None
    language: str | None
    overdue: bool
    hits: tuple[tuple[str, tuple[Hit, ...]], ...]


class Change(NamedTuple):
    """A label that policy put in the place of another, and why."""

    label: str
    text: str
    factor: Factor
    when: Condition
    with_rules_reasons: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """What follows from a situation. `held` names the dimensions whose label no lower one could have taken."""

    changes: Mapping[str, Change]
    held: frozenset[str]
    urgency: str
    route: Route
    review: tuple[str, ...]


class Planner:
    """Works plans out. Pure: the same situation always gives the same plan."""

    def __init__(self, document: Document, router: Router) -> None:
        self._document = document
        self._router = router
        self._names = {name: dimension.names for name, dimension in document.dimensions.items()}
        self._ordinal = tuple(name for name, dimension in document.dimensions.items() if dimension.kind == "ordinal")
        self._languages = frozenset(primary(language) for language in document.languages)

    def plan(self, situation: Situation) -> Plan:
        """Take floors first, then injected text, overrides and constraints; route by the labels that come out."""
        draft = _Draft(self._names, situation)
        injected = any(name in draft.facts.hits for name in self._document.injection_signals)
        for floor in self._document.floors:
            draft.raise_to(floor)
        for name in self._ordinal if injected else ():
            draft.not_under_rules(name)
        self._override(draft)
        for _ in self._document.constraints:  # one that mends may break another: at most as many rounds as there are
            for constraint in self._document.constraints:
                draft.keep(constraint)
        review = dict.fromkeys((*self._doubts(situation, draft.facts, injected), *self._own_reviews(draft.facts)))
        return Plan(draft.changes, draft.held, draft.labels["urgency"], self._router.route(draft.facts), tuple(review))

    def _override(self, draft: _Draft) -> None:
        for override in self._document.overrides:
            if not holds(override.when, draft.facts) or (override.unless and holds(override.unless, draft.facts)):
                continue
            for name, label in override.set.items():
                draft.put(name, Change(label, override.reason, None, override.when))

    def _doubts(self, situation: Situation, facts: Facts, injected: bool) -> Iterable[str]:
        names = tuple(self._names)
        for name in self._ordinal:
            order, place = self._names[name], names.index(name)
            apart = abs(order.index(situation.said[place]) - order.index(situation.rules[place]))
            if apart >= self._document.review.disagreement_levels:
                yield f"{name}_disagreement"
        if injected:
            yield "injection_suspected"
        if facts.language is not None and facts.language not in self._languages:
            yield "unsupported_language"

    def _own_reviews(self, facts: Facts) -> Iterable[str]:
        return (rule.reason for rule in self._document.review.rules if holds(rule.when, facts))


class _Draft:
    """Labels while policy works on them. `facts.labels` follows every change."""

    def __init__(self, names: Mapping[str, tuple[str, ...]], situation: Situation) -> None:
        self._names = names
        self._said = dict(zip(names, situation.said, strict=True))
        self._rules = dict(zip(names, situation.rules, strict=True))
        self._floors: dict[str, int] = {}  # the last place in order that a floor leaves open
        self.labels = dict(self._said)
        self.changes: dict[str, Change] = {}
        self.facts = Facts(
            tier=situation.tier, channel=situation.channel, region=situation.region, language=situation.language,
            overdue=situation.overdue, hits=dict(situation.hits), labels=self.labels,
        )  # fmt: skip

    @property
    def held(self) -> frozenset[str]:
        """The dimensions whose label is the very one that a floor asks for."""
        return frozenset(n for n, place in self._floors.items() if self.labels[n] == self._names[n][place])

    def put(self, name: str, change: Change) -> None:
        """Change a label, unless a floor forbids it."""
        place = self._names[name].index(change.label)
        if change.label == self.labels[name] or place > self._floors.get(name, place):
            return
        self.labels[name] = change.label
        self.changes.pop(name, None)
        if change.label != self._said[name]:
            self.changes[name] = change

    def raise_to(self, floor: Floor) -> None:
        """Hold a dimension at a floor's label or above, while the floor's condition holds."""
        if not holds(floor.when, self.facts):
            return
        name, names = floor.dimension, self._names[floor.dimension]
        place = names.index(floor.at_least)
        if names.index(self.labels[name]) > place:
            self.put(name, Change(floor.at_least, floor.reason, floor.factor, floor.when))
        self._floors[name] = min(place, self._floors.get(name, place))

    def not_under_rules(self, name: str) -> None:
        """Let injected text not talk a dimension down: the rules' answer becomes its floor."""
        label, names = self._rules[name], self._names[name]
        place = names.index(label)
        if names.index(self.labels[name]) > place:
            self.put(name, Change(label, INJECTION_REASON, None, Condition(), with_rules_reasons=True))
        self._floors[name] = min(place, self._floors.get(name, place))

    def keep(self, constraint: Constraint) -> None:
        """Replace labels that may not stand here by the rules' own answer, `instead`, or the first allowed."""
        if not holds(constraint.when, self.facts):
            return
        for name, never in constraint.never.items():
            if self.labels[name] not in never:
                continue
            own, instead = self._rules[name], constraint.instead.get(name)
            candidates = (own, *((instead,) if instead else ()), *self._names[name])
            allowed = next((label for label in candidates if label not in never), None)
            if allowed is not None:
                self.put(name, Change(allowed, constraint.reason, None, constraint.when, allowed == own))


def primary(language: str) -> str:
    """Return a BCP 47 tag's language: "pt-BR" gives "pt"."""
    return language.partition("-")[0].lower()
