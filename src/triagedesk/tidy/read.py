"""Step 1 of the journey: what is read of a ticket.

From the raw fields come off, in this order: invisible characters, HTML, fancy letters, quoted history with signatures
and notices, the agent's turns of a transcript. Every character that stays knows its place in the raw field, so quotes
are shown as the customer wrote them. The time is linear in the text, of which 32,000 characters are read.
"""

from __future__ import annotations

import re2

from triagedesk.models import Ticket
from triagedesk.reading import Reading
from triagedesk.tidy import language
from triagedesk.tidy.html import body_start, looks_like_html, strip_html
from triagedesk.tidy.mail import newest_message
from triagedesk.tidy.traced import PLAIN, VISIBLE, Ranges, Traced
from triagedesk.tidy.voice import customer_turns
from triagedesk.tracing import traced

READ_CHARS = 32_000
"""A body is read up to here, invisible characters not counted."""

MAX_RAW_CHARS = 4 * READ_CHARS
"""How far a body is searched for `READ_CHARS` visible characters."""

DROPPED_CHARS, DROPPED_END_CHARS = 32_000, 8_000
"""Of what is dropped, so much of its beginning and of its end is shown to the rules."""

TRANSCRIPTS = ("voice", "live_chat")
"""Channels on which turns may stand within a line. Playbooks that name them otherwise lose only that."""

_QUOTING = re2.compile(r"(?m)^[ \t]*>[> \t]*")

CUT, INVISIBLE, HTML, HISTORY, SIGNATURE, NOTICE, TURNS = (
    "cut", "invisible_characters", "html", "history", "signature", "notice", "agent_turns")  # fmt: skip
"""What `Reading.notes` may hold: that the body was longer, and what was taken off."""


@traced("tidy")
def read(ticket: Ticket, languages: tuple[str, ...]) -> Reading:
    """Return subject and newest message of a ticket, tidied, with every character's place in the raw field.

    `languages` are the playbook's; a close call in detection goes to them. Never raises for a valid ticket.
    """
    notes: set[str] = set()
    subject = _plain(Traced.of(ticket.subject).translate(VISIBLE)).one_line().strip()
    dropped: list[str] = []
    body = _body(ticket, subject.text, notes, dropped)
    given = language.primary(ticket.language) if ticket.language else None
    return Reading(
        ticket=ticket,
        subject=subject.text,
        body=body.text,
        subject_origin=subject.origin,
        body_origin=body.origin,
        language=given or language.detect(_to_judge(subject.text, body.text), languages),
        cut=CUT in notes,
        history_dropped=HISTORY in notes,
        notes=tuple(sorted(notes)),
        dropped=_bounded("\n\n".join(dropped)).translate(PLAIN) if dropped else "",
    )


def _to_judge(subject: str, body: str) -> str:
    """Return the text whose language is judged: the body, with the subject before it where the body is short."""
    return body if len(body) >= language.READ_CHARS // 2 or not subject else f"{subject} {body}"


def _plain(traced: Traced) -> Traced:
    return traced if traced.text.isascii() else traced.translate(PLAIN).compose()


def _body(ticket: Ticket, subject: str, notes: set[str], dropped: list[str]) -> Traced:
    seen = _window(ticket.body, notes)
    quoted: Ranges = []
    signature: Ranges = []
    whole = seen.unix_lines()
    if looks_like_html(seen.text):
        stripped, quoted, signature = strip_html(seen, cut=seen.origin[-1] + 1 < len(ticket.body) and CUT in notes)
        if stripped.text.strip():
            notes.add(HTML)
            whole = stripped
        else:
            quoted, signature = [], []
    kept = _newest(ticket, subject, whole, (quoted, signature), notes, dropped)
    if CUT in notes:
        dropped.append(_unread(ticket.body, seen, html=HTML in notes))
    return kept


def _newest(
    ticket: Ticket, subject: str, whole: Traced, marked: tuple[Ranges, Ranges], notes: set[str], dropped: list[str]
) -> Traced:
    """Take history, signatures, notices and agent's turns off; fold fancy letters last, when ranges are settled."""
    kept, why = newest_message(whole.text, subject, *marked)
    if why:
        notes |= why
        dropped.append(_QUOTING.sub("", _between(whole.text, kept)))
        whole = whole.keep(kept)
    turns = customer_turns(whole.text, ticket.channel in TRANSCRIPTS)
    if turns is not None:
        notes.add(TURNS)
        dropped.append(_between(whole.text, turns))
        whole = whole.keep(turns)
    return _fitting(_plain(whole).strip(), notes, dropped)


def _fitting(plain: Traced, notes: set[str], dropped: list[str]) -> Traced:
    """Cut what grew beyond `READ_CHARS` when letters were made plain: one sign may stand for six."""
    if len(plain.text) <= READ_CHARS:
        return plain
    notes.add(CUT)
    dropped.append(plain.text[READ_CHARS:])
    return plain.keep([(0, READ_CHARS)]).strip()


def _between(text: str, kept: Ranges) -> str:
    """Return what stands between the ranges that are kept, each piece a paragraph."""
    starts = [0, *(end for _, end in kept)]
    ends = [*(start for start, _ in kept), len(text)]
    return "\n\n".join(piece for start, end in zip(starts, ends, strict=True) if (piece := text[start:end].strip()))


def _unread(body: str, seen: Traced, *, html: bool) -> str:
    """Return the text before and behind what was read of a long body, or of it the beginning and the end."""
    first, last = (seen.origin[0], seen.origin[-1] + 1) if seen.text else (0, 0)
    pieces = [_bounded(piece) for piece in (body[:first], body[last:]) if piece.strip()]
    text = Traced.of(_bounded("\n\n".join(pieces))).translate(VISIBLE).unix_lines()
    return strip_html(text)[0].text if html else text.text


def _bounded(text: str) -> str:
    if len(text) <= DROPPED_CHARS + DROPPED_END_CHARS:
        return text
    return f"{text[:DROPPED_CHARS]}\n\n{text[-DROPPED_END_CHARS:]}"


def _window(body: str, notes: set[str]) -> Traced:
    """Return the visible characters that are read of a body: its beginning, or that of a long HTML mail's `<body>`."""
    long_html = len(body) > READ_CHARS and body.lstrip()[:1] == "<" and looks_like_html(body[:4_000])
    start = body_start(body) if long_html else 0
    end = min(start + READ_CHARS, len(body))
    seen = _visible(body, start, end)
    while len(seen.text) < READ_CHARS and end < min(start + MAX_RAW_CHARS, len(body)):
        further = min(end + READ_CHARS, len(body))
        seen = seen.plus(_visible(body, end, further))
        end = further
    if len(seen.text) < end - start:
        notes.add(INVISIBLE)
    if len(seen.text) > READ_CHARS or end - start < len(body):
        notes.add(CUT)
    return seen.keep([(0, READ_CHARS)]) if len(seen.text) > READ_CHARS else seen


def _visible(body: str, start: int, end: int) -> Traced:
    return Traced.of(body[start:end], start).translate(VISIBLE)
