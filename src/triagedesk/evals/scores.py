"""What a system is worth on a labelled set: every figure with its interval, and what it took to answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from triagedesk.evals.dimension import dimension_scores
from triagedesk.evals.figures import Figure, Latency, Repeats, Scores, drawn_figure, grouped_rate, rate_figure
from triagedesk.evals.metrics import agreement
from triagedesk.evals.metrics.draws import DRAWS, Sample, is_still
from triagedesk.evals.metrics.scale import NO_ANSWER
from triagedesk.evals.sheet import Sheet

Prevalence = Mapping[str, Mapping[str, float]]


def score(sheet: Sheet, *, draws: int = DRAWS, seed: int = 0, prevalence: Prevalence | None = None) -> Scores:
    """Score a sheet. Rates get Wilson's interval, or where rows come in groups and for all else a bootstrap's.

    Where all draws are equal, as where nothing is wrong, a bootstrap knows no interval: a rate gets Wilson's with the
    groups as its n, any other figure none.

    `prevalence` gives, by dimension, the share that each label has on a real desk: gold sets hold more emergencies.
    """
    shares = prevalence or {}
    grounded, quotes = sheet.quotes()
    predictions = sheet.predictions
    answered = sum(bool(sheet.labels(one)) for one in predictions)
    return Scores(
        n=len(sheet), answered=answered, missing=len(sheet) - answered,
        errors=_count(one.error for one in predictions), unknown_ids=sheet.unknown,
        clustered=sheet.groups is not None, draws=draws, seed=seed,
        joint_exact=_joint(sheet, draws, seed),
        dimensions={
            name: dimension_scores(sheet, name, draws=draws, seed=seed, prevalence=shares.get(name))
            for name in sheet.scales
        },
        rule_breaks=dict(sheet.rule_breaks()), quotes_grounded=rate_figure(grounded, quotes), quotes=quotes,
        sources=_count(one.source for one in predictions),
        fallback_reasons=_count(one.fallback_reason for one in predictions),
        models=_count(one.model for one in predictions),
        to_review=sum(one.needs_review for one in predictions), asked_again=sum(one.asks > 1 for one in predictions),
        latency=_latency(sheet), tokens=_tokens(sheet), cost_usd=_cost(sheet), repeats=_repeats(sheet),
    )  # fmt: skip


def _joint(sheet: Sheet, draws: int, seed: int) -> Figure:
    """Return the share of rows right in every dimension that gold labels."""
    right = np.ones(len(sheet), dtype=bool)
    for name in sheet.scales:
        gold, said = sheet.codes(name)
        right &= (gold == said) | (gold == NO_ANSWER)
    if sheet.groups is None or not draws:
        return rate_figure(float(right.sum()), len(right))
    drawn = Sample(right.astype(np.int64), 2, sheet.groups).draw(draws, seed)
    shares = drawn[:, 1] / drawn.sum(1)
    if is_still(shares):
        return grouped_rate(float(right.sum()), len(right), len(np.unique(sheet.groups)))
    return drawn_figure(float(right.mean()), shares)


def _count(values: Any) -> dict[str, int]:
    return dict(Counter(value for value in values if value).most_common())


def _latency(sheet: Sheet) -> Latency:
    times = [one.latency_ms for one in sheet.predictions if one.latency_ms is not None]
    if not times:
        return Latency(n=0)
    p50, p95 = np.percentile(times, [50, 95])
    return Latency(n=len(times), p50_ms=float(p50), p95_ms=float(p95))


def _tokens(sheet: Sheet) -> dict[str, int]:
    total: Counter[str] = Counter()
    for one in sheet.all_predictions():
        total.update({name: int(n) for name, n in one.tokens.items()})
    return dict(total)


def _cost(sheet: Sheet) -> float | None:
    prices = [one.cost_usd for one in sheet.all_predictions() if one.cost_usd is not None]
    return sum(prices) if prices else None


def _repeats(sheet: Sheet) -> Repeats | None:
    if not sheet.repeats:
        return None
    said: Mapping[str, list[list[str | None]]] = {
        name: [[sheet.labels(one).get(name) for one in row] for row in sheet.repeats.values()] for name in sheet.scales
    }
    return Repeats(
        tickets=len(sheet.repeats),
        flip_rate={name: agreement.flip_rate(rows) for name, rows in said.items()},
        pairwise_agreement={name: agreement.pairwise_agreement(rows) for name, rows in said.items()},
    )
