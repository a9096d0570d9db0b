"""`eval data split`: a set in parts, groups and near-duplicates kept whole, labels spread alike."""

from __future__ import annotations

import json
import math
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from triagedesk.errors import ConfigError
from triagedesk.evals.datasets import file_hash
from triagedesk.evals.gold import Gold
from triagedesk.evals.labelled.dedup import THRESHOLD, Pair, clusters, near_duplicates
from triagedesk.evals.metrics.scale import Floats, Ints
from triagedesk.evals.sets import found, read_gold, values_of
from triagedesk.playbook import Playbook

MANIFEST = "manifest.json"
STRATIFIED_BY = ("urgency", "issue_type")
RULE = (
    "groups (and near-duplicates) stay whole, the largest first, then the rarest stratum first, else by chance; each "
    "goes to the part that most lacks rows among those that lack a whole row of its stratum, else among all; a stratum "
    "is urgency with issue type, where too few urgency alone, where still too few nothing"
)
_NAME = frozenset("abcdefghijklmnopqrstuvwxyz0123456789_-")


def shares_of(text: str) -> dict[str, float]:
    """Read "dev=.3,calibration=.3,test=.4". Raises ConfigError unless the shares add up to 1."""
    shares: dict[str, float] = {}
    for part in text.split(","):
        name, _, share = part.strip().partition("=")
        try:
            number = float(share)
        except ValueError:
            number = 0.0
        if not name or not _NAME.issuperset(name) or name in shares or not 0 < number <= 1:
            raise ConfigError("--parts: write names and shares, dev=.3,calibration=.3,test=.4")
        shares[name] = number
    if not math.isclose(sum(shares.values()), 1, abs_tol=1e-6):
        raise ConfigError(f"--parts: the shares add up to {sum(shares.values()):.4g}, not to 1")
    return shares


@dataclass(frozen=True)
class Split:
    """The part of each row, and the pairs of near-duplicates that were looked at."""

    names: tuple[str, ...]
    parts: Ints
    pairs: Sequence[Pair]

    @property
    def across(self) -> int:
        """Near-duplicates that stand in two parts: 0, or something is wrong."""
        return sum(bool(self.parts[pair.first] != self.parts[pair.second]) for pair in self.pairs)

    def rows(self, name: str) -> Ints:
        """Return the places of a part's rows, in order."""
        return np.flatnonzero(self.parts == self.names.index(name)).astype(np.int64)


def split_rows(
    rows: Sequence[Gold], shares: Mapping[str, float], *, seed: int = 0, threshold: float = THRESHOLD
) -> Split:
    """Part rows by `RULE`. Raises ConfigError when a part would be empty."""
    pairs = near_duplicates([row.text for row in rows], threshold)
    together = _together(rows, pairs)
    strata = _strata(rows, min(shares.values()))
    parts = _assigned(together, strata, np.asarray(list(shares.values())), seed)
    split = Split(tuple(shares), parts, pairs)
    empty = [name for name in shares if not split.rows(name).size]
    if empty:
        held = f"{len(rows)} rows in {together.max() + 1} groups"
        raise ConfigError(f"--parts: {empty[0]} would hold no row; {held} are too few")
    return split


def _together(rows: Sequence[Gold], pairs: Sequence[Pair]) -> Ints:
    """Return a number per row, the same for rows of one group or one chain of near-duplicates."""
    first: dict[str, int] = {}
    tied = list(pairs)
    for place, row in enumerate(rows):
        if row.group is not None:
            start = first.setdefault(str(row.group), place)
            tied += [Pair(start, place, 1.0)] if start != place else []
    return clusters(len(rows), tied)


def _strata(rows: Sequence[Gold], smallest: float) -> Ints:
    """Return a stratum per row: both labels where they have a row for every part, else the first alone, else none."""
    least = math.ceil(1 / smallest)
    keys = [tuple(row.labels.get(name, "") for name in STRATIFIED_BY) for row in rows]
    for kept in (1, 0):
        counts = Counter(keys)
        keys = [key if counts[key] >= least else key[:kept] for key in keys]
    numbers = {key: number for number, key in enumerate(sorted(set(keys)))}
    return np.asarray([numbers[key] for key in keys], dtype=np.int64)


def _assigned(together: Ints, strata: Ints, shares: Floats, seed: int) -> Ints:
    """Give each group a part (see `RULE`)."""
    counts = np.bincount(strata)
    lacking = np.outer(shares, counts)
    rows_lacking, targets = shares * len(strata), shares * len(strata)
    parts = np.zeros(len(strata), dtype=np.int64)
    for members in _in_order(together, strata, counts, seed):
        held = np.bincount(strata[members], minlength=len(counts))
        main = int(np.argmax(held))
        eligible = lacking[:, main] >= 1 - 1e-9
        need = rows_lacking / targets
        chosen = int(np.argmax(np.where(eligible, need, -np.inf) if eligible.any() else need))
        lacking[chosen] -= held
        rows_lacking[chosen] -= len(members)
        parts[members] = chosen
    return parts


def _in_order(together: Ints, strata: Ints, counts: Ints, seed: int) -> Iterator[Ints]:
    order = np.argsort(together, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(together[order])) + 1)
    shuffled = [groups[i] for i in np.random.default_rng(seed).permutation(len(groups))]
    yield from sorted(shuffled, key=lambda members: (-len(members), int(counts[strata[members]].min())))


def write_split(
    source: Path, folder: Path, playbook: Playbook, shares: Mapping[str, float], *, seed: int,
    columns: Mapping[str, str] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Split a set into files and a manifest, which is returned. Raises ConfigError, also where one exists."""
    targets = [folder / f"{name}.jsonl" for name in shares]
    taken = [path for path in (*targets, folder / MANIFEST) if path.exists()]
    if taken:
        raise ConfigError(f"{taken[0]}: is there already and is not overwritten; give another folder")
    rows = read_gold(source, playbook, columns)
    split = split_rows(rows, shares, seed=seed)
    values = [value for _, value in values_of(source, columns)]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, target in zip(shares, targets, strict=True):
            _write(target, (values[row] for row in split.rows(name)))
        manifest = _manifest(source, folder, playbook, rows, split) | {"shares": dict(shares), "seed": seed}
        (folder / MANIFEST).write_text(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n", "utf-8")
    except OSError as wrong:
        raise ConfigError(f"{folder}: cannot be written ({wrong.strerror})") from None
    return manifest


def _write(target: Path, values: Iterator[Any]) -> None:
    draft = target.with_suffix(".draft")
    with draft.open("w", encoding="utf-8") as stream:
        for value in values:
            stream.write(json.dumps(value, ensure_ascii=False) + "\n")
    os.replace(draft, target)


def _manifest(source: Path, folder: Path, playbook: Playbook, rows: Sequence[Gold], split: Split) -> dict[str, Any]:
    parts = {}
    for name in split.names:
        held = [rows[place] for place in split.rows(name)]
        labels = {each: dict(Counter(row.labels[each] for row in held if each in row.labels).most_common())
                  for each in playbook.dimensions if any(each in row.labels for row in held)}  # fmt: skip
        file = folder / f"{name}.jsonl"
        parts[name] = {"file": file.name, "rows": len(held), "sha256": file_hash(file), "labels": labels}
    return {
        "source": {"file": found(source).name, "sha256": file_hash(found(source)), "rows": len(rows)},
        "playbook": playbook.identity, "parts": parts, "rule": RULE,
        "near_duplicates": {"threshold": THRESHOLD, "pairs": len(split.pairs), "across": split.across},
    }  # fmt: skip
