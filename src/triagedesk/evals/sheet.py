"""The score sheet: one row per gold ticket, with what was said of it. Nothing is ever left out of it."""

from __future__ import annotations

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np

from triagedesk.errors import ConfigError
from triagedesk.evals.gold import Gold, Scales, scales_of
from triagedesk.evals.metrics.draws import numbered_groups
from triagedesk.evals.metrics.scale import Floats, Ints
from triagedesk.evals.predictions import Prediction
from triagedesk.playbook import Facts, Playbook, holds

Voice = Literal["suggestion", "rules", "opinion"]
"""Whose labels are scored: the suggestion's, the rules' own, or the model's own opinion before policy."""

UNANSWERED = Prediction("")
SHORT_CHARS, LONG_CHARS = 120, 600


@dataclass(frozen=True)
class Sheet:
    """Gold rows with their predictions, in order. A row that was not answered holds an empty prediction."""

    playbook: Playbook
    scales: Scales
    gold: Sequence[Gold]
    predictions: Sequence[Prediction]
    repeats: Mapping[str, Sequence[Prediction]] = field(default_factory=dict)
    unknown: int = 0
    voice: Voice = "suggestion"

    def __len__(self) -> int:
        return len(self.gold)

    def labels(self, prediction: Prediction) -> Mapping[str, str]:
        """Return the labels that are scored of a prediction."""
        if self.voice == "suggestion":
            return prediction.labels
        return (prediction.rules if self.voice == "rules" else prediction.opinion) or {}

    def all_predictions(self) -> Iterable[Prediction]:
        """Yield every prediction, those of further repeats included."""
        yield from self.predictions
        for several in self.repeats.values():
            yield from (one for one in several if one.k > 0)

    def rows(self, dimension: str) -> Ints:
        """Return the places of rows that have a gold label in this dimension."""
        return np.asarray([i for i, row in enumerate(self.gold) if dimension in row.labels], dtype=np.int64)

    def codes(self, dimension: str) -> tuple[Ints, Ints]:
        """Return gold and said codes over all rows, shape (n,); -1 where there is none."""
        if dimension not in self._codes:
            scale = self.scales[dimension]
            self._codes[dimension] = (
                scale.codes([row.labels.get(dimension) for row in self.gold]),
                scale.codes([self.labels(one).get(dimension) for one in self.predictions]),
            )
        return self._codes[dimension]

    @cached_property
    def _codes(self) -> dict[str, tuple[Ints, Ints]]:
        return {}

    def confidences(self, dimension: str, *, raw: bool = False) -> Floats:
        """Return said (or raw) confidences over all rows, shape (n,); NaN where there is none.

        A confidence belongs to the label that the suggestion gave: where another voice said another label, it has none.
        """
        if raw:
            return np.asarray([one.strength.get(dimension, np.nan) for one in self.predictions], dtype=np.float64)
        return np.asarray([
            one.confidence.get(dimension, np.nan) if self.labels(one).get(dimension) == one.labels.get(dimension)
            else np.nan for one in self.predictions
        ], dtype=np.float64)  # fmt: skip

    @cached_property
    def groups(self) -> Ints | None:
        """A number per group, or None where every row stands for itself."""
        return numbered_groups([row.group or row.id for row in self.gold])

    @cached_property
    def slices(self) -> dict[str, dict[str, Ints]]:
        """Places of rows by slice and value: channel, tier, language, length, source, trait."""
        found: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
        for index, (row, said) in enumerate(zip(self.gold, self.predictions, strict=True)):
            for name, value in _slices(row, said):
                found[name][value].append(index)
        return {
            name: {value: np.asarray(found[name][value], dtype=np.int64) for value in sorted(found[name])}
            for name in found
        }

    def rule_breaks(self) -> Counter[str]:
        """Count what no playbook allows: labels it has not, combinations that it forbids, labels without reason."""
        broken: Counter[str] = Counter()
        for one in self.predictions:
            for kind, breaks in self._breaks(one).items():
                broken[kind] += breaks
        return broken

    def broken_rows(self) -> dict[str, tuple[str, ...]]:
        """Return the ids of tickets that break a rule, by rule."""
        found: dict[str, list[str]] = defaultdict(list)
        for row, one in zip(self.gold, self.predictions, strict=True):
            for kind, breaks in self._breaks(one).items():
                if breaks:
                    found[kind].append(row.id)
        return {kind: tuple(ids) for kind, ids in found.items()}

    def _breaks(self, one: Prediction) -> dict[str, bool]:
        labels = self.labels(one)
        return {
            "unknown_label": any(
                name in self.playbook.dimensions and label not in self.playbook.dimensions[name].names
                for name, label in labels.items()
            ),
            "forbidden_combination": self._forbidden(labels),
            "missing_reason": one.reasoned and one.unreasoned > 0,
        }

    def _forbidden(self, labels: Mapping[str, str]) -> bool:
        facts = Facts(labels=labels)
        return any(
            labels.get(name) in never
            for constraint in self.playbook.document.constraints
            if holds(constraint.when, facts)
            for name, never in constraint.never.items()
        )

    def quotes(self) -> tuple[int, int]:
        """Return how many quotes stand in their ticket, and how many were given."""
        pairs = [(quote, row) for row, one in zip(self.gold, self.predictions, strict=True) for quote in one.quotes]
        return sum(stands_in(quote, row.text) for quote, row in pairs), len(pairs)


def stands_in(quote: str, text: str) -> bool:
    """Say whether a quote stands in a text, white space and composition of accents aside."""
    return quote in text or folded(quote) in folded(text)


def folded(text: str) -> str:
    """Return text in NFC with white space folded into single blanks."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def _slices(row: Gold, said: Prediction) -> Iterable[tuple[str, str]]:
    data = row.data
    yield "channel", str(data.get("channel") or "not given")
    yield "tier", str(data.get("customer_tier") or "not given")
    yield "language", str(data.get("language") or "not given")
    yield "length", _length(len(str(data.get("body") or "")))
    if said.source:
        yield "source", said.source
    for trait in row.traits:
        yield "trait", trait


def _length(chars: int) -> str:
    if chars < SHORT_CHARS:
        return f"under {SHORT_CHARS}"
    return f"{SHORT_CHARS} to {LONG_CHARS - 1}" if chars < LONG_CHARS else f"{LONG_CHARS} or more"


def make_sheet(
    gold: Sequence[Gold], predictions: Iterable[Prediction], playbook: Playbook, *, voice: Voice = "suggestion"
) -> Sheet:
    """Put predictions beside their gold rows; of several attempts at a row the last counts.

    Raises ConfigError when a system predicted one row twice, or none of the predictions belongs to the set.
    """
    places = {row.id: index for index, row in enumerate(gold)}
    chosen: list[Prediction] = [UNANSWERED] * len(gold)
    repeats: dict[str, dict[int, Prediction]] = defaultdict(dict)
    unknown = known = 0
    for one in predictions:
        place = places.get(one.id)
        if place is None:
            unknown += 1
            continue
        known += 1
        before = repeats[one.id].get(one.k)
        if before is not None and before.attempt >= one.attempt:
            raise ConfigError(f"{one.id!r} is predicted twice; keep one line a ticket (or number repeats by k)")
        repeats[one.id][one.k] = one
        if one.k == 0:
            chosen[place] = one
    if gold and not known:
        raise ConfigError("none of the predictions belongs to a ticket of the gold set: ticket ids differ")
    several = {key: [rows[k] for k in sorted(rows)] for key, rows in repeats.items() if len(rows) > 1}
    return Sheet(playbook, scales_of(gold, playbook), gold, chosen, several, unknown, voice)
