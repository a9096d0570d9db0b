"""Reading a playbook: safe YAML, strict schema, names that must exist, and a hash that is its version."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from triagedesk.errors import PlaybookError, TicketError
from triagedesk.models import Ticket
from triagedesk.playbook.document import Condition, Dimension, Document
from triagedesk.playbook.signals import SignalFinder

DEFAULT = Path(__file__).with_name("default.yaml")
MAX_BYTES = 2_000_000

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Playbook:
    """A checked playbook, ready to use. `identity` is name@hash12; the hash covers the file's bytes."""

    def __init__(self, document: Document, source: bytes, where: str) -> None:
        self.document = document
        self.where = where
        self._source = source
        self.hash = hashlib.sha256(source).hexdigest()
        self.identity = f"{document.playbook}@{self.hash[:12]}"

    @property
    def dimensions(self) -> dict[str, Dimension]:
        """The dimensions by name."""
        return self.document.dimensions

    @cached_property
    def finder(self) -> SignalFinder:
        """All signals, compiled once."""
        return SignalFinder(self.document)

    @cached_property
    def _lines(self) -> _Lines:
        return _Lines(self._source)

    def line_of(self, path: tuple[Any, ...]) -> int | None:
        """Return the 1-based line where the deepest part of a path of keys and indices stands."""
        return self._lines.of(path)

    def severity(self, dimension: str, label: str) -> int:
        """Return how severe an ordinal label is: 0 for the last in order."""
        names = self.dimensions[dimension].names
        return len(names) - 1 - names.index(label)

    def check_ticket(self, ticket: Ticket) -> None:
        """Raise TicketError if channel or tier is none of this playbook's."""
        for value, known, name in (
            (ticket.channel, self.document.channels, "channel"),
            (ticket.customer_tier, self.document.tiers, "customer_tier"),
        ):
            if value is not None and value not in known:
                raise TicketError(f"{name}: unknown value; this playbook knows {', '.join(known)}")


def load_playbook(path: Path | str | None = None) -> Playbook:
    """Load a playbook file, or the default one.

    Raises PlaybookError with file, line and what to do.
    """
    file = Path(path) if path is not None else DEFAULT
    try:
        source = file.read_bytes()
    except OSError as wrong:
        raise PlaybookError(f"cannot be read ({wrong.strerror}); give a file that exists", where=str(file)) from None
    return parse_playbook(source, where=str(file))


def parse_playbook(source: bytes, *, where: str = "playbook") -> Playbook:
    """Parse and check a playbook's bytes. Raises PlaybookError."""
    data = _yaml(source, where)
    lines = _Lines(source)
    try:
        document = Document.model_validate(data)
    except ValidationError as wrong:
        first = wrong.errors(include_url=False, include_input=False, include_context=False)[0]
        path = tuple(part for part in first["loc"])
        name = ".".join(str(part) for part in path) or "document"
        message = first["msg"].removeprefix("Value error, ")
        if first["type"] == "extra_forbidden":
            message = "unknown key; remove it or mend its spelling"
        raise PlaybookError(f"{name}: {message}", where=where, line=lines.of(path)) from None
    for path, problem in _unknown_names(document):
        raise PlaybookError(problem, where=where, line=lines.of(path))
    playbook = Playbook(document, source, where)
    try:
        playbook.finder.compile()
    except PlaybookError as wrong:
        raise PlaybookError(wrong.problem, where=where, line=lines.containing(wrong.where)) from None
    return playbook


def _yaml(source: bytes, where: str) -> Any:
    if len(source) > MAX_BYTES:
        raise PlaybookError(f"is larger than {MAX_BYTES // 1_000_000} MB", where=where)
    try:
        text = source.decode("utf-8")
    except UnicodeDecodeError:
        raise PlaybookError("is not UTF-8 text", where=where) from None
    try:
        for token in yaml.scan(text, Loader=_Loader) if "*" in text and "&" in text else ():
            if isinstance(token, yaml.AliasToken):
                line = token.start_mark.line + 1
                raise PlaybookError("YAML aliases are not read; write the value out", where=where, line=line)
        data = yaml.load(text, Loader=_Loader)  # noqa: S506 - a safe loader, in C where it is there
    except yaml.MarkedYAMLError as wrong:
        line = wrong.problem_mark.line + 1 if wrong.problem_mark else None
        raise PlaybookError(f"is not YAML: {wrong.problem or wrong.context}", where=where, line=line) from None
    except (yaml.YAMLError, RecursionError, ValueError):
        raise PlaybookError("is not YAML that can be read", where=where) from None
    if not isinstance(data, dict):
        raise PlaybookError("must be a mapping; start from `triagedesk playbook init`", where=where, line=1)
    return data


class _Lines:
    """Finds the line of a path in a YAML source; only asked when something is wrong."""

    def __init__(self, source: bytes) -> None:
        self._source = source

    @cached_property
    def _root(self) -> yaml.Node | None:
        return yaml.compose(self._source.decode("utf-8"), Loader=_Loader)

    def of(self, path: tuple[Any, ...]) -> int | None:
        """Return the 1-based line where the deepest part of the path that exists stands."""
        node, line = self._root, 1
        for part in path:
            step = _child(node, part)
            if step is None:
                break
            node, line = step
        return line

    def containing(self, text: str) -> int | None:
        """Return the first line that holds a pattern's text."""
        for number, line in enumerate(self._source.decode("utf-8").splitlines(), 1):
            if text and (text in line or text.replace("\\", "\\\\") in line):
                return number
        return None


def _child(node: yaml.Node | None, part: Any) -> tuple[yaml.Node, int] | None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == str(part):
                return value, key.start_mark.line + 1
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        return node.value[part], node.value[part].start_mark.line + 1
    return None


Problem = tuple[tuple[Any, ...], str]


def _unknown_names(document: Document) -> Iterator[Problem]:
    """Yield every name that stands for nothing: labels, signals, dimensions, tiers, channels."""
    yield from _dimension_problems(document)
    for path, condition in conditions_of(document):
        yield from _condition_problems(document, path, condition)
    for path, dimension, label in _labels_named(document):
        if dimension not in document.dimensions:
            yield path, f"unknown dimension {dimension!r}; there are {', '.join(document.dimensions)}"
        elif label not in document.dimensions[dimension].names:
            known = ", ".join(document.dimensions[dimension].names)
            yield path, f"unknown label {label!r} of {dimension}; there are {known}"
    for signal in document.injection_signals:
        if signal not in document.signals:
            yield ("injection_signals",), f"unknown signal {signal!r}"


def _dimension_problems(document: Document) -> Iterator[Problem]:
    for name, dimension in document.dimensions.items():
        if len(set(dimension.names)) < len(dimension.names):
            yield ("dimensions", name), f"{name} names a label twice"
    for name in document.decide_order:
        if name not in document.dimensions:
            yield ("decide_order",), f"unknown dimension {name!r}"
    seen: set[str] = set()
    for index, rule in enumerate(document.rules):
        if rule.id in seen:
            yield ("rules", index), f"rule {rule.id} stands twice; give it another id"
        seen.add(rule.id)
        if not rule.match and not rule.when.model_fields_set:
            yield ("rules", index), f"rule {rule.id} has neither `match` nor `when`, so it would always vote"


def _labels_named(document: Document) -> Iterator[tuple[tuple[Any, ...], str, str]]:
    for name, dimension in document.dimensions.items():
        yield ("dimensions", name, "fallback"), name, dimension.fallback
    for index, rule in enumerate(document.rules):
        for dimension, label in rule.says.items():
            yield ("rules", index, "says", dimension), dimension, label
    for index, floor in enumerate(document.floors):
        yield ("floors", index), floor.dimension, floor.at_least
    for index, override in enumerate(document.overrides):
        for dimension, label in override.set.items():
            yield ("overrides", index, "set"), dimension, label
    for index, constraint in enumerate(document.constraints):
        for dimension, label in constraint.instead.items():
            yield ("constraints", index, "instead"), dimension, label
        for dimension, labels in constraint.never.items():
            for label in labels:
                yield ("constraints", index, "never"), dimension, label
    for label in document.targets:
        yield ("targets", label), "urgency", label
    for label, path in document.escalation_paths.items():
        yield ("escalation_paths", label), "escalation", label
        for urgency in path.enter_at:
            yield ("escalation_paths", label, "enter_at"), "urgency", urgency
    for label in document.queues.issue:
        yield ("queues", "issue", label), "issue_type", label
    for label in document.customer_notes:
        yield ("customer_notes", label), "escalation", label
    for gold, row in document.triage_cost.items():
        for label in (gold, *row):
            yield ("triage_cost", gold), "urgency", label


def conditions_of(document: Document) -> Iterator[tuple[tuple[Any, ...], Condition]]:
    """Yield every condition with its path."""
    lists = {
        "rules": document.rules, "floors": document.floors, "overrides": document.overrides,
        "constraints": document.constraints, "notify": document.notify, "flags": document.flags,
    }  # fmt: skip
    for name, items in lists.items():
        for index, item in enumerate(items):
            yield (name, index, "when"), item.when
    for index, override in enumerate(document.overrides):
        if override.unless is not None:
            yield ("overrides", index, "unless"), override.unless
    for index, review in enumerate(document.review.rules):
        yield ("review", "rules", index, "when"), review.when
    for index, first in enumerate(document.queues.first):
        yield ("queues", "first", index, "when"), first.when
    for index, suffix in enumerate(document.queues.suffixes):
        yield ("queues", "suffixes", index, "when"), suffix.when
    for sign in ("complexity", "time_sensitivity", "beyond_procedure"):
        for index, condition in enumerate(getattr(document.indicators, sign)):
            yield ("indicators", sign, index), condition


def _condition_problems(document: Document, path: tuple[Any, ...], condition: Condition) -> Iterator[Problem]:
    for signal in condition.signals:
        if signal not in document.signals:
            yield path, f"unknown signal {signal!r}; define it under `signals`"
    for tier in condition.tier:
        if tier not in document.tiers:
            yield path, f"unknown tier {tier!r}; there are {', '.join(document.tiers)}"
    for channel in condition.channel:
        if channel not in document.channels:
            yield path, f"unknown channel {channel!r}; there are {', '.join(document.channels)}"
    for dimension, labels in condition.labels.items():
        known = document.dimensions[dimension].names if dimension in document.dimensions else ()
        for label in labels:
            if label not in known:
                yield path, f"unknown label {label!r} of {dimension}; there are {', '.join(known) or 'none'}"
