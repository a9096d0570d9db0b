"""Figures and names as a reader sees them. Nothing here trusts text that came from a ticket or a model."""

from __future__ import annotations

import unicodedata
from typing import Any

from markupsafe import Markup, escape

from triagedesk.evals.scores import Figure

DASH = "–"
PERCENT = "\N{NO-BREAK SPACE}%"

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


def title_of(dimension: str) -> str:
    """Return a dimension's name as a heading."""
    return dimension.replace("_", " ").capitalize()


def percent(value: float | None, digits: int = 1) -> str:
    """Return .8123 as "81.2 %", a dash for None. 100 % and 0 % are never rounded to."""
    if value is None:
        return DASH
    least = 10.0**-digits
    if 0 < value < least / 200:
        return f"< {least:.{digits}f}{PERCENT}"
    if 1 - least / 200 < value < 1:
        return f"> {100 - least:.{digits}f}{PERCENT}"
    return f"{100 * value:.{digits}f}{PERCENT}"


def number(value: float | None, digits: int = 3) -> str:
    """Return a number, a dash for None."""
    return DASH if value is None else f"{value:.{digits}f}"


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


def count(value: int) -> str:
    """Return 12345 as "12,345"."""
    return f"{value:,}"


def milliseconds(value: float | None) -> str:
    """Return a duration in ms below a second, else in s."""
    if value is None:
        return DASH
    return f"{value / 1000:.2f} s" if value >= 1000 else f"{value:.1f} ms"


def visible(text: str) -> str:
    """Return text in which what a reader could not see, or what would turn the line round, is written out."""
    if text.isprintable():
        return text
    return "".join(char if _is_seen(char) else f"⟦{ord(char):04X}⟧" for char in text)


def _is_seen(char: str) -> bool:
    return char.isprintable() or char in "\n\t" or unicodedata.category(char) == "Zs"


def held_together(text: str) -> Markup:
    """Return a sentence as HTML in which no interval is broken over two lines."""
    words = (Markup("<span class=nb>{}</span>").format(word) if DASH in word else escape(word)
             for word in visible(text).split(" "))  # fmt: skip
    return Markup(" ").join(words)


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
