"""What of a mail is the newest message: history, signatures, device lines and notices come off, line by line.

Only string methods look at the lines, so the time is linear in the text, and every rule may only drop what stands
after or inside what it recognised: nothing hides what stands before it. If nothing would be left, all is kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import re2

from triagedesk.tidy import words
from triagedesk.tidy.traced import Ranges

MAX_SIGNATURE_LINES, MAX_SIGNATURE_CHARS = 12, 900
"""What follows "-- " is a signature up to this size; beyond it, it is text."""

MAX_NOTE_WORDS = 12
"""A note this short above a mail hands it on, if it says so ("FYI", "see below")."""

MAX_INTRO_LINES, MAX_INTRO_CHARS = 3, 300
"""Mail programs wrap the line "On … wrote:" at 76 columns."""

MIN_NOTICE_CHARS = 120
"""A shorter paragraph is no confidentiality notice."""

_BEGINNINGS = ("-", "_", "—", "–", "#", "*", "=", ">")


def _any(found: Iterable[str]) -> str:
    return "|".join(re2.escape(word) for word in found)


_LUGGAGE = re2.compile(
    rf"(?im)^[ \t\pZ]*(?:[-_—–#*=>]|begin forwarded|(?:{_any(words.FROM)})[ *]*:|{_any(words.DEVICES)}"
    rf"|(?:{_any(words.CLOSINGS)})[,.! ]*$)|(?:[:：]|wrote|a écrit)[ \t]*$|{_any(words.DISCLAIMER[0])}"
)
"""Most tickets carry none of this; one look tells."""


@dataclass(slots=True)
class Line:
    """One line: its range in the text, its bare text in lower case, and why it is dropped, if it is."""

    start: int
    end: int
    bare: str
    drop: str = ""


def newest_message(
    text: str, subject: str = "", quoted: Sequence[tuple[int, int]] = (), signature: Sequence[tuple[int, int]] = ()
) -> tuple[Ranges, set[str]]:
    """Return the ranges of `text` to keep and what was dropped: "history", "signature", "notice".

    `quoted` and `signature` are ranges that the mail's HTML marked so, in order.
    """
    if not quoted and not signature and not _LUGGAGE.search(text):
        return [(0, len(text))], set()
    lines = _lines(text)
    _mark(lines, quoted, "history")
    _mark(lines, signature, "signature")
    forwarded = _History(lines, subject).run()
    _notices(lines)
    _signatures(lines)
    if not any(line.drop for line in lines):
        return [(0, len(text))], set()
    if not _says_something(line.bare for line in lines if not line.drop):
        for line in lines:
            line.drop = ""
    elif not forwarded and _hands_on(lines):
        for line in lines:
            line.drop = "" if line.drop == "history" else line.drop
    return [(line.start, line.end) for line in lines if not line.drop], {line.drop for line in lines} - {""}


def _lines(text: str) -> list[Line]:
    lines, start = [], 0
    for piece in text.split("\n"):
        end = start + len(piece) + 1
        lines.append(Line(start, min(end, len(text)), piece.strip().lower()))
        start = end
    return lines


def _mark(lines: Sequence[Line], ranges: Iterable[tuple[int, int]], why: str) -> None:
    """Mark the lines that lie in the ranges; both come in order."""
    index = 0
    for start, end in ranges:
        while index < len(lines) and lines[index].start < start:
            index += 1
        first = index
        while index < len(lines) and lines[index].start < end and lines[index].end <= end + 1:
            index += 1
        if not _forwards(lines[first:index]):
            for line in lines[first:index]:
                line.drop = why


def _forwards(block: Sequence[Line]) -> bool:
    """Say if a quoted block is a forwarded message (Gmail marks both alike)."""
    return next((line.bare for line in block if line.bare), "").strip("-— ").startswith(words.FORWARDED)


def _says_something(bare_lines: Iterable[str]) -> bool:
    """Say if a text holds more than a greeting."""
    for bare in bare_lines:
        found = "".join(char if char.isalnum() else " " for char in bare).split()
        if any(word not in words.GREETINGS for word in found):
            return True
    return False


def _hands_on(lines: Sequence[Line]) -> bool:
    """Say if what is left is a short note that points at the history below it."""
    note = " ".join(line.bare for line in lines if not line.drop)
    return len(note.split()) <= MAX_NOTE_WORDS and any(word in note for word in words.POINTING)


class _History:
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
            self._said = not line.drop and _says_something((line.bare,))
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


def _signatures(lines: Sequence[Line]) -> None:
    """Drop what follows "-- ", device lines, and contact details under closing words."""
    for at, line in enumerate(lines):
        if line.drop:
            continue
        if line.bare.startswith(words.DEVICES) and len(line.bare) < 80:
            line.drop = "signature"
        elif line.bare in ("--", "—", "__"):
            _drop_signature(lines, at)
        elif line.bare.rstrip(",.! ") in words.CLOSINGS:
            _drop_contact(lines, at + 1)


def _block(lines: Sequence[Line], at: int) -> Sequence[Line]:
    """Return the lines from `at` to the end or to what is already dropped; none if that is far away."""
    end, said = at, 0
    while end < len(lines) and not lines[end].drop:
        said += bool(lines[end].bare)
        if said > MAX_SIGNATURE_LINES + 1 or end - at > 4 * MAX_SIGNATURE_LINES:
            return ()
        end += 1
    return lines[at:end]


def _drop_signature(lines: Sequence[Line], at: int) -> None:
    block = _block(lines, at)
    if block and block[-1].end - block[0].start <= MAX_SIGNATURE_CHARS:
        for line in block:
            line.drop = "signature"


def _drop_contact(lines: Sequence[Line], at: int) -> None:
    """Drop short lines with telephone, address or web site that end a mail; the first, a name, stays."""
    block = [line for line in _block(lines, at) if line.bare]
    if len(block) < 2 or not any(_contact(line.bare) for line in block):
        return
    if all(len(line.bare) <= 70 and not line.bare.endswith((".", "!", "?")) for line in block):
        for line in block[1:]:
            line.drop = "signature"


def _contact(bare: str) -> bool:
    return "@" in bare or "www." in bare or " | " in bare or sum(map(str.isdigit, bare)) >= 7


def _notices(lines: Sequence[Line]) -> None:
    """Drop confidentiality notices: whole paragraphs after the first."""
    start = 0
    while start < len(lines):
        end = start
        while end < len(lines) and lines[end].bare and not lines[end].drop:
            end += 1
        if start and end > start and _is_notice(" ".join(line.bare for line in lines[start:end])):
            for line in lines[start:end]:
                line.drop = "notice"
        start = max(end, start + 1)


def _is_notice(paragraph: str) -> bool:
    if len(paragraph) < MIN_NOTICE_CHARS or any(word in f" {paragraph} " for word in words.FIRST_PERSON):
        return False
    return sum(any(word in paragraph for word in group) for group in words.DISCLAIMER) >= 3
