"""The internal note: what is suggested, why, and the customer's words that it rests on; inert in every desk."""

from __future__ import annotations

import html
from collections.abc import Collection, Iterable

from triagedesk.models import Reason, Suggestion

MAX_REASONS, MAX_TEXT_CHARS, MAX_QUOTE_CHARS = 3, 300, 200
_MARKDOWN = frozenset("\\`*_{}[]()<>#+-.!|~@&")


def lines(suggestion: Suggestion, dimensions: Iterable[str], applied: Collection[str] = ()) -> tuple[str, ...]:
    """Return the note as plain lines: one for each dimension, and below it its reasons with their quotes."""
    made = ["triagedesk suggests:"]
    for name in dimensions:
        choice = suggestion.labels[name]
        made.append(f"{name}: {choice.label}{_percent(choice.confidence)}{' - set' if name in applied else ''}")
        made.extend(f"- {_reason(reason)}" for reason in choice.reasons[:MAX_REASONS])
    if suggestion.needs_review:
        made.append(f"Please look: {', '.join(suggestion.review_reasons) or 'a person should decide'}")
    made.append(f"Answered by {suggestion.provenance.source.value}.")
    return tuple(_short(line, MAX_TEXT_CHARS + MAX_QUOTE_CHARS + 20) for line in made)


def _percent(confidence: float | None) -> str:
    return "" if confidence is None else f" ({confidence:.0%})"


def _reason(reason: Reason) -> str:
    said = _short(reason.text, MAX_TEXT_CHARS)
    return f'{said} "{_short(reason.quote, MAX_QUOTE_CHARS)}"' if reason.quote else said


def _short(text: str, limit: int) -> str:
    """Return text on one line, without control and steering characters, cut at a limit."""
    plain = " ".join("".join(char if char.isprintable() else " " for char in text[: 4 * limit]).split())
    return plain if len(plain) <= limit else f"{plain[: limit - 1]}…"


def plain(note: tuple[str, ...]) -> str:
    """Return the note as plain text."""
    return "\n".join(note)


def as_html(note: tuple[str, ...]) -> str:
    """Return the note as HTML; nothing of the ticket or the model acts as markup."""
    return "<br>".join(html.escape(line) for line in note)


def as_markdown(note: tuple[str, ...]) -> str:
    """Return the note as Markdown; links, images and mentions in it are inert."""
    return "\n\n".join("".join(f"\\{char}" if char in _MARKDOWN else char for char in line) for line in note)
