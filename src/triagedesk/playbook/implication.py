"""When one condition follows from another, and when one can never hold. Sound, not complete: doubt counts as no."""

from __future__ import annotations

from collections.abc import Iterable

from triagedesk.playbook.rulebook import Condition, PatternsByLanguage, Rule


def patterns_of(listed: PatternsByLanguage) -> frozenset[str]:
    """Return the patterns of all languages: every language is searched in every text."""
    return frozenset(pattern for patterns in listed.values() for pattern in patterns)


def implies(one: Condition, other: Condition) -> bool:
    """Say whether `other` holds whenever `one` does."""
    return (
        other.overdue in (None, one.overdue)
        and all(_narrower(mine, its) for mine, its in zip(_metadata(one), _metadata(other), strict=True))
        and all(_narrower(one.labels.get(name, ()), labels) for name, labels in other.labels.items())
        and _signals_imply(one, other)
    )


def rule_implies(one: Rule, other: Rule) -> bool:
    """Say whether `other` votes whenever `one` does."""
    if not implies(one.when, other.when):
        return False
    if not other.match:
        return True
    narrower = bool(one.match) and patterns_of(one.match) <= patterns_of(other.match)
    return narrower and patterns_of(other.unless) <= patterns_of(one.unless)


def contradicts_itself(condition: Condition) -> bool:
    """Say whether a condition asks for a signal and for its absence."""
    never = set(condition.none)
    return (
        bool(never & set(condition.all))
        or _only_from(condition.any, never)
        or (bool(condition.near) and all(never & set(pair) for pair in condition.near))
    )


def needs_one_of(condition: Condition, lost: Iterable[str]) -> bool:
    """Say whether a condition cannot hold because signals never occur."""
    gone = set(lost)
    return (
        bool(gone & set(condition.all))
        or _only_from(condition.any, gone)
        or (bool(condition.near) and all(gone & set(pair) for pair in condition.near))
    )


def _metadata(condition: Condition) -> tuple[tuple[str, ...], ...]:
    return condition.tier, condition.channel, condition.region, condition.language


def _narrower(mine: tuple[str, ...], its: tuple[str, ...]) -> bool:
    """Compare lists of allowed values; an empty one allows all."""
    return not its or _only_from(mine, set(its))


def _only_from(names: tuple[str, ...], allowed: set[str]) -> bool:
    return bool(names) and set(names) <= allowed


def _signals_imply(one: Condition, other: Condition) -> bool:
    present = _present(one)
    return (
        set(other.all) <= present
        and set(other.none) <= set(one.none)
        and (not other.any or _only_from(one.any, set(other.any)) or bool(present & set(other.any)))
        and (not other.near or (bool(one.near) and _pairs(one) <= _pairs(other)))
    )


def _present(condition: Condition) -> set[str]:
    """Return the signals that are certainly there while a condition holds."""
    single = condition.any if len(condition.any) == 1 else ()
    near = condition.near[0] if len(condition.near) == 1 else ()
    return {*condition.all, *single, *near}


def _pairs(condition: Condition) -> set[frozenset[str]]:
    return {frozenset(pair) for pair in condition.near}
