"""What of a mail is the newest message: history, signatures, device lines and notices come off, line by line.

Only string methods look at the lines, so the time is linear in the text, and every rule may only drop what stands
after or inside what it recognised: nothing hides what stands before it. If nothing would be left, all is kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import re2

from triagedesk.tidy import words
from triagedesk.tidy.history import History, Line, says_something
from triagedesk.tidy.traced import Ranges

MAX_SIGNATURE_LINES, MAX_SIGNATURE_CHARS = 12, 900
"""What follows "-- " is a signature up to this size; beyond it, it is text."""

MAX_NOTE_WORDS = 12
"""A note this short above a mail hands it on, if it says so ("FYI", "see below")."""

MIN_NOTICE_CHARS = 120
"""A shorter paragraph is no confidentiality notice."""


def _any(found: Iterable[str]) -> str:
    return "|".join(re2.escape(word) for word in found)


_LUGGAGE = re2.compile(
    rf"(?im)^[ \t\pZ]*(?:[-_—–#*=>]|begin forwarded|(?:{_any(words.FROM)})[ *]*:|{_any(words.DEVICES)}"
    rf"|(?:{_any(words.CLOSINGS)})[,.! ]*$)|(?:[:：]|wrote|a écrit)[ \t]*$|{_any(words.DISCLAIMER[0])}"
)
"""Most tickets carry none of this; one look tells."""


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
    forwarded = History(lines, subject).run()
    _notices(lines)
    _signatures(lines)
    if not any(line.drop for line in lines):
        return [(0, len(text))], set()
    if not says_something(line.bare for line in lines if not line.drop):
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


def _hands_on(lines: Sequence[Line]) -> bool:
    """Say if what is left is a short note that points at the history below it."""
    note = " ".join(line.bare for line in lines if not line.drop)
    return len(note.split()) <= MAX_NOTE_WORDS and any(word in note for word in words.POINTING)


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
