"""Fit the `scores` of a playbook on labelled tickets: how much each signal speaks for each label.

    python benchmarks/fit_scores.py evals/datasets/support/{dev,hard,long}.jsonl [--playbook FILE] > scores.yaml

Multinomial logistic regression over the signals that the playbook finds, pairs of signals near each other and two facts
of metadata, with weights held at zero or above (votes for a label, never against one), a ridge penalty and classes
weighted alike. Prints YAML to paste over the playbook's own block, and the cross-validated macro-F1 on stderr.

It does not know where in a text a signal stands (`calm`, `alarm`), and what ships was changed by hand afterwards: see
docs/decisions/0005.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from sklearn.metrics import f1_score
from sklearn.model_selection import KFold

from triagedesk import Ticket, load_playbook
from triagedesk.playbook import Facts, Playbook, is_overdue
from triagedesk.playbook.conditions import nearest
from triagedesk.tidy import read

Matrix = NDArray[np.float64]

DIMENSIONS = ("urgency", "issue_type")
ONLY_IN_PAIRS = "w_"
"""Signals whose names begin so are weak: alone they do not vote on urgency."""
RIDGE = 1.0
KEPT_FROM = 0.25
"""Smaller votes are left out of the table."""
EAGER = 0.6
"""Added to the bias of the most severe urgency: a missed emergency costs more than a false one."""

PAIRS = (
    ("down", "many"), ("w_stopped", "many"), ("w_stopped", "w_business"), ("w_hazard", "w_person"),
    ("w_symptom", "w_use"), ("w_symptom", "w_hazard"), ("w_symptom", "w_person"), ("w_hazard", "w_use"),
    ("w_other", "w_data"), ("w_other", "w_seen"), ("w_unauthorised", "w_access"), ("big_loss", "within_hours"),
    ("repeated", "down"), ("repeated", "defect"), ("repeated", "delivery_problem"),
    ("delivery_problem", "date_matters"), ("repeated_outage", "down"), ("w_data", "w_seen"),
)  # fmt: skip
SILENT = frozenset(("positive_words", "negative_words", "very_negative_words", "injection"))
"""Tone and instructions to the reader vote for no label."""
FAINT = 0.5
"""A weak signal's lone vote on an issue type is cut to this share, so that a strong one wins over several of them."""
OVERDUE, VALUED = "@overdue", "@valued_complaint"
"""Facts of metadata; the playbook holds them as rules, so they are printed as a comment."""


@dataclass(frozen=True)
class Example:
    """What is known of a gold ticket, and what it should be called."""

    facts: frozenset[str]
    gold: dict[str, str]


def examples(playbook: Playbook, file: Path) -> Iterator[Example]:
    """Read gold lines and find their signals."""
    for line in file.read_text("utf-8").splitlines():
        row = json.loads(line)
        yield Example(frozenset(found(playbook, Ticket.parse(row["ticket"]))), row["labels"])


def found(playbook: Playbook, ticket: Ticket) -> Iterator[str]:
    """Yield the features of a ticket."""
    reading = read(ticket, playbook.document.languages)
    facts = Facts(hits=playbook.finder.find(reading.text, reading.language))
    yield from (name for name in facts.hits if not name.startswith("rule:") and name not in SILENT)
    yield from (" + ".join(pair) for pair in PAIRS if nearest((pair,), facts))
    if ticket.created_at and is_overdue(ticket, ticket.created_at):
        yield OVERDUE
    if ticket.customer_tier in ("premium", "vip") and ("complaint" in facts.hits or "leaving" in facts.hits):
        yield VALUED


def fit(x: Matrix, y: NDArray[np.int64], labels: int) -> tuple[Matrix, Matrix]:
    """Return votes (labels x features, none below zero) and bias (labels)."""
    rows, columns = x.shape
    weight = (rows / (labels * np.maximum(np.bincount(y, minlength=labels), 1)))[y]

    def loss(flat: Matrix) -> tuple[float, Matrix]:
        votes, bias = flat[: labels * columns].reshape(labels, columns), flat[labels * columns :]
        z = x @ votes.T + bias
        p = np.exp(z - z.max(1, keepdims=True))
        p /= p.sum(1, keepdims=True)
        value = -(weight * np.log(p[np.arange(rows), y] + 1e-12)).sum() + RIDGE * (votes**2).sum() / 2
        p[np.arange(rows), y] -= 1
        p *= weight[:, None]
        return float(value), np.concatenate([(p.T @ x + RIDGE * votes).ravel(), p.sum(0)])

    bounds = [(0.0, None)] * (labels * columns) + [(-2.0, 2.0)] * labels
    best = minimize(loss, np.zeros(labels * (columns + 1)), jac=True, method="L-BFGS-B", bounds=bounds,
                    options={"maxiter": 500}).x  # fmt: skip
    return best[: labels * columns].reshape(labels, columns), best[labels * columns :]


def main() -> None:
    """Fit and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("gold", type=Path, nargs="+")
    parser.add_argument("--playbook", type=Path)
    given = parser.parse_args()
    playbook = load_playbook(given.playbook)
    rows = [row for file in given.gold for row in examples(playbook, file)]
    names = sorted({name for row in rows for name in row.facts})
    whole = np.array([[float(name in row.facts) for name in names] for row in rows])
    print("scores:")
    for dimension in DIMENSIONS:
        labels = playbook.dimensions[dimension].names
        y = np.array([labels.index(row.gold[dimension]) for row in rows])
        voting = [dimension != "urgency" or not weak_alone(name) for name in names]
        x = whole * np.array(voting, dtype=float)
        print(
            f"{dimension}: macro-F1 {validated(x, y, len(labels)):.3f} cross-validated, n = {len(y)}", file=sys.stderr
        )
        votes, bias = fit(x, y, len(labels))
        bias[0] += EAGER * (dimension == "urgency")
        if dimension != "urgency":
            votes = votes * np.array([FAINT if weak_alone(name) else 1.0 for name in names])
        show(dimension, dict(zip(labels, bias - bias.min() + 0.05, strict=True)), labels, names, votes)


def weak_alone(name: str) -> bool:
    """Say whether a feature is a weak signal by itself."""
    return name.startswith(ONLY_IN_PAIRS) and " + " not in name


def validated(x: Matrix, y: NDArray[np.int64], labels: int) -> float:
    """Macro-F1 over five folds."""
    said = np.zeros_like(y)
    for train, test in KFold(5, shuffle=True, random_state=0).split(x):
        votes, bias = fit(x[train], y[train], labels)
        said[test] = (x[test] @ votes.T + bias).argmax(1)
    return float(f1_score(y, said, average="macro"))


def show(dimension: str, bias: dict[str, Any], labels: tuple[str, ...], names: list[str], votes: Matrix) -> None:
    """Print one dimension's block."""
    print(f"  {dimension}:")
    print("    bias: {" + ", ".join(f"{label}: {value:.2f}" for label, value in bias.items()) + "}")
    print("    votes:")
    for label, row in zip(labels, votes, strict=True):
        kept = [(names[i], row[i]) for i in np.argsort(-row) if row[i] >= KEPT_FROM]
        print(f"      {label}: {{" + ", ".join(f"{n}: {w:.1f}" for n, w in kept if not n.startswith("@")) + "}")
        for name, value in kept:
            if name.startswith("@"):
                print(f"      # rule {name}: {label} weighs {value:.1f}")


if __name__ == "__main__":
    main()
