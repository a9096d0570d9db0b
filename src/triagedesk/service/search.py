"""Past suggestions found by their words: the id of the ticket, labels, queue, flags, reasons and quotes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from triagedesk.service.store.records import StoredSuggestion
from triagedesk.service.store.suggestions import Suggestions

PAGE = 200


async def search(suggestions: Suggestions, query: str, limit: int) -> list[dict[str, Any]]:
    """Return the newest suggestions that hold every word of the query, in any letter case, as plain data.

    Of a large store the newest `suggestions.SEARCHED` are looked at. Raises StoreUnavailable.
    """
    words = query.casefold().split()
    found: list[dict[str, Any]] = []
    before_id: str | None = None
    while words and len(found) < limit:
        page = await suggestions.holding(words, before_id=before_id, limit=PAGE)
        found += [_told(stored) for stored in page if _holds(stored, words)]
        if len(page) < PAGE:
            break
        before_id = page[-1].id
    return found[:limit]


def _holds(stored: StoredSuggestion, words: list[str]) -> bool:
    text = " ".join(_texts(stored)).casefold()
    return all(word in text for word in words)


def _texts(stored: StoredSuggestion) -> Iterator[str]:
    said = stored.suggestion
    yield stored.ticket_id
    yield str(said.get("queue") or "")
    for name in ("flags", "review_reasons"):
        yield from map(str, said.get(name) or ())
    for dimension, choice in said.get("labels", {}).items():
        yield f"{dimension} {choice['label']}"
        for reason in choice.get("reasons") or ():
            yield f"{reason.get('text') or ''} {reason.get('quote') or ''}"


def _told(stored: StoredSuggestion) -> dict[str, Any]:
    said = stored.suggestion
    labels: Mapping[str, Any] = said.get("labels", {})
    return {
        "id": stored.id, "ticket_id": stored.ticket_id, "at": stored.created_at.isoformat(),
        "labels": {name: choice["label"] for name, choice in labels.items()},
        "reasons": {
            name: [{"text": reason.get("text"), "quote": reason.get("quote")} for reason in choice.get("reasons") or ()]
            for name, choice in labels.items()
        },
        "queue": said.get("queue"), "flags": list(said.get("flags") or ()),
        "needs_review": bool(said.get("needs_review")), "source": (said.get("provenance") or {}).get("source"),
    }  # fmt: skip
