"""A line of a batch's output, as far as a report reads it: from JSON, or from the columns of CSV and Parquet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from triagedesk.batch.lines import would_run
from triagedesk.models import ConfidenceKind

Word = Annotated[str, Field(max_length=500)]
Words = Annotated[tuple[Word, ...], Field(max_length=200)]
LABEL_COLUMNS = ("confidence", "reason", "quote")
"""What may follow a dimension's name and an underscore in the header of a table."""


class Read(BaseModel):
    """Reads what it knows and leaves the rest: the output of a newer version is no error."""

    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)


class Because(Read):
    """A reason: its sentence and its quote."""

    text: str = ""
    factor: Word | None = None
    quote: str | None = None


class Said(Read):
    """What was said in one dimension."""

    label: Word
    confidence: float | None = Field(default=None, ge=0, le=1)
    confidence_kind: Word = ConfidenceKind.NONE.value
    reasons: Annotated[tuple[Because, ...], Field(max_length=200)] = ()


class Due(Read):
    """When it is due, and whether that had passed when the batch ran."""

    first_response_due: datetime
    resolution_due: datetime
    breached: bool = False


class Hop(Read):
    """One step of the escalation path."""

    team: Word
    after_minutes: int = 0


class Spent(Read):
    """Tokens of one answer."""

    prompt: int = Field(default=0, ge=0)
    cached: int = Field(default=0, ge=0)
    completion: int = Field(default=0, ge=0)


class Origin(Read):
    """Who answered, and what it took."""

    source: Word
    fallback_reason: Word | None = None
    model: Word | None = None
    playbook: Word | None = None
    tokens: Spent = Spent()
    cost_usd: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    elapsed_ms: float | None = Field(default=None, ge=0, allow_inf_nan=False)


class Line(Read):
    """One suggestion."""

    ticket_id: Annotated[str, Field(max_length=2000)]
    labels: Annotated[dict[Word, Said], Field(min_length=1, max_length=100)]
    response: Due
    escalation_path: Annotated[tuple[Hop, ...], Field(max_length=200)] = ()
    queue: Word
    flags: Words = ()
    language: Word | None = None
    needs_review: bool = False
    review_reasons: Words = ()
    provenance: Origin

    def label(self, dimension: str) -> str:
        """Return the label of a dimension, empty where it has none."""
        said = self.labels.get(dimension)
        return said.label if said is not None else ""


def from_json_line(line: bytes) -> Line:
    """Read a line of JSON. Raises pydantic.ValidationError, which is a ValueError."""
    return Line.model_validate_json(line)


class Header:
    """The columns of a CSV or Parquet output. Raises ValueError where they are not a batch's."""

    def __init__(self, names: list[str]) -> None:
        self.names = names
        missing = {"ticket_id", "urgency", "first_response_due", "resolution_due", "queue", "source"} - set(names)
        if missing:
            raise ValueError(f"no column {sorted(missing)[0]}")
        self.dimensions = tuple(name for name in names if f"{name}_confidence" in names)
        if not self.dimensions:
            raise ValueError("no dimension's columns")

    def line(self, row: Mapping[str, Any]) -> Line:
        """Read a row, its cells by column name. Raises pydantic.ValidationError."""
        return Line.model_validate(
            {
                "ticket_id": _uncovered(row["ticket_id"]),
                "labels": dict(self._labels(row)),
                "response": {name: row.get(name) for name in ("first_response_due", "resolution_due")}
                | {"breached": row.get("breached") or False},
                "escalation_path": _hops(row.get("escalation_path")),
                "queue": row["queue"],
                "flags": _listed(row.get("flags")),
                "language": row.get("language") or None,
                "needs_review": row.get("needs_review") or False,
                "review_reasons": _listed(row.get("review_reasons")),
                "provenance": _origin(row),
            }
        )

    def _labels(self, row: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
        for name in self.dimensions:
            if not row[name]:
                continue
            said = {"label": row[name], "confidence": _number(row.get(f"{name}_confidence"))}
            kind = row.get(f"{name}_confidence_kind")
            because = {"text": row.get(f"{name}_reason") or "", "quote": _uncovered(row.get(f"{name}_quote")) or None}
            yield name, {**said, **({"confidence_kind": kind} if kind else {}), "reasons": (because,)}


def _origin(row: Mapping[str, Any]) -> dict[str, Any]:
    names = ("source", "fallback_reason", "model", "playbook")
    told = {name: row.get(name) or None for name in names}
    told |= {name: _number(row.get(name)) for name in ("cost_usd", "elapsed_ms")}
    return told | {"tokens": {name: row.get(f"{name}_tokens") or 0 for name in ("prompt", "cached", "completion")}}


def _number(value: Any) -> Any:
    return None if value == "" else value


def _uncovered(value: Any) -> Any:
    """Take the apostrophe away that keeps a spreadsheet from running a cell (batch/lines.py)."""
    covered = isinstance(value, str) and value[:1] == "'" and would_run(value[1:])
    return value[1:] if covered else value


def _listed(value: Any) -> tuple[Any, ...]:
    if isinstance(value, str):
        return tuple(part for part in value.split("; ") if part)
    return tuple(value or ())


def _hops(value: Any) -> list[Any]:
    """Read a path: "frontline@0m > team_lead@240m", or a list of steps."""
    if not isinstance(value, str):
        return [step if isinstance(step, Mapping) else _hop(str(step)) for step in value or ()]
    return [_hop(step) for step in value.split(" > ") if step]


def _hop(step: str) -> dict[str, Any]:
    team, _, after = step.rpartition("@")
    minutes = after.removesuffix("m")
    return {"team": team or step, "after_minutes": int(minutes) if minutes.isdecimal() else 0}
