"""What an HTML element's attributes do to the text in it: hide, quote or sign it.

Only what surely hides counts. A text that is read though nobody sees it does little harm; one that everybody sees and
that is not read may be the report of a fire.
"""

from __future__ import annotations

import html

import re2

HIDDEN, QUOTED, SIGNATURE = "hidden", "quoted", "signature"

REVEALABLE = ("font-size", "visibility")
"""Properties that a child may set anew: then the child is seen, as in mails laid out with `font-size:0`."""

_QUOTES = ("gmail_quote", "yahoo_quoted", "protonmail_quote", "zmail_extra", "gmail_extra")
_SIGNATURES = ("gmail_signature", "moz-signature", "protonmail_signature")
_TELLING = ("hidden", "style", "cite", *_QUOTES, *_SIGNATURES)
_UNITS = "abcdefghijklmnopqrstuvwxyz%"
_ATTRIBUTE = re2.compile(
    r"""([^\s=/"']+)(?:\s*=\s*(?:"([^"]*)(?:"|$)|'([^']*)(?:'|$)|([^\s"']\S*)))?|"[^"]*(?:"|$)|'[^']*(?:'|$)"""
)
"""A quote that is not closed takes the rest: no word in it is an attribute."""


def effect(name: str, attributes: str) -> tuple[str | None, frozenset[str]]:
    """Say what an element does to its text, and which hiding properties it sets to something that is seen.

    The effect is "hidden", one of `REVEALABLE` (hidden until a child sets it anew), "quoted", "signature" or None.
    `attributes` are those of the tag as written, in lower case.
    """
    if not any(sign in attributes for sign in _TELLING):
        return None, frozenset()
    given = _parsed(attributes)
    style = _declarations(html.unescape(given.get("style", "")))
    shown = frozenset(prop for prop in REVEALABLE if prop in style and not _hides(prop, style))
    return _hiding(given, style) or _marking(name, given), shown


def _hiding(given: dict[str, str], style: dict[str, str]) -> str | None:
    if HIDDEN in given or any(_hides(prop, style) for prop in ("display", "opacity", "height", "max-height")):
        return HIDDEN
    return next((prop for prop in REVEALABLE if _hides(prop, style)), None)


def _marking(name: str, given: dict[str, str]) -> str | None:
    """Say if a mail program marked the element as quoted or as signature."""
    names = f"{given.get('class', '')} {given.get('id', '')}"
    cited = name == "blockquote" and ("cite" in given or "cite" in given.get("type", "") or "cite" in names)
    if cited or any(sign in names for sign in _QUOTES):
        return QUOTED
    return SIGNATURE if any(sign in names for sign in _SIGNATURES) else None


def _parsed(attributes: str) -> dict[str, str]:
    """Return names and values; of a name given twice the first counts, as in a browser."""
    found: dict[str, str] = {}
    for match in _ATTRIBUTE.finditer(attributes):
        if match.group(1):
            found.setdefault(match.group(1), match.group(2) or match.group(3) or match.group(4) or "")
    return found


def _declarations(style: str) -> dict[str, str]:
    """Return CSS properties and values: the last one counts, or the last one that is `!important`."""
    found: dict[str, str] = {}
    settled: set[str] = set()
    depth = 0
    for piece in style.split(";"):
        inside, depth = depth > 0, depth + piece.count("(") - piece.count(")")
        name, _, value = piece.partition(":")
        prop, (value, mark, _) = name.strip(), value.partition("!")
        if inside or not value or (prop in settled and not mark):
            continue  # inside: a semicolon of url(…)
        found[prop] = value.strip()
        if mark:
            settled.add(prop)
    return found


def _hides(prop: str, style: dict[str, str]) -> bool:
    """Say if a property makes the text invisible."""
    value = style.get(prop, "")
    if prop == "display":
        return value == "none"
    if prop == "visibility":
        return value in ("hidden", "collapse")
    if prop.endswith("height") and style.get("overflow") not in ("hidden", "clip"):
        return False  # the text runs over the edge and is seen
    number = value.rstrip(_UNITS)
    return "0" in number and not number.strip("0.")
