"""`train`: the journey from labelled tickets to a trained classifier's file.

read      gold tickets, the rules' votes on each                               examples.py
choose    the features that stand in enough tickets                            words.py
foretell  what words say of each ticket, learned from the others (5 folds)     words.py
fit       how far words and rules are trusted, calibrated, on honest tickets   heads.py
measure   the same, nested: heads on tickets that they were not fitted on      measured.py
learn     the words again, from all tickets; round, seal                       words.py
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from triagedesk.classifiers.trained import votes_of
from triagedesk.classifiers.trained_file import Head, Manifest, TrainedFile, labels_hash
from triagedesk.errors import ConfigError
from triagedesk.evals.learned import folds
from triagedesk.evals.metrics.scale import scale_of
from triagedesk.playbook import Playbook
from triagedesk.training.examples import MISSING, Example, Examples, groups_of, read_examples
from triagedesk.training.heads import Evidence, fit_head, nested
from triagedesk.training.measured import measured
from triagedesk.training.words import Floats, Ints, Learned, known_features, learn, matrix, rounded, unrounded

LEAST_ROWS = 50
"""With fewer labelled tickets of a dimension no confidence can be measured."""


@dataclass(frozen=True)
class Recipe:
    """What can be set. `most` features are kept, each standing in `at_least` tickets; the rest is of the fit."""

    name: str = "trained"
    most: int = 32_000
    at_least: int = 3
    strength: float = 10.0
    passes: int = 30
    seed: int = 0


def train(words: Sequence[Path], confidence: Sequence[Path], playbook: Playbook, recipe: Recipe) -> TrainedFile:
    """Train a classifier on labelled files; `confidence` names those that the rules' authors have not read.

    Raises ConfigError where a file cannot be used, or where they hold too little to learn from.
    """
    return fit(read_examples(words, confidence, playbook), playbook, recipe)


def fit(examples: Examples, playbook: Playbook, recipe: Recipe) -> TrainedFile:
    """Train a classifier on examples. The same examples and recipe give the same file. Raises ConfigError."""
    dimensions = sorted(name for name in playbook.dimensions if _enough(examples, playbook, name))
    if not dimensions:
        raise ConfigError(f"train: give at least {LEAST_ROWS} labelled tickets with two labels or more of a dimension")
    vocabulary = known_features(examples.rows, at_least=recipe.at_least, most=recipe.most)
    if not len(vocabulary):
        raise ConfigError(f"train: no word stands in {recipe.at_least} tickets; give more tickets or lower --at-least")
    features = matrix(vocabulary, examples.rows)
    heads, weights, scales = {}, [], []
    for name in dimensions:
        head = _fit_head(examples, playbook, name, features, recipe)
        columns, scale, bias = _learn(examples, playbook, name, features, recipe)
        heads[name] = _joined(head, bias)
        weights.append(columns)
        scales.append(scale)
    manifest = _manifest(examples, playbook, heads, recipe)
    return TrainedFile(manifest, vocabulary, np.concatenate(weights, axis=1), np.concatenate(scales))


def _enough(examples: Examples, playbook: Playbook, name: str) -> bool:
    codes = examples.codes(playbook, name)
    measured_on = codes[examples.honest & (codes != MISSING)]
    return playbook.dimensions[name].decide != "catalogue" and len(measured_on) >= LEAST_ROWS and (
        len(np.unique(measured_on)) >= 2
    )  # fmt: skip


def _fit_head(examples: Examples, playbook: Playbook, name: str, features: Any, recipe: Recipe) -> Head:
    labels, scale = playbook.dimensions[name].names, scale_of(playbook, name)
    evidence = gathered(examples, playbook, name, features, recipe)
    head = fit_head(labels, evidence, scale)
    told = nested(labels, evidence, scale, recipe.seed)
    return head.model_copy(update={"measured": measured(evidence, told, scale)})


def gathered(examples: Examples, playbook: Playbook, name: str, features: Any, recipe: Recipe) -> Evidence:
    """Return what words, out of fold, and rules say of the honest rows."""
    labels, codes, groups = playbook.dimensions[name].names, examples.codes(playbook, name), groups_of(examples.rows)
    held = np.flatnonzero(codes != MISSING)
    logits = np.zeros((len(codes), len(labels)))
    for train_places, held_places in folds(codes[held], groups[held], recipe.seed):
        of_others, own = held[train_places], held[held_places]
        learned = _learned(features[of_others], codes[of_others], len(labels), recipe)
        logits[own] = learned.logits(features[own])
    honest = np.flatnonzero(examples.honest & (codes != MISSING))
    rows = [examples.rows[place] for place in honest.tolist()]
    return Evidence(
        _centred(logits[honest]), np.array([votes_of(labels, row.rules.votes.get(name, {})) for row in rows]),
        _said(rows, name, labels), codes[honest], groups[honest],
    )  # fmt: skip


def _centred(logits: Floats) -> Floats:
    centred: Floats = logits - logits.mean(1, keepdims=True)
    return centred


def _said(rows: Sequence[Example], name: str, labels: Sequence[str]) -> Ints:
    said = (row.rules.labels[name].label if name in row.rules.labels else None for row in rows)
    return np.array([labels.index(label) if label in labels else MISSING for label in said], dtype=np.int64)


def _learned(features: Any, codes: Ints, labels: int, recipe: Recipe) -> Learned:
    """Learn, and round as the file will: heads are fitted on what will be read."""
    found = learn(features, codes, labels, strength=recipe.strength, passes=recipe.passes, seed=recipe.seed)
    return unrounded(*rounded(found), found.bias)


def _learn(examples: Examples, playbook: Playbook, name: str, features: Any, recipe: Recipe) -> tuple[Any, Any, Floats]:
    labels = playbook.dimensions[name].names
    codes = examples.codes(playbook, name)
    found = learn(features, codes, len(labels), strength=recipe.strength, passes=recipe.passes, seed=recipe.seed)
    return *rounded(found), found.bias


def _joined(head: Head, bias: Floats) -> Head:
    """Put the words' own bias, around its mean, into the head's: the file holds no other."""
    own = head.words * (bias - bias.mean())
    return head.model_copy(update={"bias": tuple(round(float(value), 4) for value in np.array(head.bias) + own)})


def _manifest(examples: Examples, playbook: Playbook, heads: dict[str, Head], recipe: Recipe) -> Manifest:
    return Manifest(
        name=recipe.name, playbook=playbook.identity, labels_sha256=labels_hash(playbook, list(heads)), heads=heads,
        settings={"most": recipe.most, "at_least": recipe.at_least, "strength": recipe.strength,
                  "passes": recipe.passes},
        trained_on=examples.files, seed=recipe.seed, versions=_versions(),
    )  # fmt: skip


def _versions() -> dict[str, str]:
    from importlib.metadata import version

    return {name: version(name) for name in ("numpy", "scikit-learn", "scipy")}
