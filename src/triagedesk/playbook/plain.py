"""YAML as plain data: what could surprise is refused from the events, before anything is built from them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import yaml

from triagedesk.errors import PlaybookError

MAX_DEPTH = 30
"""A playbook nests about eight levels; libyaml's composer recurses and overflows the stack at some ten thousand."""

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(slots=True)
class _Level:
    """A mapping or a sequence that is open; in a mapping, keys and values take turns."""

    is_mapping: bool
    keys: set[str] = field(default_factory=set)
    at_key: bool = True


def refuse_tricks(text: str, where: str) -> None:
    """Refuse aliases, tags, keys that stand twice, and deep nesting. Raises PlaybookError, or yaml.YAMLError."""
    levels: list[_Level] = []
    for event in yaml.parse(text, Loader=_Loader):
        problem = _problem(event, levels)
        if problem is not None:
            raise PlaybookError(problem, where=where, line=event.start_mark.line + 1 if event.start_mark else None)


def _problem(event: yaml.Event, levels: list[_Level]) -> str | None:
    if isinstance(event, yaml.CollectionEndEvent):
        levels.pop()
        return None
    if not isinstance(event, yaml.NodeEvent):
        return None
    if isinstance(event, yaml.AliasEvent):
        return "YAML aliases are not read; write the value out"  # nine lines of them can stand for a billion values
    if getattr(event, "tag", None) is not None:
        return "YAML tags are not read; write the value without its tag"
    problem = _turn(event, levels[-1]) if levels else None
    if isinstance(event, yaml.CollectionStartEvent):
        levels.append(_Level(isinstance(event, yaml.MappingStartEvent)))
    return "is nested too deeply; a playbook needs some ten levels" if len(levels) > MAX_DEPTH else problem


def _turn(event: yaml.NodeEvent, level: _Level) -> str | None:
    """Take note of a key or a value; say so if the key stood there before."""
    at_key, level.at_key = level.at_key, not level.at_key
    if not (level.is_mapping and at_key and isinstance(event, yaml.ScalarEvent)):
        return None
    if event.value in level.keys:
        return f"{event.value[:40]}: this key stands twice; remove one"
    level.keys.add(event.value)
    return None
