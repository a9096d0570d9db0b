"""Which signals of the playbook a text holds, and where: matches less negations, exceptions and asides."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import accumulate
from threading import Lock

from triagedesk.errors import PlaybookError
from triagedesk.playbook.conditions import Hit
from triagedesk.playbook.document import Document
from triagedesk.playbook.folding import FoldedText
from triagedesk.playbook.lexicon import Page, languages, page
from triagedesk.playbook.patterns import PatternRefused, PatternSet
from triagedesk.playbook.rulebook import PatternsByLanguage
from triagedesk.playbook.tongues import languages_in

_MATCH, _UNLESS, _BEFORE, _AFTER, _ASIDE, _LEAD = "match", "unless", "before", "after", "aside", "lead_in"

_AFTER_WORDS = " \n,.;:!?\"'()*_-"


def inline_signal(rule_id: str) -> str:
    """Name the signal that a rule's own `match` makes."""
    return f"rule:{rule_id}"


Owner = tuple[str, str]
"""Role ("match" or a guard) and signal of a pattern."""


@lru_cache(maxsize=32)
def _pattern_set(patterns: tuple[str, ...]) -> PatternSet:
    """Make a set once a process: what is compiled for one playbook serves the next that has the same patterns."""
    return PatternSet([f"\\b(?:{pattern})\\b" for pattern in patterns], lazy=True)


class _Tongue:
    """The patterns of one language, compiled when a text first needs them."""

    def __init__(self) -> None:
        self.owners: list[Owner] = []
        self.patterns: list[str] = []
        self.page: str | None = None
        """The language whose page of the lexicon belongs here too, until it is read."""
        self.known: frozenset[str] = frozenset()
        self._about: dict[frozenset[str], frozenset[int]] = {}
        self._made: PatternSet | None = None
        self._making = Lock()

    def take(self, role: str, signal: str, patterns: tuple[str, ...]) -> None:
        self.owners += [(role, signal)] * len(patterns)
        self.patterns += patterns

    @property
    def compiled(self) -> PatternSet:
        """Read the lexicon's page once; its patterns are compiled as texts need them. Raises PlaybookError."""
        if self._made is None:
            with self._making:
                if self._made is None:
                    if self.page is not None:
                        self._read(page(self.page))
                    self._made = self._set()
        return self._made

    def _set(self) -> PatternSet:
        return _pattern_set(tuple(self.patterns))

    def about(self, signals: frozenset[str]) -> frozenset[int]:
        """Return the patterns of some signals, once all are read."""
        found = self._about.get(signals)
        if found is None:
            owned = enumerate(self.owners)
            found = self._about[signals] = frozenset(index for index, (_, signal) in owned if signal in signals)
        return found

    def compile(self) -> None:
        """Compile the playbook's own patterns; those that ship are tested. Raises PlaybookError (`where`: which)."""
        own = self.compiled if self.page is None else self._set()
        try:
            own.compile()
        except PatternRefused as wrong:
            pattern = self.patterns[wrong.index]
            role, signal = self.owners[wrong.index]
            owner = f"signal {signal}" if signal else f"negation.{role}"
            raise PlaybookError(f"{owner}: pattern {pattern[:80]!r}: {wrong.why}", where=pattern) from None

    def _read(self, shipped: Page) -> None:
        for name, entry in shipped.signals.items():
            if name in self.known:
                self.take(_MATCH, name, entry.patterns)
                self.take(_UNLESS, name, entry.unless)
        self.take(_BEFORE, "", shipped.before)
        self.take(_AFTER, "", shipped.after)
        self.take(_ASIDE, "", shipped.asides)
        self.take(_LEAD, "", shipped.lead_ins)


class SignalFinder:
    """All signals of a playbook. A text is searched in every language whose common words it holds."""

    def __init__(self, document: Document) -> None:
        self._tongues: dict[str, _Tongue] = {}
        self._negatable: set[str] = set()
        self._steering = frozenset(document.injection_signals)  # what an aside undoes, these are about
        self._vital = frozenset(name for floor in document.floors for name in floor.when.signals)
        for name, signal in document.signals.items():
            self._add(name, signal.patterns, signal.unless, negatable=signal.negatable)
        for rule in document.rules:
            if rule.match:
                self._add(inline_signal(rule.id), rule.match, rule.unless, negatable=True)
        self._take(_BEFORE, "", document.negation.before)
        self._take(_AFTER, "", document.negation.after)
        self._take(_ASIDE, "", document.negation.asides)
        self._take(_LEAD, "", document.negation.lead_ins)
        for language in languages() if document.lexicon else ():
            tongue = self._tongues.setdefault(language, _Tongue())
            tongue.page, tongue.known = language, frozenset(document.signals)

    def _add(self, name: str, patterns: PatternsByLanguage, unless: PatternsByLanguage, *, negatable: bool) -> None:
        self._take(_MATCH, name, patterns)
        self._take(_UNLESS, name, unless)
        if negatable:
            self._negatable.add(name)

    def _take(self, role: str, signal: str, patterns: PatternsByLanguage) -> None:
        for language, listed in patterns.items():
            self._tongues.setdefault(language, _Tongue()).take(role, signal, listed)

    def compile(self) -> None:
        """Compile the playbook's own patterns now. Raises PlaybookError whose `where` is the pattern refused."""
        for tongue in self._tongues.values():
            tongue.compile()

    def warm_up(self, languages: Collection[str]) -> None:
        """Read every language's page and what tells the patterns of these languages now (a second, once a process).

        Else the first texts that may hold a language pay for it.
        """
        for language, tongue in self._tongues.items():
            if language in languages:
                tongue.compiled.warm_up()
            else:
                list(tongue.compiled.find("warm up"))

    def pattern_hits(self, text: str) -> Iterator[tuple[str, str, str, Hit]]:
        """Yield (role, signal, pattern, hit) for every match, before guards; for `playbook check` and debugging."""
        folded = FoldedText(text)
        for tongue in self._tongues.values():
            for index, start, end in tongue.compiled.find_folded(folded):
                role, signal = tongue.owners[index]
                yield role, signal, tongue.patterns[index], (start, end)

    def find(self, text: str, detected: str | None = None) -> Mapping[str, tuple[Hit, ...]]:
        """Return the places of each signal found, in order of appearance.

        `detected` is the text's language, if known: it is searched whatever words the text holds. Where a sentence may
        be of any language, every language is searched for the signals that floors rest on.
        """
        folded = FoldedText(text)
        found: dict[Owner, list[Hit]] = {}
        shown, doubtful = languages_in(folded.folded, self._tongues, detected)
        for language in self._tongues if doubtful else sorted(shown):
            tongue = self._tongues[language]
            patterns = tongue.compiled
            among = None if language in shown else tongue.about(self._vital)
            for index, start, end in patterns.find_folded(folded, among):
                found.setdefault(tongue.owners[index], []).append((start, end))
        return self._kept(found, folded.folded)

    def _kept(self, found: Mapping[Owner, list[Hit]], folded: str) -> dict[str, tuple[Hit, ...]]:
        """Drop what an exception, an aside or a negation undoes."""
        asides = _Spans(found.get((_ASIDE, ""), ()))
        leads = sorted(found.get((_LEAD, ""), ()), key=lambda lead: lead[1])
        before = {end for _, end in found.get((_BEFORE, ""), [])}
        after = {start for start, _ in found.get((_AFTER, ""), [])}
        kept = {}
        for (role, signal), hits in found.items():
            if role != _MATCH:
                continue
            undone = _Spans(_short_of(leads, other) for other in found.get((_UNLESS, signal), ()))
            left = [hit for hit in hits if not undone.touch(hit)]
            if signal not in self._steering:
                left = [hit for hit in left if not asides.hold(_bare(hit, folded))]
            if signal in self._negatable and (before or after):
                left = [hit for hit in left if not _negated(hit, folded, before, after)]
            if left:
                kept[signal] = tuple(sorted(set(left)))
        return kept


class _Spans:
    """Places in a text, made to be asked often: the time for a question grows with their count's logarithm."""

    def __init__(self, places: Iterable[Hit]) -> None:
        ordered = sorted(places)
        self._starts = [start for start, _ in ordered]
        self._ends = list(accumulate((end for _, end in ordered), max))

    def touch(self, hit: Hit) -> bool:
        """Say whether a match shares a character with one of the places."""
        index = bisect_left(self._starts, hit[1])
        return index > 0 and self._ends[index - 1] > hit[0]

    def hold(self, hit: Hit) -> bool:
        """Say whether a match lies in one of the places; one that reaches out of it by a word does not."""
        index = bisect_right(self._starts, hit[0])
        return index > 0 and self._ends[index - 1] >= hit[1]


def _bare(hit: Hit, text: str) -> Hit:
    """Leave out what follows a match's last word: some patterns take blanks and a full stop with them."""
    start, end = hit
    while end > start and text[end - 1] in _AFTER_WORDS:
        end -= 1
    return start, end


def _short_of(leads: Sequence[Hit], exception: Hit) -> Hit:
    """Let an exception end where a lead-in ends that it begins with: "in case you wonder: it caught fire" reports."""
    start, end = exception
    index = bisect_right(leads, start, key=lambda lead: lead[1])
    if index < len(leads) and leads[index][0] < end and leads[index][1] < end:
        return start, leads[index][1]
    return exception


def _negated(hit: Hit, text: str, before: set[int], after: set[int]) -> bool:
    """Say whether a negation touches the match, white space between them aside."""
    left = hit[0]
    while left > 0 and text[left - 1].isspace() and text[left - 1] != "\n":
        left -= 1
    right = hit[1]
    while right < len(text) and text[right].isspace() and text[right] != "\n":
        right += 1
    return left in before or right in after
