"""Two systems on the same tickets: differences with paired intervals, exact tests, and the tickets that flipped."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from scipy import stats

from triagedesk.errors import ConfigError
from triagedesk.evals.figures import SMALL_SLICE, known
from triagedesk.evals.flips import Flip, flipped
from triagedesk.evals.metrics.counts import LOWER_IS_BETTER
from triagedesk.evals.metrics.draws import is_still, percentile_interval
from triagedesk.evals.metrics.intervals import detectable, holm, mcnemar
from triagedesk.evals.metrics.scale import Floats, Ints
from triagedesk.evals.paired import Bools, Pair, drawn_differences
from triagedesk.evals.run import Run
from triagedesk.evals.sheet import Sheet
from triagedesk.models import Frozen

SLICED = ("channel", "tier", "language", "length", "trait")
FEWEST = 6
"""Under six rows that differ no exact test can tell anything at the 5 % level: 2 · ½⁵ is .06, 2 · ½⁶ is .03."""
_POWERED = float(stats.norm.ppf(0.975) + stats.norm.ppf(0.8))


class Delta(Frozen):
    """One figure of A and of B; `delta` is B minus A with its paired 95 % interval. None where undefined.

    `discordant` counts the rows that can have moved it; `unmoved` says that no row of the dimension was said otherwise,
    in right or wrong. `detectable` is the smallest difference that these rows would
    show (80 % power, 5 % level) in the figure's own unit, None where they would show none.
    """

    name: str
    a: float | None
    b: float | None
    delta: float | None
    low: float | None = None
    high: float | None = None
    discordant: int
    unmoved: bool = False
    detectable: float | None = None

    @property
    def lower_is_better(self) -> bool:
        """Whether a fall is an improvement."""
        return self.name in LOWER_IS_BETTER

    @property
    def gain(self) -> tuple[float, float, float] | None:
        """The difference and its interval, turned so that more is better; None without an interval."""
        if self.delta is None or self.low is None or self.high is None:
            return None
        return (-self.delta, -self.high, -self.low) if self.lower_is_better else (self.delta, self.low, self.high)

    def held(self, margin: float) -> bool:
        """Say whether the whole interval stays within a margin, in the figure's own unit, on rows enough to tell."""
        return self.gain is not None and self.gain[1] >= -margin and self.discordant >= FEWEST

    @property
    def verdict(self) -> str:
        """What the interval shows: better, worse, the same (no row moved), or no difference shown."""
        if self.unmoved:
            return "the same"
        if self.gain is None:
            return "not measured"
        return "better" if self.gain[1] > 0 else "worse" if self.gain[2] < 0 else "no difference shown"


class SliceDelta(Frozen):
    """Accuracy on one value of a slice; `p_holm` is McNemar's exact p adjusted over all slices of all dimensions."""

    name: str
    value: str
    n: int
    accuracy_a: float
    accuracy_b: float
    only_a: int
    only_b: int
    p_value: float
    p_holm: float = 1.0


class Compared(Frozen):
    """One dimension: rows, rows whose label changed, McNemar's exact test on accuracy, figures and slices."""

    n: int
    changed: int
    only_a: int
    only_b: int
    p_value: float
    deltas: dict[str, Delta]
    slices: tuple[SliceDelta, ...] = ()


class Comparison(Frozen):
    """A against B. `broken` are tickets that A had right and B has not, `fixed` the other way, worst mistakes first."""

    n: int
    left_out: int
    clustered: bool
    draws: int
    dimensions: dict[str, Compared]
    broken: tuple[Flip, ...]
    fixed: tuple[Flip, ...]
    new_rule_breaks: dict[str, tuple[str, ...]]

    def fallen(self, margin: float = 0.0) -> list[str]:
        """Say in words which figures fell by more than `margin`, the whole interval beyond it, and new rule breaks.

        `margin` is in the figure's unit (.01 is one point); of the triage cost it is a share of A's cost.
        """
        said = [
            f"{dimension} {delta.name} {delta.a:.3f} → {delta.b:.3f} (95 % of Δ {delta.low:+.3f} to {delta.high:+.3f})"
            for dimension, compared in self.dimensions.items()
            for delta in compared.deltas.values()
            if delta.gain is not None and delta.gain[2] < -allowed(delta, margin)
        ]
        new = self.new_rule_breaks.items()
        return said + [f"new {kind.replace('_', ' ')}: {', '.join(ids[:5])}" for kind, ids in new]

    def untold(self, margin: float = 0.0) -> list[str]:
        """Say in words of which figures a fall by more than `margin` can be neither shown nor ruled out."""
        return [
            f"{dimension} {delta.name}: {why}"
            for dimension, compared in self.dimensions.items()
            for delta in compared.deltas.values()
            if (delta.a, delta.b) != (None, None)
            if (why := doubt(delta, allowed(delta, margin))) is not None
        ]

    def assert_no_regression(self, margin: float = 0.01, *, strict: bool = False) -> None:
        """Raise AssertionError that names what fell from A to B. Differences within the noise do not raise.

        With `strict`, what cannot be told on these rows raises too.
        """
        fallen = self.fallen(margin)
        if fallen:
            raise AssertionError("regression: " + "; ".join(fallen))
        untold = self.untold(margin) if strict else []
        if untold:
            raise AssertionError("cannot be told: " + "; ".join(untold))

    def as_json(self, flips: int | None = None) -> dict[str, Any]:
        """Return plain data, at most `flips` tickets each way; their numbers stand beside them."""
        plain = self.model_dump(mode="json", exclude={"broken", "fixed"})
        for name, compared in self.dimensions.items():
            for each, delta in compared.deltas.items():
                plain["dimensions"][name]["deltas"][each]["verdict"] = delta.verdict
        return plain | {
            way: {"n": len(found), "tickets": [flip.model_dump(mode="json") for flip in found[:flips]]}
            for way, found in (("broken", self.broken), ("fixed", self.fixed))
        }


def allowed(delta: Delta, margin: float) -> float:
    """Return a margin in a figure's own unit: of the triage cost it is a share of A's."""
    return margin * (delta.a or 0.0) if delta.name == "triage_cost" else margin


def doubt(delta: Delta, margin: float) -> str | None:
    """Say why a fall beyond a margin, in the figure's own unit, cannot be ruled out on these rows; None where it is."""
    if delta.unmoved or delta.held(margin):
        return None
    if delta.gain is None:
        return "not defined on these rows, or its interval is unknown"
    if delta.detectable is None:
        return f"only {delta.discordant} tickets differ: too few to tell"
    if delta.detectable > margin:
        return f"can detect ≥ {delta.detectable:.3f} only"
    return "beyond the margin, but its interval is not" if delta.gain[0] < -margin else None


def compare(a: Run, b: Run) -> Comparison:
    """Compare two runs of the same labelled rows, on those that both were asked about.

    Raises ConfigError when the rows, their gold labels or the playbooks' labels are not the same, or when one of the
    two answered none of the tickets.
    """
    places_a, places_b = same_rows(a.sheet, b.sheet)
    both = _asked(a)[places_a] & _asked(b)[places_b]
    places_a, places_b = places_a[both], places_b[both]
    if not len(places_a):
        raise ConfigError("no ticket was asked in both runs: there is nothing to compare")
    _answered(a.sheet, places_a, "A")
    _answered(b.sheet, places_b, "B")
    pairs = _pairs(a.sheet, b.sheet, places_a, places_b)
    groups = None if b.sheet.groups is None else b.sheet.groups[places_b]
    drawn = drawn_differences(pairs, groups, draws=b.draws, seed=b.seed)
    ids = [b.sheet.gold[place].id for place in places_b]
    return Comparison(
        n=len(places_a), left_out=int((~both).sum()), clustered=groups is not None, draws=b.draws,
        dimensions=_with_slices(pairs, {name: _compared(pair, drawn[name], groups) for name, pair in pairs.items()},
                                b.sheet, places_b),
        broken=flipped(pairs, ids, broken=True), fixed=flipped(pairs, ids, broken=False),
        new_rule_breaks=new_breaks(a.sheet.broken_rows(), b.sheet.broken_rows()),
    )  # fmt: skip


def _answered(sheet: Sheet, places: Ints, name: str) -> None:
    if not any(sheet.labels(sheet.predictions[place]) for place in places):
        raise ConfigError(f"{name} answered no ticket: there is nothing to compare")


def same_rows(a: Sheet, b: Sheet, names: tuple[str, str] = ("A", "B")) -> tuple[Ints, Ints]:
    """Return the places of the same rows in A and in B, in B's order. Raises ConfigError where they differ."""
    known_rows = {row.id: place for place, row in enumerate(a.gold)}
    if len(known_rows) != len(b.gold) or any(row.id not in known_rows for row in b.gold):
        raise ConfigError(f"not the same tickets: {len(a.gold)} in {names[0]}, {len(b.gold)} in {names[1]}; "
                          "run both on the same set, split and --limit")  # fmt: skip
    places = np.asarray([known_rows[row.id] for row in b.gold], dtype=np.int64)
    for place, row in zip(places, b.gold, strict=True):
        if a.gold[place].labels != row.labels or a.gold[place].data != row.data:
            raise ConfigError(f"ticket {row.id!r} is not the same in both sets; run both on the same file")
    return places, np.arange(len(b.gold), dtype=np.int64)


def _asked(run: Run) -> Bools:
    """Return which rows were asked: a run's folder holds a line for each. Elsewhere a missing one is no answer."""
    if run.folder is None:
        return np.ones(len(run.sheet), dtype=bool)
    return np.asarray([one.id != "" for one in run.sheet.predictions], dtype=bool)


def _pairs(a: Sheet, b: Sheet, places_a: Ints, places_b: Ints) -> dict[str, Pair]:
    pairs = {}
    for name, scale in b.scales.items():
        if name not in a.scales or a.scales[name].labels != scale.labels:
            raise ConfigError(f"{name}: the two playbooks have other labels; compare runs with the same labels")
        gold, said = (codes[places_b] for codes in b.codes(name))
        rows = np.flatnonzero(gold >= 0)
        if len(rows):
            pairs[name] = Pair(scale, rows, gold[rows], a.codes(name)[1][places_a][rows], said[rows])
    return pairs


def _compared(pair: Pair, drawn: Mapping[str, Floats], groups: Ints | None) -> Compared:
    units = len(pair) if groups is None else len(np.unique(groups[pair.rows]))
    only_a, only_b, p_value = mcnemar(pair.right_a, pair.right_b)
    return Compared(
        n=len(pair), changed=int(pair.changed.sum()), only_a=only_a, only_b=only_b, p_value=p_value,
        deltas={name: _delta(name, pair, values, drawn[name], units) for name, values in pair.figures().items()},
    )  # fmt: skip


def _delta(name: str, pair: Pair, values: tuple[float, float], drawn: Floats, units: int) -> Delta:
    """Return one difference. Draws of a handful of rows or groups that do not vary leave its interval unknown."""
    unknown = is_still(drawn) and units < FEWEST
    low, high = (float("nan"), float("nan")) if unknown else percentile_interval(drawn)
    rows, discordant = _moving(name, pair)
    return Delta(
        name=name, a=known(values[0]), b=known(values[1]), delta=known(values[1] - values[0]), low=known(low),
        high=known(high), discordant=discordant, unmoved=not pair.changed.any(),
        detectable=_detectable(rows, discordant, drawn),
    )  # fmt: skip


def _moving(name: str, pair: Pair) -> tuple[int | None, int]:
    """Return how many rows a rate of right answers stands on (None for any other figure), and how many moved it."""
    if name not in ("accuracy", "critical_recall"):
        return None, int(pair.changed.sum())
    held = pair.gold >= (0 if name == "accuracy" else len(pair.scale) - 1)
    return int(held.sum()), int((pair.right_a != pair.right_b)[held].sum())


def _detectable(rows: int | None, discordant: int, drawn: Floats) -> float | None:
    """Return what can be detected: Connor (1987) of a share of right answers, else 2.8 standard errors."""
    if rows is not None:
        return known(detectable(rows, discordant / rows)) if rows else None
    spread = drawn[~np.isnan(drawn)]
    return _POWERED * float(spread.std()) if discordant >= FEWEST and spread.size else None


def _with_slices(
    pairs: Mapping[str, Pair], compared: Mapping[str, Compared], sheet: Sheet, places: Ints
) -> dict[str, Compared]:
    """Add accuracy by slice; slices of fewer than 30 rows are judged by nothing."""
    found = {name: list(_slices(pair, sheet, places)) for name, pair in pairs.items()}
    adjusted = iter(holm([one.p_value for slices in found.values() for one in slices]))
    return {
        name: each.model_copy(update={"slices": tuple(
            one.model_copy(update={"p_holm": next(adjusted)}) for one in found[name]
        )})
        for name, each in compared.items()
    }  # fmt: skip


def _slices(pair: Pair, sheet: Sheet, places: Ints) -> Iterator[SliceDelta]:
    right_a, right_b, own = pair.right_a, pair.right_b, places[pair.rows]
    for name in SLICED:
        for value, rows in sheet.slices.get(name, {}).items():
            held = np.isin(own, rows)
            n = int(held.sum())
            if n < SMALL_SLICE:
                continue
            only_a, only_b, p_value = mcnemar(right_a[held], right_b[held])
            yield SliceDelta(name=name, value=value, n=n, accuracy_a=float(right_a[held].mean()),
                             accuracy_b=float(right_b[held].mean()), only_a=only_a, only_b=only_b,
                             p_value=p_value)  # fmt: skip


def new_breaks(a: Mapping[str, tuple[str, ...]], b: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """Return the tickets that break a rule in B and did not break it in A, by rule."""
    found = {kind: tuple(sorted(set(ids) - set(a.get(kind, ())))) for kind, ids in b.items()}
    return {kind: ids for kind, ids in found.items() if ids}
