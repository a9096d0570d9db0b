"""Words that come again and again: quotes and subjects, counted under what they have in common.

Two phrases are one problem when they hold the same words, in any order, each word told by its first letters (truncation
as in McNamee and Mayfield 2004, "Character n-gram tokenization for European language text retrieval").
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import re2

from triagedesk.privacy import redact

MIN_TICKETS = 5
"""A phrase of fewer tickets is never shown: what a single customer wrote may tell who it was."""
MIN_ALIKE = 2
MIN_CHARS, MAX_CHARS = 4, 80
"""Shorter ones say nothing; longer ones are sentences and seldom come twice."""
WORD_START = 5
MAX_PHRASES, KEPT = 20_000, 10_000
MAX_REDACTED = 20_000
MAX_FORMS = 8
MAX_EXAMPLES = 3
MAX_WEEKS = 600
MAX_COMPARED = 200
"""So many of the commonest phrases are looked at for those that contain one another."""
_WORD = re2.compile(r"\[[A-Z]+_\d+\]|[\pL\pM]+|\d+")
_LONG_NUMBER = re2.compile(r"\d{3,}")


@dataclass(slots=True)
class Phrase:
    """One problem: how often, in which issues and weeks, and the ids of the first tickets."""

    n: int = 0
    urgent: int = 0
    forms: dict[str, int] = field(default_factory=dict)
    issues: dict[str, int] = field(default_factory=dict)
    weeks: dict[int, int] = field(default_factory=dict)
    examples: list[str] = field(default_factory=list)

    @property
    def form(self) -> str:
        """The way it is mostly written; empty if no way is written more than another."""
        return max(self.forms, key=lambda form: (self.forms[form], form), default="")

    @property
    def is_common(self) -> bool:
        """Say whether it may be shown: enough tickets hold it, and several in the very form that is shown."""
        return self.n >= MIN_TICKETS and self.forms.get(self.form, 0) >= MIN_ALIKE

    @property
    def issue(self) -> str:
        """The issue type it mostly stands in."""
        return max(self.issues, key=lambda issue: (self.issues[issue], issue), default="")


class Phrases:
    """The phrases of all tickets. `missed` says by how many tickets a count may be too low."""

    def __init__(self, max_chars: int = MAX_CHARS) -> None:
        self._max_chars = max_chars
        self.phrases: dict[str, Phrase] = {}
        self.missed = 0
        self._keys: dict[str, tuple[str, str]] = {}

    def count(self, texts: Iterable[str], ticket_id: str, issue: str, day: int | None, *, urgent: bool) -> None:
        """Count the phrases of one ticket, each once."""
        seen = set()
        for text in texts:
            key, form = self._keys.get(text) or self._key(text)
            if key and key not in seen:
                seen.add(key)
                self._one(key, form, ticket_id, issue, day, urgent=urgent)

    def _one(self, key: str, form: str, ticket_id: str, issue: str, day: int | None, *, urgent: bool) -> None:
        phrase = self.phrases.get(key)
        if phrase is None:
            phrase = self.phrases[key] = Phrase()
            if len(self.phrases) > MAX_PHRASES:
                self._prune(key)
        phrase.n += 1
        phrase.urgent += urgent
        _tick(phrase.forms, form)
        _tick(phrase.issues, issue)
        if len(phrase.examples) < MAX_EXAMPLES:
            phrase.examples.append(ticket_id[:100])
        week = (day - 1) // 7 if day is not None else None
        if week is not None and (week in phrase.weeks or len(phrase.weeks) < MAX_WEEKS):
            phrase.weeks[week] = phrase.weeks.get(week, 0) + 1

    def _key(self, text: str) -> tuple[str, str]:
        """Return what a text is counted under and how it is shown, without personal data."""
        if len(text) > self._max_chars:
            return "", ""
        if len(self._keys) >= MAX_REDACTED:
            self._keys.clear()
        return self._keys.setdefault(text, key_and_form(text, self._max_chars))

    def _prune(self, newest: str) -> None:
        """Forget the rarest; what comes again later starts anew, so its count may be too low."""
        ranked = sorted(self.phrases.items(), key=lambda each: (each[0] != newest, -each[1].n))
        self.missed = max(self.missed, ranked[KEPT][1].n)
        self.phrases = dict(ranked[:KEPT])

    def common(self, most: int) -> list[Phrase]:
        """Return the commonest phrases of at least MIN_TICKETS tickets."""
        return [phrase for _, phrase in self._ranked()[:most]]

    def merged(self, most: int) -> list[list[Phrase]]:
        """Return the commonest phrases, each with others of its issue type that contain it or that it contains.

        The commonest stands first. Tickets of the others are not added to its own: many hold both.
        """
        rows: list[list[Phrase]] = []
        words: list[list[frozenset[str]]] = []
        for key, phrase in self._ranked()[:MAX_COMPARED]:
            held = frozenset(key.split())
            place = next((place for place, row in enumerate(rows) if row[0].issue == phrase.issue
                          and any(held <= other or other <= held for other in words[place])), None)  # fmt: skip
            if place is not None:
                rows[place].append(phrase)
                words[place].append(held)
            elif len(rows) < most:
                rows.append([phrase])
                words.append([held])
        return rows

    def _ranked(self) -> list[tuple[str, Phrase]]:
        found = [(key, phrase) for key, phrase in self.phrases.items() if phrase.is_common]
        return sorted(found, key=lambda each: (-each[1].n, each[0]))


def _tick(counts: dict[str, int], word: str) -> None:
    """Count a word among few: a new one that finds no room takes one from each (Misra and Gries 1982)."""
    if word in counts or len(counts) < MAX_FORMS:
        counts[word] = counts.get(word, 0) + 1
        return
    for other in list(counts):
        counts[other] -= 1
        if not counts[other]:
            del counts[other]


def key_and_form(text: str, max_chars: int = MAX_CHARS) -> tuple[str, str]:
    """Return a phrase's key, empty for what is no phrase, and its form: personal data and figures are taken out."""
    if not MIN_CHARS <= len(text) <= max_chars:
        return "", ""
    form = " ".join(redact(text).text.split())
    words = _WORD.findall(form.casefold())
    starts = sorted({word[:WORD_START] for word in words if not word.isdecimal()})
    if sum(map(len, starts)) < MIN_CHARS:
        return "", ""
    return " ".join(starts), _LONG_NUMBER.sub("#", form)
