"""Which words of a ticket weigh most: whole words, quoted as they stand in the ticket's own field."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from triagedesk.classifiers.vectors import Vector
from triagedesk.models import Span
from triagedesk.reading import Reading

MAX_WORDS = 6
MAX_CHARS = 120
"""A quote's bounds; a script that puts no spaces between words makes long ones."""
NEIGHBOUR = 0.4
"""A neighbouring word joins a quote where it weighs this share of the quote's heaviest word."""
LEAST = 0.5
"""A further quote is shown where its heaviest word weighs this share of the ticket's heaviest."""
MAX_LOOKED_AT = 32
"""The heaviest words of a ticket; three quotes are found among fewer."""
SHORTEST, WITHOUT_SPACES = 4, 0x2E80
"""The letters of the shortest word that a quote may consist of, and the script from which on words are shorter: CJK."""
GAP = 2
JOINTS = " ,'’-"
"""What may stand between two words of one quote, and how many of it; a quote never runs over a sentence's end."""

Weights = NDArray[np.float64]


class Quotes:
    """The words of one ticket, to be weighed for a label."""

    def __init__(self, vector: Vector, reading: Reading) -> None:
        self._vector = vector
        self._reading = reading
        self._starts: list[int] = vector.text.starts.tolist()
        self._ends: list[int] = vector.text.ends.tolist()
        # a feature that occurs several times shares its value among the places
        counts = np.bincount(vector.known, minlength=len(vector.slots))
        self._each = vector.values / np.maximum(counts, 1)

    def best(self, margins: Weights, most: int) -> Iterator[tuple[Span, str]]:
        """Yield the places, with their words, that speak most for a label, the strongest first, `most` at most.

        `margins` (m,) says what one unit of each of the vector's features speaks for the label.
        """
        weighed = self._weights(margins)
        order: list[int] = np.argsort(-weighed, kind="stable")[:MAX_LOOKED_AT].tolist()
        weights: list[float] = weighed.tolist()
        taken: set[int] = set()
        for place in order:
            if most == 0 or weights[place] <= 0 or weights[place] < LEAST * weights[order[0]]:
                return
            if place in taken:
                continue
            if self._is_number(place):  # digits are all alike to the weights, and an order number shows nobody why
                continue
            first, last = self._widened(weights, place, taken)
            taken.update(range(first, last + 1))
            span = self._place(first, last)
            if span is not None and any(self._tells(each) for each in range(first, last + 1)):
                most -= 1
                yield span, self._reading.quote(span)

    def _weights(self, margins: Weights) -> Weights:
        """Return what each word weighs; a lone letter or sign weighs nothing, as it shows nobody why."""
        known, words = self._vector.known, self._vector.words
        weighed = (self._each * margins)[known]
        weights: Weights = np.bincount(words, weights=weighed, minlength=len(self._starts)).astype(np.float64)
        weights[self._vector.text.ends - self._vector.text.starts == 1] = 0.0
        return weights

    def _widened(self, weights: list[float], place: int, taken: set[int]) -> tuple[int, int]:
        """Return first and last word of a quote around a word: in its sentence, no longer than MAX_WORDS."""
        least, first, last = NEIGHBOUR * weights[place], place, place
        while last - first + 1 < MAX_WORDS:
            left = 0.0 if first - 1 in taken else self._joins(weights, first - 1, first - 1)
            right = 0.0 if last + 1 in taken else self._joins(weights, last + 1, last)
            if max(left, right) < least:
                break
            first, last = (first - 1, last) if left >= right else (first, last + 1)
        return first, last

    def _joins(self, weights: list[float], place: int, low: int) -> float:
        """Return the weight of a word that may join its neighbour, `low` being the first of the two; else 0."""
        if not 0 <= place < len(weights) or weights[place] <= 0:
            return 0.0
        end, start = self._ends[low], self._starts[low + 1]
        near = start - end <= GAP and not self._reading.text[end:start].strip(JOINTS)
        return weights[place] if near else 0.0

    def _is_number(self, place: int) -> bool:
        return self._reading.text[self._starts[place] : self._ends[place]].isnumeric()

    def _tells(self, place: int) -> bool:
        """Say whether a word may stand alone in a quote: "ab" or "the" weighs something and shows nobody why."""
        word = self._reading.text[self._starts[place] : self._ends[place]]
        return len(word) >= SHORTEST or ord(word[0]) >= WITHOUT_SPACES

    def _place(self, first: int, last: int) -> Span | None:
        start = self._starts[first]
        return self._reading.locate(start, min(self._ends[last], start + MAX_CHARS))
