"""Predictions: what a system said of each ticket, as a run writes it down or as any other system hands it in."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from triagedesk.errors import ConfigError
from triagedesk.evals.gold import parsed_lines
from triagedesk.models import Suggestion


@dataclass(slots=True)
class Prediction:
    """What was said of one ticket in one repeat.

    `labels` may hold what is no label of the playbook, or nothing at all: it is counted, never dropped. `strength` is
    the classifier's raw score in [0, 1] before calibration. `latency_ms` is None where nothing was timed or the answer
    came from a cache. `error` names why there is no answer, `asks` how
    often the model was asked. `sureness` is the least measured confidence of an answer without a model.
    """

    id: str
    k: int = 0
    attempt: int = 1
    asks: int = 0
    labels: Mapping[str, str] = field(default_factory=dict)
    confidence: Mapping[str, float] = field(default_factory=dict)
    strength: Mapping[str, float] = field(default_factory=dict)
    quotes: tuple[str, ...] = ()
    unreasoned: int = 0
    reasoned: bool = False
    source: str | None = None
    fallback_reason: str | None = None
    model: str | None = None
    latency_ms: float | None = None
    tokens: Mapping[str, int] = field(default_factory=dict)
    cost_usd: float | None = None
    needs_review: bool = False
    rules: Mapping[str, str] = field(default_factory=dict)
    opinion: Mapping[str, str] | None = None
    sureness: float | None = None
    error: str | None = None

    @property
    def answered(self) -> bool:
        """Whether there is any label."""
        return bool(self.labels)


def read_predictions(path: Path) -> Iterator[Prediction]:
    """Yield the predictions of a file: lines of a run, suggestions, or `{"ticket_id": …, "labels": {…}}`.

    Raises ConfigError that names the line when one is none of these, or when there is none at all.
    """
    read = 0
    for number, value in parsed_lines(path):
        if isinstance(value, ValueError):
            raise ConfigError(f"{path}: line {number}: {value}")
        try:
            yield prediction_of(value)
        except (TypeError, ValueError, KeyError, AttributeError) as wrong:
            text = str(wrong) if isinstance(wrong, PredictionError) else "is no prediction"
            raise ConfigError(f"{path}: line {number}: {text}") from None
        read += 1
    if not read:
        raise ConfigError(f"{path}: holds no prediction")


class PredictionError(ValueError):
    """A line is no prediction."""


def prediction_of(value: Any) -> Prediction:
    """Read one line. Raises PredictionError."""
    if not isinstance(value, Mapping):
        raise PredictionError("a prediction is an object with ticket_id and labels, or a suggestion")
    run_line = isinstance(value.get("suggestion"), Mapping) or "k" in value
    said = value["suggestion"] if isinstance(value.get("suggestion"), Mapping) else value
    # the ticket's id first: where the service answered, `id` is the suggestion's
    identity = value.get("ticket_id") or said.get("ticket_id") or value.get("id")
    if not isinstance(identity, str | int) or isinstance(identity, bool):
        raise PredictionError("ticket_id is missing")
    labels = said.get("labels")
    if not isinstance(labels, Mapping):
        if not value.get("error"):
            raise PredictionError("labels is missing")
        labels = {}
    prediction = Prediction(str(identity), labels={}, error=value.get("error"))
    _take_labels(prediction, labels)
    _take_provenance(prediction, said)
    if run_line:
        prediction.k, prediction.attempt = int(value.get("k", 0)), int(value.get("attempt", 1))
        prediction.latency_ms = None if prediction.source == "cache" else value.get("latency_ms")
        prediction.strength = value.get("strength") or {}
        prediction.rules = value.get("rules") or {}
        prediction.opinion = value.get("opinion")
        prediction.sureness = value.get("sureness")
    return prediction


def _take_labels(prediction: Prediction, labels: Mapping[str, Any]) -> None:
    said, confidence, quotes = {}, {}, []
    for name, choice in labels.items():
        if isinstance(choice, Mapping):
            if not isinstance(choice.get("label"), str):
                raise PredictionError(f"labels.{name}: label is missing")
            said[name] = choice["label"]
            if choice.get("confidence") is not None:
                confidence[name] = _probability(choice["confidence"], name)
            reasons = choice.get("reasons")
            if reasons is not None:
                prediction.reasoned = True
                prediction.unreasoned += not reasons
                quotes += [reason["quote"] for reason in reasons if isinstance(reason, Mapping) and reason.get("quote")]
        elif isinstance(choice, str):
            said[name] = choice
        elif choice is not None:
            raise PredictionError(f"labels.{name}: give a label as text")
    prediction.labels, prediction.confidence, prediction.quotes = said, confidence, tuple(quotes)


def _probability(value: Any, name: str) -> float:
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not 0 <= number <= 1:
        raise PredictionError(f"labels.{name}: a confidence is a probability from 0 to 1 (divide percentages by 100)")
    return number


def _take_provenance(prediction: Prediction, said: Mapping[str, Any]) -> None:
    provenance = said.get("provenance")
    prediction.needs_review = bool(said.get("needs_review"))
    if not isinstance(provenance, Mapping):
        return
    prediction.source = provenance.get("source")
    prediction.fallback_reason = provenance.get("fallback_reason")
    prediction.model = provenance.get("model")
    prediction.tokens = provenance.get("tokens") or {}
    prediction.cost_usd = provenance.get("cost_usd")
    prediction.asks = int(provenance.get("attempts") or 0)
    if prediction.source != "cache" and provenance.get("elapsed_ms"):
        prediction.latency_ms = float(provenance["elapsed_ms"])


def labels_of(suggestion: Suggestion) -> dict[str, str]:
    """Return a suggestion's labels by dimension."""
    return {name: choice.label for name, choice in suggestion.labels.items()}
