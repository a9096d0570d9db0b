"""The generic signed webhook: the alarm as JSON, and a signature that its receiver can check.

The signature is HMAC-SHA256 with the shared secret over the timestamp, a full stop and the raw body, in hex:

    X-Triagedesk-Timestamp: 1767323045
    X-Triagedesk-Signature: v1=<64 hex digits>
    X-Triagedesk-Delivery: n_…   the same on every retry: forget what you have seen

`verify` is what a receiver does; docs/notifications.md holds a vector.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterable

from triagedesk.service.notify.notice import Notice

WINDOW_S = 300
"""A receiver refuses a timestamp that is further from its own clock."""


def webhook_body(notice: Notice) -> bytes:
    """Return the alarm as JSON: fields that are empty are left out."""
    plain = {
        "version": 1, "kind": notice.kind.value, "at": notice.at.isoformat(timespec="milliseconds"),
        "suggestion_id": notice.suggestion_id, "ticket_id": notice.ticket_id, "urgency": notice.urgency,
        "issue_type": notice.issue_type, "queue": notice.queue, "severity": notice.severity.value,
        "headline": notice.headline, "reasons": list(notice.reasons), "quote": notice.quote,
        "due_at": None if notice.due_at is None else notice.due_at.isoformat(timespec="seconds"),
        "step": notice.step, "team": notice.team, "link": notice.link, "promise": notice.promise,
    }  # fmt: skip
    kept = {name: value for name, value in plain.items() if value is not None}
    return json.dumps(kept, ensure_ascii=True, separators=(",", ":")).encode()


def signed_headers(body: bytes, *, secret: str, timestamp: int, delivery_id: str) -> dict[str, str]:
    """Return the headers that go with a body sent at `timestamp` (Unix seconds)."""
    return {
        "content-type": "application/json",
        "x-triagedesk-timestamp": str(timestamp),
        "x-triagedesk-signature": f"v1={signature(body, secret=secret, timestamp=str(timestamp))}",
        "x-triagedesk-delivery": delivery_id,
    }


def signature(body: bytes, *, secret: str, timestamp: str) -> str:
    """Return the hex digest over `timestamp.body`."""
    return hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()


def verify(
    body: bytes,
    *,
    timestamp: str,
    signature_header: str,
    secrets: Iterable[str],
    now: float,
    window_s: float = WINDOW_S,
) -> bool:
    """Say whether a delivery is genuine and fresh. Several secrets are good while one replaces another."""
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12):
        return False
    if abs(now - int(timestamp)) > window_s:
        return False
    given = signature_header.encode("utf-8", "replace")
    matches = [hmac.compare_digest(given, b"v1=" + signature(body, secret=secret, timestamp=timestamp).encode())
               for secret in secrets]  # fmt: skip
    return any(matches)
