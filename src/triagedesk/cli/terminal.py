"""The terminal: text from strangers is made inert before it is shown, and rich is imported only to draw."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.console import Console

PIPE_COLUMNS = 100

_CONTROLS = (*range(0x20), *range(0x7F, 0xA0))
_DIRECTIONS = (0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
_INERT = {
    **dict.fromkeys((*_CONTROLS, *_DIRECTIONS), "\N{REPLACEMENT CHARACTER}"),
    **dict.fromkeys(map(ord, "\t\n\v\f\r\x85\u2028\u2029"), " "),
}
"""C0, C1 and bidirectional controls can move the cursor, rename the window or reverse a line; white space becomes one
blank, so that no text can start a line of its own."""

_JSON_ESCAPES = {code: f"\\u{code:04x}" for code in (*range(0x7F, 0xA0), *_DIRECTIONS, 0x2028, 0x2029)}


def inert(text: str) -> str:
    """Return text that cannot steer a terminal: controls become U+FFFD, line breaks and tabs a blank."""
    return text.translate(_INERT)


def excerpt(text: str, limit: int = 90) -> str:
    """Return at most `limit` inert characters on one line, with an ellipsis where something was cut."""
    line = " ".join(inert(text[: limit * 4]).split())
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


def inert_json(text: str) -> str:
    """Return the same JSON with the controls escaped that JSON itself would let stand."""
    return text.translate(_JSON_ESCAPES)


def say(line: str) -> None:
    """Print one inert line of an answer."""
    print(inert(line))  # noqa: T201 - what this function is for


def warn(line: str) -> None:
    """Print one inert line beside the answer, on stderr."""
    print(inert(line), file=sys.stderr)  # noqa: T201 - what this function is for


def console(stream: TextIO) -> Console:
    """Return a console that takes every string literally: no markup, no emoji codes, no highlighting.

    Into a pipe or a file it writes lines of up to 100 columns, where the user's COLUMNS does not say otherwise.
    """
    from rich.console import Console

    width = None if stream.isatty() or "COLUMNS" in os.environ else PIPE_COLUMNS
    return Console(file=stream, markup=False, emoji=False, highlight=False, width=width)
