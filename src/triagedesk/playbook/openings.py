"""How the matches of a pattern begin, read from the pattern without compiling it.

A pattern that starts at a word boundary can match only where a word of the text starts as the pattern does. What
cannot be told of a pattern is never guessed.
"""

from __future__ import annotations

from triagedesk.playbook.folding import MAX_BEGINNING

PLAIN = "abcdefghijklmnopqrstuvwxyz0123456789"
"""Characters that stand for themselves in a folded pattern, and for nothing else in a folded text."""

_UNREADABLE = ("\\(", "\\)", "\\|", "\\Q")
"""Where one of these stands, counting parentheses does not tell how a pattern is built."""


def openings(pattern: str) -> set[str] | None:
    """Return the ASCII letters and digits with one of which each match begins, or None if that cannot be told.

    `pattern` is folded. Beyond ASCII a letter may have a variant that RE2 takes for the same.
    """
    if not readable(pattern):
        return None
    body = pattern.removeprefix("\\b")
    if body.startswith("(?:") and body.endswith(")\\b") and "(" not in body[3:]:
        body = body[3:-3]  # a plain group around all of it is how signals come
    try:
        return _of_alternatives(body)
    except RecursionError:  # hundreds of groups within each other
        return None


def readable(pattern: str) -> bool:
    """Say whether a folded pattern starts at a word boundary and its parentheses tell how it is built."""
    return pattern.startswith("\\b") and not _unreadable(pattern.removeprefix("\\b"))


def unwrapped(pattern: str) -> tuple[str, bool]:
    """Return a pattern without the boundary and the plain group around all of it, and whether it must end a word."""
    body = pattern.removeprefix("\\b")
    if body.startswith("(?:") and body.endswith(")\\b") and closing(body) == len(body) - 3:
        return body[3:-3], True
    return body, False


def _unreadable(body: str) -> bool:
    if "\\" in body and any(sign in body for sign in _UNREADABLE):
        return True
    return body.count("(?") != body.count("(?:") or ("[" in body and any(map(_odd_class, body.split("[")[1:])))


def _odd_class(text: str) -> bool:
    """Say if a class, whose inside begins here, may hold what elsewhere builds groups."""
    inside = text.partition("]")[0]
    return inside in ("", "^") or inside.endswith("\\") or any(sign in inside for sign in "()|")


def _of_alternatives(body: str) -> set[str] | None:
    found: set[str] = set()
    for alternative in split(body):
        here = _of_sequence(alternative)
        if here is None:
            return None
        found |= here
    return found


def split(body: str) -> list[str]:
    """Split at the bars that stand in no group."""
    if "(" not in body:
        return body.split("|")
    parts, start, group = [], 0, body.find("(")
    bar = body.find("|")
    while bar >= 0:
        if 0 <= group < bar:
            end = closing(body, group)
            group, bar = body.find("(", end), body.find("|", end)
        else:
            parts.append(body[start:bar])
            start = bar + 1
            bar = body.find("|", start)
    return [*parts, body[start:]]


def _of_sequence(body: str) -> set[str] | None:
    if body.startswith("("):
        return _of_group(body)
    if body.startswith("\\d") and body[2:3] not in ("?", "*") and body[2:4] not in ("{0", "{,"):
        return set("0123456789")
    size = len(body) - len(body.lstrip(PLAIN))
    if body[size : size + 1] in ("?", "*", "{"):  # the last character may be absent
        size -= 1
    return {body[: min(size, MAX_BEGINNING)]} if size > 0 else None


def _of_group(body: str) -> set[str] | None:
    end = closing(body)
    found = _of_alternatives(body[1:end].removeprefix("?:"))
    rest = body[end + 1 :]
    if found is None or rest[:1] not in ("?", "*", "{"):
        return found
    after = _of_sequence(rest.partition("}")[2] if rest[0] == "{" else rest[1:].removeprefix("?"))
    return None if after is None else found | after


def closing(body: str, start: int = 0) -> int:
    """Return where the group that opens at `start` closes."""
    depth, at = 1, start
    while depth:
        closes = body.find(")", at + 1)
        if closes < 0:
            return len(body)
        inner = body.count("(", at + 1, closes)
        depth += inner - 1
        at = closes
    return at
