"""Labelled tickets as training sees them: hashed features, the rules' votes, and the labels. No text is kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from triagedesk.classifiers.ngrams import Codes, Features, features
from triagedesk.classifiers.rules import RulesClassifier
from triagedesk.classifiers.trained_file import TrainingFile
from triagedesk.classifiers.vectors import facts_of
from triagedesk.errors import ConfigError
from triagedesk.evals.config import SEALED
from triagedesk.evals.datasets import CARD, OPENINGS, file_hash
from triagedesk.evals.gold import Gold
from triagedesk.evals.sets import found, read_gold
from triagedesk.models import Classification
from triagedesk.playbook import Facts, Playbook, is_overdue
from triagedesk.tidy import read

MISSING = -1


@dataclass(frozen=True, eq=False)
class Example:
    """One labelled ticket. `honest` says that the rules' authors have not read it: heads are fitted on such alone."""

    gold: Gold
    text: Features
    facts: Codes
    rules: Classification
    honest: bool
    language: str | None


@dataclass(frozen=True)
class Examples:
    """All labelled tickets of a training run, with the files that they came from."""

    rows: Sequence[Example]
    files: tuple[TrainingFile, ...]

    def codes(self, playbook: Playbook, dimension: str) -> NDArray[np.int64]:
        """Return the labels' places in the playbook's order, shape (n,); MISSING where a row has none."""
        names = playbook.dimensions[dimension].names
        given = (row.gold.labels.get(dimension) for row in self.rows)
        return np.array([MISSING if label is None else names.index(label) for label in given], dtype=np.int64)

    @property
    def honest(self) -> NDArray[np.bool_]:
        """Which rows confidences may be fitted on, shape (n,)."""
        return np.array([row.honest for row in self.rows], dtype=np.bool_)


def read_examples(words: Sequence[Path], confidence: Sequence[Path], playbook: Playbook) -> Examples:
    """Read labelled files: `words` to learn words from, `confidence` to learn words and to measure confidence on.

    Where `confidence` is empty, all files are for both. A ticket that stands in two files is read once. Raises
    ConfigError where a file cannot be read, holds a wrong line, or is a sealed test split.
    """
    rules = RulesClassifier(playbook)
    rows: dict[str, Example] = {}
    files = []
    for path in dict.fromkeys((*confidence, *words)):  # a ticket of both keeps the better role
        honest = not confidence or path in confidence
        gold = _unsealed(path, playbook)
        files.append(_told(path, len(gold), honest=honest))
        for row in gold:
            key = f"{row.id}\n{row.text}"
            if key not in rows:
                rows[key] = _example(row, playbook, rules, honest=honest)
    return Examples(tuple(rows.values()), tuple(sorted(files, key=lambda file: (file.name, file.sha256))))


def _unsealed(path: Path, playbook: Playbook) -> list[Gold]:
    if path.stem == SEALED and any(path.with_name(name).is_file() for name in (OPENINGS, CARD)):
        raise ConfigError(f"{path}: is a sealed test split; a classifier that was trained on it could not be measured")
    return read_gold(path, playbook)


def _told(path: Path, rows: int, *, honest: bool) -> TrainingFile:
    return TrainingFile(name=path.name, sha256=file_hash(found(path)), rows=rows,
                        role="words and confidence" if honest else "words")  # fmt: skip


def _example(row: Gold, playbook: Playbook, rules: RulesClassifier, *, honest: bool) -> Example:
    ticket = row.ticket
    reading = read(ticket, playbook.document.languages)
    overdue = ticket.created_at is not None and is_overdue(ticket, ticket.created_at)
    facts = Facts(
        tier=ticket.customer_tier, channel=ticket.channel, region=ticket.region, language=reading.language,
        overdue=overdue,
    )  # fmt: skip
    return Example(
        row, features(reading.text), facts_of(reading), rules.classify(reading, facts), honest, reading.language
    )


def groups_of(rows: Sequence[Example]) -> NDArray[np.int64]:
    """Return numbers of what belongs together, shape (n,): rows without a group stand alone."""
    return np.array(list(_numbers(rows)), dtype=np.int64)


def _numbers(rows: Sequence[Example]) -> Iterator[int]:
    seen: dict[str, int] = {}
    for place, row in enumerate(rows):
        key = row.gold.group or f"\n{place}"
        yield seen.setdefault(key, len(seen))
