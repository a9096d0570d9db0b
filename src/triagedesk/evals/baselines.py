"""What a system is measured against: constant and random labels, keyword rules, words learned, and a second person."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from triagedesk.evals.datasets import load_dataset
from triagedesk.evals.dimension import dimension_scores
from triagedesk.evals.figures import Figure, known
from triagedesk.evals.folder import RunFolder
from triagedesk.evals.gold import Gold
from triagedesk.evals.labelled.annotations import Annotation, read_annotations
from triagedesk.evals.learned import FOLDS, enough, learned, out_of_fold, word_features
from triagedesk.evals.metrics import counts
from triagedesk.evals.metrics.draws import DRAWS, numbered_groups, percentile_interval
from triagedesk.evals.metrics.scale import NO_ANSWER, Floats, Ints, Scale
from triagedesk.evals.predictions import Prediction
from triagedesk.evals.sheet import UNANSWERED, Sheet

if TYPE_CHECKING:
    from triagedesk.evals.conduct import Setup
    from triagedesk.evals.run import Run

BASELINES = "baselines.json"
MOST_ROWS = 5_000
"""The learned baseline reads so many rows at most and answers so many: more would take minutes and say the same."""
_CELLS_AT_ONCE = 10_000_000


@dataclass(frozen=True)
class Baseline:
    """A baseline in one dimension: figures over n rows, or why there are none."""

    n: int
    figures: dict[str, Figure] = field(default_factory=dict)
    skipped: str | None = None
    note: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Return `{"n", "accuracy": {"value", "low", "high"}, "macro_f1": …}`."""
        told = {name: text for name, text in (("skipped", self.skipped), ("note", self.note)) if text}
        return {"n": self.n, **{name: figure.model_dump() for name, figure in self.figures.items()}, **told}


Baselines = dict[str, dict[str, Baseline]]
"""By name (majority, prior_random, rules, tfidf_logreg, human) and dimension."""


def baselines(
    sheet: Sheet, train: Sequence[Gold] | None = None, seed: int = 0, *, draws: int = DRAWS,
    annotations: Sequence[Annotation] = (),
) -> Baselines:  # fmt: skip
    """Return what the simplest answers are worth on a sheet's rows, with 95 % intervals as the run's.

    The learned one reads `train` (rows of the sheet left out), else the sheet's own rows in folds that part no group.
    `rules` is there where the run's lines carry the rules' labels, `human` where somebody labelled rows again.
    """
    made: Baselines = {"majority": {}, "prior_random": {}, "tfidf_logreg": {}}
    asked = {row.id for row in sheet.gold}
    apart = [row for row in train or () if row.id not in asked]
    words = _words(_some(sheet.gold, seed), _some(apart, seed + 1))
    for name, scale in sheet.scales.items():
        made["majority"][name] = _majority(sheet, name, scale, apart, draws, seed)
        made["prior_random"][name] = _prior_random(sheet, name, scale, apart, draws, seed)
        made["tfidf_logreg"][name] = _tfidf(sheet, name, scale, words, draws, seed)
    made["rules"] = _rules(sheet, draws, seed)
    made["human"] = _human(sheet, annotations, draws, seed)
    return {name: dimensions for name, dimensions in made.items() if dimensions}


def write_baselines(folder: RunFolder, run: Run, setup: Setup) -> None:
    """Write baselines.json into a run's folder. Raises ConfigError where a `train` split cannot be read."""
    config = setup.config
    root = setup.root
    sets = (load_dataset(config, setup.playbook, root, split=split, beside=setup.file.parent) for split in config.train)
    train = [row for each in sets for row in each.rows]
    again = annotations_beside(setup.dataset.path)
    others = read_annotations(again, setup.playbook) if again.is_file() else []
    found = baselines(run.sheet, train or None, run.seed, draws=run.draws, annotations=others)
    folder.write(BASELINES, as_json(found))


def annotations_beside(dataset: Path) -> Path:
    """Return where a split's second annotations lie: dev.jsonl has dev.annotations.jsonl."""
    return dataset.with_name(f"{dataset.stem}.annotations.jsonl")


def as_json(found: Baselines) -> dict[str, Any]:
    """Return plain data, name → dimension → figures."""
    return {name: {each: one.as_json() for each, one in dimensions.items()} for name, dimensions in found.items()}


def _scored(
    sheet: Sheet, name: str, rows: Sequence[Gold], said: Sequence[Prediction], draws: int, seed: int
) -> Baseline:
    """Score answers of a baseline as a system's are scored."""
    own = replace(sheet, scales={name: sheet.scales[name]}, gold=rows, predictions=said, repeats={}, voice="suggestion")
    scores = dimension_scores(own, name, draws=draws, seed=seed)
    return Baseline(scores.n, scores.figures)


def _counted(rows: Sequence[Gold], name: str, scale: Scale) -> Ints:
    codes = scale.codes([row.labels.get(name) for row in rows])
    return np.bincount(codes[codes != NO_ANSWER], minlength=len(scale)).astype(np.int64)


def _prior(sheet: Sheet, name: str, scale: Scale, train: Sequence[Gold]) -> Ints:
    """Return how often each label is given, by the training rows where they have this dimension."""
    counted = _counted(train, name, scale)
    return counted if counted.any() else _counted(sheet.gold, name, scale)


def _majority(sheet: Sheet, name: str, scale: Scale, train: Sequence[Gold], draws: int, seed: int) -> Baseline:
    label = scale.labels[int(_prior(sheet, name, scale, train).argmax())]
    constant = Prediction("", labels={name: label})
    scored = _scored(sheet, name, sheet.gold, [constant] * len(sheet), draws, seed)
    return replace(scored, note=f"always {label}")


def _prior_random(sheet: Sheet, name: str, scale: Scale, train: Sequence[Gold], draws: int, seed: int) -> Baseline:
    """Deal labels out by their frequency, many times: the mean, and the interval of one deal."""
    prior = _prior(sheet, name, scale, train)
    support = _counted(sheet.gold, name, scale)
    rng = np.random.default_rng(seed)
    times = max(20, min(draws or DRAWS, _CELLS_AT_ONCE // len(scale) ** 2))
    dealt = np.stack([rng.multinomial(n, prior / prior.sum(), size=times) for n in support], axis=1).astype(np.float64)
    table = np.concatenate([dealt, np.zeros((*dealt.shape[:-1], 1))], axis=-1)
    return Baseline(int(support.sum()), {each: _mean(values) for each, values in counts.figures(table, scale).items()})


def _mean(values: Floats) -> Figure:
    low, high = percentile_interval(values)
    defined = values[~np.isnan(values)]
    return Figure(value=known(defined.mean()) if defined.size else None, low=known(low), high=known(high))


@dataclass(frozen=True)
class _Words:
    """Rows that are answered and rows that are read, with what their words are worth, counted once for all."""

    rows: Sequence[Gold]
    read: Sequence[Gold]
    features: Any
    read_features: Any


def _words(rows: Sequence[Gold], read: Sequence[Gold]) -> _Words:
    texts = [row.text for row in rows]
    if not read:
        return _Words(rows, read, word_features(texts)[0], None)
    read_features, features = word_features([row.text for row in read], texts)
    return _Words(rows, read, features, read_features)


def _places(rows: Sequence[Gold], name: str) -> list[int]:
    return [place for place, row in enumerate(rows) if name in row.labels]


def _tfidf(sheet: Sheet, name: str, scale: Scale, words: _Words, draws: int, seed: int) -> Baseline:
    asked, known_rows = _places(words.rows, name), _places(words.read, name)
    rows, read = [words.rows[place] for place in asked], [words.read[place] for place in known_rows]
    learnt = read or rows
    codes = scale.codes([row.labels[name] for row in learnt])
    usable, rare = enough(codes, len(scale))
    if usable < 2:
        return Baseline(0, skipped=f"fewer than two labels have {FOLDS} rows to learn from ({len(learnt)} rows)")
    if read:
        chances = learned(words.read_features[known_rows], codes, words.features[asked], len(scale), seed)
    else:
        groups = numbered_groups([row.group for row in rows])
        chances = out_of_fold(words.features[asked], codes, len(scale), groups=groups, seed=seed)
    said = [Prediction("", labels={name: scale.labels[int(code)]}) for code in chances.argmax(1)]
    how = f"learned from {len(read)} other rows" if read else f"{FOLDS} folds of {len(rows)} rows"
    few = f", labels with fewer than {FOLDS} rows: {rare}" if rare else ""
    return replace(_scored(sheet, name, rows, said, draws, seed), note=how + few)


def _some(rows: Sequence[Gold], seed: int) -> list[Gold]:
    """Return at most 5,000 rows, drawn without replacement, in their order."""
    if len(rows) <= MOST_ROWS:
        return list(rows)
    chosen = np.sort(np.random.default_rng(seed).choice(len(rows), MOST_ROWS, replace=False))
    return [rows[place] for place in chosen]


def _rules(sheet: Sheet, draws: int, seed: int) -> dict[str, Baseline]:
    if not any(one.rules for one in sheet.predictions):
        return {}
    said = [Prediction(one.id, labels=one.rules) if one.rules else UNANSWERED for one in sheet.predictions]
    return {name: _scored(sheet, name, sheet.gold, said, draws, seed) for name in sheet.scales}


def _human(sheet: Sheet, annotations: Sequence[Annotation], draws: int, seed: int) -> dict[str, Baseline]:
    """Score each second annotation as if a system had said it; those of one row are drawn together."""
    by_id = {row.id: row for row in sheet.gold}
    found = {}
    for name in sheet.scales:
        given = [one for one in annotations if name in one.labels and name in getattr(by_id.get(one.id), "labels", ())]
        if given:
            rows = [by_id[one.id] for one in given]
            said = [Prediction(one.id, labels=one.labels) for one in given]
            by = len({one.by for one in given})
            note = f"{len(given)} second annotations by {by} {'person' if by == 1 else 'people'}"
            found[name] = replace(_scored(sheet, name, rows, said, draws, seed), note=note)
    return found
