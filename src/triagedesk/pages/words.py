"""Figures and names as a reader sees them. Nothing here trusts text that came from a ticket or a model."""

from __future__ import annotations

import unicodedata

from markupsafe import Markup, escape

DASH = "–"
PERCENT = "\N{NO-BREAK SPACE}%"


def title_of(name: str) -> str:
    """Return the name of a dimension or a field as a heading."""
    return name.replace("_", " ").capitalize()


def percent(value: float | None, digits: int = 1) -> str:
    """Return .8123 as "81.2 %", a dash for None. 100 % and 0 % are never rounded to."""
    if value is None:
        return DASH
    least = 10.0**-digits
    if 0 < value < least / 200:
        return f"< {least:.{digits}f}{PERCENT}"
    if 1 - least / 200 < value < 1:
        return f"> {100 - least:.{digits}f}{PERCENT}"
    return f"{100 * value:.{digits}f}{PERCENT}"


def number(value: float | None, digits: int = 3) -> str:
    """Return a number, a dash for None."""
    return DASH if value is None else f"{value:.{digits}f}"


def count(value: int) -> str:
    """Return 12345 as "12,345"."""
    return f"{value:,}"


def milliseconds(value: float | None) -> str:
    """Return a duration in ms below a second, else in s."""
    if value is None:
        return DASH
    return f"{value / 1000:.2f} s" if value >= 1000 else f"{value:.1f} ms"


def visible(text: str) -> str:
    """Return text in which what a reader could not see, or what would turn the line round, is written out."""
    if text.isprintable():
        return text
    return "".join(char if _is_seen(char) else f"⟦{ord(char):04X}⟧" for char in text)


def _is_seen(char: str) -> bool:
    return char.isprintable() or char in "\n\t" or unicodedata.category(char) == "Zs"


def held_together(text: str) -> Markup:
    """Return a sentence as HTML in which no interval is broken over two lines."""
    words = (Markup("<span class=nb>{}</span>").format(word) if DASH in word else escape(word)
             for word in visible(text).split(" "))  # fmt: skip
    return Markup(" ").join(words)
