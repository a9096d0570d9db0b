"""The error browser: wrong tickets, the dearest mistakes first, with the words that decided them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from pathlib import Path
from typing import Any

from triagedesk.evals.folder import PREDICTIONS
from triagedesk.evals.gold import Gold
from triagedesk.evals.metrics.scale import NO_ANSWER
from triagedesk.evals.predictions import Prediction
from triagedesk.evals.report.tables import token
from triagedesk.evals.report.words import percent, visible
from triagedesk.evals.run import Run

MOST = 400
MAX_TEXT_CHARS = 4000
MAX_REASONS = 6
MAX_BYTES = 5_500_000
"""What all tickets together may weigh in the page; later ones are left out and counted."""
ID_START, ID_END = b'{"id":"', b'","k":'
"""How a line begins that `journal.Journal` wrote."""


@dataclass(frozen=True)
class Judged:
    """One dimension of a wrong ticket."""

    dimension: str
    gold: str
    said: str
    rules: str
    confidence: str
    wrong: bool


@dataclass(frozen=True)
class Because:
    """A reason that was given, with its quote."""

    dimension: str
    text: str
    quote: str


@dataclass(frozen=True)
class Piece:
    """A stretch of the ticket's text; `mark` is said, gold, both or nothing."""

    text: str
    mark: str


@dataclass(frozen=True)
class Case:
    """A wrong ticket as the page shows it."""

    id: str
    line: int
    facts: tuple[str, ...]
    cells: str
    verdicts: tuple[Judged, ...]
    reasons: tuple[Because, ...]
    subject: tuple[Piece, ...]
    body: tuple[Piece, ...]
    cut: int

    @property
    def confident(self) -> bool:
        """Whether any label came with a confidence."""
        return any(each.confidence for each in self.verdicts)

    @property
    def weight(self) -> int:
        """About how many bytes this takes in the page."""
        texts = [
            *(piece.text for piece in (*self.subject, *self.body)),
            *(one.text + one.quote for one in self.reasons),
        ]
        return 1500 + sum(len(escape(visible(text)).encode("utf-8", "replace")) for text in texts)


@dataclass(frozen=True)
class Errors:
    """The cases shown and how many wrong tickets there are."""

    cases: tuple[Case, ...]
    total: int

    @property
    def hidden(self) -> int:
        """Wrong tickets that are not shown."""
        return self.total - len(self.cases)


def errors_of(run: Run) -> Errors:
    """Return the wrong tickets of a run, at most MOST, and at most MAX_BYTES of them."""
    ranked = _ranked(run)
    places = ranked[:MOST]
    said = _suggestions(run.folder, {run.sheet.gold[place].id for place in places})
    cases, weight = [], 0
    for place in places:
        case = _case(run, place, said.get(run.sheet.gold[place].id, {}))
        weight += case.weight
        if weight > MAX_BYTES:
            break
        cases.append(case)
    return Errors(tuple(cases), len(ranked))


def _ranked(run: Run) -> list[int]:
    """Return the places of wrong rows: by triage cost, then levels too low, then dimensions wrong."""
    codes = {name: tuple(each.tolist() for each in run.sheet.codes(name)) for name in run.sheet.scales}
    wrong = []
    for place in range(len(run.sheet)):
        severity = _severity(run, {name: (gold[place], said[place]) for name, (gold, said) in codes.items()})
        if severity is not None:
            wrong.append((severity, place))
    return [place for severity, place in sorted(wrong, key=lambda each: (tuple(-part for part in each[0]), each[1]))]


def _severity(run: Run, codes: Mapping[str, tuple[int, int]]) -> tuple[float, float, int] | None:
    cost, low, wrong = 0.0, 0.0, 0
    for name, (gold, said) in codes.items():
        if gold in (said, NO_ANSWER):
            continue
        wrong += 1
        scale = run.sheet.scales[name]
        if scale.ordinal:
            taken = max(said, 0)
            cost += scale.cost[gold][taken] if scale.cost else abs(gold - taken)
            low += max(gold - taken, 0)
    return (cost, low, wrong) if wrong else None


def _suggestions(folder: Path | None, wanted: set[str]) -> dict[str, Mapping[str, Any]]:
    """Return what was said of these tickets in full, from the run's own lines."""
    if folder is None or not wanted:
        return {}
    found: dict[str, Mapping[str, Any]] = {}
    for line in _lines(folder / PREDICTIONS, wanted):
        if line.get("id") in wanted and not line.get("k") and isinstance(line.get("suggestion"), Mapping):
            found[line["id"]] = line["suggestion"]
    return found


def _lines(path: Path, wanted: set[str]) -> Iterator[dict[str, Any]]:
    """Yield the lines of a run as `journal.lines_of` does, those left out that begin with an id nobody wants.

    Of 100,000 lines at most MOST are wanted, and parsing all of them would take longer than the rest of the page.
    """
    if not path.is_file():
        return
    with path.open("rb") as stream:
        for line in stream:
            if line.endswith(b"\n") and _may_be(line, wanted):
                yield json.loads(line)


def _may_be(line: bytes, wanted: set[str]) -> bool:
    end = line.find(ID_END, 0, 1000)
    if not line.startswith(ID_START) or end < 0:
        return True
    return json.loads(line[len(ID_START) - 1 : end + 1]) in wanted


def _case(run: Run, place: int, suggestion: Mapping[str, Any]) -> Case:
    gold, one = run.sheet.gold[place], run.sheet.predictions[place]
    verdicts = tuple(_verdicts(run, gold, one))
    wrong = {each.dimension for each in verdicts if each.wrong}
    reasons = tuple(_reasons(suggestion, wrong))
    quotes = [each.quote for each in reasons if each.quote] or ([] if suggestion else list(one.quotes[:MAX_REASONS]))
    told = [str(gold.quotes[name]) for name in sorted(wrong) if gold.quotes.get(name)]
    subject, body = str(gold.data.get("subject") or ""), str(gold.data.get("body") or "")
    return Case(
        gold.id, gold.line, tuple(_facts(gold, one)), _cells(run, place, wrong), verdicts, reasons,
        tuple(pieces(subject[:MAX_TEXT_CHARS], quotes, told)), tuple(pieces(body[:MAX_TEXT_CHARS], quotes, told)),
        max(0, len(body) - MAX_TEXT_CHARS),
    )  # fmt: skip


def _verdicts(run: Run, gold: Gold, one: Prediction) -> Iterator[Judged]:
    labels = run.sheet.labels(one)
    for name in run.sheet.scales:
        if name in gold.labels:
            said = labels.get(name)
            yield Judged(name, gold.labels[name], said or "no answer", one.rules.get(name, ""),
                          percent(one.confidence[name], 0) if name in one.confidence else "",
                          said != gold.labels[name])  # fmt: skip


def _cells(run: Run, place: int, wrong: set[str]) -> str:
    found = []
    for index, (name, scale) in enumerate(run.sheet.scales.items()):
        gold, said = (int(codes[place]) for codes in run.sheet.codes(name))
        if name in wrong:
            found.append(token(index, gold, len(scale) if said == NO_ANSWER else said))
    return " ".join(found)


def _facts(gold: Gold, one: Prediction) -> Iterator[str]:
    for key in ("channel", "customer_tier", "language"):
        if gold.data.get(key):
            yield str(gold.data[key])
    if one.source:
        yield f"answered by {one.source}" + (f" ({one.fallback_reason})" if one.fallback_reason else "")
    if one.error:
        yield f"error: {one.error}"
    yield from gold.traits


def _reasons(suggestion: Mapping[str, Any], wrong: set[str]) -> Iterator[Because]:
    labels = suggestion.get("labels")
    for name, choice in labels.items() if isinstance(labels, Mapping) else ():
        reasons = choice.get("reasons") if isinstance(choice, Mapping) and name in wrong else None
        for reason in (reasons or [])[:MAX_REASONS]:
            if isinstance(reason, Mapping):
                yield Because(name, str(reason.get("text") or ""), str(reason.get("quote") or ""))


def pieces(text: str, said: Sequence[str], gold: Sequence[str]) -> Iterator[Piece]:
    """Cut a text where quotes begin and end: the prediction's quotes, the annotator's, or both at once."""
    spans = [(start, start + len(quote), kind) for kind, quotes in (("said", said), ("gold", gold)) for quote in quotes
             if quote and (start := text.find(quote)) >= 0]  # fmt: skip
    edges = sorted({0, len(text), *(edge for start, end, _ in spans for edge in (start, end))})
    for start, end in pairwise(edges):
        kinds = {kind for left, right, kind in spans if left <= start and end <= right}
        yield Piece(text[start:end], "both" if len(kinds) == 2 else next(iter(kinds), ""))
