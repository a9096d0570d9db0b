"""A ticket as a sparse vector over the features that a model knows: sublinear tf, idf, and unit length by kind.

Everything is whole numbers in fixed point, so that one ticket gives one vector, bit for bit, on every machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from triagedesk.classifiers.ngrams import FACTS, KIND, Codes, Features, Places, fact
from triagedesk.reading import Reading

UNIT = 4096
"""The length of a vector's words, and of its n-grams, in fixed point."""
FACT_VALUE = UNIT // 4
"""What a metadata field weighs beside a whole text of length UNIT; twice or half as much changed nothing that shows."""
GRAIN = 64
"""The fixed point of tf and of idf: fine enough for a hundredth, coarse enough that sums of squares stay exact."""
DAMPING = 8.0 * GRAIN * GRAIN
"""Added to a vector's squared length, squared: of a text of which one word is known, that word shall not be all.

A usual ticket's words have a length of 30 in this measure.
"""
BUCKET_BITS = 20
_MOST = 64
_TF = np.rint(GRAIN * (1 + np.log(np.arange(1, _MOST + 1))))


def idf(documents: int, holding: Places) -> NDArray[np.uint16]:
    """Return the smoothed inverse document frequency, 1 + ln((1 + n) / (1 + df)), in fixed point (GRAIN is one)."""
    found: NDArray[np.uint16] = np.rint(GRAIN * (1 + np.log((1 + documents) / (1 + holding)))).astype(np.uint16)
    return found


@dataclass(frozen=True, eq=False)
class Vector:
    """The known features of a ticket: `slots` (m,) in the vocabulary, their `values` (m,) in fixed point.

    Values are whole numbers kept as float64, which holds sums of their products with weights exactly.
    `known` (n,) says for every known feature of the text which of `slots` it is, `words` (n,) in which word it stands.
    `spoken` says whether a whole word is known, and not only signs such as "?" or parts of words.
    """

    slots: Places
    values: NDArray[np.float64]
    known: Places
    words: Places
    text: Features
    spoken: bool


def buckets(ids: Codes) -> NDArray[np.uint32]:
    """Return the bucket of each feature: a vocabulary holds one feature a bucket, so that it is found in one look."""
    return ids >> np.uint32(32 - BUCKET_BITS)


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """The features that a model knows: `ids` (k,) rising, no two in one of `buckets`; `idf` (k,) in fixed point."""

    ids: Codes
    idf: NDArray[np.uint16]

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def _slot_of(self) -> NDArray[np.int32]:
        """The slot of each bucket's feature; an empty bucket says slot 0, whose id then differs."""
        table = np.zeros(1 << BUCKET_BITS, dtype=np.int32)
        table[buckets(self.ids)] = np.arange(len(self.ids))
        return table

    @cached_property
    def _kinds(self) -> Places:
        return (self.ids & KIND).astype(np.int64)

    @cached_property
    def _idf(self) -> NDArray[np.float64]:
        return self.idf.astype(np.float64)

    def vector(self, text: Features, facts: Codes) -> Vector:
        """Return the vector of a text and of what metadata say."""
        asked = np.concatenate([text.ids, facts])
        places = self._slot_of[buckets(asked)]
        held = np.flatnonzero(self.ids[places] == asked)
        slots, known, counts = np.unique(places[held], return_inverse=True, return_counts=True)
        of_text = int(np.searchsorted(held, len(text.ids)))
        whole = held[held < len(text.starts)]  # whole words come first
        spoken = bool((text.ends[whole] - text.starts[whole] > 1).any())
        words = text.words[held[:of_text]]
        return Vector(slots, self._values(slots, counts), known[:of_text], words, text, spoken)

    def _values(self, slots: Places, counts: Places) -> NDArray[np.float64]:
        raw = _TF[np.minimum(counts, _MOST) - 1] * self._idf[slots]
        squares, kinds = raw * raw, self._kinds[slots]
        lengths = np.bincount(kinds, weights=squares, minlength=3)  # exact: see GRAIN
        scales = UNIT / np.sqrt(lengths + DAMPING**2)
        values: NDArray[np.float64] = np.rint(raw * scales[kinds])
        values[kinds == FACTS] = FACT_VALUE
        return values


def facts_of(reading: Reading) -> Codes:
    """Return what metadata say of a ticket: its tier and its channel.

    Whether it is overdue depends on the clock; the rules' votes carry that.
    """
    ticket = reading.ticket
    return np.array(
        [fact("customer_tier", ticket.customer_tier or ""), fact("channel", ticket.channel or "")], dtype=np.uint32
    )


__all__ = ["FACT_VALUE", "GRAIN", "UNIT", "Vector", "Vocabulary", "buckets", "facts_of", "idf"]
