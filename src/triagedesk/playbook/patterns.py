"""Many RE2 patterns over one text, with offsets: linear time, whatever users write and whoever sends the text.

RE2's Filter finds the few patterns that can hit, RE2 confirms each with its offsets. Text and patterns are folded
to lower-case letters without accents, one character for one, so offsets stay those of the text. Word boundaries are
checked here because RE2's `\\b` knows ASCII only.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import accumulate
from threading import Lock

import re2

from triagedesk.playbook.openings import Openings

MAX_PATTERN_CHARS = 6_000
"""A longer pattern is refused: nested groups of this size cost RE2 tens of milliseconds and megabytes."""


FREE_TEXTS, PATTERNS_A_TEXT = 3, 40
"""A lazy set adds so many patterns to its filter with each text after the first ones: about 2 ms."""

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


_PLAIN = {
    "ł": "l", "ø": "o", "đ": "d", "ı": "i", "’": "'", "‘": "'", "`": "'", "´": "'", "“": '"', "”": '"', "„": '"',
    "ſ": "s", "–": "-", "—": "-", "\u00a0": " ", "\u202f": " ", "\t": " ", "\r": " ",
}  # fmt: skip
"""Characters that Unicode does not decompose, and typography, each with its plain form."""


class _FoldTable(dict[int, int]):
    """Maps a character to one plain lower-case character, filled as characters turn up."""

    def __missing__(self, point: int) -> int:
        char = chr(point)
        lower = char.lower()
        base = unicodedata.normalize("NFD", lower)[0] if lower else char
        folded = _PLAIN.get(char) or _PLAIN.get(lower) or _PLAIN.get(base) or base
        self[point] = ord(folded) if len(folded) == 1 else point
        return self[point]


class _WordTable(dict[int, str]):
    """Maps what stands in no word to a blank, filled as characters turn up."""

    def __missing__(self, point: int) -> str:
        char = self[point] = chr(point) if _wordy(chr(point)) else " "
        return char


_FOLD = _FoldTable()
_WORDS_ONLY = _WordTable()


def words_of(folded: str) -> frozenset[str]:
    """Return a folded text's words: what stands between characters that are neither letter, digit nor underscore."""
    return frozenset(folded.translate(_WORDS_ONLY).split())


def fold(text: str) -> str:
    """Fold to lower case without accents and with plain quotes; the result has the same length."""
    return text.translate(_FOLD)


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


class PatternSet:
    """A set of patterns, searched together.

    A pattern that starts (ends) with `\\b` must start (end) at a word boundary of any alphabet. Raises PatternRefused,
    at once or, when `lazy`, only where a text needs the pattern: then the first texts are searched through `Openings`
    while each adds some patterns to the filter, so that none of them waits until all are compiled.
    """

    def __init__(self, patterns: Sequence[str], *, lazy: bool = False) -> None:
        self.patterns = tuple(patterns)
        self._options = _options()
        self._filter = re2.Filter()
        self._added, self._texts = 0, 0
        self._ready = False
        self._adding = Lock()
        self._expressions: dict[int, _Expression] = {}
        self._ended: dict[int, re2._Regexp] = {}
        if not lazy:
            self.compile()

    def compile(self) -> None:
        """Compile every pattern now. Raises PatternRefused."""
        with self._adding:
            self._add(len(self.patterns))

    def _add(self, count: int) -> None:
        """Add so many more patterns to the filter, and make it ready when all are in."""
        for index in range(self._added, min(self._added + count, len(self.patterns))):
            source, _, _ = self._source(index)
            try:
                self._filter.Add(source, self._options)
            except re2.error:
                raise self._refused(index, source) from None
            self._added = index + 1
        if not self._ready and self._added == len(self.patterns):
            if self.patterns:
                self._filter.Compile()
            self._ready = True

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

    @cached_property
    def _openings(self) -> Openings:
        return Openings([fold(pattern) for pattern in self.patterns])

    def find(self, text: str) -> Iterator[tuple[int, int, int]]:
        """Yield (pattern index, start, end) of every non-overlapping match, pattern by pattern."""
        return self.find_folded(FoldedText(text))

    def find_folded(self, text: FoldedText) -> Iterator[tuple[int, int, int]]:
        """Like `find`, for a text folded once and searched by several sets."""
        if not self.patterns or not text.data:
            return
        for index in self._candidates(text):
            yield from self._confirm(index, text)

    def _candidates(self, text: FoldedText) -> list[int]:
        if not self._ready:
            self._grow()
        if self._ready:
            return sorted(self._filter.Match(text.data) or ())
        return self._openings.candidates(text.words)

    def _grow(self) -> None:
        """Let a text pay for a part of the filter, but for the first ones: they may be the only ones."""
        self._texts += 1
        if self._texts > FREE_TEXTS and self._adding.acquire(blocking=False):
            try:
                self._add(PATTERNS_A_TEXT)
            finally:
                self._adding.release()

    def _expression(self, index: int) -> _Expression:
        found = self._expressions.get(index)
        if found is None:
            source, left, right = self._source(index)
            try:
                regexp = self._filter.re(index) if self._ready else re2.compile(source, self._options)
            except re2.error:
                raise self._refused(index, source) from None
            found = self._expressions[index] = (regexp, left, right)
        return found

    def _confirm(self, index: int, text: FoldedText) -> Iterator[tuple[int, int, int]]:
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
        return last if last == len(text.data) and text.ends_word(last) and _wordy(text.folded[-1]) else last - 1


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


class FoldedText:
    """A text folded and encoded once; maps byte offsets back to characters."""

    def __init__(self, text: str) -> None:
        self.folded = fold(text)
        self.data = self.folded.encode("utf-8", "replace")
        self._ascii = len(self.data) == len(self.folded)

    @cached_property
    def _chars(self) -> list[int]:
        """Character index for each byte offset (and for the end)."""
        counts = accumulate((byte & 0xC0) != 0x80 for byte in self.data)
        return [count - 1 for count in counts] + [len(self.folded)]

    @cached_property
    def words(self) -> frozenset[str]:
        """The text's words: what stands between characters that are neither letter nor digit nor underscore."""
        return words_of(self.folded)

    def char_at(self, byte: int) -> int:
        """Return the index of the character at a byte offset."""
        return byte if self._ascii else self._chars[byte]

    def next_byte(self, byte: int) -> int:
        """Return the offset of the next character's first byte."""
        byte += 1
        while byte < len(self.data) and (self.data[byte] & 0xC0) == 0x80:
            byte += 1
        return byte

    def ends_word(self, byte: int) -> bool:
        """Say whether no word goes on at a byte offset."""
        at = self.char_at(byte)
        return at >= len(self.folded) or at == 0 or not (_wordy(self.folded[at]) and _wordy(self.folded[at - 1]))

    def bounded(self, start: int, end: int, left: bool, right: bool) -> bool:
        """Say whether the wanted edges of a match are word boundaries."""
        text = self.folded
        if left and start > 0 and _wordy(text[start - 1]) and _wordy(text[start]):
            return False
        return not (right and end < len(text) and _wordy(text[end]) and _wordy(text[end - 1]))


def _wordy(char: str) -> bool:
    return char.isalnum() or char == "_"
