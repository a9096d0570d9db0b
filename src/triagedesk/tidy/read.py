"""Step 1 of the journey: what is read of a ticket.

From the raw fields come off, in this order: invisible characters, HTML, fancy letters, quoted history with signatures
and notices, the agent's turns of a transcript. Every character that stays knows its place in the raw field, so quotes
are shown as the customer wrote them. The time is linear in the text, of which 32,000 characters are read.
"""

from __future__ import annotations

from triagedesk.models import Ticket
from triagedesk.reading import Reading
from triagedesk.tidy import language
from triagedesk.tidy.html import body_start, looks_like_html, strip_html
from triagedesk.tidy.mail import newest_message
from triagedesk.tidy.traced import PLAIN, VISIBLE, Ranges, Traced
from triagedesk.tidy.voice import customer_turns

READ_CHARS = 32_000
"""A body is read up to here, invisible characters not counted."""

MAX_RAW_CHARS = 4 * READ_CHARS
"""How far a body is searched for `READ_CHARS` visible characters."""

TRANSCRIPTS = ("voice", "live_chat")
"""Channels on which turns may stand within a line. Playbooks that name them otherwise lose only that."""

CUT, INVISIBLE, HTML, HISTORY, SIGNATURE, NOTICE, TURNS = (
    "cut", "invisible_characters", "html", "history", "signature", "notice", "agent_turns")  # fmt: skip
"""What `Reading.notes` may hold: that the body was longer, and what was taken off."""


def read(ticket: Ticket, languages: tuple[str, ...]) -> Reading:
    """Return subject and newest message of a ticket, tidied, with every character's place in the raw field.

    `languages` are the playbook's; a close call in detection goes to them. Never raises for a valid ticket.
    """
    notes: set[str] = set()
    subject = _plain(Traced.of(ticket.subject).translate(VISIBLE)).one_line().strip()
    body = _body(ticket, subject.text, notes)
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
    )


def _to_judge(subject: str, body: str) -> str:
    """Return the text whose language is judged: the body, with the subject before it where the body is short."""
    return body if len(body) >= language.READ_CHARS // 2 or not subject else f"{subject} {body}"


def _plain(traced: Traced) -> Traced:
    return traced if traced.text.isascii() else traced.translate(PLAIN).compose()


def _body(ticket: Ticket, subject: str, notes: set[str]) -> Traced:
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
    return _newest(ticket, subject, whole, (quoted, signature), notes)


def _newest(ticket: Ticket, subject: str, whole: Traced, marked: tuple[Ranges, Ranges], notes: set[str]) -> Traced:
    """Take history, signatures, notices and agent's turns off; fold fancy letters last, when ranges are settled."""
    kept, dropped = newest_message(whole.text, subject, *marked)
    if dropped:
        notes |= dropped
        whole = whole.keep(kept)
    turns = customer_turns(whole.text, ticket.channel in TRANSCRIPTS)
    if turns is not None:
        notes.add(TURNS)
        whole = whole.keep(turns)
    return _plain(whole).strip()


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
