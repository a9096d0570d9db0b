"""Metrics and systems as a reader sees them."""

from __future__ import annotations

from typing import Any

from triagedesk.evals.figures import Figure
from triagedesk.pages.words import (
    DASH,
    PERCENT,
    count,
    held_together,
    milliseconds,
    number,
    percent,
    title_of,
    visible,
)

NAMES = {
    "accuracy": "right", "macro_f1": "macro-F1", "qwk": "quadratic κ", "critical_recall": "most severe label found",
    "critical_precision": "most severe label, when said, is right",
    "critical_false_alarm": "wrongly given the most severe label",
    "urgent_miss": "urgent ones missed", "false_alarm": "false alarms", "under_triage": "said less severe than gold",
    "over_triage": "said more severe than gold", "severe_under_triage": "two or more levels too low",
    "within_one": "at most one level off", "triage_cost": "mean triage cost", "cost_skill": "cost skill",
    "triage_kappa": "cost-weighted κ", "escalated_recall": "escalations found", "escalated_f2": "escalations, F2",
    "balanced_accuracy": "balanced accuracy", "mcc": "Matthews' correlation", "kappa": "Cohen's κ",
    "mae": "mean distance in levels", "no_answer": "no usable answer",
}  # fmt: skip
SYSTEMS = {
    "majority": "most frequent label", "prior": "random, by frequency", "prior_random": "random, by frequency",
    "rules": "keyword rules", "tfidf": "TF-IDF + logistic regression", "tfidf_logreg": "TF-IDF + logistic regression",
    "tfidf_lr": "TF-IDF + logistic regression", "human": "human ceiling", "human_ceiling": "human ceiling",
}  # fmt: skip
_PLAIN_NUMBERS = frozenset(
    ("macro_f1", "qwk", "triage_cost", "cost_skill", "triage_kappa", "escalated_f2", "mcc", "kappa", "mae")
)


def name_of(metric: str) -> str:
    """Return a metric's name in words."""
    return NAMES.get(metric, metric.replace("_", " "))


def system_name(key: str) -> str:
    """Return a baseline's name in words."""
    return SYSTEMS.get(key, key.replace("_", " "))


def is_share(metric: str) -> bool:
    """Say whether a metric is a share of rows."""
    return metric not in _PLAIN_NUMBERS


def value_text(metric: str, figure: Figure | None) -> str:
    """Return a figure's value alone."""
    if figure is None:
        return DASH
    return percent(figure.value) if is_share(metric) else number(figure.value)


def interval_text(metric: str, figure: Figure | None) -> str:
    """Return a figure's 95 % interval, "77.3–82.2", empty where there is none."""
    if figure is None or figure.low is None or figure.high is None:
        return ""
    if is_share(metric):
        return f"{100 * figure.low:.1f}{DASH}{100 * figure.high:.1f}"
    return f"{figure.low:.3f}{DASH}{figure.high:.3f}"


def figure_of(value: Any) -> Figure | None:
    """Read a figure of baselines.json; None for what is none."""
    if isinstance(value, Figure):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return Figure(value=float(value))
    try:
        return Figure(value=value["value"], low=value.get("low"), high=value.get("high"))
    except (TypeError, KeyError, ValueError, AttributeError):
        return None


__all__ = [
    "DASH", "NAMES", "PERCENT", "SYSTEMS", "count", "figure_of", "held_together", "interval_text", "is_share",
    "milliseconds", "name_of", "number", "percent", "system_name", "title_of", "value_text", "visible",
]  # fmt: skip
