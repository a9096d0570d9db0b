"""Which signals of the playbook a text holds, and where: matches less negations, exceptions and asides."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property

from triagedesk.errors import PlaybookError
from triagedesk.playbook.conditions import Hit
from triagedesk.playbook.document import Document, PatternsByLanguage
from triagedesk.playbook.patterns import FoldedText, PatternRefused, PatternSet

_UNLESS, _BEFORE, _AFTER, _ASIDE = "unless", "before", "after", "aside"


def inline_signal(rule_id: str) -> str:
    """Name the signal that a rule's own `match` makes."""
    return f"rule:{rule_id}"


class SignalFinder:
    """All patterns of a playbook in one set."""

    def __init__(self, document: Document) -> None:
        self._owners: list[tuple[str, str]] = []  # (role, signal) of each pattern
        self._patterns: list[str] = []
        self._negatable: set[str] = set()
        for name, signal in document.signals.items():
            self._take("match", name, signal.patterns)
            self._take(_UNLESS, name, signal.unless)
            if signal.negatable:
                self._negatable.add(name)
        for rule in document.rules:
            if rule.match:
                name = inline_signal(rule.id)
                self._take("match", name, rule.match)
                self._take(_UNLESS, name, rule.unless)
                self._negatable.add(name)
        self._take(_BEFORE, "", document.negation.before)
        self._take(_AFTER, "", document.negation.after)
        self._take(_ASIDE, "", document.negation.asides)

    def _take(self, role: str, signal: str, patterns: PatternsByLanguage) -> None:
        for listed in patterns.values():
            for pattern in listed:
                self._patterns.append(pattern)
                self._owners.append((role, signal))

    @cached_property
    def _set(self) -> PatternSet:
        try:
            return PatternSet([f"\\b(?:{pattern})\\b" for pattern in self._patterns])
        except PatternRefused as wrong:
            pattern = self._patterns[wrong.index]
            role, signal = self._owners[wrong.index]
            owner = f"signal {signal}" if signal else f"negation.{role}"
            raise PlaybookError(f"{owner}: pattern {pattern[:80]!r}: {wrong.why}", where=pattern) from None

    def compile(self) -> None:
        """Compile now. Raises PlaybookError whose `where` is the pattern refused."""
        _ = self._set

    def pattern_hits(self, text: str) -> Iterator[tuple[str, str, str, Hit]]:
        """Yield (role, signal, pattern, hit) for every match, before guards; for `playbook check` and debugging."""
        for index, start, end in self._set.find(text):
            role, signal = self._owners[index]
            yield role, signal, self._patterns[index], (start, end)

    def find(self, text: str) -> Mapping[str, tuple[Hit, ...]]:
        """Return the places of each signal found, in order of appearance."""
        folded = FoldedText(text)
        matches: dict[str, list[Hit]] = {}
        guards: dict[tuple[str, str], list[Hit]] = {}
        for index, start, end in self._set.find_folded(folded):
            role, signal = self._owners[index]
            if role == "match":
                matches.setdefault(signal, []).append((start, end))
            else:
                guards.setdefault((role, signal), []).append((start, end))
        asides = guards.get((_ASIDE, ""), [])
        before = {end for _, end in guards.get((_BEFORE, ""), [])}
        after = {start for start, _ in guards.get((_AFTER, ""), [])}
        found = {}
        for signal, hits in matches.items():
            excepted = guards.get((_UNLESS, signal), []) + asides
            kept = [hit for hit in hits if not any(_overlap(hit, other) for other in excepted)]
            if signal in self._negatable and (before or after):
                kept = [hit for hit in kept if not _negated(hit, folded.folded, before, after)]
            if kept:
                found[signal] = tuple(sorted(set(kept)))
        return found


def _overlap(one: Hit, other: Hit) -> bool:
    return one[0] < other[1] and other[0] < one[1]


def _negated(hit: Hit, text: str, before: set[int], after: set[int]) -> bool:
    """Say whether a negation touches the match, white space between them aside."""
    left = hit[0]
    while left > 0 and text[left - 1].isspace() and text[left - 1] != "\n":
        left -= 1
    right = hit[1]
    while right < len(text) and text[right].isspace() and text[right] != "\n":
        right += 1
    return left in before or right in after
