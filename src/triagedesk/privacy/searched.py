"""A text that is searched for personal data: RE2's matches as character ranges, and libraries asked about candidates.

A text with more candidates than `MAX_CHECKS` is hostile or a data dump: the rest is believed unchecked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from itertools import accumulate

import re2

MAX_CHECKS = 400
"""Candidates checked by a library in one text; further ones are redacted on their shape."""

Found = tuple[int, int, str]
"""Start, end and kind."""

BOUND = r"(?:^|[^\pL\pN_])"


class Searched:
    """A text encoded once for RE2, whose byte offsets become character offsets again."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.data = text.encode("utf-8", "replace")
        self._checks = 0
        self._known: dict[tuple[str, Callable[[str], bool]], bool] = {}

    @cached_property
    def _chars(self) -> list[int] | None:
        if len(self.data) == len(self.text):
            return None
        counts = accumulate((byte & 0xC0) != 0x80 for byte in self.data)
        return [count - 1 for count in counts] + [len(self.text)]

    def range(self, first: int, last: int) -> tuple[int, int]:
        """Turn a byte range into a character range."""
        return (first, last) if self._chars is None else (self._chars[first], self._chars[last])

    def find(self, pattern: re2._Regexp, group: int = 0) -> Iterator[tuple[int, int]]:
        """Yield the character range of a group for every match."""
        for match in pattern.finditer(self.data):
            first, last = match.span(group)
            yield self.range(first, last)

    def windows(self, pattern: re2._Regexp, accept: Callable[[int, int], bool]) -> Iterator[tuple[int, int]]:
        """Yield the ranges of group 1 that `accept` takes; one refused is tried again a number later."""
        at = 0
        while match := pattern.search(self.data, at):
            first, last = match.span(1)
            start, end = self.range(first, last)
            if accept(start, end):
                yield start, end
                at = last
                continue
            at = first + 1
            while at < last and 48 <= self.data[at] <= 57:
                at += 1

    def before(self, start: int, size: int = 32) -> str:
        """Return what stands before a place on its line, in lower case."""
        return self.text[max(0, start - size) : start].rpartition("\n")[2].lower()

    def after(self, end: int, size: int = 16) -> str:
        """Return what stands after a place, in lower case."""
        return self.text[end : end + size].lower()

    def confirmed(self, start: int, end: int, check: Callable[[str], bool], cost: int = 1) -> bool:
        """Ask a library about a candidate once; when it has been asked too often, believe."""
        asked = (self.text[start:end], check)
        known = self._known.get(asked)
        if known is None:
            self._checks += cost
            known = self._known[asked] = self._checks > MAX_CHECKS or check(asked[0])
        return known


def _options(**given: bool) -> re2.Options:
    options = re2.Options()
    options.log_errors = False
    for name, value in given.items():
        setattr(options, name, value)
    return options


def compiled(pattern: str) -> re2._Regexp:
    """Compile a pattern that is ours; RE2 keeps its complaints to itself."""
    return re2.compile(pattern, _options())


def any_of(choices: Iterable[str]) -> str:
    """Return a pattern that matches any of the words."""
    return "|".join(map(re2.escape, choices))


def free(text: Searched, start: int, end: int, glue: str) -> bool:
    """Say if a candidate stands alone: no letter, digit or glue on either side (a full stop may end it)."""
    left = text.text[start - 1 : start]
    right = text.text[end : end + 1]
    further = text.text[end + 1 : end + 2]
    if left and (left.isalnum() or left in glue):
        return False
    return not (right.isalnum() or (right and right in glue and further.isalnum()))
