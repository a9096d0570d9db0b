"""Quoted history in a mail: what mail programs put under the newest message, found line by line."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from triagedesk.tidy import words

MAX_INTRO_LINES, MAX_INTRO_CHARS = 3, 300
"""Mail programs wrap the line "On … wrote:" at 76 columns."""

_BEGINNINGS = ("-", "_", "—", "–", "#", "*", "=", ">")


@dataclass(slots=True)
class Line:
    """One line: its range in the text, its bare text in lower case, and why it is dropped, if it is."""

    start: int
    end: int
    bare: str
    drop: str = ""


def says_something(bare_lines: Iterable[str]) -> bool:
    """Say if a text holds more than a greeting."""
    for bare in bare_lines:
        found = "".join(char if char.isalnum() else " " for char in bare).split()
        if any(word not in words.GREETINGS for word in found):
            return True
    return False


class History:
    """Finds quoted history, whatever program wrote it."""

    def __init__(self, lines: list[Line], subject: str) -> None:
        self.lines = lines
        self.handed_on = subject.strip().lower().startswith(words.FORWARD_SUBJECTS)
        self.forwarded = False
        self.dropped = False
        self._said, self._looked_at = False, 0

    def run(self) -> bool:
        """Mark the lines of the history. Returns whether a forwarded message was found (and kept)."""
        at = 0
        while at < len(self.lines):
            at = self.step(at)
        return self.forwarded

    def step(self, at: int) -> int:
        """Look at one line; return the next to look at."""
        bare = self.lines[at].bare
        if not bare or self.lines[at].drop:
            return at + 1
        if bare[0] == ">":
            return self.quote(at)
        if bare.startswith(_BEGINNINGS) or bare.startswith("begin forwarded"):
            after = self.separator(at)
            if after > at:
                return after
        length = _intro_length(self.lines, at)
        if length:
            return self.introduced(at, length)
        if ":" in bare[:16]:
            size = _header_length(self.lines, at)
            if size:
                return self.header(at, size)
        return at + 1

    def quote(self, at: int) -> int:
        """Drop a run of lines that start with ">"; a single "> 100 users" is text."""
        end = at
        while end < len(self.lines) and self.lines[end].bare.startswith(">"):
            end += 1
        introduced = at > 0 and any(line.drop for line in self.lines[max(0, at - 2) : at])
        alone = end == at + 1 and self.lines[at].bare.lstrip("> ")[:1].isdigit()
        if introduced or not alone:
            self.drop(at, end)
        return end

    def separator(self, at: int) -> int:
        """Act on "-----Original Message-----", "---- Forwarded message" and translations, else return `at`."""
        bare = self.lines[at].bare
        label = bare.strip("-_—–#*= >")
        if label.startswith(words.FORWARDED) or bare.startswith("begin forwarded"):
            return self.forward(at)
        marked = bare.startswith(("---", "___", "##", "***", "===", "> ---")) or bare[:1] in "—–"
        if marked and any(word in label for word in words.ORIGINAL):
            return self.rest(at)
        if not label and len(bare) >= 20:  # Outlook's rule, when a header follows
            following = self.text_after(at + 1)
            size = _header_length(self.lines, following)
            if size:
                return self.header(following, size, rule=at)
        return at

    def forward(self, at: int) -> int:
        """Keep a forwarded message; its header is no history."""
        if self.dropped:
            return at + 1
        self.forwarded = True
        following = self.text_after(at + 1)
        return max(at + 1, following + _header_length(self.lines, following))

    def header(self, at: int, size: int, rule: int | None = None) -> int:
        """Drop what follows an Outlook header, unless the subject says that it was handed on."""
        if self.handed_on and not self.forwarded:
            self.forwarded = True
            return at + size
        if not self.said_before(at):  # a form that begins like a mail
            return at + size
        return self.rest(at if rule is None else rule)

    def introduced(self, at: int, length: int) -> int:
        """Drop "On … wrote:" and what it introduces: the quoted lines, or, where none are marked, all the rest."""
        following = self.text_after(at + length)
        if following < len(self.lines):
            after = self.lines[following]
            if after.bare.startswith(">") or after.drop:
                self.drop(at, following)
                return following
            if not _by_program(self.joined(at, length)):
                return at + length
        return self.rest(at)

    def joined(self, at: int, length: int) -> str:
        """Return an introduction as one line."""
        return " ".join(line.bare for line in self.lines[at : at + length])

    def rest(self, at: int) -> int:
        """Drop everything from here on, if something was said before; else only this line."""
        end = len(self.lines) if self.said_before(at) else at + 1
        self.drop(at, end)
        return end

    def said_before(self, at: int) -> bool:
        """Say if something was said before a line; each line is looked at once."""
        while self._looked_at < at and not self._said:
            line = self.lines[self._looked_at]
            self._said = not line.drop and says_something((line.bare,))
            self._looked_at += 1
        return self._said

    def drop(self, start: int, end: int) -> None:
        """Mark lines as history."""
        self.dropped = True
        for line in self.lines[start:end]:
            line.drop = "history"

    def text_after(self, at: int) -> int:
        """Return the next line that is not empty."""
        while at < len(self.lines) and not self.lines[at].bare:
            at += 1
        return at


def _intro_length(lines: Sequence[Line], at: int) -> int:
    """Return how many lines a quote's introduction at `at` takes, or 0."""
    first = lines[at].bare
    if not (first.startswith(words.OPENERS) or first[0].isdigit() or "@" in first):
        return 0
    joined = ""
    for length in range(1, MAX_INTRO_LINES + 1):
        if at + length > len(lines) or not lines[at + length - 1].bare:
            return 0
        joined = f"{joined} {lines[at + length - 1].bare}".strip()
        if len(joined) > MAX_INTRO_CHARS:
            return 0
        if joined.endswith((":", "：", "wrote", "a écrit")):
            return length if _introduces(joined) else 0
    return 0


def _introduces(joined: str) -> bool:
    """Say if a line that ends with a colon introduces a quote: somebody wrote, at a date or from an address."""
    dated = any(char.isdigit() for char in joined)
    if any(word in joined for word in words.WROTE):
        return dated or "@" in joined
    return dated and joined[0].isdigit() and "<" in joined and "@" in joined


def _by_program(joined: str) -> bool:
    """Say if a mail program wrote the introduction: it gives an address or the time of day."""
    return "@" in joined or any(
        sign in ":.h" and before.isdigit() and after.isdigit()
        for before, sign, after in zip(joined, joined[1:], joined[2:], strict=False)
    )


def _header_length(lines: Sequence[Line], at: int) -> int:
    """Return how many lines an Outlook header at `at` takes, or 0: it says From, Sent and To."""
    if at >= len(lines) or _header_name(lines[at].bare) not in words.FROM:
        return 0
    seen: set[str] = set()
    end = at
    while end < len(lines) and end < at + 10 and lines[end].bare:
        name = _header_name(lines[end].bare)
        seen |= {kind for kind, names in _HEADERS if name in names}
        end += 1
        if not name and "to" in seen:
            break
    return end - at if {"from", "date", "to"} <= seen else 0


_HEADERS = (("from", words.FROM), ("date", words.DATE), ("to", words.TO))


def _header_name(bare: str) -> str:
    name, colon, _ = bare.lstrip("*> ").partition(":")
    return name.strip("* ") if colon and len(name) < 16 else ""
