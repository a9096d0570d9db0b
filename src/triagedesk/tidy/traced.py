"""A text whose every character knows where it stood in the field it came from."""

from __future__ import annotations

import unicodedata
from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

Ranges = list[tuple[int, int]]
"""Half-open ranges of a text, in order and without overlap."""

_IDENTITY = array("q", range(32_768))
MAX_TABLE = 20_000
"""Characters that a table remembers: a text made of all of Unicode must not grow it for good."""

MAX_MARKS = 8
"""Combining marks that one letter keeps. No script writes more; sorting thousands of them would take seconds."""


def identity(size: int) -> array[int]:
    """Return 0, 1, 2 … as an array; a slice of a ready one costs a memory copy."""
    return _IDENTITY[:size] if size <= len(_IDENTITY) else array("q", range(size))


@dataclass(frozen=True, slots=True, repr=False)
class Traced:
    """A text and, for each of its characters, the index in the raw field: never decreasing."""

    text: str
    origin: array[int]

    @classmethod
    def of(cls, text: str, start: int = 0) -> Traced:
        """Trace a raw text that begins at `start` of its field."""
        return cls(text, array("q", range(start, start + len(text))) if start else identity(len(text)))

    def keep(self, ranges: Iterable[tuple[int, int]]) -> Traced:
        """Keep only the given ranges, which are in order and do not overlap."""
        parts: list[str] = []
        origin = array("q")
        for start, end in ranges:
            parts.append(self.text[start:end])
            origin.extend(self.origin[start:end])
        return Traced("".join(parts), origin)

    def plus(self, other: Traced) -> Traced:
        """Append what stands further down in the same field."""
        return Traced(self.text + other.text, self.origin + other.origin)

    def strip(self) -> Traced:
        """Take white space off both ends."""
        text = self.text
        start = len(text) - len(text.lstrip())
        end = len(text.rstrip())
        if start == 0 and end == len(text):
            return self
        return Traced(text[start:end], self.origin[start:end]) if start < end else Traced("", array("q"))

    def translate(self, table: dict[int, str | None]) -> Traced:
        """Replace characters by `table`: None drops one, a longer text shares the origin of the one it replaces."""
        text = self.text.translate(table)
        if text == self.text:
            return self
        pieces = [table[ord(char)] for char in self.text]
        if len(text) == len(self.text) and all(piece is not None and len(piece) == 1 for piece in pieces):
            return Traced(text, self.origin)
        origin = array("q")
        for place, piece in zip(self.origin, pieces, strict=True):
            if piece:
                origin.extend([place] * len(piece))
        return Traced(text, origin)

    def one_line(self) -> Traced:
        """Make a blank of every line break."""
        return Traced(self.text.replace("\n", " ").replace("\r", " "), self.origin)

    def unix_lines(self) -> Traced:
        """Make CRLF and a lone CR one line feed each."""
        if "\r" not in self.text:
            return self
        lone = Traced(self.text.replace("\r\n", "\n\n").replace("\r", "\n"), self.origin)
        if "\r\n" not in self.text:
            return lone
        ranges, start = [], 0
        while (at := self.text.find("\r\n", start)) >= 0:
            ranges.append((start, at))
            start = at + 1
        ranges.append((start, len(self.text)))
        return lone.keep(ranges)

    def compose(self) -> Traced:
        """Join letters with their combining marks (NFC); marks that a Latin letter cannot take are dropped.

        So are a letter's marks after the first `MAX_MARKS`.
        """
        text = self.text
        if text.isascii() or (
            not any(map(unicodedata.combining, set(text))) and unicodedata.is_normalized("NFC", text)
        ):
            return self
        out: list[str] = []
        origin = array("q")
        start = 0
        for end in range(1, len(text) + 1):
            if end < len(text) and unicodedata.combining(text[end]):
                continue
            piece = _join(text[start : min(end, start + 1 + MAX_MARKS)])
            out.append(piece)
            # One raw character that decomposes keeps its place for every piece.
            origin.extend(self.origin[start + min(index, end - start - 1)] for index in range(len(piece)))
            start = end
        return Traced("".join(out), origin)


def _join(cluster: str) -> str:
    joined = unicodedata.normalize("NFC", cluster)
    if len(joined) > 1 and _latin(joined[0]):
        return joined[0]
    return joined


def _latin(char: str) -> bool:
    return char.isalpha() and ord(char) < 0x250


class Visible(dict[int, "str | None"]):
    """Maps what no reader sees to None and line breaks of all kinds to a line feed; all else stays itself.

    Dropped: zero-width and bidirectional controls, tag characters, soft hyphens, variation selectors, fillers, control
    characters, enclosing marks, the stand-in for an embedded object. Entries are made as characters turn up.
    """

    BREAKS: ClassVar[str] = "\n\v\f\x85\u2028\u2029"
    KEPT: ClassVar[str] = "\t\r"
    BLANKS: ClassVar[str] = "\u2800"
    FILLERS: ClassVar[str] = "\u034f\u115f\u1160\u3164\uffa0\u17b4\u17b5\u2065\ufffc"

    def __missing__(self, point: int) -> str | None:
        value = self.value(chr(point))
        if len(self) >= MAX_TABLE:  # begin anew, or a full table would make every later ticket pay
            self.clear()
        self[point] = value
        return value

    def value(self, char: str) -> str | None:
        """Say what stands for one character."""
        if char in self.BREAKS:
            return "\n"
        if char in self.KEPT or " " <= char < "\x7f":
            return char
        category = unicodedata.category(char)
        if category == "Cs":
            return "\ufffd"  # half a surrogate pair cannot be encoded
        if category in ("Cf", "Cc", "Me") or char in self.FILLERS or _ignorable(ord(char)):
            return None
        return " " if char in self.BLANKS else char


def _ignorable(point: int) -> bool:
    """Say if Unicode's Default_Ignorable_Code_Point holds beyond category Cf: variation selectors, plane 14, spares."""
    return (
        0xFE00 <= point <= 0xFE0F
        or 0x180B <= point <= 0x180F
        or 0xFFF0 <= point <= 0xFFF8
        or 0xE0000 <= point <= 0xE0FFF
    )


class Plain(Visible):
    """What `Visible` does, and letters in fancy dress become plain ones: full-width, mathematical, circled, small caps.

    Unicode's compatibility forms are used only where they are letters or digits in another style. What would change
    a meaning stays: ½, ™, ², º and № (which would become the word “no”).
    """

    STYLES = frozenset(("<font>", "<wide>", "<narrow>", "<circle>", "<square>", "<small>"))

    def value(self, char: str) -> str | None:
        """Say what stands for one character."""
        seen = super().value(char)
        if seen is None or seen != char or char < "\u00a0":
            return seen
        style = unicodedata.decomposition(char).partition(" ")[0]
        if style in self.STYLES or (style in ("<super>", "<sub>") and unicodedata.category(char) == "Lm"):
            return unicodedata.normalize("NFKC", char)
        name = unicodedata.name(char, "")
        if style == "<compat>" and " LIGATURE " in name:
            return unicodedata.normalize("NFKC", char)
        return _letter_by_name(name) or char


def _letter_by_name(name: str) -> str | None:
    """Return the letter that a small capital or a negative circled or squared letter stands for."""
    last = name.rpartition(" ")[2]
    if len(last) != 1:
        return None
    if name.startswith("LATIN LETTER SMALL CAPITAL "):
        return last.lower()
    if name.startswith(("NEGATIVE CIRCLED LATIN CAPITAL", "NEGATIVE SQUARED LATIN CAPITAL")):
        return last
    return None


VISIBLE = Visible()
PLAIN = Plain()
