"""`eval data check`: every line that is wrong, and what the set holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from triagedesk.errors import ConfigError
from triagedesk.evals.gold import Gold, checked
from triagedesk.evals.sets import Values, values_of
from triagedesk.evals.sheet import stands_in
from triagedesk.playbook import Facts, Playbook, holds
from triagedesk.playbook.conditions import is_overdue

KNOWN_KEYS = frozenset((
    "id", "ticket_id", "ticket", "labels", "gold", "quotes", "group", "traits", "source", "licence", "by", "note",
))  # fmt: skip
FEW = 30
"""A label with fewer rows says little by itself."""

Check = Callable[[Gold, Playbook], Iterator[str]]


@dataclass(frozen=True)
class Problem:
    """What is wrong in a line (1-based); it never holds the ticket's text."""

    line: int
    text: str


@dataclass
class Holds:
    """What a set holds, counted over the lines that can be used."""

    n: int = 0
    labels: dict[str, Counter[str]] = field(default_factory=dict)
    slices: dict[str, Counter[str]] = field(default_factory=dict)
    groups: Counter[str] = field(default_factory=Counter)

    @property
    def rare(self) -> dict[str, dict[str, int]]:
        """Labels of the playbook with fewer than 30 rows, those with none included."""
        return {name: {label: n for label, n in counts.items() if n < FEW} for name, counts in self.labels.items()}

    def as_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "n": self.n,
            "labels": {name: {label: {"n": n, "share": round(n / max(1, counts.total()), 4)}
                              for label, n in counts.items()} for name, counts in self.labels.items()},
            "slices": {name: dict(counts.most_common()) for name, counts in self.slices.items()},
            "groups": {"n": len(self.groups), "largest": max(self.groups.values(), default=0)},
            "rare_labels": self.rare,
        }  # fmt: skip


@dataclass(frozen=True)
class Checked:
    """A set that was checked."""

    path: Path
    lines: int
    problems: list[Problem]
    holds: Holds

    def as_json(self) -> dict[str, Any]:
        """Return plain data."""
        problems = [{"line": each.line, "problem": each.text} for each in self.problems]
        return {"file": str(self.path), "lines": self.lines, "problems": problems, "holds": self.holds.as_json()}


def check_set(path: Path, playbook: Playbook, columns: Mapping[str, str] | None = None) -> Checked:
    """Check every line of a set. Raises ConfigError when it cannot be read or holds no line."""
    problems: list[Problem] = []
    rows: list[Gold] = []
    latest = _Latest(values_of(path, columns))
    for row, problem in checked(latest, playbook):
        if problem is not None:
            problems.append(Problem(latest.line, problem.partition(": ")[2]))
        problems += [Problem(latest.line, text) for text in _unknown_keys(latest.value)]
        if row is not None:
            rows.append(row)
            problems += [Problem(row.line, text) for find in CHECKS for text in find(row, playbook)]
    if not latest.count:
        raise ConfigError(f"{path}: holds no labelled ticket")
    return Checked(path, latest.count, problems, held(rows, playbook))


class _Latest:
    """Passes values on and remembers the last."""

    def __init__(self, values: Values) -> None:
        self._values = values
        self.count, self.line = 0, 0
        self.value: Any = None

    def __iter__(self) -> Iterator[tuple[int, Any]]:
        for line, value in self._values:
            self.count, self.line, self.value = self.count + 1, line, value
            yield line, value


def _unknown_keys(value: Any) -> Iterator[str]:
    unknown = [key for key in value if key not in KNOWN_KEYS] if isinstance(value, Mapping) else []
    if unknown:
        names = ", ".join(repr(key[:40]) for key in unknown[:5])
        yield f"unknown key {names}; what belongs to the ticket goes under ticket"


def _quote_problems(row: Gold, playbook: Playbook) -> Iterator[str]:
    """Say which quotes stand nowhere: words in subject or body, or "@field" for metadata."""
    if not isinstance(row.quotes, Mapping):
        yield "quotes maps a dimension to the words that decide it"
        return
    for name, quote in row.quotes.items():
        if name not in row.labels:
            yield (
                f"quotes.{name}: there is no label of that name"
                if name in playbook.dimensions
                else (f"quotes.{name}: is no dimension of the playbook")
            )
        elif not isinstance(quote, str) or not quote.strip():
            yield f"quotes.{name}: is empty"
        elif quote.startswith("@"):
            if _metadata(row, quote[1:]) in (None, ""):
                yield f"quotes.{name}: the ticket has no {quote[:60]}"
        elif not stands_in(quote, row.text):
            yield f"quotes.{name}: does not stand in the ticket"


def _metadata(row: Gold, name: str) -> Any:
    """Return a field of the ticket, or one of its `fields` ("@fields.plan" or "@plan")."""
    fields = row.data.get("fields")
    own = fields.get(name.removeprefix("fields.")) if isinstance(fields, Mapping) else None
    return row.data.get(name, own)


def _forbidden(row: Gold, playbook: Playbook) -> Iterator[str]:
    """Say which combinations the playbook's constraints forbid."""
    ticket = row.ticket
    moment = ticket.created_at or datetime.now(UTC)
    facts = Facts(ticket.customer_tier, ticket.channel, ticket.region, ticket.language,
                  overdue=is_overdue(ticket, moment), labels=row.labels)  # fmt: skip
    for constraint in playbook.document.constraints:
        if not holds(constraint.when, facts):
            continue
        for name, never in constraint.never.items():
            if row.labels.get(name) in never:
                given = ", ".join(f"{each}: {row.labels[each]}" for each in (*constraint.when.labels, name))
                yield f"{given} go never together: {constraint.reason}"


CHECKS: tuple[Check, ...] = (_quote_problems, _forbidden)


def held(rows: Iterable[Gold], playbook: Playbook) -> Holds:
    """Count what rows hold; each label of a dimension that is used counts, be it 0."""
    found = Holds()
    for row in rows:
        found.n += 1
        for name, label in row.labels.items():
            counts = found.labels.setdefault(name, Counter(dict.fromkeys(playbook.dimensions[name].names, 0)))
            counts[label] += 1
        for name in ("channel", "customer_tier", "language"):
            found.slices.setdefault(name, Counter())[str(row.data.get(name) or "not given")] += 1
        found.slices.setdefault("trait", Counter()).update(row.traits)
        if row.group is not None:
            found.groups[str(row.group)] += 1
    return found
