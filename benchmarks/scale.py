"""How cost grows with volume: a seeded simulation of a day, from measurements here, up to 100 million tickets.

    python benchmarks/scale.py       writes its tables and its chart into docs/scale.md (under a minute)

Arrivals: Poisson around a daily profile with bursts, second by second. Duplicates: a share of tickets repeats texts
whose frequencies follow Zipf; the hit rate of a cache that drops the oldest is Σ qᵢ·λᵢT/(1+λᵢT), T the time an entry
stays (Martina, Garetto, Leonardi 2014, "A unified approach to the performance analysis of caching systems"), checked
against drawn requests. A question waits for a free slot, then meets the provider's limits in requests and tokens a
minute; what is refused, or would be answered after the deadline, is answered by rules. Parameters: scale.toml.
"""

from __future__ import annotations

import math
import sys
import tomllib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scale_page
from figures import Figure, Outcome, show
from scale_inputs import Measured, measured

HERE = Path(__file__).parent
DAY_S, HOUR_S, MINUTE_S = 86_400, 3_600, 60
BUCKET_S = 1.0
"""A provider's limit is held second by second, as its documentation warns: a minute's worth may not come at once."""

Z95 = 1.6448536269514722
"""The 95 % point of the standard normal distribution: a lognormal's spread is ln(p95 ÷ median) ÷ this."""

Vector = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class Case:
    """A fleet to compute: tickets a day, the share that repeats, the provider's limits a minute."""

    size: float
    repeated: float
    limit: str
    rpm: float
    tpm: float


@dataclass(frozen=True)
class Day:
    """What a day came to. Money is USD a day, `*_gb` GB a day; `rules` is the share that rules had to answer."""

    case: Case
    peak_per_s: float
    hit_rate: float
    cores: int
    calls: float
    rules: float
    p50_s: float
    p99_s: float
    model_usd: float
    core_usd: float
    stored_gb: float
    cached_gb: float


def load(file: Path = HERE / "scale.toml") -> dict[str, Any]:
    """Read the parameters."""
    with file.open("rb") as stream:
        return tomllib.load(stream)


# --- duplicates


def hit_rate(case_per_s: float, repeated: float, told: dict[str, Any]) -> float:
    """Return the share of tickets whose answer is in a shared cache, at so many tickets a second."""
    weights = np.arange(1, told["templates"] + 1, dtype=np.float64) ** -told["zipf"]
    rates = case_per_s * repeated * weights / weights.sum()
    stays_s, longest_s = told["ttl_days"] * DAY_S, told["ttl_days"] * DAY_S
    rate = 0.0
    for _ in range(50):  # the more is missed, the sooner the oldest goes: a fixed point
        hits = float((rates * (rates * stays_s) / (1 + rates * stays_s)).sum()) / case_per_s if repeated else 0.0
        stays_s = min(longest_s, told["cache_entries"] / (case_per_s * (1 - hits)))
        if abs(hits - rate) < 1e-9:
            break
        rate = hits
    return hits


def drawn_hit_rate(repeated: float, rng: np.random.Generator, entries: int, templates: int, zipf: float) -> float:
    """Draw requests and keep a cache that drops the oldest: what the formula is checked against."""
    count = 300_000
    weights = np.arange(1, templates + 1, dtype=np.float64) ** -zipf
    texts = rng.choice(templates, size=count, p=weights / weights.sum())
    unique = rng.random(count) >= repeated
    kept: OrderedDict[int, None] = OrderedDict()
    hits = 0
    for number, text in enumerate(texts):
        key = -number - 1 if unique[number] else int(text)
        if key in kept:
            hits += number >= count // 2
            continue
        kept[key] = None
        if len(kept) > entries:
            kept.popitem(last=False)
    return hits / (count - count // 2)


# --- a day


def arrivals(sizes: Vector, told: dict[str, Any], rng: np.random.Generator) -> Vector:
    """Return how many tickets arrive in each second of a day, a column for each size."""
    hours = np.asarray(told["hours"]) / sum(told["hours"])
    shape = 1 / told["bursts_cv"] ** 2
    minutes = np.repeat(hours / MINUTE_S, MINUTE_S) * rng.gamma(shape, 1 / shape, DAY_S // MINUTE_S)
    seconds = np.repeat(minutes / MINUTE_S, MINUTE_S)
    return rng.poisson(np.outer(seconds / seconds.sum(), sizes)).astype(np.float64)


def simulate(cases: Sequence[Case], told: dict[str, Any], ours: Measured) -> list[Day]:
    """Compute a day of each case, all in the same arrivals for the same size."""
    rng = np.random.default_rng(told["seed"])
    sizes = sorted({case.size for case in cases})
    came = arrivals(np.asarray(sizes), told["day"], rng)
    return [_day(case, came[:, sizes.index(case.size)], told, ours, rng) for case in cases]


def _day(case: Case, came: Vector, told: dict[str, Any], ours: Measured, rng: np.random.Generator) -> Day:
    service, model = told["service"], told["model"]
    hits = hit_rate(max(case.size / DAY_S, 1e-9), case.repeated, told["tickets"])
    peak = float(np.quantile(came, service["peak_quantile"]))
    cost_us = ours.http_us + hits * ours.new_hit_us + (1 - hits) * ours.cold_us
    cores = max(1, math.ceil(peak * cost_us / 1e6 / service["busy"]))
    asked = rng.binomial(came.astype(np.int64), 1 - hits).astype(np.float64)
    served, waits, shed, refused = _queue(asked, cores, case, told)
    times = waits + rng.lognormal(math.log(model["median_s"]), _sigma(model), len(waits))
    late = float(served[times > service["deadline_s"]].sum())
    total, calls = float(came.sum()), float(served.sum())
    p50, p99 = _weighted(np.minimum(times, service["deadline_s"]), served, (0.5, 0.99))
    return Day(
        case, peak, hits, cores, calls, (shed + refused + late) / total, p50, p99,
        calls * ticket_usd(told), cores * 24 * told["prices"]["core_hour"], total * ours.stored_bytes / 1e9,
        calls * ours.answer_bytes / 1e9,
    )  # fmt: skip


def _queue(asked: Vector, cores: int, case: Case, told: dict[str, Any]) -> tuple[Vector, Vector, float, float]:
    """Go through a day: slots, then the provider's limit. Returns asked and waited by second, and what was shed."""
    service, model, tickets = told["service"], told["model"], told["tickets"]
    mean_s = model["median_s"] * math.exp(_sigma(model) ** 2 / 2)
    slots_per_s = cores * service["slots"] / mean_s
    tokens = tickets["prompt_tokens"] + tickets["completion_tokens"]
    limit_per_s = min(case.rpm, case.tpm / tokens) / MINUTE_S
    patience = max(0.0, service["deadline_s"] - model["median_s"]) * slots_per_s
    served, waits = np.zeros_like(asked), np.zeros_like(asked)
    queue = bucket = shed = refused = 0.0
    for second, new in enumerate(asked):
        bucket = min(bucket + limit_per_s, max(1.0, limit_per_s * BUCKET_S))
        queue += float(new)
        waits[second] = queue / slots_per_s
        going = min(queue, slots_per_s)
        queue -= going
        if queue > patience:
            shed, queue = shed + queue - patience, patience
        served[second] = min(going, bucket)
        bucket -= served[second]
        refused += going - served[second]
    return served, waits, shed, refused


def _sigma(model: dict[str, float]) -> float:
    return math.log(model["p95_s"] / model["median_s"]) / Z95


def _weighted(values: Vector, weights: Vector, shares: tuple[float, ...]) -> list[float]:
    order = np.argsort(values)
    reached = np.cumsum(weights[order])
    places = np.searchsorted(reached, np.asarray(shares) * reached[-1])
    return [float(values[order][min(place, len(values) - 1)]) for place in places]


def ticket_usd(told: dict[str, Any]) -> float:
    """Return what asking the hosted model about one ticket costs, with the prefix kept by the provider."""
    tickets, prices = told["tickets"], told["prices"]
    fresh = tickets["prompt_tokens"] - tickets["cached_tokens"]
    paid = fresh * prices["prompt"] + tickets["cached_tokens"] * prices["cached"]
    return float(paid + tickets["completion_tokens"] * prices["completion"]) / 1e6


# --- what is shown


def cases(told: dict[str, Any]) -> dict[str, list[Case]]:
    """Return the fleets that docs/scale.md shows: by size, by repetition, by limit."""
    free, usual = told["limits"][-1], told["tickets"]["usual_share"]

    def case(size: float, repeated: float, limit: dict[str, Any]) -> Case:
        return Case(size, repeated, limit["name"], limit["rpm"], limit["tpm"])

    sizes = told["day"]["sizes"]
    return {
        "sizes": [case(size, usual, free) for size in sizes],
        "repeated": [case(1e6, share, free) for share in told["tickets"]["repeated_shares"]],
        "limits": [case(size, usual, limit) for limit in told["limits"] for size in sizes],
    }


def outcome(*, quick: bool = False) -> Outcome:
    """Compute everything and write docs/scale.md; `quick` computes only up to a million tickets and writes nothing."""
    told, ours = load(), measured(HERE / "results")
    if quick:
        told["day"]["sizes"] = [size for size in told["day"]["sizes"] if size <= 1e6]
    groups = cases(told)
    days = {name: simulate(group, told, ours) for name, group in groups.items()}
    found = Outcome(tables=scale_page.tables(days, told, ours, ticket_usd(told)))
    found.figures += _check(told)
    if not quick:
        scale_page.write(found, days, told, ours)
    return found


def _check(told: dict[str, Any]) -> list[Figure]:
    """Hold the formula against drawn requests, on a cache small enough to overflow."""
    small = {**told["tickets"], "templates": 5_000, "cache_entries": 20_000, "ttl_days": 1e6}
    rng = np.random.default_rng(told["seed"])
    drawn = drawn_hit_rate(0.3, rng, small["cache_entries"], small["templates"], small["zipf"])
    formula = hit_rate(1.0, 0.3, small)
    return [Figure("scale", "hit rate by formula less by draw, cache too small", abs(formula - drawn), "", 0.01,
                   note=f"{formula:.4f} and {drawn:.4f}")]  # fmt: skip


if __name__ == "__main__":
    done = outcome(quick="--quick" in sys.argv)
    show(done.figures)
