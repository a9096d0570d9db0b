"""What is read of a ticket: the newest message without luggage, and the way back to the ticket's own offsets."""

from __future__ import annotations

import unicodedata
from array import array
from dataclasses import dataclass, field
from functools import cached_property

from triagedesk.models import Span, Ticket

SEPARATOR = "\n\n"
"""Stands between subject and body in `Reading.text`."""

MAX_MARKS = 16
"""Combining marks that a span takes along behind its last character: twice as many as tidying keeps of a letter."""


@dataclass(frozen=True, slots=False)
class Reading:
    """Subject and newest message of a ticket, tidied, as one text.

    `subject` and `body` are the tidied fields; `subject_origin[i]` and `body_origin[i]` say at which character of
    the ticket's own field the i-th tidied character stands. `language` is BCP 47 or None. `cut` says that the body was
    longer than what is read. `dropped` is what was taken off or cut off the body, as far as it is text: no label rests
    on it, but nobody shall overlook harm that stands only there.
    """

    ticket: Ticket
    subject: str
    body: str
    subject_origin: array[int]
    body_origin: array[int]
    language: str | None = None
    cut: bool = False
    history_dropped: bool = False
    notes: tuple[str, ...] = field(default=())
    dropped: str = field(default="", repr=False)

    @cached_property
    def text(self) -> str:
        """Subject, separator and body: what rules and prompt read."""
        return f"{self.subject}{SEPARATOR}{self.body}" if self.subject else self.body

    @cached_property
    def body_at(self) -> int:
        """Where the body starts in `text`."""
        return len(self.subject) + len(SEPARATOR) if self.subject else 0

    def locate(self, start: int, end: int) -> Span | None:
        """Say where characters `start:end` of `text` stand in the ticket, or None if they span both fields."""
        if not 0 <= start < end <= len(self.text):
            return None
        if start >= self.body_at:
            origin, offset, name = self.body_origin, self.body_at, "body"
        elif end <= len(self.subject):
            origin, offset, name = self.subject_origin, 0, "subject"
        else:
            return None
        last = origin[end - 1 - offset] + 1
        return Span(field=name, start=origin[start - offset], end=self._with_marks(name, last))

    def _with_marks(self, name: str, end: int) -> int:
        """Move an end behind the combining marks that belong to the last character: tidying may have joined them."""
        source = self.ticket.subject if name == "subject" else self.ticket.body
        marks = 0
        while marks < MAX_MARKS and unicodedata.combining(source[end + marks : end + marks + 1] or " "):
            marks += 1
        return end + marks

    def quote(self, span: Span) -> str:
        """Return the ticket's own characters at `span`."""
        source = self.ticket.subject if span.field == "subject" else self.ticket.body
        return source[span.start : span.end]

    def find(self, quote: str) -> Span | None:
        """Find a quote in the ticket, forgiving white space, letter case, typographic quotes and Unicode composition.

        Returns the span in the ticket's own field; the caller shows the ticket's characters, not the model's.
        """
        bare = quote.strip().strip("\"'“”«»…").strip()
        if not bare:
            return None
        there = self.text.find(bare)
        if there >= 0:  # to the letter, as most models quote
            return self.locate(there, there + len(bare))
        needle, _ = _plain(bare)
        hay, positions = self._plain_text
        at = hay.find(needle) if needle else -1
        if at < 0:
            return None
        return self.locate(positions[at], positions[at + len(needle) - 1] + 1)

    @cached_property
    def _plain_text(self) -> tuple[str, array[int]]:
        return _plain(self.text)


_TYPOGRAPHY = str.maketrans({"’": "'", "‘": "'", "`": "'", "´": "'", "“": '"', "”": '"', "„": '"', "–": "-", "—": "-"})


def _plain(text: str) -> tuple[str, array[int]]:
    """Fold case, accents' composition, typography and runs of white space; keep each character's position."""
    out: list[str] = []
    positions = array("q")
    at = 0
    for word in text.split():
        start = text.index(word, at)
        at = start + len(word)
        if out:
            out.append(" ")
            positions.append(start - 1)
        if word.isascii():
            out.append(word.translate(_TYPOGRAPHY).lower())
            positions.extend(range(start, at))
            continue
        for index, char in enumerate(word, start):
            pieces = unicodedata.normalize("NFD", char.translate(_TYPOGRAPHY)).casefold()
            out.append(pieces)
            positions.extend([index] * len(pieces))
    return "".join(out), positions
