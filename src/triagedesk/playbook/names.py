"""Every name in a playbook must stand for something: labels, signals, dimensions, tiers and channels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from triagedesk.playbook.document import Document
from triagedesk.playbook.rulebook import Condition

Path = tuple[Any, ...]
"""Where something stands in the document: keys and list indices from the top."""

Problem = tuple[Path, str]
Named = tuple[Path, str, str]
"""Path, dimension and label."""


def unknown_names(document: Document) -> Iterator[Problem]:
    """Yield every name that stands for nothing, with its path and what there is instead."""
    yield from _dimension_problems(document)
    yield from _rule_problems(document)
    for path, condition in conditions_of(document):
        yield from _condition_problems(document, path, condition)
    for path, dimension, label in _labels_named(document):
        yield from _label_problems(document, path, dimension, label)
    for signal in document.injection_signals:
        if signal not in document.signals:
            yield ("injection_signals",), f"unknown signal {signal!r}"
    for name in document.automation:
        if name not in document.dimensions:
            yield ("automation", name), f"unknown dimension {name!r}; there are {_listed(document.dimensions)}"
    for name, scores in document.scores.items():
        unknown = (key for key in scores.signals() if key not in document.signals)
        yield from ((("scores", name), f"unknown signal {key!r}") for key in unknown)


def conditions_of(document: Document) -> Iterator[tuple[Path, Condition]]:
    """Yield every condition with its path."""
    for path, model in _walk((), document):
        if isinstance(model, Condition):
            yield path, model


def _walk(path: Path, value: object) -> Iterator[tuple[Path, BaseModel]]:
    if isinstance(value, BaseModel):
        yield path, value
        for name in type(value).model_fields:
            yield from _walk((*path, name), getattr(value, name))
    elif isinstance(value, Mapping):
        for key, part in value.items():
            yield from _walk((*path, key), part)
    elif isinstance(value, tuple) and value and isinstance(value[0], BaseModel):
        for index, part in enumerate(value):
            yield from _walk((*path, index), part)


def _dimension_problems(document: Document) -> Iterator[Problem]:
    for name, dimension in document.dimensions.items():
        if len(set(dimension.names)) < len(dimension.names):
            yield ("dimensions", name), f"{name} names a label twice"
    for name in document.decide_order:
        if name not in document.dimensions:
            yield ("decide_order",), f"unknown dimension {name!r}"


def _rule_problems(document: Document) -> Iterator[Problem]:
    for name, signal in document.signals.items():
        if not signal.patterns and document.lexicon is None:
            yield ("signals", name), f"signal {name} has no patterns, and the playbook no lexicon"
    seen: set[str] = set()
    for index, rule in enumerate(document.rules):
        if rule.id in seen:
            yield ("rules", index), f"rule {rule.id} stands twice; give it another id"
        seen.add(rule.id)
        if not rule.match and not rule.when.model_fields_set:
            yield ("rules", index), f"rule {rule.id} has neither `match` nor `when`, so it would always vote"


def _label_problems(document: Document, path: Path, dimension: str, label: str) -> Iterator[Problem]:
    if dimension not in document.dimensions:
        yield path, f"unknown dimension {dimension!r}; there are {_listed(document.dimensions)}"
    elif label not in document.dimensions[dimension].names:
        known = _listed(document.dimensions[dimension].names)
        yield path, f"unknown label {label!r} of {dimension}; there are {known}"


def _labels_named(document: Document) -> Iterator[Named]:
    for name, dimension in document.dimensions.items():
        yield ("dimensions", name, "fallback"), name, dimension.fallback
    for index, rule in enumerate(document.rules):
        yield from _said(("rules", index, "says"), rule.says)
    for index, floor in enumerate(document.floors):
        yield ("floors", index, "at_least"), floor.dimension, floor.at_least
    for index, override in enumerate(document.overrides):
        yield from _said(("overrides", index, "set"), override.set)
    for index, constraint in enumerate(document.constraints):
        yield from _said(("constraints", index, "instead"), constraint.instead)
        for name, labels in constraint.never.items():
            yield from (((("constraints", index, "never", name)), name, label) for label in labels)
    for name, scores in document.scores.items():
        yield from ((("scores", name), name, label) for label in (*scores.bias, *scores.votes))
    yield from _labels_of_policy(document)


def _said(path: Path, labels: Mapping[str, str]) -> Iterator[Named]:
    return (((*path, dimension), dimension, label) for dimension, label in labels.items())


def _labels_of_policy(document: Document) -> Iterator[Named]:
    keyed = (
        (("targets",), "urgency", document.targets),
        (("escalation_paths",), "escalation", document.escalation_paths),
        (("queues", "issue"), "issue_type", document.queues.issue),
        (("customer_notes",), "escalation", document.customer_notes),
        (("triage_cost",), "urgency", document.triage_cost),
    )
    for path, dimension, mapping in keyed:
        yield from (((*path, label), dimension, label) for label in mapping)
    for label, steps in document.escalation_paths.items():
        yield from ((("escalation_paths", label, "enter_at"), "urgency", name) for name in steps.enter_at)
    for gold, row in document.triage_cost.items():
        yield from ((("triage_cost", gold), "urgency", label) for label in row)


def _condition_problems(document: Document, path: Path, condition: Condition) -> Iterator[Problem]:
    known = (
        (condition.signals, document.signals, "signal", "; define it under `signals`"),
        (condition.tier, document.tiers, "tier", f"; there are {_listed(document.tiers)}"),
        (condition.channel, document.channels, "channel", f"; there are {_listed(document.channels)}"),
    )
    for names, defined, kind, advice in known:
        yield from ((path, f"unknown {kind} {name!r}{advice}") for name in names if name not in defined)
    for dimension, labels in condition.labels.items():
        for label in labels:
            yield from _label_problems(document, (*path, "labels"), dimension, label)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)
