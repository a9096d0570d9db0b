"""The trained classifier: words and n-grams weighed as they were learned, beside the votes of the rules.

The second line of defence where no model answers, and the cascade's first. Under a millisecond, no network, the same
answer bit for bit every time. `triagedesk train` makes the file that it reads.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from triagedesk.classifiers.ngrams import features
from triagedesk.classifiers.quotes import Quotes
from triagedesk.classifiers.trained_file import Head, Manifest, TrainedFile, check_fits, read_trained
from triagedesk.classifiers.vectors import UNIT, Vector, facts_of
from triagedesk.confidence import kept
from triagedesk.models import Choice, Classification, ConfidenceKind, Reason
from triagedesk.playbook import Playbook
from triagedesk.reading import Reading
from triagedesk.tracing import traced

MAX_REASONS = 3
HEARD = 0.5
"""Below this many logits, what the words say for a label is next to nothing, and reason and confidence say so."""

Scores = NDArray[np.float64]


def load_trained(path: Path, playbook: Playbook) -> TrainedClassifier:
    """Load a trained classifier for a playbook.

    Raises ConfigError with one line where the file is absent, damaged, changed, foreign, or made for other labels.
    """
    file = read_trained(path)
    check_fits(path, file.manifest, playbook)
    return TrainedClassifier(file)


@dataclass(frozen=True)
class _Part:
    """One dimension: its head, its columns among the weights, and its scales from fixed point to logits."""

    name: str
    head: Head
    columns: slice
    scales: Scores
    bias: Scores


class TrainedClassifier:
    """Classifies by learned weights. Safe to share between tasks and threads."""

    def __init__(self, file: TrainedFile) -> None:
        self._vocabulary = file.vocabulary
        self._weights = file.weights
        self._parts = tuple(_parts(file))
        self.manifest: Manifest = file.manifest
        self.identity: str = file.identity

    @traced("trained")
    def classify(self, reading: Reading, rules: Classification) -> Classification:
        """Decide every dimension that was learned; in the others the rules' choice stands.

        `rules` is what the rules of the same playbook say of this reading.
        """
        vector = self._vocabulary.vector(features(reading.text), facts_of(reading))
        rows = self._weights[vector.slots].astype(np.float64)
        sums = vector.values @ rows  # whole numbers far below 2**53: exact in any order of adding
        quotes = Quotes(vector, reading)
        silent = not vector.spoken and not rules.signals
        labels = dict(rules.labels)
        for part in self._parts:
            labels[part.name] = _decide(part, sums[part.columns], rows[:, part.columns], quotes, rules, silent=silent)
        return rules.model_copy(update={"labels": labels})

    def logits(self, vector: Vector) -> dict[str, Scores]:
        """Return what the words alone say of each dimension's labels, in logits: what training fits the heads on."""
        sums = vector.values @ self._weights[vector.slots].astype(np.float64)
        return {part.name: sums[part.columns] * part.scales for part in self._parts}


def _parts(file: TrainedFile) -> Iterator[_Part]:
    start = 0
    for name, head in sorted(file.manifest.heads.items()):
        columns = slice(start, start + len(head.labels))
        yield _Part(name, head, columns, file.scales[columns].astype(np.float64) / UNIT, np.array(head.bias))
        start = columns.stop


def _decide(part: _Part, sums: Scores, rows: Scores, quotes: Quotes, rules: Classification, *, silent: bool) -> Choice:
    head, by_rules = part.head, rules.labels.get(part.name)
    heard = head.words * sums * part.scales
    voted = head.rules * votes_of(head.labels, rules.votes.get(part.name, {}))
    scores = heard + voted + part.bias
    chances = _softmax(scores)
    place = chosen(head, scores)
    if by_rules is not None and by_rules.label in head.labels and chances[place] < head.defer_below:
        place = head.labels.index(by_rules.label)
    found = _Found(head.labels[place], _margin(heard, place), _margin(voted, place), by_rules)
    against = part.scales / (1 - len(head.labels))
    against[place] = part.scales[place]
    reasons = tuple(_reasons(found, quotes, rows @ against))
    chance = float(chances[place])
    if silent or (found.words <= HEARD and not rules.signals):  # nothing speaks: no word, nor to the rules
        chance = min(chance, head.shares[place])
    return Choice(
        label=found.label, confidence=kept(chance), confidence_kind=ConfidenceKind.MEASURED,
        strength=round(chance, 6), reasons=reasons,
    )  # fmt: skip


def chosen(head: Head, scores: Scores) -> int:
    """Return the place of the label that is said: the most probable one, the first in order leant towards."""
    leaning = scores.copy()
    leaning[0] += head.eager
    return int(leaning.argmax())


def votes_of(labels: tuple[str, ...], votes: Mapping[str, float]) -> Scores:
    """Return the rules' votes by label, around their mean, shape (labels,)."""
    given = np.array([votes.get(label, 0.0) for label in labels])
    centred: Scores = given - given.mean()
    return centred


@dataclass(frozen=True)
class _Found:
    """A label, how many logits words and rules gave it above the mean of the others, and the rules' own choice."""

    label: str
    words: float
    votes: float
    rules: Choice | None

    @property
    def agreed(self) -> tuple[Reason, ...]:
        """The rules' reasons, where they say the same."""
        return self.rules.reasons if self.rules is not None and self.rules.label == self.label else ()


def _reasons(found: _Found, quotes: Quotes, margins: Scores) -> Iterator[Reason]:
    """Yield one to three reasons: the rules' where they agree, which is a whole sentence, then the quoted words."""
    faint = found.words <= HEARD
    spoken = list(quotes.best(margins, 1 if faint else MAX_REASONS))
    text = f"Little speaks for {found.label}; these words most." if faint else f"These words speak for {found.label}."
    learned = [Reason(text=text, quote=quote, field=span.field, start=span.start, end=span.end)
               for span, quote in spoken]  # fmt: skip
    from_rules = found.agreed[:1] if found.votes > 0 or not learned else ()
    nothing = Reason(text=f"No word of the ticket speaks for {found.label}; nothing else is likelier.")
    yield from [*from_rules, *learned[: 1 if from_rules else MAX_REASONS]] or [nothing]


def _margin(scores: Scores, place: int) -> float:
    """Return by how much a label's score exceeds the mean of the others'."""
    return float(scores[place] - (scores.sum() - scores[place]) / (len(scores) - 1))


def _softmax(scores: Scores) -> Scores:
    powers = np.exp(scores - scores.max())
    shares: Scores = powers / powers.sum()
    return shares
