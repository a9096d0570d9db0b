"""What a rule's reason rests on: words of the ticket, a field of its metadata, or how it opens."""

from __future__ import annotations

from triagedesk.models import Factor, Reason
from triagedesk.playbook import Rule
from triagedesk.playbook.conditions import Hit
from triagedesk.reading import Reading

MAX_OPENING_CHARS = 120
_EDGES = frozenset(" \n\t.,;:!?\"'()-")


def quoted(text: str, factor: Factor | None, reading: Reading, hit: Hit) -> Reason:
    """Give a reason that quotes a match, as far as it stands in one field."""
    hit = _trimmed(hit, reading.text)
    span = reading.locate(*hit)
    if span is None:  # the match spans subject and body: show the part that stands in the body
        span = reading.locate(reading.body_at, hit[1]) or reading.locate(hit[0], len(reading.subject))
    if span is None:
        return Reason(text=text, factor=factor)
    quote = reading.quote(span)
    return Reason(text=text, factor=factor, quote=quote, field=span.field, start=span.start, end=span.end)


def opening(text: str, reading: Reading) -> Reason:
    """Give a reason for a label that nothing in the text speaks against; it rests on how the ticket opens."""
    body = reading.text[reading.body_at :]
    start = reading.body_at + len(body) - len(body.lstrip())
    line = body.strip().partition("\n")[0][:MAX_OPENING_CHARS].rstrip()
    return quoted(text, None, reading, (start, start + len(line)))


def _trimmed(hit: Hit, text: str) -> Hit:
    """Leave white space and punctuation at a match's edges out of its quote."""
    start, end = hit
    while start < end and text[end - 1] in _EDGES:
        end -= 1
    while start < end and text[start] in _EDGES:
        start += 1
    return (start, end) if start < end else hit


def metadata_field(rule: Rule) -> str | None:
    """Name the field of a ticket's metadata on which a rule's condition rests, or None."""
    when = rule.when
    named = ((when.overdue, "due_at"), (when.tier, "customer_tier"), (when.channel, "channel"), (when.region, "region"))
    return next((field for value, field in named if value), None)
