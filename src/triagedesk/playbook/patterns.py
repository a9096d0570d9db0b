"""Many RE2 patterns over one text, with offsets: linear time, whatever users write and whoever sends the text.

Each pattern's leads say where in the text it can match, and RE2 tries it there; RE2's Filter does this for patterns
without leads. Text and patterns are folded. Word boundaries are checked here because RE2's `\\b` knows ASCII only.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from functools import cached_property
from typing import NamedTuple

import re2

from triagedesk.playbook.folding import FoldedText, fold, wordy
from triagedesk.playbook.leads import Leads

MAX_PATTERN_CHARS = 6_000
"""A longer pattern is refused: nested groups of this size cost RE2 tens of milliseconds and megabytes."""

FEW_PATTERNS = 1000
"""A smaller set that is not lazy has no leads: RE2's filter alone is faster."""

MAX_PLACES = 12
"""Where a pattern may match at more places, the whole text is searched at once: that is linear in the text."""

_Expression = tuple["re2._Regexp", bool, bool]
"""A compiled pattern, and whether its left and right edges must be word boundaries."""

_WORD = r"0-9A-Za-z_'\x{80}-\x{10FFFF}"
"""What `\\w` means: cheap for RE2 (Unicode classes cost it hundreds of instructions), right on folded text."""

_GAP = r"(?:[\s,;:\"()*_-]+)"
"""What a blank means: people write commas, line breaks and stray quotes between words."""


_END = r"(?:[^0-9A-Za-z_\x{80}-\x{10FFFF}]|\z)"
"""What follows a word's end."""

_WORDS = {"\\w": f"[{_WORD}]", " ": _GAP}
_WITH_CARE = ("[", "\\\\", "\\ ", "\\b", "\\B")
"""What keeps a pattern from being translated by replacing blanks and `\\w` wherever they stand."""

_WORDS_IN_CLASS = {"\\w": _WORD}


class PatternRefused(ValueError):
    """A pattern that RE2 or this module will not take; `index` is its place in the set."""

    def __init__(self, index: int, pattern: str, why: str) -> None:
        self.index, self.pattern, self.why = index, pattern, why
        super().__init__(f"pattern {pattern[:80]!r}: {why}")


def _options() -> re2.Options:
    options = re2.Options()
    options.log_errors = False
    options.case_sensitive = False
    options.dot_nl = True
    options.never_capture = True
    return options


def _translate(pattern: str) -> tuple[str, bool, bool]:
    """Return the pattern for RE2, and whether its left and right edges must be word boundaries.

    A blank matches white space and light punctuation, `\\w` any letter of any alphabet, digit or apostrophe.
    Raises ValueError on an inner `\\b`.
    """
    left = pattern.startswith("\\b")
    pattern = pattern.removeprefix("\\b")
    right = pattern.endswith("\\b") and not pattern.endswith("\\\\b")
    if right:
        pattern = pattern[:-2]
    if any(sign in pattern for sign in _WITH_CARE):
        return "".join(_tokens(pattern)), left, right
    return pattern.replace(" ", _GAP).replace("\\w", _WORDS["\\w"]), left, right


def _tokens(pattern: str) -> Iterator[str]:
    """Yield the pattern's parts in RE2's words."""
    in_class = False
    index = 0
    while index < len(pattern):
        part = pattern[index : index + 2] if pattern[index] == "\\" else pattern[index]
        index += len(part)
        if part in ("\\b", "\\B"):
            raise ValueError("a word boundary may stand only at the start or the end of a pattern")
        if part == "[":
            in_class = True
        elif part == "]":
            in_class = False
        yield _WORDS_IN_CLASS.get(part, part) if in_class else _WORDS.get(part, part)


class _Filter(NamedTuple):
    """RE2's filter over some patterns of a set."""

    filter: re2.Filter
    patterns: Sequence[int]

    def match(self, text: FoldedText) -> list[int]:
        """Return the patterns that match."""
        return [self.patterns[number] for number in self.filter.Match(text.data) or ()]


class PatternSet:
    """A set of patterns, searched together.

    A pattern that starts (ends) with `\\b` must start (end) at a word boundary of any alphabet. Raises PatternRefused,
    at once or, when `lazy`, only where a text needs the pattern.
    """

    def __init__(self, patterns: Sequence[str], *, lazy: bool = False) -> None:
        self.patterns = tuple(patterns)
        self._options = _options()
        self._indexed = lazy or len(patterns) > FEW_PATTERNS
        self._expressions: dict[int, _Expression] = {}
        self._ended: dict[int, re2._Regexp] = {}
        if not lazy:
            self.compile()

    def compile(self) -> None:
        """Compile every pattern now. Raises PatternRefused.

        Those in RE2's filter are searched by the filter's own expression: it has built its states when it found them.
        """
        if self._filter is not None:
            for number, index in enumerate(self._filter.patterns):
                _, left, right = self._source(index)
                self._expressions.setdefault(index, (self._filter.filter.re(number), left, right))
        for index in range(len(self.patterns)):
            self._expression(index)

    def warm_up(self) -> None:
        """Read now what texts are searched by; patterns are compiled, in microseconds each, as texts need them."""
        if self._leads is not None:
            self._leads.read_all()
        self._filter  # noqa: B018 - made at its first use

    @cached_property
    def _leads(self) -> Leads | None:
        return Leads([_fold_pattern(pattern) for pattern in self.patterns]) if self._indexed else None

    @cached_property
    def _filter(self) -> _Filter | None:
        """What finds the patterns without leads. Raises PatternRefused."""
        indices = range(len(self.patterns)) if self._leads is None else self._leads.untold
        if not indices:
            return None
        made = re2.Filter()
        for index in indices:
            source, _, _ = self._source(index)
            try:
                made.Add(source, self._options)
            except re2.error:
                raise self._refused(index, source) from None
        made.Compile()
        return _Filter(made, indices)

    def _source(self, index: int) -> tuple[str, bool, bool]:
        """Return a pattern in RE2's words, and whether its edges must be word boundaries."""
        pattern = self.patterns[index]
        if not pattern.strip():
            raise PatternRefused(index, pattern, "is empty")
        if len(pattern) > MAX_PATTERN_CHARS:
            raise PatternRefused(index, pattern, f"is longer than {MAX_PATTERN_CHARS} characters")
        try:
            return _translate(_fold_pattern(pattern))
        except ValueError as wrong:
            raise PatternRefused(index, pattern, str(wrong)) from None

    def _refused(self, index: int, source: str) -> PatternRefused:
        """Ask RE2 what it does not like; the Filter only says no."""
        why = "too large"
        try:
            re2.compile(source, self._options)
        except re2.error as wrong:
            said = wrong.args[0] if wrong.args else ""
            why = said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
        return PatternRefused(index, self.patterns[index], f"RE2 refuses it ({why})")

    def find(self, text: str) -> Iterator[tuple[int, int, int]]:
        """Yield (pattern index, start, end) of every non-overlapping match, pattern by pattern."""
        return self.find_folded(FoldedText(text))

    def find_folded(self, text: FoldedText, among: Container[int] | None = None) -> Iterator[tuple[int, int, int]]:
        """Like `find`, for a text folded once and searched by several sets; only some patterns if `among` is given."""
        if not self.patterns or not text.data:
            return
        places = {} if self._leads is None else self._leads.places(text, among)
        by_filter = self._filter.match(text) if self._filter else ()
        for index in sorted([*places, *(index for index in by_filter if among is None or index in among)]):
            starts = places.get(index)
            if starts is None or len(starts) > MAX_PLACES:
                yield from self._search(index, text)
            else:
                yield from self._search_at(index, text, sorted(set(starts)))

    def _expression(self, index: int) -> _Expression:
        found = self._expressions.get(index)
        if found is None:
            source, left, right = self._source(index)
            try:
                regexp = re2.compile(source, self._options)
            except re2.error:
                raise self._refused(index, source) from None
            found = self._expressions[index] = (regexp, left, right)
        return found

    def _search_at(self, index: int, text: FoldedText, starts: Sequence[int]) -> Iterator[tuple[int, int, int]]:
        """Yield the matches that begin at some of these byte offsets, which are where words begin.

        Cheaper than to search: RE2 gives up after a few characters, and builds fewer states for each new text.
        """
        regexp, left, right = self._expression(index)
        position = 0
        for first in starts:
            match = regexp.match(text.data, first) if first >= position else None
            if match is None:
                continue
            last = match.end()
            if right and not text.ends_word(last):
                last = self._at_word_end(index, text, first)
            start, end = text.char_at(first), text.char_at(last)
            if last > first and text.bounded(start, end, left, right):
                yield index, start, end
                position = last

    def _search(self, index: int, text: FoldedText) -> Iterator[tuple[int, int, int]]:
        regexp, left, right = self._expression(index)
        position, size = 0, len(text.data)
        while 0 <= position <= size:
            at, position = position, -1
            for match in regexp.finditer(text.data, at):
                first, last = match.span()
                if right and last > first and not text.ends_word(last):
                    position = last = self._at_word_end(index, text, first)  # and go on from there
                start, end = text.char_at(first), text.char_at(last)
                if last == first or not text.bounded(start, end, left, right):
                    position = text.next_byte(first)  # another match may overlap the one refused
                else:
                    yield index, start, end
                if position >= 0:
                    break

    def _at_word_end(self, index: int, text: FoldedText, first: int) -> int:
        """Match once more from `first`, for an end that is a word's: RE2 stopped at the first alternative that fits.

        Returns where that match ends, or `first`.
        """
        regexp = self._ended.get(index)
        if regexp is None:
            source, _, _ = self._source(index)
            regexp = self._ended[index] = re2.compile(f"(?:{source}){_END}", self._options)
        match = regexp.match(text.data, first)
        if match is None:
            return first
        last: int = match.end()
        return last if last == len(text.data) and text.ends_word(last) and wordy(text.folded[-1]) else last - 1


def _fold_pattern(pattern: str) -> str:
    """Fold a pattern's letters but keep its escapes (`\\S` and `\\pL` are not `\\s` and `\\pl`)."""
    folded = fold(pattern)
    if folded == pattern:
        return pattern
    out = []
    escaped = False
    for char in pattern:
        out.append(char if escaped else fold(char))
        if escaped and char in "pP":
            continue  # the class name after \p keeps its case as well
        escaped = char == "\\" and not escaped
    return "".join(out)
