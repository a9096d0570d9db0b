"""Lines of a batch's results: a suggestion as JSON, or as one CSV record that no spreadsheet executes."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import re2

from triagedesk.batch.streams import format_of
from triagedesk.models import Reason, Suggestion

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""OWASP, "CSV Injection": a cell that begins with one of these may run in a spreadsheet."""

_SIGNS = r"=+@＝＋－＠−﹢﹣﹦﹫-"
_FORMULA = re2.compile(rf"[\pZ\pC]*[{_SIGNS}]")
"""Spaces and invisible characters before the sign are skipped: programs that import CSV drop them first."""

_INNER_FORMULA = re2.compile(rf"(;[\pZ\pC\"]*)([{_SIGNS}])")
"""Where a spreadsheet separates by semicolon, as in much of Europe, a formula after one begins a cell."""

_ONE_LINE = dict.fromkeys((*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029), " ")

Line = Callable[[Suggestion], bytes]


def json_line(suggestion: Suggestion) -> bytes:
    """Return a suggestion as one line of JSON."""
    return suggestion.model_dump_json().encode() + b"\n"


def would_run(text: str) -> bool:
    """Say if a spreadsheet may take a cell for a formula."""
    if not text or text[0].isalnum():
        return False  # nearly every cell
    return text.startswith(FORMULA_STARTS) or _FORMULA.match(text) is not None


def cell(value: object) -> str:
    """Return a value as one CSV cell: one line, and with an apostrophe before what would be a formula."""
    if value is None:
        return ""
    text = str(value)
    guarded = f"'{text}" if would_run(text) else text
    if ";" in guarded:
        guarded = _INNER_FORMULA.sub(r"\1'\2", guarded)
    return guarded.translate(_ONE_LINE)


def record(values: Iterable[object]) -> bytes:
    """Return one CSV record as bytes, ending in a line feed; it never holds another one."""
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerow([cell(value) for value in values])
    return buffer.getvalue().encode()


def csv_header(dimensions: Iterable[str]) -> bytes:
    """Return the header for a playbook's dimensions."""
    return record(("ticket_id", *_label_columns(dimensions), *_OTHER))


def csv_line(dimensions: tuple[str, ...]) -> Line:
    """Return the function that writes a suggestion under `csv_header(dimensions)`."""
    return lambda suggestion: record((suggestion.ticket_id, *_labels(suggestion, dimensions), *_others(suggestion)))


def line_for(target: Path, dimensions: tuple[str, ...]) -> Line:
    """Return the function that writes a suggestion as a line of OUT or of its working file."""
    return csv_line(dimensions) if format_of(target) == "csv" else json_line


def _label_columns(dimensions: Iterable[str]) -> Iterator[str]:
    for name in dimensions:
        yield from (name, f"{name}_confidence", f"{name}_reason", f"{name}_quote")


def _labels(suggestion: Suggestion, dimensions: tuple[str, ...]) -> Iterator[object]:
    for name in dimensions:
        choice = suggestion.labels.get(name)
        reason = choice.reasons[0] if choice is not None and choice.reasons else Reason(text="")
        yield from (choice and choice.label, choice and choice.confidence, reason.text, reason.quote)


_OTHER = (
    "first_response_due", "resolution_due", "breached", "queue", "escalation_path", "secondary_issues", "notify",
    "flags", "language", "needs_review", "review_reasons", "source", "fallback_reason", "model", "cost_usd",
    "elapsed_ms",
)  # fmt: skip


def _others(suggestion: Suggestion) -> tuple[object, ...]:
    due, provenance = suggestion.response, suggestion.provenance
    return (
        due.first_response_due.isoformat(), due.resolution_due.isoformat(), _flag(due.breached), suggestion.queue,
        " > ".join(f"{step.team}@{step.after_minutes}m" for step in suggestion.escalation_path),
        _list(suggestion.secondary_issues), _list(suggestion.notify), _list(suggestion.flags), suggestion.language,
        _flag(suggestion.needs_review), _list(suggestion.review_reasons), provenance.source.value,
        provenance.fallback_reason, provenance.model, provenance.cost_usd, provenance.elapsed_ms,
    )  # fmt: skip


def _flag(value: bool) -> str:
    return "true" if value else "false"


def _list(values: tuple[str, ...]) -> str:
    return "; ".join(values)
