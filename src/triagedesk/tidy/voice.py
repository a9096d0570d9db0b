"""Transcripts: what the customer said, without the turns of the agent."""

from __future__ import annotations

import re2

from triagedesk.tidy import words
from triagedesk.tidy.traced import Ranges

_STAMP = r"(?:[\[(]?\d{1,2}:\d{2}(?::\d{2})?[\])]?[ \t]*-?[ \t]*)?"
_SPEAKER = "|".join(sorted(words.AGENT + words.CUSTOMER, key=len, reverse=True))
_TURN = rf"(?i){_STAMP}({_SPEAKER})(?: ?\d| ?[\[(]\d{{1,2}}:\d{{2}}(?::\d{{2}})?[\])])?[ \t]*:[ \t]*"
_LINE_TURN = re2.compile(rf"(?m)^[ \t]*{_TURN}")
_SPOKEN_TURN = re2.compile(rf"(?:^|\s){_TURN}")


def customer_turns(text: str, spoken: bool) -> Ranges | None:
    """Return the ranges that the customer said, or None if the text has no clearly marked turns of both sides.

    `spoken`: turns may stand within a line, as transcription writes them; else each starts its own line.
    """
    if text.count(":") < 2:
        return None
    turns = [(match.start(), match.end(), match.group(1).lower()) for match in
             (_SPOKEN_TURN if spoken else _LINE_TURN).finditer(text)]  # fmt: skip
    speakers = {who in words.AGENT for _, _, who in turns}
    if speakers != {True, False}:
        return None
    kept = [(0, turns[0][0])] if text[: turns[0][0]].strip() else []
    # One white space before the next turn stays, so that two turns do not run together.
    ends = [start + text[start].isspace() for start, _, _ in turns[1:]] + [len(text)]
    kept += [(start, end) for (_, start, who), end in zip(turns, ends, strict=True) if who not in words.AGENT]
    return kept if any(text[start:end].strip() for start, end in kept) else None
