"""`playbook check`: what a playbook says in vain, or both ways. It claims only what it can prove."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Literal

from triagedesk.playbook.document import Dimension, Document
from triagedesk.playbook.folding import fold
from triagedesk.playbook.implication import contradicts_itself, implies, needs_one_of, patterns_of, rule_implies
from triagedesk.playbook.load import Playbook
from triagedesk.playbook.names import conditions_of
from triagedesk.playbook.rulebook import Condition, Rule

VOTE_THAT_WINS = 1.0
"""A vote of this weight decides a dimension whose first label in order wins (see the rules classifier)."""

Path = tuple[Any, ...]
Severity = Literal["error", "warning"]
Kind = Literal["dead", "shadowed", "conflicting", "unused"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to mend. `rule` is the id of what is meant, or its place; `line` is 1-based, or None."""

    severity: Severity
    kind: Kind
    rule: str
    line: int | None
    message: str


@dataclass(frozen=True, slots=True)
class _Claim:
    path: Path
    severity: Severity
    kind: Kind
    message: str


def check(playbook: Playbook) -> list[Finding]:
    """Return every finding in the order of the file. An empty list promises nothing: only what is provable is told."""
    document = playbook.whole
    checks: tuple[Callable[[Document], Iterator[_Claim]], ...] = (
        _dead_patterns, _dead_conditions, _dead_votes, _dead_floors, _dead_overrides, _dead_holidays,
        _shadowed_rules, _shadowed_floors, _shadowed_queues, _conflicting_rules, _conflicting_patterns, _unused_signals,
    )  # fmt: skip
    claims = dict.fromkeys(claim for find in checks for claim in find(document))
    told = {claim.path for claim in claims if claim.kind == "dead"}
    findings = [
        Finding(claim.severity, claim.kind, _name(document, claim.path), playbook.line_of(claim.path), claim.message)
        for claim in claims
        if claim.kind == "dead" or claim.path not in told
    ]
    return sorted(findings, key=lambda finding: finding.line or 0)


def _name(document: Document, path: Path) -> str:
    """Name a place by its id where it has one, else by its path."""
    if path[0] in ("rules", "floors", "overrides"):
        return str(getattr(document, path[0])[path[1]].id)
    return ".".join(str(part) for part in path)


def _rule_path(index: int) -> Path:
    return ("rules", index)


# --- dead ------------------------------------------------------------------------------------------------------------


def _dead_patterns(document: Document) -> Iterator[_Claim]:
    asides = patterns_of(document.negation.asides)
    for name, signal in document.signals.items():
        dead = _excepted(patterns_of(signal.patterns), patterns_of(signal.unless) | asides)
        yield from _pattern_claims(("signals", name), dead, len(patterns_of(signal.patterns)))
    for index, rule in enumerate(document.rules):
        dead = _excepted(patterns_of(rule.match), patterns_of(rule.unless) | asides)
        yield from _pattern_claims(_rule_path(index), dead, len(patterns_of(rule.match)))


def _pattern_claims(path: Path, dead: list[str], count: int) -> Iterator[_Claim]:
    if dead and len(dead) == count:
        yield _Claim(
            path, "error", "dead", "every pattern is excepted by its own `unless` (or an aside); mend one of them"
        )
    elif dead:
        shown = ", ".join(repr(pattern[:60]) for pattern in dead[:3])
        yield _Claim(path, "warning", "dead", f"always excepted by `unless` (or an aside): {shown}")


def _excepted(patterns: frozenset[str], unless: frozenset[str]) -> list[str]:
    phrases = [words for pattern in unless if (words := _words(pattern))]
    return sorted(
        pattern for pattern in patterns
        if pattern in unless or any(_holds_phrase(_words(pattern), phrase) for phrase in phrases)
    )  # fmt: skip


def _words(pattern: str) -> tuple[str, ...]:
    """Return the words of a pattern that is a plain phrase, else nothing."""
    plain = all(char.isalnum() or char == " " for char in pattern)
    return tuple(fold(pattern).split()) if plain else ()


def _holds_phrase(words: tuple[str, ...], phrase: tuple[str, ...]) -> bool:
    size = len(phrase)
    return any(words[start : start + size] == phrase for start in range(len(words) - size + 1))


def _dead_signals(document: Document) -> frozenset[str]:
    return frozenset(
        claim.path[1] for claim in _dead_patterns(document) if claim.path[0] == "signals" and claim.severity == "error"
    )


def _dead_conditions(document: Document) -> Iterator[_Claim]:
    lost = _dead_signals(document)
    for path, condition in conditions_of(document):
        keyed = path[-1] in ("when", "unless")
        owner, key = (path[:-1], f"its `{path[-1]}`") if keyed else (path, "it")
        if contradicts_itself(condition):
            yield _Claim(owner, "error", "dead", f"{key} can never hold: it asks for a signal and for its absence")
        elif needs_one_of(condition, lost):
            yield _Claim(owner, "error", "dead", f"{key} can never hold: every pattern of its signal is excepted")


def _dead_votes(document: Document) -> Iterator[_Claim]:
    """Find votes that nobody counts: in a catalogue, or waiting for a label that is decided later."""
    for index, rule in enumerate(document.rules):
        idle = [name for name in rule.says if not _is_counted(document, rule, name)]
        if idle:
            severity: Severity = "error" if len(idle) == len(rule.says) else "warning"
            message = f"its vote for {', '.join(idle)} never counts: the dimension is a catalogue, or decided too early"
            yield _Claim(_rule_path(index), severity, "dead", message)


def _is_counted(document: Document, rule: Rule, name: str) -> bool:
    decided = document.order[: document.order.index(name)]
    return document.dimensions[name].decide != "catalogue" and all(other in decided for other in rule.when.labels)


def _dead_floors(document: Document) -> Iterator[_Claim]:
    for index, floor in enumerate(document.floors):
        if document.dimensions[floor.dimension].names[-1] == floor.at_least:
            yield _Claim(
                ("floors", index), "error", "dead", f"nothing lies under {floor.at_least!r}, the last in order"
            )


def _dead_overrides(document: Document) -> Iterator[_Claim]:
    for index, override in enumerate(document.overrides):
        if override.unless is not None and implies(override.when, override.unless):
            yield _Claim(("overrides", index), "error", "dead", "its `unless` holds whenever its `when` does")


def _dead_holidays(document: Document) -> Iterator[_Claim]:
    wanted = {name: calendar.holidays for name, calendar in document.calendars.items() if calendar.holidays}
    if not wanted:
        return
    import holidays  # lazy: only this check and the SLA clock need it

    places = holidays.list_supported_countries(include_aliases=True)
    for name, code in wanted.items():
        country, _, part = code.partition("-")
        if country not in places or (part and part not in places[country]):
            message = f"no holidays are known for {code!r}; give a country code such as DE or US-NY"
            yield _Claim(("calendars", name, "holidays"), "error", "dead", message)


# --- shadowed --------------------------------------------------------------------------------------------------------


def _shadowed_rules(document: Document) -> Iterator[_Claim]:
    for index, rule in enumerate(document.rules):
        shadows = [_shadow(document, index, rule, name) for name in rule.says]
        if all(shadows):
            names = ", ".join(dict.fromkeys(shadow for shadow in shadows if shadow))
            message = f"never changes a label: {names} always votes with it, for the same label or one that goes first"
            yield _Claim(_rule_path(index), "warning", "shadowed", message)


def _shadow(document: Document, index: int, rule: Rule, name: str) -> str | None:
    """Name a rule that makes this rule's vote in a dimension idle, if one surely does."""
    dimension = document.dimensions[name]
    if dimension.decide != "first" or any(other.weight_for(name) < 0 for other in document.rules if name in other.says):
        return None
    for place, other in enumerate(document.rules):
        if place == index or name not in other.says or not rule_implies(rule, other):
            continue
        if _outvotes(dimension, name, other, rule) and (place < index or not _same_vote(rule, other, name)):
            return other.id
    return None


def _outvotes(dimension: Dimension, name: str, other: Rule, rule: Rule) -> bool:
    weight, label = other.weight_for(name), other.says[name]
    if weight < VOTE_THAT_WINS:
        return False
    if label == rule.says[name]:
        return weight >= rule.weight_for(name)
    return dimension.names.index(label) < dimension.names.index(rule.says[name])


def _same_vote(one: Rule, other: Rule, name: str) -> bool:
    """Say whether two rules are the same but for their words; then only the later one is idle."""
    return one.says[name] == other.says[name] and rule_implies(other, one) and rule_implies(one, other)


def _shadowed_floors(document: Document) -> Iterator[_Claim]:
    for index, floor in enumerate(document.floors):
        names = document.dimensions[floor.dimension].names
        for place, other in enumerate(document.floors):
            if place == index or other.dimension != floor.dimension or floor.when.labels or other.when.labels:
                continue
            higher = names.index(floor.at_least) - names.index(other.at_least)
            if implies(floor.when, other.when) and (higher > 0 or (higher == 0 and place < index)):
                message = f"never raises a label: {other.id} always holds with it, at the same label or above"
                yield _Claim(("floors", index), "warning", "shadowed", message)
                break


def _shadowed_queues(document: Document) -> Iterator[_Claim]:
    first = document.queues.first
    for index, later in enumerate(first):
        for place, earlier in enumerate(first[:index]):
            if implies(later.when, earlier.when):
                message = f"is never reached: entry {place + 1} of the list holds whenever it does"
                yield _Claim(("queues", "first", index), "warning", "shadowed", message)
                break


# --- conflicting and unused ------------------------------------------------------------------------------------------


def _conflicting_rules(document: Document) -> Iterator[_Claim]:
    for (_, one), (index, other) in combinations(enumerate(document.rules), 2):
        against = [name for name in one.says if _against(one, other, name)]
        if against and rule_implies(one, other) and rule_implies(other, one):
            message = f"votes on the same condition as {one.id}, as strongly, for another label of {', '.join(against)}"
            yield _Claim(_rule_path(index), "error", "conflicting", message)


def _against(one: Rule, other: Rule, name: str) -> bool:
    voted = name in one.says and name in other.says
    return voted and one.says[name] != other.says[name] and one.weight_for(name) == other.weight_for(name)


def _conflicting_patterns(document: Document) -> Iterator[_Claim]:
    """Find one pattern in two signals that alone make rules vote against each other where votes are summed."""
    holders: dict[tuple[str, frozenset[str], bool], list[str]] = defaultdict(list)
    for name, signal in document.signals.items():
        for pattern in patterns_of(signal.patterns):
            holders[pattern, patterns_of(signal.unless), signal.negatable].append(name)
    triggered = {name: [rule for rule in document.rules if _alone_suffices(rule, name)] for name in document.signals}
    for (pattern, _, _), names in holders.items():
        for one, other in combinations(names, 2):
            for left in triggered[one]:
                for right in triggered[other]:
                    dimensions = [name for name in left.says if _sums_against(document, left, right, name)]
                    if left is not right and dimensions:
                        message = (f"pattern {pattern[:60]!r} stands in {one} too, and {left.id} votes with it against "
                                   f"{right.id} in {', '.join(dimensions)}")  # fmt: skip
                        yield _Claim(("signals", other), "warning", "conflicting", message)


def _sums_against(document: Document, one: Rule, other: Rule, name: str) -> bool:
    return document.dimensions[name].decide == "sum" and _against(one, other, name)


def _alone_suffices(rule: Rule, signal: str) -> bool:
    return not rule.match and implies(Condition(all=(signal,)), rule.when)


def _unused_signals(document: Document) -> Iterator[_Claim]:
    named = {name for _, condition in conditions_of(document) for name in condition.signals}
    named |= {name for scores in document.scores.values() for name in scores.signals()}
    for name in document.signals:
        if name not in named and name not in document.injection_signals:
            yield _Claim(("signals", name), "warning", "unused", "nothing asks for this signal")
