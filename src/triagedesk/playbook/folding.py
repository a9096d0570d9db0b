"""Text folded to lower-case letters without accents, one character for one, so that offsets stay those of the text."""

from __future__ import annotations

import unicodedata
from collections import defaultdict, deque
from collections.abc import Mapping, Sequence, Set
from functools import cached_property, lru_cache
from itertools import accumulate
from typing import NamedTuple

MAX_BEGINNING = 10
"""As much of a word's beginning can be looked up."""

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
    """Maps what stands in no word to as many blanks as it has bytes in UTF-8, filled as characters turn up."""

    def __missing__(self, point: int) -> str:
        char = chr(point)
        char = self[point] = char if wordy(char) else " " * len(char.encode("utf-8", "replace"))
        return char


_NOTHING: frozenset[bytes] = frozenset()
_TOKENS_ONLY = bytes(byte if byte >= 0x80 or chr(byte).isalnum() or byte == ord("'") else 32 for byte in range(256))
_FOLD = _FoldTable()
_WORDS_ONLY = _WordTable()


def fold(text: str) -> str:
    """Fold to lower case without accents and with plain quotes; the result has the same length."""
    return text.translate(_FOLD)


def wordy(char: str) -> bool:
    """Say whether a character belongs to a word: a letter or digit of any alphabet, or an underscore."""
    return char.isalnum() or char == "_"


def words_of(folded: str) -> frozenset[str]:
    """Return a folded text's words: what stands between characters that are neither letter, digit nor underscore."""
    return frozenset(folded.translate(_WORDS_ONLY).split())


def beginnings(word: bytes) -> frozenset[bytes]:
    """Return what a word begins with; a blank stands for its end, and an underscore ends it too."""
    return _beginnings(word[:MAX_BEGINNING])


@lru_cache(maxsize=4_096)
def _beginnings(word: bytes) -> frozenset[bytes]:
    word = word.replace(b"_", b" ") + b" "
    return frozenset(word[:size] for size in range(1, min(len(word), MAX_BEGINNING) + 1))


class Tokens(NamedTuple):
    """A text's runs of what a pattern's `\\w` takes for letters: an apostrophe among them, and all beyond ASCII.

    `after` has the number of the token after the one in which a word begins, by the word's byte offset; `begins` says
    of each token what the word at its start begins with.
    """

    after: Mapping[int, int]
    begins: Sequence[frozenset[bytes]]


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

    @cached_property
    def _placed(self) -> list[tuple[int, bytes]]:
        """The words and the byte offsets where they begin, in order."""
        only_words = self.folded.translate(_WORDS_ONLY).encode("utf-8", "replace")
        placed, at = [], 0
        for word in only_words.split():
            at = only_words.index(word, at)
            placed.append((at, word))
            at += len(word)
        return placed

    @cached_property
    def _begun(self) -> Mapping[bytes, frozenset[bytes]]:
        """What each word begins with."""
        return {word: beginnings(word) for _, word in self._placed}

    @cached_property
    def starts(self) -> Mapping[bytes, list[int]]:
        """The byte offsets where words begin, by what they begin with."""
        by_word: defaultdict[bytes, list[int]] = defaultdict(list)
        for at, word in self._placed:
            by_word[word].append(at)
        found: defaultdict[bytes, list[int]] = defaultdict(list)
        for word, begun in self._begun.items():
            places = by_word[word]
            for beginning in begun:
                found[beginning] += places
        return dict(found)

    @cached_property
    def tokens(self) -> Tokens:
        """The text in tokens, for what follows a word."""
        if b"_" in self.data:  # a letter to `\\w`, and a separator to a pattern's blank
            return Tokens({}, [])
        only_tokens = self.data.translate(_TOKENS_ONLY)
        words = deque(self._placed)
        after: dict[int, int] = {}
        listed = []
        at = 0
        for token in only_tokens.split():
            at = only_tokens.index(token, at)
            end = at + len(token)
            listed.append(self._begun[words[0][1]] if words and words[0][0] == at else _NOTHING)
            while words and words[0][0] < end:
                after[words.popleft()[0]] = len(listed)
            at = end
        return Tokens(after, listed)

    @cached_property
    def parts(self) -> Set[bytes]:
        """What words begin with, and what follows an underscore in them."""
        found = set[bytes]().union(*self._begun.values())
        if b"_" in self.data:
            for word in self.words:
                for part in word.split("_")[1:]:
                    found.update(beginnings(part.encode("utf-8")))
        return found

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
        return at >= len(self.folded) or at == 0 or not (wordy(self.folded[at]) and wordy(self.folded[at - 1]))

    def bounded(self, start: int, end: int, left: bool, right: bool) -> bool:
        """Say whether the wanted edges of a match are word boundaries."""
        text = self.folded
        if left and start > 0 and wordy(text[start - 1]) and wordy(text[start]):
            return False
        return not (right and end < len(text) and wordy(text[end]) and wordy(text[end - 1]))
