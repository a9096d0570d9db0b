"""Fit the `scores` of a playbook on labelled tickets: how much each signal speaks for each label.

    python benchmarks/fit_scores.py evals/datasets/support/{dev,hard,long,extra}.jsonl [--playbook FILE] > scores.yaml

Multinomial logistic regression over the signals that the playbook finds, pairs of signals near each other and two facts
of metadata, with weights held at zero or above (votes for a label, never against one), a ridge penalty and classes
weighted alike. Prints YAML to paste over the playbook's own block. Cross-validation on tickets that the signals were
written on flatters, so ridge and eagerness were chosen on 260 tickets that no signal had seen (later extra.jsonl).

What a signal says after an instruction to the reader, and calm signals beyond the opening, do not vote, as in the rules
themselves. See docs/decisions/0005.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from triagedesk import Ticket, load_playbook
from triagedesk.classifiers.rules import _opening_end
from triagedesk.playbook import Facts, Playbook, is_overdue
from triagedesk.playbook.conditions import nearest
from triagedesk.tidy import read

Matrix = NDArray[np.float64]

DIMENSIONS = ("urgency", "issue_type")
ONLY_IN_PAIRS = "w_"
"""Signals whose names begin so are weak: alone they do not vote on urgency."""
RIDGE = {"urgency": 3.0, "issue_type": 1.0}
KEPT_FROM = 0.25
"""Smaller votes are left out of the table."""
EAGER = 1.1
"""Added to the bias of the most severe urgency: a missed emergency costs more than a false one. It is the most that
keeps false emergencies under 12 % of the others on the calibration split."""
NEVER_MOST_SEVERE = frozenset((
    "question", "order_topic", "password_topic", "billing_topic", "no_rush", "thanks_only", "product_question",
    "feedback", "money_wrong", "followup_wanted", "third_contact", "expert_needed", "complaint", "leaving",
))  # fmt: skip
"""Signals that never vote for the most severe urgency, whatever they came with in the tickets fitted on."""

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
AT_LEAST = {
    "urgency": {
        "high": {
            "repeated_outage": 2.6,
            "cannot_use": 2.0,
            "money_wrong": 2.4,
            "locked_out": 2.4,
            "overdue_promise": 2.4,
        },
        "low": {"billing_question": 2.2, "data_request": 2.0},
    },
    "issue_type": {
        "safety": {"fire": 4.5, "overheat": 4.5, "injury": 4.5, "hazard_object": 4.5, "self_harm": 4.5},
        "security_privacy": {"breach": 4.5, "takeover": 4.2, "phishing": 4.0, "data_request": 3.5},
        "outage": {"outage_direct": 3.5, "repeated_outage": 3.0},
        "billing_payment": {"billing_question": 3.2, "money_wrong": 3.2},
        "account_access": {"locked_out": 4.0},
    },
}
"""What the label guide says outright: votes that no sample of tickets may fit away."""
ONLY_BY = {"issue_type": {"feedback": {"feedback": 2.6, "thanks_only": 10.0}}}
"""Labels that no other signal votes for, and the most that these may: real mails open with praise and then ask for
something, and an answer that is asked for is no feedback."""
BIAS = {"issue_type": {"feedback": (-2.0, 0.0), "general": (0.0, 2.0)}}
"""Bounds of a label's bias, (-2, 2) elsewhere: what speaks for nothing is general, not praise."""
UNHEARD = "~"
"""Marks a signal that stands where it does not vote on urgency."""
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
    facts = Facts(hits=playbook.finder.find(reading.text, reading.language), opening=_opening_end(reading))
    for name in facts.hits:
        if not name.startswith("rule:") and name not in SILENT:
            yield name if votes_on_urgency(playbook, facts, name) else UNHEARD + name
    yield from (" + ".join(pair) for pair in PAIRS if nearest((pair,), facts))
    if ticket.created_at and is_overdue(ticket, ticket.created_at):
        yield OVERDUE
    if ticket.customer_tier in ("premium", "vip") and ("complaint" in facts.hits or "leaving" in facts.hits):
        yield VALUED


def votes_on_urgency(playbook: Playbook, facts: Facts, name: str) -> bool:
    """Say whether a signal stands where it may vote on urgency."""
    scores, start = playbook.document.scores["urgency"], facts.hits[name][0][0]
    alarms = [facts.hits[each][0][0] for each in scores.alarm if each in facts.hits]
    steered = [facts.hits[each][0][0] for each in playbook.document.injection_signals if each in facts.hits]
    if name in scores.calm and start > min((facts.opening, *alarms)):
        return False
    return name in scores.alarm or not steered or start < min(steered)


Bounds = list[tuple[float, float]]


def fit(
    x: Matrix, y: NDArray[np.int64], *, ridge: float, least: Matrix, most: Matrix, bias_bounds: Bounds
) -> tuple[Matrix, Matrix]:
    """Return votes (labels x features, between least and most) and bias (labels, within its bounds)."""
    labels = len(bias_bounds)
    rows, columns = x.shape
    weight = (rows / (labels * np.maximum(np.bincount(y, minlength=labels), 1)))[y]

    def loss(flat: Matrix) -> tuple[float, Matrix]:
        votes, bias = flat[: labels * columns].reshape(labels, columns), flat[labels * columns :]
        z = x @ votes.T + bias
        p = np.exp(z - z.max(1, keepdims=True))
        p /= p.sum(1, keepdims=True)
        value = -(weight * np.log(p[np.arange(rows), y] + 1e-12)).sum() + ridge * (votes**2).sum() / 2
        p[np.arange(rows), y] -= 1
        p *= weight[:, None]
        return float(value), np.concatenate([(p.T @ x + ridge * votes).ravel(), p.sum(0)])

    bounds = [*zip(least.ravel(), most.ravel(), strict=True), *bias_bounds]
    start = np.concatenate([least.ravel(), np.zeros(labels)])
    best = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds,
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
    names = sorted({name.removeprefix(UNHEARD) for row in rows for name in row.facts})
    print("scores:")
    for dimension in DIMENSIONS:
        labels = playbook.dimensions[dimension].names
        y = np.array([labels.index(row.gold[dimension]) for row in rows])
        urgency = dimension == "urgency"
        x = features(rows, names, urgency=urgency)
        least, most = limits(dimension, labels, names)
        bounds = [BIAS.get(dimension, {}).get(label, (-2.0, 2.0)) for label in labels]
        votes, bias = fit(x, y, ridge=RIDGE[dimension], least=least, most=most, bias_bounds=bounds)
        bias[0] += EAGER * urgency
        if not urgency:
            votes = votes * np.array([FAINT if weak_alone(name) else 1.0 for name in names])
        show(dimension, dict(zip(labels, bias - bias.min() + 0.05, strict=True)), labels, names, votes)


def weak_alone(name: str) -> bool:
    """Say whether a feature is a weak signal by itself."""
    return name.startswith(ONLY_IN_PAIRS) and " + " not in name


def limits(dimension: str, labels: tuple[str, ...], names: list[str]) -> tuple[Matrix, Matrix]:
    """Return the smallest and the largest vote of each label and feature."""
    least, most = np.zeros((len(labels), len(names))), np.full((len(labels), len(names)), 10.0)
    for label, votes in AT_LEAST[dimension].items():
        for name, vote in votes.items():
            least[labels.index(label), names.index(name)] = vote
    for label, allowed in ONLY_BY.get(dimension, {}).items():
        most[labels.index(label)] = [allowed.get(name, 0.0) for name in names]
    if dimension == "urgency":
        most[0, [name in NEVER_MOST_SEVERE for name in names]] = 0.0
    return least, most


def features(rows: list[Example], names: list[str], *, urgency: bool) -> Matrix:
    """Return rows x names. On urgency weak signals count only in pairs, and some signals not where they stand."""
    if urgency:
        return np.array([[float(name in row.facts and not weak_alone(name)) for name in names] for row in rows])
    return np.array([[float(name in row.facts or UNHEARD + name in row.facts) for name in names] for row in rows])


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
