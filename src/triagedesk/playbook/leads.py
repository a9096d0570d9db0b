"""What a text must hold for a pattern to match: how a word begins, and how words after it begin.

Read from the pattern once a text holds its opening, so that RE2 searches a pattern only where it has a chance. Only
what is certain counts: whatever this reader does not understand asks for nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Iterator, Sequence
from itertools import chain
from threading import Lock
from typing import NamedTuple

from triagedesk.playbook.folding import MAX_BEGINNING, FoldedText
from triagedesk.playbook.openings import PLAIN, closing, openings, readable, split, unwrapped
from triagedesk.playbook.pieces import Piece, Unclear
from triagedesk.playbook.pieces import pieces as pieces_of
from triagedesk.playbook.sequel import Sequel, sequel

MAX_BRANCHES = 3
"""So many optional characters are followed both ways within one beginning."""

_Beginnings = frozenset[bytes]


class Lead(NamedTuple):
    """A way in which a pattern can match: some word begins with one of `heads`, others with one of each of `needs`.

    The sequel, where there is one, is what stands right behind that first word. A blank in a beginning stands for the
    end of the word.
    """

    heads: frozenset[bytes]
    needs: tuple[frozenset[bytes], ...]
    sequel: Sequel | None = None

    def groups(self) -> set[frozenset[bytes]]:
        """Return the sets of beginnings of each of which a text must hold one."""
        found = {*self.needs, self.heads} | ({self.sequel.begins} if self.sequel else set())
        return found - {frozenset()}


class _Known(NamedTuple):
    """A lead that was read: its pattern's number, and the groups besides the one by which it is found."""

    pattern: int
    heads: _Beginnings
    sequel: Sequel | None
    others: tuple[_Beginnings, ...]


class Leads:
    """An index of folded patterns by their leads; a pattern is read when a text first holds one of its openings.

    A lead is found by the group of beginnings that the fewest texts are likely to hold: one of "the" and "chargeback"
    is looked up by the latter.
    """

    def __init__(self, patterns: Sequence[str]) -> None:
        self.untold: list[int] = []
        """The patterns of which nothing can be told."""
        self._patterns = patterns
        self._unread: dict[bytes, list[int]] = {}
        self._read: set[int] = set()
        self._known: list[_Known] = []
        self._found_by: dict[bytes, list[int]] = {}
        self._same: dict[_Beginnings, _Beginnings] = {}
        """One object for sets that are equal: many patterns ask for the same words."""
        self._uses: Counter[bytes] = Counter()
        """In how many leads a beginning stands."""
        self._reading = Lock()
        for index, pattern in enumerate(patterns):
            found = openings(pattern)
            if found is not None:
                for opening in found:
                    self._unread.setdefault(opening.encode(), []).append(index)
            elif anywhere := leads_anywhere(pattern):
                self._index([(index, lead) for lead in anywhere])
            else:
                self.untold.append(index)

    def places(self, text: FoldedText, among: Container[int] | None = None) -> dict[int, list[int] | None]:
        """Return the byte offsets at which each pattern can match, or None: anywhere. One not named cannot, if told.

        Asked only of some patterns if `among` is given.
        """
        parts, known = text.parts, self._known
        found: dict[int, list[int] | None] = {}
        for number in self._met(text):
            index, heads, behind, others = known[number]
            if among is not None and index not in among:
                continue
            for group in others:
                if group.isdisjoint(parts):
                    break
            else:
                if not heads:
                    found[index] = None
                elif places := _begins(text, heads, behind):
                    found[index] = [*(found.get(index) or ()), *places]
        return found

    def read_all(self) -> None:
        """Read every pattern now, so that no text waits for it."""
        with self._reading:
            self._take(index for opened in self._unread.values() for index in opened)
            self._unread.clear()

    def _met(self, text: FoldedText) -> set[int]:
        """Return the numbers of the leads that a text may hold, by the group that each is found by."""
        with self._reading:
            opened = self._unread.keys() & text.starts.keys()
            if opened:
                self._take([index for opening in opened for index in self._unread[opening]])
                for opening in opened:
                    del self._unread[opening]
            return set[int]().union(*map(self._found_by.__getitem__, self._found_by.keys() & text.parts))

    def _take(self, indices: Iterable[int]) -> None:
        """Read these patterns, if they have not been read."""
        new = sorted(set(indices) - self._read)
        self._index([(index, lead) for index in new for lead in leads(self._patterns[index])])
        self._read.update(new)

    def _index(self, taken: Sequence[tuple[int, Lead]]) -> None:
        for _, lead in taken:
            self._uses.update(chain.from_iterable(lead.groups()))
        for index, lead in taken:
            rarest, *others = sorted(lead.groups(), key=self._commonness)
            for beginning in rarest:
                self._found_by.setdefault(beginning, []).append(len(self._known))
            shared = tuple(self._same.setdefault(group, group) for group in others)
            self._known.append(_Known(index, self._same.setdefault(lead.heads, lead.heads), lead.sequel, shared))

    def _commonness(self, group: _Beginnings) -> float:
        """Guess how often texts hold one of these: what many patterns use, and what is short, stands in many texts."""
        return sum(self._uses[beginning] * 4.0 ** max(0, 4 - len(beginning)) for beginning in group)


def _begins(text: FoldedText, heads: _Beginnings, behind: Sequel | None) -> list[int]:
    """Return the byte offsets of words that begin with one of the heads, and have what must follow."""
    starts = text.starts
    places = [place for head in heads & text.parts for place in starts.get(head, ())]
    return places if behind is None else behind.holds(text, places)


def leads(pattern: str) -> list[Lead]:
    """Return the ways in which a folded pattern with openings can match; it matches where one of them holds."""
    try:
        return [_of_sequence(pieces, ends) for pieces, ends in _alternatives(pattern)]
    except (Unclear, RecursionError):
        return [Lead(_keys(openings(pattern) or ()), ())]


def leads_anywhere(pattern: str) -> list[Lead]:
    """Return what a match of a pattern without openings needs, wherever it begins: leads without heads.

    Empty where one of its alternatives needs nothing.
    """
    if not readable(pattern):
        return []
    try:
        found = [_needed(pieces, ends, at_start=True) for pieces, ends in _alternatives(pattern)]
    except (Unclear, RecursionError):
        return []
    return [Lead(frozenset(), needs) for needs in found] if all(found) else []


def _alternatives(pattern: str) -> Iterator[tuple[tuple[Piece, ...], bool]]:
    """Yield the pieces of each alternative, and whether it must end a word. Raises Unclear."""
    body, ends = unwrapped(pattern)
    while body.startswith("(") and closing(body) == len(body) - 1:
        body = body[1:-1].removeprefix("?:")
    for alternative in split(body):
        yield pieces_of(alternative), ends


def _of_sequence(pieces: tuple[Piece, ...], ends: bool) -> Lead:
    heads = _heads(pieces, ends)
    if heads is None:
        raise Unclear
    told = sequel(pieces, lambda rest: _heads(rest, ends))
    behind = None if told is None else Sequel(told.reach, _keys(told.begins))
    return Lead(_keys(heads), _needed(pieces, ends), behind)


def _needed(pieces: Sequence[Piece], ends: bool, *, at_start: bool = False) -> tuple[_Beginnings, ...]:
    return tuple(sorted(map(_keys, _needs(pieces, ends, at_start)), key=len))


def _keys(beginnings: Iterable[str]) -> frozenset[bytes]:
    return frozenset(beginning[:MAX_BEGINNING].encode() for beginning in beginnings)


def _needs(pieces: Sequence[Piece], ends: bool, at_start: bool) -> Iterator[set[str]]:
    """Yield the beginnings of which each match holds one, for every place where a word surely begins.

    `at_start` says whether the first piece is to be looked at too.
    """
    for index, piece in enumerate(pieces):
        if at_start and not piece.optional and piece.kind != "break":
            heads = _heads(pieces[index:], ends)
            if heads is not None:
                yield heads
        closed = piece.kind == "break" or (piece.kind == "group" and _ends_in_break(piece))
        at_start = closed and (at_start or not piece.optional)


def _ends_in_break(group: Piece) -> bool:
    if group.text[-1:] in PLAIN:
        return False
    return all(bool(alternative) and alternative[-1].is_break for alternative in group.alternatives())


def _ends_word(pieces: Sequence[Piece], ends: bool) -> bool:
    return pieces[0].is_break if pieces else ends


def _heads(pieces: Sequence[Piece], ends: bool, begun: str = "", branches: int = 0) -> set[str] | None:
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


def _heads_of_piece(piece: Piece, rest: Sequence[Piece], ends: bool, begun: str, branches: int) -> set[str] | None:
    if piece.kind == "plain":
        longer = begun + piece.text
        return {longer} if piece.repeats else _heads(rest, ends, longer, branches)
    if piece.kind == "digit":
        return {begun + digit for digit in "0123456789"}
    if not begun:
        return None
    return {begun + " " if piece.kind == "break" else begun}


def _heads_of_group(piece: Piece, closed: bool) -> set[str] | None:
    found: set[str] = set()
    for alternative in piece.alternatives():
        heads = _heads(alternative, closed and not piece.repeats)
        if heads is None:
            return None
        found |= heads
    return found
