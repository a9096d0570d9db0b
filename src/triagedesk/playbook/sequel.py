"""What must follow the token in which a match begins: soon after it, some token begins in one of a few ways.

A token is a run of what `\\w` takes for letters (`FoldedText.tokens`). Only what is certain is told, so that a text in
which it does not hold cannot match.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import NamedTuple

from triagedesk.playbook.folding import FoldedText
from triagedesk.playbook.pieces import Piece

MAX_REACH = 12
"""Who may stand so far behind says too little."""

MAX_STEPS = 200
"""So many ways through a pattern are followed; one that has more tells nothing."""

Pieces = tuple[Piece, ...]
Heads = Callable[[Pieces], "set[str] | None"]
"""Tells what a word begins with that starts where these pieces do, or None."""


class Sequel(NamedTuple):
    """One of the next `reach` tokens begins with one of `begins`."""

    reach: int
    begins: frozenset[bytes]

    def holds(self, text: FoldedText, places: Iterable[int]) -> list[int]:
        """Return those of the byte offsets, where words begin, at which this holds or cannot be told."""
        (after, tokens), (reach, begins), kept = text.tokens, self, []
        for place in places:
            first = after.get(place)
            if first is None:
                kept.append(place)
                continue
            for token in tokens[first : first + reach]:
                if not begins.isdisjoint(token):
                    kept.append(place)
                    break
        return kept


class Told(NamedTuple):
    """A sequel as it is read from a pattern."""

    reach: int
    begins: set[str]


def sequel(pieces: Pieces, heads: Heads) -> Told | None:
    """Return what follows the token in which these pieces begin, or None where that cannot be told. Raises Unclear."""
    return _behind(pieces, cache(heads), iter(range(MAX_STEPS)))


def _behind(pieces: Pieces, heads: Heads, steps: Iterator[int]) -> Told | None:
    if next(steps, None) is None:
        return None
    for index, piece in enumerate(pieces):
        rest = pieces[index + 1 :]
        if piece.kind == "group" and not _in_token(piece):
            if piece.optional or piece.repeats:
                return None
            return _union(_behind((*alternative, *rest), heads, steps) for alternative in piece.alternatives())
        if piece.kind == "break" and "'" not in piece.text:
            if piece.optional:
                return _union((_behind(rest, heads, steps), _next(rest, heads)))
            return _next(rest, heads)
        if not _in_token(piece):
            return None
    return None  # there is no second token


def _next(pieces: Pieces, heads: Heads) -> Told | None:
    """Return what the pieces after a break ask of the next tokens."""
    reach = 1
    for index, piece in enumerate(pieces):
        passed = _passed(piece)
        if passed is None:
            found = heads(pieces[index:])
            return None if found is None or reach > MAX_REACH else Told(reach, found)
        reach += passed
    return None


def _union(found: Iterable[Told | None]) -> Told | None:
    reach, begins = 0, set[str]()
    for told in found:
        if told is None:
            return None
        reach, begins = max(reach, told.reach), begins | told.begins
    return Told(reach, begins) if begins else None


def _in_token(piece: Piece) -> bool:
    """Say whether a piece lies in one token whatever it matches."""
    if piece.kind == "group":
        return all(_in_token(part) for alternative in piece.alternatives() for part in alternative)
    return piece.kind in ("plain", "word", "digit") or piece.text == "'"


def _passed(piece: Piece) -> int | None:
    """Return how many whole tokens a gap takes at most, such as `(\\w+ ){0,3}`; None: it is no such gap."""
    if piece.kind != "group" or piece.most is None or not (piece.optional or piece.repeats):
        return None
    longest = 0
    for alternative in piece.alternatives():
        if not alternative or not _ends_token(alternative[-1]):
            return None
        if not all(_in_token(part) or _ends_token(part) for part in alternative):
            return None
        longest = max(longest, sum(map(_ends_token, alternative)))
    return longest * piece.most


def _ends_token(piece: Piece) -> bool:
    return piece.is_break and "'" not in piece.text
