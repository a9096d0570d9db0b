"""Slack: an alarm as the body of an incoming webhook.

Ticket text is escaped (`& < >`), or `<!channel>` in a ticket would ping everybody; `verbatim` keeps Slack from making
links and mentions of what is left. Limits: https://docs.slack.dev/reference/block-kit/blocks/section-block
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from triagedesk.service.notify.notice import Notice, Severity

MAX_TEXT_CHARS = 3_000
"""Of a section's text, counted after escaping; longer is refused with 400."""
MAX_FIELD_CHARS = 2_000
MAX_FALLBACK_CHARS = 1_000

_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
_SIGNS = {Severity.CRITICAL: "🔴", Severity.ERROR: "🟠", Severity.WARNING: "🟡", Severity.INFO: "⚪"}


def slack_message(notice: Notice) -> dict[str, Any]:
    """Return the JSON of an incoming webhook; `text` is what notifications and screen readers show."""
    headline = f"{_SIGNS[notice.severity]} {notice.headline}"
    return {
        "text": escaped(headline, MAX_FALLBACK_CHARS),
        "mrkdwn": False,
        "unfurl_links": False,
        "unfurl_media": False,
        "blocks": list(_blocks(notice, headline)),
    }


def escaped(text: str, limit: int) -> str:
    """Escape text for Slack, and cut it to `limit` characters without cutting an entity in two."""
    out, left = [], limit
    for char in text:
        piece = char.translate(_ESCAPES)
        if len(piece) > left:
            break
        out.append(piece)
        left -= len(piece)
    return "".join(out)


def _blocks(notice: Notice, headline: str) -> Iterator[dict[str, Any]]:
    yield {"type": "section", "text": _words(headline, MAX_TEXT_CHARS)}
    yield {"type": "section", "fields": [_words(f"{name}: {value}", MAX_FIELD_CHARS) for name, value in _facts(notice)]}
    if notice.reasons:
        yield {"type": "section", "text": _words("\n".join(f"• {reason}" for reason in notice.reasons), MAX_TEXT_CHARS)}
    if notice.quote:
        yield {"type": "section", "text": _words(f"“{notice.quote}”", MAX_TEXT_CHARS)}
    if notice.link:
        target = escaped(notice.link.replace("|", "%7C"), MAX_TEXT_CHARS - 40)
        yield {"type": "section", "text": {"type": "mrkdwn", "text": f"<{target}|Open the ticket>"}}


def _facts(notice: Notice) -> Iterator[tuple[str, str]]:
    yield "Urgency", notice.urgency
    yield "Issue", notice.issue_type
    yield "Queue", notice.queue
    if notice.due_at is not None:
        yield "Due", notice.due_at.isoformat(timespec="seconds")
    yield "Suggestion", notice.suggestion_id


def _words(text: str, limit: int) -> dict[str, Any]:
    return {"type": "mrkdwn", "text": escaped(text, limit), "verbatim": True}
