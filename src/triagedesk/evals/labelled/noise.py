"""`eval data noise`: labels that are probably wrong, and whether a set's labels can be told from chance at all.

Each row gets the probabilities of a model that never saw it (`learned`). A suspect is a row whose own label got little
of them (self-confidence; Northcutt, Jiang and Chuang 2021, as cleanlab ranks). Random labels leave nothing to learn:
then the model is right no more often than if the same answers were dealt out at random.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy import stats

from triagedesk.evals.figures import Figure
from triagedesk.evals.gold import Gold, scales_of
from triagedesk.evals.learned import FOLDS, enough, out_of_fold, word_features
from triagedesk.evals.metrics.draws import numbered_groups
from triagedesk.evals.metrics.intervals import wilson
from triagedesk.evals.metrics.scale import Floats, Ints, Scale
from triagedesk.playbook import Playbook

PERMUTATIONS = 2000
CHANCE_P = 0.01
FEW_ROWS = 50

Verdict = Literal["learnable", "chance", "too_few"]


@dataclass(frozen=True)
class Suspect:
    """A row whose label a model that never saw it hardly believes. `confidence` is of the label given."""

    id: str
    line: int
    given: str
    likely: str
    confidence: float
    likely_confidence: float


@dataclass(frozen=True)
class Noise:
    """One dimension. `p_value`: how often labels dealt at random do as well; `chance`: how well they do on average."""

    n: int
    verdict: Verdict
    accuracy: Figure
    chance: float
    prior_random: float
    majority: float
    p_value: float
    beats_majority_p: float
    too_rare: tuple[str, ...]
    suspects: tuple[Suspect, ...]

    def words(self, dimension: str) -> str:
        """Say the verdict in plain words."""
        if self.verdict == "too_few":
            needed = f"{FEW_ROWS} rows and two labels of {FOLDS} or more"
            return f"{dimension}: {self.n} rows are too few to tell labels from chance; it takes {needed}"
        figures = (
            f"out-of-fold accuracy {self.accuracy.value:.3f}, dealt at random {self.chance:.3f}, "
            f"majority {self.majority:.3f}, p {self.p_value:.4f}, n {self.n}"
        )
        if self.verdict == "chance":
            return f"{dimension}: the labels cannot be told from random ones ({figures}); measure nothing with them"
        beside = "" if self.beats_majority_p < CHANCE_P else "; no better than always saying the most frequent label"
        return f"{dimension}: the labels hold something that words tell ({figures}){beside}"

    def as_json(self) -> dict[str, Any]:
        """Return plain data: ids and labels, never the texts."""
        return {
            "n": self.n, "verdict": self.verdict, "accuracy": self.accuracy.model_dump(), "chance": self.chance,
            "prior_random": self.prior_random, "majority": self.majority, "p_value": self.p_value,
            "beats_majority_p": self.beats_majority_p, "too_rare": list(self.too_rare),
            "suspects": [vars(each) for each in self.suspects],
        }  # fmt: skip


def noise(rows: Sequence[Gold], playbook: Playbook, *, top: int = 20, seed: int = 0) -> dict[str, Noise]:
    """Judge the labels of every dimension that rows have labels for."""
    found = {}
    features, _ = word_features([row.text for row in rows])
    for name, scale in scales_of(rows, playbook).items():
        places = [place for place, row in enumerate(rows) if name in row.labels]
        held = [rows[place] for place in places]
        codes = scale.codes([row.labels[name] for row in held])
        if len(held) < FEW_ROWS or enough(codes, len(scale))[0] < 2:
            found[name] = _too_few(codes, scale)
            continue
        groups = numbered_groups([row.group for row in held])
        chances = out_of_fold(features[places], codes, len(scale), groups=groups, seed=seed)
        found[name] = judged(held, codes, chances, scale, top=top, seed=seed)
    return found


def _too_few(codes: Ints, scale: Scale) -> Noise:
    shares = np.bincount(codes, minlength=len(scale)) / len(codes)
    prior = float((shares**2).sum())
    return Noise(len(codes), "too_few", Figure(value=None), prior, prior, float(shares.max()), 1.0, 1.0, (), ())


def judged(rows: Sequence[Gold], codes: Ints, chances: Floats, scale: Scale, *, top: int, seed: int) -> Noise:
    """Judge labels by out-of-fold probabilities, shape (n, K)."""
    said = chances.argmax(1)
    hits, n = int((said == codes).sum()), len(codes)
    shares = np.bincount(codes, minlength=len(scale)) / n
    p_value, chance = _permuted(said, codes, seed)
    low, high = wilson(hits, n)
    return Noise(
        n=n, verdict="learnable" if p_value < CHANCE_P else "chance",
        accuracy=Figure(value=hits / n, low=low, high=high), chance=chance,
        prior_random=float((shares**2).sum()), majority=float(shares.max()), p_value=p_value,
        beats_majority_p=float(stats.binomtest(hits, n, float(shares.max()), alternative="greater").pvalue),
        too_rare=tuple(label for label, share in zip(scale.labels, shares, strict=True) if 0 < share * n < FOLDS),
        suspects=tuple(_suspects(rows, codes, chances, scale, top)),
    )  # fmt: skip


def _permuted(said: Ints, codes: Ints, seed: int) -> tuple[float, float]:
    """Return the one-sided permutation p-value of the hits, and the mean share of hits of permuted labels."""
    rng = np.random.default_rng(seed)
    hits = int((said == codes).sum())
    drawn = np.asarray([(said == rng.permutation(codes)).sum() for _ in range(PERMUTATIONS)])
    return float(((drawn >= hits).sum() + 1) / (PERMUTATIONS + 1)), float(drawn.mean() / len(codes))


def _suspects(rows: Sequence[Gold], codes: Ints, chances: Floats, scale: Scale, top: int) -> list[Suspect]:
    """Return the rows whose own label got the least, of those that got another one; labels too rare are left out."""
    own = chances[np.arange(len(codes)), codes]
    likely = chances.argmax(1)
    judgeable = (np.bincount(codes, minlength=len(scale)) >= FOLDS)[codes] & (likely != codes)
    order = [int(place) for place in np.argsort(own, kind="stable") if judgeable[place]][:top]
    return [
        Suspect(rows[i].id, rows[i].line, scale.labels[codes[i]], scale.labels[likely[i]], round(float(own[i]), 4),
                round(float(chances[i, likely[i]]), 4))
        for i in order
    ]  # fmt: skip
