"""Words and character n-grams of a text as hashed numbers: what training counts, and what the trained classifier reads.

Both use these very functions. No word is stored anywhere: a feature is 30 bits of a polynomial hash (Karp and Rabin
1987) and its kind, so a model holds no vocabulary from which names or addresses could be read.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Codes = NDArray[np.uint32]
Places = NDArray[np.integer[Any]]

SHORTEST, LONGEST = 2, 5
"""Lengths of character n-grams; a word's edge counts as one character."""
LONGEST_WORD = 64
"""Letters of a word that its own hash reads; a longer run (base64, a script without spaces) is hashed as far."""
_BASE = np.uint32(0x01000193)  # the FNV prime: odd, so that multiplying loses no bit
_POWERS = np.array([pow(0x01000193, power, 1 << 32) for power in range(LONGEST_WORD)], dtype=np.uint32)
_EDGE, _DIGIT = 32, ord("0")
_PAIR = np.uint32(0x85EBCA6B)
WORDS, NGRAMS, FACTS = 0, 1, 2
"""Kinds of features, told by an id's two lowest bits. Pairs of words count as words."""
KIND = np.uint32(3)


MAX_FOLDS = 50_000
"""As many characters are remembered: a ticket that holds all of Unicode costs time once, not memory for good."""


class _Folds(dict[int, int]):
    """Folds one character to one: compatibility form, no case, no accent, every digit 0, else a blank.

    One to one, so that offsets hold; what folds to several characters keeps the first.
    """

    def __missing__(self, code: int) -> int:
        folded = unicodedata.normalize("NFD", unicodedata.normalize("NFKC", chr(code)).casefold())
        first = folded[:1]
        if first.isdigit():
            found = _DIGIT
        elif first.isalpha() or unicodedata.category(first or " ").startswith("M"):
            found = ord(first)
        else:
            found = ord(first) if first in SIGNS else _EDGE
        if len(self) < MAX_FOLDS:
            self[code] = found
        return found


SIGNS = "?!"
"""Marks that are words of their own: a question is seldom an emergency."""
_FOLDS = _Folds()
_EDGES = np.array([_EDGE], dtype=np.uint32)
_SIGNS = tuple(map(ord, SIGNS))


@dataclass(frozen=True, eq=False)
class Features:
    """Features of one text, with repetitions. `ids` has shape (n,); `words` (n,) says in which word each stands.

    `starts` and `ends` (w,) are the words' character offsets in the text. A pair of words stands in its first.
    """

    ids: Codes
    words: Places
    starts: Places
    ends: Places


def features(text: str) -> Features:
    """Return a text's words, pairs of neighbouring words and character n-grams of SHORTEST..LONGEST within words."""
    folded = text.translate(_FOLDS)
    codes = np.frombuffer(folded.encode("utf-32-le", "surrogatepass"), dtype="<u4").astype(np.uint32)
    digit = codes == _DIGIT
    first = np.flatnonzero(~(digit & np.append(False, digit[:-1])))  # 7 and 4711 say the same: that there is a number
    found = _Scan(codes[first]).features
    place = np.append(first, len(codes))
    return replace(found, starts=place[found.starts], ends=place[found.ends])


@dataclass(frozen=True, eq=False)
class _Scan:
    codes: Codes

    @cached_property
    def features(self) -> Features:
        starts, ends = self._bounds
        if not starts.size:
            nothing = np.zeros(0, dtype=np.int64)
            return Features(np.zeros(0, dtype=np.uint32), nothing, nothing, nothing)
        whole = self._words
        pairs = whole[:-1] * _BASE + whole[1:]
        places = np.arange(len(starts))
        ids, words = zip(*self._ngrams(), strict=True)
        return Features(
            np.concatenate([_marked(whole, WORDS), _marked(pairs ^ _PAIR, WORDS), *ids]),
            np.concatenate([places, places[:-1], *words]),
            starts, ends,
        )  # fmt: skip

    @cached_property
    def _bounds(self) -> tuple[Places, Places]:
        """Return where words start and end: a run of letters and digits, or one of SIGNS."""
        codes = np.concatenate([_EDGES, self.codes, _EDGES])
        alone = (codes == _SIGNS[0]) | (codes == _SIGNS[1])
        word = codes != _EDGE
        inner = word & ~alone
        joined = inner[1:] & inner[:-1]  # no word ends between this character and the one before
        starts = np.flatnonzero(word[1:-1] & ~joined[:-1])
        ends = np.flatnonzero(word[1:-1] & ~joined[1:]) + 1
        return starts, ends

    @cached_property
    def _words(self) -> Codes:
        starts, ends = self._bounds
        lengths = np.minimum(ends - starts, LONGEST_WORD)
        first = np.cumsum(lengths) - lengths
        inside = np.arange(int(lengths.sum())) - np.repeat(first, lengths)
        letters = self.codes[np.repeat(starts, lengths) + inside] * _POWERS[inside]
        hashed: Codes = np.add.reduceat(letters, first, dtype=np.uint32)
        return hashed

    def _ngrams(self) -> list[tuple[Codes, Places]]:
        """Hash every n-gram of the words laid out with one edge between two of them."""
        starts, ends = self._bounds
        lengths = ends - starts + 1
        first = np.cumsum(lengths) - lengths
        word = np.repeat(np.arange(len(starts)), lengths)
        inside = np.arange(int(lengths.sum())) - first[word]  # 0 is the edge before the word
        laid = np.where(inside == 0, np.uint32(_EDGE), self.codes[starts[word] + np.maximum(inside, 1) - 1])
        laid = np.append(laid, np.uint32(_EDGE))
        left = np.append(lengths[word] - inside + 1, 1)  # characters up to and with the edge behind the word
        word = np.append(word, 0)
        found: list[tuple[Codes, Places]] = []
        hashed = laid
        for length in range(2, LONGEST + 1):
            hashed = hashed[:-1] * _BASE + laid[length - 1 :]
            fits = left[: len(hashed)] >= length
            if length >= SHORTEST:
                found.append((_marked(hashed[fits] ^ np.uint32(length), NGRAMS), word[: len(hashed)][fits]))
        return found


@lru_cache(maxsize=4096)
def fact(name: str, value: str) -> int:
    """Return the feature that says that a metadata field holds a value."""
    codes = np.frombuffer(f"{name}={value}"[:LONGEST_WORD].encode("utf-32-le", "surrogatepass"), dtype="<u4")
    hashed = np.add.reduce(codes.astype(np.uint32) * _POWERS[: len(codes)], keepdims=True, dtype=np.uint32)
    return int(_marked(hashed, FACTS)[0])


def _marked(hashed: Codes, kind: int) -> Codes:
    """Spread a hash over all of its bits (the finaliser of MurmurHash3, Appleby 2008), and put its kind in the last."""
    hashed = (hashed ^ (hashed >> np.uint32(16))) * np.uint32(0x85EBCA6B)
    hashed = (hashed ^ (hashed >> np.uint32(13))) * np.uint32(0xC2B2AE35)
    marked: Codes = ((hashed ^ (hashed >> np.uint32(16))) & ~KIND) | np.uint32(kind)
    return marked
