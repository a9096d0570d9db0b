"""A folded pattern cut into its pieces: letters, breaks between words, groups, and what is not told."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from triagedesk.playbook.openings import PLAIN, closing, split

_BREAKS = frozenset(" '\"-,;:!/&#%@<>=~")
"""Characters that stand for themselves (a blank for a run of separators) and after which a word begins."""


class Unclear(Exception):
    """The pattern is built in a way that this reader does not follow."""


class Piece(NamedTuple):
    """A part of a sequence, with its quantifier."""

    kind: str
    """`plain` (letters and digits), `digit` or `word` (any of them), `break` (ends a word), `group`, or `other`."""
    text: str
    """What it is, or what stands in its parentheses or brackets."""
    optional: bool
    repeats: bool
    most: int | None
    """How often it stands at most; None: as often as one likes."""

    def alternatives(self) -> Iterator[tuple[Piece, ...]]:
        """Yield the pieces of each of a group's alternatives. Raises Unclear."""
        return map(pieces, split(self.text))

    @property
    def is_break(self) -> bool:
        """Say whether a word surely ends here."""
        return self.kind == "break" and not self.optional


@lru_cache(maxsize=1_024)
def pieces(body: str) -> tuple[Piece, ...]:
    """Cut a sequence into its pieces: once, though the readers of a pattern come by its groups many times.

    Raises Unclear.
    """
    found, at = [], 0
    while at < len(body):
        kind, text, at = _piece_at(body, at)
        sign = body[at : at + 1]
        optional = repeats = False
        most: int | None = 1
        if sign and sign in "?*+{":
            at, least, most = _quantifier(body, at)
            optional, repeats = least == 0, sign != "?"
        found.append(Piece(kind, text, optional, repeats, most))
    return tuple(found)


def _piece_at(body: str, at: int) -> tuple[str, str, int]:
    """Return the kind and text of the piece at an index, and where it ends."""
    sign = body[at]
    if sign == "(":
        end = closing(body, at)
        return "group", body[at + 1 : end].removeprefix("?:"), end + 1
    if sign == "[":
        end = body.find("]", at + 2)
        if end < 0:
            raise Unclear
        inside = body[at + 1 : end]
        return _kind_of_class(inside), inside, end + 1
    if sign == "\\":
        return _kind_of_escape(body[at + 1 : at + 2]), body[at + 1 : at + 2], at + 2
    if sign in PLAIN:
        return _plain_at(body, at)
    return "break" if sign in _BREAKS else "other", sign, at + 1


def _plain_at(body: str, at: int) -> tuple[str, str, int]:
    """Return the letters and digits from an index on; one with a quantifier stands alone."""
    rest = body[at:]
    size = len(rest) - len(rest.lstrip(PLAIN))
    if size > 1 and rest[size : size + 1] in ("?", "*", "+", "{"):
        size -= 1
    return "plain", rest[:size], at + size


def _kind_of_class(inside: str) -> str:
    """Say whether a class holds nothing but what ends a word, or nothing but letters; no range is looked into."""
    if "-" not in inside[1:-1] and all(char in _BREAKS or char in ".?" for char in inside):
        return "break"
    return "word" if all(char in PLAIN for char in inside) else "other"


def _kind_of_escape(sign: str) -> str:
    """Say what an escaped sign stands for: itself, if it is no letter."""
    if sign in ("w", "d"):
        return "word" if sign == "w" else "digit"
    return "break" if sign and sign.isascii() and not sign.isalnum() and sign != "_" else "other"


def _quantifier(body: str, at: int) -> tuple[int, int, int | None]:
    """Return where a quantifier ends, the least number of times (1 for more), and the greatest."""
    sign, end = body[at], at + 1
    least, most = 0 if sign in "?*" else 1, 1 if sign == "?" else None
    if sign == "{":
        end = body.find("}", at) + 1
        low, comma, high = body[at + 1 : end - 1].partition(",")
        if end == 0 or not _is_count(low) or not (high == "" or _is_count(high)):
            raise Unclear  # RE2 reads the brace as itself
        least = 0 if low in ("", "0") else 1
        most = int(high) if high else None if comma else int(low or 0)
    return end + (body[end : end + 1] == "?"), least, most


def _is_count(text: str) -> bool:
    return text.isdecimal() and (text == "0" or text[0] != "0")
