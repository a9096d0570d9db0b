"""PagerDuty: an alarm as an event of the Events API v2 (https://developer.pagerduty.com/docs/events-api-v2-overview).

All alarms about one ticket share a `dedup_key`, so that they are one alert.
"""

from __future__ import annotations

import hashlib
from typing import Any

from triagedesk.service.notify.notice import Notice

EVENTS_URL = "https://events.pagerduty.com/v2/enqueue"
MAX_SUMMARY_CHARS = 1_024
MAX_DEDUP_CHARS = 255


def pagerduty_event(notice: Notice, *, routing_key: str, source: str = "triagedesk") -> dict[str, Any]:
    """Return the JSON that triggers (or adds to) the ticket's alert. `source` names the desk, and parts the keys."""
    event: dict[str, Any] = {
        "routing_key": routing_key,
        "event_action": "trigger",
        "dedup_key": dedup_key(notice.ticket_id, source),
        "client": "triagedesk",
        "payload": {
            "summary": notice.headline[:MAX_SUMMARY_CHARS],
            "source": source,
            "severity": notice.severity.value,
            "timestamp": notice.at.isoformat(timespec="milliseconds"),
            "component": notice.queue,
            "group": notice.issue_type,
            "class": notice.kind.value,
            "custom_details": _details(notice),
        },
    }
    if notice.link:
        event["links"] = [{"href": notice.link, "text": "Open the ticket"}]
    return event


def dedup_key(ticket_id: str, source: str = "triagedesk") -> str:
    """Return the key of a ticket's alert; one that would be too long is hashed."""
    key = f"{source}:{ticket_id}"
    return key if len(key) <= MAX_DEDUP_CHARS else f"{source[:100]}:{hashlib.sha256(key.encode()).hexdigest()}"


def _details(notice: Notice) -> dict[str, Any]:
    details = {
        "ticket_id": notice.ticket_id, "suggestion_id": notice.suggestion_id, "urgency": notice.urgency,
        "issue_type": notice.issue_type, "queue": notice.queue, "reasons": list(notice.reasons), "quote": notice.quote,
        "due_at": None if notice.due_at is None else notice.due_at.isoformat(timespec="seconds"),
        "step": notice.step, "team": notice.team, "promise": notice.promise,
    }  # fmt: skip
    return {name: value for name, value in details.items() if value is not None}
