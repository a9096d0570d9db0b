"""HTML mail to plain text in one linear pass, with the place of every character.

The standard library's html.parser is not used: on Python 3.11.7 it takes ten seconds for 32,000 characters of `<a `
and raises AssertionError on `<![<![`. This scanner looks at a character a bounded number of times, and it needs no
tree: only a customer's text, its line breaks, and what of it is hidden, quoted or signature.
"""

from __future__ import annotations

import html
from array import array
from collections import Counter

from triagedesk.tidy.attributes import HIDDEN, REVEALABLE, effect
from triagedesk.tidy.traced import VISIBLE, Ranges, Traced

MAX_TAG_CHARS = 4_000
"""A longer tag is taken for text."""

MAX_DEPTH = 100
"""Elements nested deeper are not tracked: no mail needs them, and hostile ones would cost time."""

MAX_HEAD_PIECES = 1_000
"""A head made of more tags, comments and style sheets is not skipped."""

_SIGNS = ("<html", "<!doctype html", "<body", "<div", "<p>", "<p ", "<br", "<span", "<table", "<style", "<blockquote",
          "<head", "<font", "<ul", "<li>", "<strong>", "<b>", "<td", "<a href", "<img ", "<i>", "<!--")  # fmt: skip
_BLOCK_SIGNS = ("<br", "<p>", "<p ", "<div", "<td", "<li", "<body")
_RAW = frozenset(("script", "style", "title", "template", "noscript", "svg", "select", "textarea"))
_VOID = frozenset(
    ("br", "img", "input", "hr", "meta", "link", "area", "base", "col", "embed", "source", "wbr", "track")
)
_LINE = frozenset(("br", "div", "tr", "li", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "dt", "dd", "section", "article",
                   "header", "footer", "pre", "table", "ul", "ol", "center", "address", "td", "th"))  # fmt: skip
_PARAGRAPH = frozenset(("p", "blockquote"))
_HEAD = frozenset(("html", "head", "meta", "link", "base", "!doctype", "?xml", "![if", "![endif]", "![endif]--"))
_RESTARTS = frozenset(("p", "li", "td", "th", "tr", "option", "dt", "dd"))  # a new one closes the one before
_HIDING = (HIDDEN, *REVEALABLE)
_LOWER = {point: point + 32 for point in range(ord("A"), ord("Z") + 1)}
_BLANK = " \t\n\r\f\v\u00a0"


def looks_like_html(text: str) -> bool:
    """Say if a body is HTML: one of the usual tags stands in its beginning."""
    if "<" not in text:
        return False
    head = text[:4_000].lower()
    return any(sign in head for sign in _SIGNS)


def body_start(text: str) -> int:
    """Return where `<body` stands if nothing that is seen stands before it, else 0."""
    lower = text.lower()
    if len(lower) != len(text) or "<body" not in lower:  # a letter that grows would shift the places
        return 0
    at = 0
    for _ in range(MAX_HEAD_PIECES):
        at = _past_blanks(lower, at)
        if lower.startswith("<body", at):
            return at
        at = _past_head_piece(lower, at)
        if not at:
            return 0
    return 0


def _past_blanks(text: str, at: int) -> int:
    while at < len(text) and text[at].isspace():
        piece = text[at : at + MAX_TAG_CHARS]
        at += len(piece) - len(piece.lstrip())
    return at


def _past_head_piece(lower: str, at: int) -> int:
    """Return the place after one comment, tag or element whose content is no text; 0 if there is none."""
    if lower.startswith("<!--", at):
        end = lower.find("-->", at + 4)
        return end + 3 if end >= 0 else 0
    end = lower.find(">", at, at + MAX_TAG_CHARS)
    if not lower.startswith("<", at) or end < 0:
        return 0
    content = lower[at + 1 : end].split(None, 1)
    name = content[0].rstrip("/") if content else ""
    if name in _RAW:
        close = lower.find(f"</{name}", end)
        end = lower.find(">", close, close + 100) if close >= 0 else -1
        return end + 1
    return end + 1 if name.removeprefix("/") in _HEAD else 0


def strip_html(source: Traced, cut: bool = False) -> tuple[Traced, Ranges, Ranges]:
    """Take tags, comments, scripts and hidden elements off; decode entities; keep line breaks.

    Returns the text and the ranges of it that a mail program marked as quoted and as signature. An element that is
    never closed hides nothing. `cut`: the end is missing, so a quote may be closed further down and stays one.
    """
    scanner = _Scanner(source, cut)
    scanner.run()
    return Traced("".join(scanner.out), scanner.origin), scanner.ranges("quoted"), scanner.ranges("signature")


class _Scanner:
    """Reads once from left to right; `out` and `origin` grow together."""

    def __init__(self, source: Traced, cut: bool) -> None:
        self.cut = cut
        self.text = source.text
        self.lower = source.text.translate(_LOWER)  # ASCII only, so that offsets stay
        self.places = source.origin
        self.out: list[str] = []
        self.origin: array[int] = array("q")
        self.open: list[tuple[str, str | None, int]] = []  # (name, kind, where its text starts)
        self.names: Counter[str] = Counter()
        self.found: dict[str, Ranges] = {"quoted": [], "signature": []}
        self.unclosed: set[str] = set()
        # Text with a stray tag in it keeps its own line breaks; in real HTML they mean a blank.
        self.flow = sum(self.lower.count(sign) for sign in _BLOCK_SIGNS) >= 2

    def run(self) -> None:
        """Read everything."""
        at, size = 0, len(self.text)
        while at < size:
            sign = self.text.find("<", at)
            if sign < 0:
                sign = size
            self.data(at, sign)
            at = self.markup(sign) if sign < size else size
        while self.open:
            self.pop(closed=False)

    def markup(self, at: int) -> int:
        """Read what starts with `<`; return where the text goes on."""
        if self.text.startswith("<!--", at):
            return self.past("-->", at + 4, at)
        following = self.text[at + 1 : at + 2]
        if following in ("!", "?") and self.text[at + 2 : at + 3].isalpha():
            return self.past(">", at + 2, at)
        closing = following == "/"
        first = self.text[at + 1 + closing : at + 2 + closing]
        end = self.text.find(">", at, at + MAX_TAG_CHARS) if first.isascii() and first.isalpha() else -1
        if end < 0:
            self.data(at, at + 1)  # a lone "<" is text
            return at + 1
        return self.tag(at, end, closing)

    def past(self, sign: str, start: int, opened: int) -> int:
        """Return the place after `sign`; if it never comes, what opened is text and is not searched for again."""
        end = -1 if sign in self.unclosed else self.lower.find(sign, start)
        if end >= 0:
            return end + len(sign)
        self.unclosed.add(sign)
        self.data(opened, start)
        return start

    def tag(self, at: int, end: int, closing: bool) -> int:
        """Act on a whole tag; return where the text goes on."""
        content = self.lower[at + 1 + closing : end]
        if content.count('"') % 2:  # a ">" inside an attribute: the tag ends at the next one
            further = self.text.find(">", end + 1, at + MAX_TAG_CHARS)
            end = further if further >= 0 else end
            content = self.lower[at + 1 + closing : end]
        name = content.split(None, 1)[0].rstrip("/")
        if not name.replace("-", "").replace(":", "").isalnum():
            self.data(at, end + 1)  # <someone@example.com>
            return end + 1
        self.break_line(name, at)
        if closing:
            self.close(name)
        elif name in _RAW:
            return self.past_raw(name, at, end)
        elif name not in _VOID:
            self.begin(name, content[len(name) :])
        return end + 1

    def past_raw(self, name: str, at: int, end: int) -> int:
        """Skip an element whose content is no text; if it never ends, somebody only writes about the tag."""
        after = self.past(f"</{name}", end + 1, at)
        stop = self.lower.find(">", after, after + 100)
        return stop + 1 if after > end + 1 and stop >= 0 else after

    def begin(self, name: str, attributes: str) -> None:
        """Open an element."""
        if self.open and name in _RESTARTS and self.open[-1][0] == name:
            self.pop()
        if len(self.open) >= MAX_DEPTH:
            return
        kind, shown = effect(name, attributes) if attributes else (None, ())
        for prop in shown:
            self.reveal(prop)
        self.names[name] += 1
        self.open.append((name, kind, len(self.origin)))

    def reveal(self, prop: str) -> None:
        """Let elements around be seen that were hidden by a property which a child sets anew."""
        for index, (name, kind, start) in enumerate(self.open):
            if kind == prop:
                self.open[index] = (name, None, start)

    def close(self, name: str) -> None:
        """Close the element and what is still open in it; a closing tag that opened nothing is ignored."""
        if self.names[name] <= 0:
            return
        while self.pop() != name:
            pass

    def pop(self, closed: bool = True) -> str:
        """Close the innermost element and return its name; what a hidden one held is taken back."""
        name, kind, start = self.open.pop()
        self.names[name] -= 1
        if kind in _HIDING:
            if closed:
                self.take_back(start)
        elif kind and start < len(self.origin) and (closed or self.cut):
            self.found[kind].append((start, len(self.origin)))
        return name

    def take_back(self, start: int) -> None:
        """Forget what was written since `start`: every character is forgotten once, so the time stays linear."""
        del self.out[start:]
        del self.origin[start:]
        for ranges in self.found.values():
            while ranges and ranges[-1][1] > start:
                ranges.pop()

    def ranges(self, kind: str) -> Ranges:
        """Return the ranges of a kind in order and without overlap."""
        merged: Ranges = []
        for start, end in sorted(self.found[kind]):
            if merged and start <= merged[-1][1]:
                merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
            else:
                merged.append((start, end))
        return merged

    def break_line(self, name: str, at: int) -> None:
        """Start a new line (a paragraph: after an empty one) where the element wants it."""
        if name == "br":
            self.put("\n", at)
        elif name in _PARAGRAPH or name in _LINE:
            wanted = 2 if name in _PARAGRAPH else 1
            tail = "".join(self.out[-2:])
            for _ in range(wanted - (len(tail) - len(tail.rstrip("\n"))) if tail else 0):
                self.put("\n", at)

    def data(self, start: int, end: int) -> None:
        """Take text over, entities decoded."""
        at = start
        while (sign := self.text.find("&", at, end)) >= 0:
            self.words(at, sign)
            stop = self.text.find(";", sign, min(sign + 34, end))
            char = html.unescape(self.text[sign : stop + 1]) if stop > 0 else ""
            known = char == "&" or (char != "" and not char.startswith("&"))
            for piece in (char if known else "&").translate(VISIBLE):
                self.put(" " if piece in _BLANK else piece, sign)
            at = stop + 1 if known else sign + 1
        self.words(at, end)

    def words(self, start: int, end: int) -> None:
        """Take text without entities over; runs of white space become one blank."""
        if not self.flow:
            self.out.extend(self.text[start:end])
            self.origin.extend(self.places[start:end])
            return
        for index in range(start, end):
            char = self.text[index]
            if char not in _BLANK:
                self.out.append(char)
                self.origin.append(self.places[index])
            elif self.out and self.out[-1] not in " \n":
                self.out.append(" ")
                self.origin.append(self.places[index])

    def put(self, char: str, at: int) -> None:
        """Add one character that stands for what is at `at` (a tag or an entity)."""
        self.out.append(char)
        self.origin.append(self.places[at])
