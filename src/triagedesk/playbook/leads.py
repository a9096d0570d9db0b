"""What a text must hold for a pattern to match: how a word begins, and how words after it begin.

Read from the pattern once a text holds its opening, so that RE2 searches a pattern only where it has a chance. Only
what is certain counts: whatever this reader does not understand asks for nothing.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Sequence
from threading import Lock
from typing import NamedTuple

from triagedesk.playbook.folding import MAX_BEGINNING, FoldedText
from triagedesk.playbook.openings import PLAIN, closing, openings, split, unwrapped

MAX_BRANCHES = 3
"""So many optional characters are followed both ways within one beginning."""

_BREAKS = frozenset(" '\"-,;:!/&#%@<>=~")
"""Characters that stand for themselves (a blank for a run of separators) and after which a word begins."""


_Beginnings = frozenset[bytes]


class Lead(NamedTuple):
    """A way in which a pattern can match: some word begins with one of `heads`, others with one of each of `needs`.

    A blank in a beginning stands for the end of the word.
    """

    heads: frozenset[bytes]
    needs: tuple[frozenset[bytes], ...]


class Leads:
    """An index of folded patterns by their leads; a pattern is read when a text first holds one of its openings."""

    def __init__(self, patterns: Sequence[str]) -> None:
        self.untold: list[int] = []
        """The patterns of which nothing can be told."""
        self.told: list[int] = []
        self._patterns = patterns
        self._unread: dict[bytes, list[int]] = {}
        self._numbers: dict[int, range] = {}
        self._leads: list[tuple[int, _Beginnings, _Beginnings, tuple[_Beginnings, ...]]] = []
        """Of each lead its pattern, its heads, one of its needs, and the others."""
        self._by_head: dict[bytes, list[int]] = {}
        self._reading = Lock()
        for index, pattern in enumerate(patterns):
            found = openings(pattern)
            if found is None:
                self.untold.append(index)
            else:
                self.told.append(index)
            for opening in found or ():
                self._unread.setdefault(opening.encode(), []).append(index)

    def places(
        self, text: FoldedText, among: Container[int] | None = None, possible: Iterable[int] | None = None
    ) -> dict[int, list[int]]:
        """Return the byte offsets at which each pattern can match; one that is not named cannot, if told.

        Asked only of some patterns if `among` is given, and of no others than the `possible` ones if they are known.
        """
        starts, parts, listed = text.starts, text.parts, self._leads
        found: dict[int, list[int]] = {}
        for number in self._met(text) if possible is None else self._of(possible):
            index, heads, first, needs = listed[number]
            if first.isdisjoint(parts) or heads.isdisjoint(parts) or (among is not None and index not in among):
                continue
            if not needs or not any(need.isdisjoint(parts) for need in needs):
                places = found.setdefault(index, [])
                for head in heads & parts:
                    places += starts.get(head, ())
        return found

    def _met(self, text: FoldedText) -> set[int]:
        """Return the numbers of the leads that a word of the text begins with."""
        words = text.starts.keys()
        with self._reading:
            for opening in self._unread.keys() & words:
                self._read_all(self._unread.pop(opening))
            return set[int]().union(*map(self._by_head.__getitem__, self._by_head.keys() & words))

    def _of(self, possible: Iterable[int]) -> list[int]:
        """Return the numbers of the leads of some patterns."""
        with self._reading:
            self._read_all(possible)
            return [number for index in possible for number in self._numbers[index]]

    def _read_all(self, indices: Iterable[int]) -> None:
        for index in indices:
            if index not in self._numbers:
                known = len(self._leads)
                for lead in leads(self._patterns[index]):
                    for head in lead.heads:
                        self._by_head.setdefault(head, []).append(len(self._leads))
                    first, *others = lead.needs or (lead.heads,)
                    self._leads.append((index, lead.heads, first, tuple(others)))
                self._numbers[index] = range(known, len(self._leads))


class _Piece(NamedTuple):
    kind: str
    """`plain` (letters and digits), `break` (ends a word), `group`, or `other`."""
    text: str
    optional: bool
    repeats: bool


def leads(pattern: str) -> list[Lead]:
    """Return the ways in which a folded pattern with openings can match; it matches where one of them holds."""
    body, ends = unwrapped(pattern)
    while body.startswith("(") and closing(body) == len(body) - 1:
        body = body[1:-1].removeprefix("?:")
    try:
        return [_of_sequence(_pieces(alternative), ends) for alternative in split(body)]
    except _Unclear:
        return [Lead(_keys(openings(pattern) or ()), ())]


class _Unclear(Exception):
    """The pattern is built in a way that this reader does not follow."""


def _of_sequence(pieces: Sequence[_Piece], ends: bool) -> Lead:
    heads = _heads(pieces, ends)
    if heads is None:
        raise _Unclear
    return Lead(_keys(heads), tuple(sorted(map(_keys, _needs(pieces, ends)), key=len)))


def _keys(beginnings: Iterable[str]) -> frozenset[bytes]:
    return frozenset(beginning[:MAX_BEGINNING].encode() for beginning in beginnings)


def _needs(pieces: Sequence[_Piece], ends: bool) -> Iterator[set[str]]:
    """Yield the beginnings of which each match holds one, for every place where a word surely begins."""
    at_start = False
    for index, piece in enumerate(pieces):
        if at_start and not piece.optional and piece.kind != "break":
            heads = _heads(pieces[index:], ends)
            if heads is not None:
                yield heads
        closed = piece.kind == "break" or (piece.kind == "group" and _ends_in_break(piece.text))
        at_start = closed and (at_start or not piece.optional)


def _ends_in_break(group: str) -> bool:
    if group[-1:] in PLAIN:
        return False
    return all(_is_break(_pieces(alternative)[-1:]) for alternative in split(group))


def _is_break(pieces: Sequence[_Piece]) -> bool:
    """Say whether the first piece surely ends a word."""
    return bool(pieces) and pieces[0].kind == "break" and not pieces[0].optional


def _ends_word(pieces: Sequence[_Piece], ends: bool) -> bool:
    return _is_break(pieces) if pieces else ends


def _heads(pieces: Sequence[_Piece], ends: bool, begun: str = "", branches: int = 0) -> set[str] | None:
    """Return what a word begins with that starts where these pieces do, or None if that cannot be told."""
    if not pieces or len(begun) >= MAX_BEGINNING:
        return {begun + " " * ends} if begun else None
    piece, rest = pieces[0], pieces[1:]
    if piece.kind == "group" and not begun:
        found = _heads_of_group(piece, _ends_word(rest, ends))
    elif piece.optional and branches >= MAX_BRANCHES:
        return {begun} if begun else None
    else:
        found = _heads_of_piece(piece, rest, ends, begun, branches + piece.optional)
    if piece.optional and found is not None and found != {begun}:
        without = _heads(rest, ends, begun, branches + 1)
        return None if without is None else found | without
    return found


def _heads_of_piece(piece: _Piece, rest: Sequence[_Piece], ends: bool, begun: str, branches: int) -> set[str] | None:
    if piece.kind == "plain":
        longer = begun + piece.text
        return {longer} if piece.repeats else _heads(rest, ends, longer, branches)
    if piece.text == "\\d":
        return {begun + digit for digit in "0123456789"}
    if not begun:
        return None
    return {begun + " " if piece.kind == "break" else begun}


def _heads_of_group(piece: _Piece, closed: bool) -> set[str] | None:
    found: set[str] = set()
    for alternative in split(piece.text):
        heads = _heads(_pieces(alternative), closed and not piece.repeats)
        if heads is None:
            return None
        found |= heads
    return found


def _pieces(body: str) -> list[_Piece]:
    """Cut a sequence into its pieces."""
    found, at = [], 0
    while at < len(body):
        kind, text, at = _piece_at(body, at)
        sign = body[at : at + 1]
        optional = repeats = False
        if sign and sign in "?*+{":
            at, least = _quantifier(body, at)
            optional, repeats = least == 0, sign != "?"
        found.append(_Piece(kind, text, optional, repeats))
    return found


def _piece_at(body: str, at: int) -> tuple[str, str, int]:
    """Return the kind and text of the piece at an index, and where it ends."""
    sign = body[at]
    if sign == "(":
        end = closing(body, at)
        return "group", body[at + 1 : end].removeprefix("?:"), end + 1
    if sign == "[":
        end = body.find("]", at + 2)
        if end < 0:
            raise _Unclear
        return "break" if _only_breaks(body[at + 1 : end]) else "other", "[]", end + 1
    if sign == "\\":
        return "other", body[at : at + 2], at + 2
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


def _only_breaks(inside: str) -> bool:
    """Say whether a class holds nothing but characters after which a word begins; a range is not looked into."""
    return "-" not in inside[1:-1] and all(char in _BREAKS or char in ".?" for char in inside)


def _quantifier(body: str, at: int) -> tuple[int, int]:
    """Return where a quantifier ends, and the least number of times (1 for more)."""
    sign, end = body[at], at + 1
    least = 0 if sign in "?*" else 1
    if sign == "{":
        end = body.find("}", at) + 1
        if end == 0:
            raise _Unclear
        least = 0 if body[at + 1 : end - 1].partition(",")[0] in ("", "0") else 1
    return end + (body[end : end + 1] == "?"), least
