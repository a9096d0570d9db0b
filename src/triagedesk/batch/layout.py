"""The layout of JSON rows: where a ticket's fields stand in someone else's objects, by dotted paths."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from triagedesk.batch.columns import ColumnMap, Words, named
from triagedesk.errors import ConfigError

LOOKED_AT = 1_000
"""A path that stands in none of so many first rows is taken for a mistake."""

_MAX_DEPTH = 8


class Layout:
    """Moves the values of mapped paths to a ticket's fields. Without a map rows stay as they are."""

    def __init__(self, words: frozenset[str], mapped: ColumnMap | None = None) -> None:
        self._words, self._mapped = Words(words), dict(mapped or {})

    def apply(self, data: Any) -> Any:
        """Return the ticket's data of one row. What no path names stays where it was."""
        if not self._mapped or not isinstance(data, dict):
            return data
        found = {field: _take(data, path) for field, path in self._mapped.items()}
        made = {**data, **{field: value for field, value in found.items() if value is not None}}
        self._words.settle(made)
        return made

    def check(self, where: str, rows: Iterable[Any]) -> None:
        """Raise ConfigError, with the paths that there are, if one of the map's stands in none of the first rows."""
        if not self._mapped:
            return
        known: dict[str, None] = {}
        for _, row in zip(range(LOOKED_AT), rows, strict=False):
            known.update(dict.fromkeys(_paths(row)))
        for field, path in self._mapped.items():
            if known and path not in known:
                raise ConfigError(f"{where}: no row has {path[:60]!r} for {field}; there are {named(known)}")


def _take(data: dict[str, Any], path: str) -> Any:
    """Take the value at a path out of the row; a key that holds the dots itself goes first."""
    if path in data:
        return data.pop(path)
    *parents, last = path.split(".")
    inner: Any = data
    for name in parents:
        inner = inner.get(name) if isinstance(inner, dict) else None
    return inner.pop(last, None) if isinstance(inner, dict) else None


def _paths(data: Any, before: str = "", depth: int = 0) -> Iterator[str]:
    if not isinstance(data, dict) or depth >= _MAX_DEPTH:
        return
    for name, value in data.items():
        yield f"{before}{name}"
        yield from _paths(value, f"{before}{name}.", depth + 1)
