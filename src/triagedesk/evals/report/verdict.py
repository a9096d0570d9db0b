"""The verdict in plain words: what it is worth, what it misses, whether it can be trusted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from triagedesk.evals.config import SEALED
from triagedesk.evals.figures import DimensionScores, Figure, Scores
from triagedesk.evals.folder import RUNNING
from triagedesk.evals.overlap import flattered
from triagedesk.evals.report.beside import is_like_chance, is_near_majority, majority
from triagedesk.evals.report.words import count, interval_text, number, percent, title_of
from triagedesk.evals.run import Run

MAX_URGENT_MISS, MAX_SEVERE = 0.05, 0.01
"""How many urgent tickets may be missed (the limit of trauma triage: ACS-COT, 2014), and how many by two levels."""
MAX_UNANSWERED = 0.02
FEW = 100

Mood = Literal["good", "mixed", "bad"]


@dataclass(frozen=True)
class Verdict:
    """A headline, the sentences under it by question, and warnings."""

    mood: Mood
    headline: str
    worth: tuple[str, ...]
    misses: tuple[str, ...]
    trust: tuple[str, ...]
    warnings: tuple[str, ...]


def verdict_of(run: Run, manifest: Mapping[str, Any]) -> Verdict:
    """Judge a run from its figures."""
    scores = run.metrics
    chance = [title_of(name) for name, each in scores.dimensions.items() if is_like_chance(each)]
    mood, headline = _headline(run, chance)
    if manifest.get("state") == RUNNING:
        mood, headline = "bad", "This run has not ended: it settles nothing yet."
    return Verdict(
        mood, headline, tuple(_worth(scores)), tuple(_misses(run)), tuple(_trust(scores, manifest)),
        (*_flattery(run, manifest), *_warnings(scores, manifest, run.stopped)),
    )  # fmt: skip


def graded(run: Run) -> str | None:
    """Return the dimension whose labels are ordered by severity and that is judged by misses, urgency first."""
    ordinal = [name for name, scale in run.sheet.scales.items() if scale.ordinal]
    if "urgency" in ordinal:
        return "urgency"
    return ordinal[0] if ordinal else None


def _headline(run: Run, chance: list[str]) -> tuple[Mood, str]:
    scores, name = run.metrics, graded(run)
    if not scores.answered:
        return "bad", "Nothing was answered: this run measures nothing."
    if chance:
        return "bad", f"No better than chance at {_and(chance)}. Do not use these labels."
    if name is None:
        return "mixed", f"Every label right in {percent(scores.joint_exact.value, 0)} of tickets."
    return _by_misses(scores.dimensions[name])


def _by_misses(scores: DimensionScores) -> tuple[Mood, str]:
    miss, severe = scores.figures["urgent_miss"], scores.figures["severe_under_triage"]
    if miss.value is None or miss.low is None or miss.high is None:
        return "mixed", "No urgent ticket stands in this set: what it misses cannot be told."
    if miss.low > MAX_URGENT_MISS:
        return "bad", "It misses too many urgent tickets to sort the queue alone: have a person look."
    if (severe.low or 0) > MAX_SEVERE:
        return "bad", "Some urgent tickets are put two or more levels too low: have a person look."
    if miss.high <= MAX_URGENT_MISS and (severe.value or 0) <= MAX_SEVERE:
        return "good", "It finds urgent tickets well enough to order the queue."
    return "mixed", "It may find enough of the urgent tickets, but this set is too small to be sure."


def _worth(scores: Scores) -> Iterator[str]:
    for name, each in scores.dimensions.items():
        right = each.figures["accuracy"]
        told = f"{title_of(name)}: right in {_spread('accuracy', right)} of {count(each.n)} tickets"
        yield f"{told}{_lead(right, majority(each))}."
    yield f"All of it right at once: {_spread('joint_exact', scores.joint_exact)}."


def _lead(right: Figure, constant: Figure) -> str:
    if right.value is None or constant.value is None:
        return ""
    points = 100 * (right.value - constant.value)
    way = "more" if points >= 0 else "fewer"
    return f", {abs(points):.0f} points {way} than always giving the most frequent label"


def _spread(metric: str, figure: Figure) -> str:
    interval = interval_text(metric, figure)
    return percent(figure.value) + (f" ({interval})" if interval else "")


def _misses(run: Run) -> Iterator[str]:
    name = graded(run)
    if name is not None:
        yield from _graded_misses(run, name)
    scores = run.metrics.dimensions.get("escalation")
    if scores is not None and "escalated_recall" in scores.figures:
        found = scores.figures["escalated_recall"]
        yield f"Of the tickets that need escalation it finds {_spread('escalated_recall', found)}."


def _graded_misses(run: Run, name: str) -> Iterator[str]:
    scores, scale = run.metrics.dimensions[name], run.sheet.scales[name]
    told = {each: _spread(each, figure) for each, figure in scores.figures.items() if figure.value is not None}
    urgent = sum(sum(row) for row in scores.confusion[scale.urgent_from :])
    if urgent:
        yield (
            f"Of {count(urgent)} urgent tickets ({' or '.join(scale.labels[scale.urgent_from :])}) it calls "
            f"{told['urgent_miss']} not urgent."
        )
        yield f"Two or more levels too low: {told['severe_under_triage']} of all."
    if "critical_recall" in told:
        yield f"Of the {scale.labels[-1]} ones it finds {told['critical_recall']}."
    if "false_alarm" in told:
        yield f"The price: {told['false_alarm']} of the others are called urgent."


def _trust(scores: Scores, manifest: Mapping[str, Any]) -> Iterator[str]:
    together = ", related tickets drawn together" if scores.clustered else ""
    yield f"{count(scores.n)} labelled tickets; ranges are 95 % intervals{together}."
    fallen = sum(scores.fallback_reasons.values())
    if scores.models or fallen:
        yield f"The model answered {count(scores.answered - fallen)}; rules stood in for it in {count(fallen)}."
    if scores.quotes:
        yield f"{percent(scores.quotes_grounded.value)} of {count(scores.quotes)} quotes stand in their ticket."
    broken = ", ".join(f"{name.replace('_', ' ')} in {count(n)}" for name, n in scores.rule_breaks.items() if n)
    yield f"Rules of the playbook are broken: {broken}." if broken else "The playbook's rules are never broken."
    yield from _sealed(manifest)


def _sealed(manifest: Mapping[str, Any]) -> Iterator[str]:
    data = manifest.get("dataset") or {}
    if data.get("split") == SEALED:
        times = int(data.get("openings") or 0)
        often = "once" if times == 1 else f"{count(times)} times"
        yield f"The sealed test split was opened {often} so far, this run included."
    elif data.get("split"):
        told = f"Measured on the split “{data['split']}”"
        yield f"{told}, which is open while rules and prompts are made: new tickets may fare worse."


def _flattery(run: Run, manifest: Mapping[str, Any]) -> Iterator[str]:
    told = flattered(run, manifest)
    if told is not None:
        yield f"{told[0].upper()}{told[1:]}. Measure on tickets that it has not seen."


def _warnings(scores: Scores, manifest: Mapping[str, Any], stopped: str | None) -> Iterator[str]:
    for name, each in scores.dimensions.items():
        yield from _dimension_warnings(title_of(name), each)
    if scores.missing > MAX_UNANSWERED * scores.n:
        yield f"{count(scores.missing)} of {count(scores.n)} tickets were not answered; they count as wrong."
    if stopped or manifest.get("state") == "stopped":
        why = stopped or manifest.get("stopped") or "unfinished"
        yield f"The run was stopped ({why}): what was not asked counts as wrong."
    if manifest.get("state") == RUNNING:
        yield "The run has not ended, or was killed: what was not asked counts as wrong."
    if scores.n < FEW:
        yield f"Only {count(scores.n)} tickets: read the intervals, not the values."
    if scores.unknown_ids:
        yield f"{count(scores.unknown_ids)} predictions belong to no labelled ticket and were left out."


def _dimension_warnings(title: str, scores: DimensionScores) -> Iterator[str]:
    if is_like_chance(scores):
        yield f"{title}: the labels look like chance. Agreement beyond chance (Cohen's κ) may be 0."
    elif is_near_majority(scores):
        yield f"{title}: not shown to be right more often than the most frequent label alone."
    held = scores.confidence
    if held is None or held.ece is None:
        return
    if held.miscalibrated:
        yield (
            f"{title}: confidences are off by {number(held.ece)} on average, more than noise "
            f"({number(held.noise_floor_p95)}). Calibrate before a threshold is set."
        )
    elif held.noise_floor_p95 is not None and held.ece <= held.noise_floor_p95:
        yield (
            f"{title}: the calibration error of {number(held.ece)} lies within its noise (up to "
            f"{number(held.noise_floor_p95)} with {count(held.n)} tickets): it proves neither good nor bad."
        )


def _and(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
