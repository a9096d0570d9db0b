"""Every metric against scikit-learn, scipy, statsmodels, or its definition written out by brute force, to 1e-9."""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics as sk
from statsmodels.stats import contingency_tables, inter_rater, multitest, proportion

from triagedesk.evals.metrics import agreement, calibration, counts, draws, intervals, selective
from triagedesk.evals.metrics.scale import NO_ANSWER, Scale, as_codes

NEAR = 1e-9
COST = ((0.0, 1.0, 2.0, 3.0), (3.0, 0.0, 1.0, 2.0), (8.0, 4.0, 0.0, 1.0), (20.0, 12.0, 5.0, 0.0))
URGENCY = Scale(("low", "medium", "high", "critical"), ordinal=True, cost=COST)
ESCALATION = Scale(("management", "technical", "billing", "none"), rest="none")
W = np.asarray(COST)

many = settings(max_examples=30, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])


class Rows(NamedTuple):
    """Labels of one dimension: gold, said (NO_ANSWER where nothing was), and what a row weighs."""

    gold: Any
    said: Any
    weights: Any


@st.composite
def rows(draw: st.DrawFn) -> Rows:
    """Up to 40 rows over four labels: some labels absent on either side, some answers missing."""
    size = draw(st.integers(1, 40))
    gold_labels = draw(st.sets(st.integers(0, 3), min_size=1))
    said_labels = draw(st.sets(st.integers(NO_ANSWER, 3), min_size=1))
    gold = draw(st.lists(st.sampled_from(sorted(gold_labels)), min_size=size, max_size=size))
    said = draw(st.lists(st.sampled_from(sorted(said_labels)), min_size=size, max_size=size))
    weights = draw(st.lists(st.sampled_from([0.25, 0.5, 1.0, 3.0]), min_size=size, max_size=size))
    return Rows(np.asarray(gold), np.asarray(said), np.asarray(weights))


def _quiet(call: Callable[[], Any]) -> float:
    """Return an oracle's value without its warnings about absent classes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return float(call())


def _ratio(part: Any, whole: Any) -> float:
    return float(part / whole) if whole else math.nan


def _own(one: Rows) -> Any:
    """Predictions where no answer is a fifth label, which is never right."""
    return np.where(one.said == NO_ANSWER, 4, one.said)


def _least(one: Rows) -> Any:
    """Predictions where no answer is the least severe label."""
    return np.where(one.said == NO_ANSWER, 0, one.said)


def _table(one: Rows) -> Any:
    return sk.confusion_matrix(one.gold, _least(one), labels=range(4), sample_weight=one.weights)


def _cost(one: Rows) -> float:
    return float((_table(one) * W).sum() / one.weights.sum())


def _cost_skill(one: Rows) -> float:
    constant = min(float((W[one.gold, label] * one.weights).sum() / one.weights.sum()) for label in range(4))
    return 1 - _ratio(_cost(one), constant)


def _triage_kappa(one: Rows) -> float:
    return float(inter_rater.cohens_kappa(_table(one), weights=W, return_results=False))


def _f1(one: Rows) -> float:
    held = sorted(set(one.gold.tolist()))
    return float(sk.f1_score(one.gold, _own(one), average="macro", labels=held, zero_division=0,
                             sample_weight=one.weights))  # fmt: skip


def _balanced(one: Rows) -> float:
    return float(np.mean([_ratio(one.weights[(one.gold == k) & (one.said == k)].sum(), one.weights[one.gold == k].sum())
                          for k in set(one.gold.tolist())]))  # fmt: skip


def _kappa(one: Rows) -> float:
    return float(sk.cohen_kappa_score(one.gold, _own(one), labels=range(5), sample_weight=one.weights,
                                      replace_undefined_by=math.nan))  # fmt: skip


def _qwk(one: Rows) -> float:
    return float(sk.cohen_kappa_score(one.gold, _least(one), labels=range(4), weights="quadratic",
                                      sample_weight=one.weights, replace_undefined_by=math.nan))  # fmt: skip


def _share(part: Callable[[Any, Any], Any], whole: Callable[[Any, Any], Any]) -> Callable[[Rows], float]:
    """A share of rows, written out: `part` of `whole`, both conditions on (gold, said or least severe)."""

    def share(one: Rows) -> float:
        y, p = one.gold, _least(one)
        return _ratio(one.weights[part(y, p) & whole(y, p)].sum(), one.weights[whole(y, p)].sum())

    return share


def _every(y: Any, p: Any) -> Any:
    return np.ones(len(y), dtype=bool)


ORACLES: dict[str, Callable[[Rows], float]] = {
    "accuracy": lambda one: sk.accuracy_score(one.gold, _own(one), sample_weight=one.weights),
    "no_answer": lambda one: _ratio(one.weights[one.said == NO_ANSWER].sum(), one.weights.sum()),
    "macro_f1": _f1,
    "balanced_accuracy": _balanced,
    "mcc": lambda one: sk.matthews_corrcoef(one.gold, _own(one), sample_weight=one.weights),
    "kappa": _kappa,
    "qwk": _qwk,
    "mae": lambda one: sk.mean_absolute_error(one.gold, _least(one), sample_weight=one.weights),
    "triage_cost": _cost,
    "cost_skill": _cost_skill,
    "triage_kappa": _triage_kappa,
    "under_triage": _share(lambda y, p: p < y, _every),
    "over_triage": _share(lambda y, p: p > y, _every),
    "severe_under_triage": _share(lambda y, p: y - p >= 2, _every),
    "within_one": _share(lambda y, p: abs(y - p) <= 1, _every),
    "urgent_miss": _share(lambda y, p: p < 2, lambda y, p: y >= 2),
    "false_alarm": _share(lambda y, p: p >= 2, lambda y, p: y < 2),
    "critical_recall": _share(lambda y, p: p == 3, lambda y, p: y == 3),
    "critical_precision": _share(lambda y, p: y == 3, lambda y, p: p == 3),
    "critical_false_alarm": _share(lambda y, p: p == 3, lambda y, p: y != 3),
}


def _value(name: str, one: Rows, scale: Scale = URGENCY) -> float:
    return float(counts.figures(counts.confusion(one.gold, one.said, scale, one.weights), scale)[name])


def test_every_figure_of_an_ordinal_scale_has_an_oracle_here() -> None:
    assert set(ORACLES) == set(counts.raters(URGENCY)) | set(counts.numbers(URGENCY))


@pytest.mark.parametrize("name", sorted(ORACLES))
@settings(many, max_examples=20)
@given(one=rows())
def test_a_figure_agrees_with_its_oracle_on_weighted_rows(name: str, one: Rows) -> None:
    expected = _quiet(lambda: ORACLES[name](one))
    assert _value(name, one) == pytest.approx(expected, abs=NEAR, nan_ok=True)


@many
@given(one=rows())
def test_precision_recall_and_f1_by_label_agree_with_scikit_learn(one: Rows) -> None:
    table = counts.confusion(one.gold, one.said, URGENCY, one.weights)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        precision, recall, f1, support = sk.precision_recall_fscore_support(
            one.gold, _own(one), labels=range(4), zero_division=np.nan, sample_weight=one.weights
        )
    assert counts.precisions(table) == pytest.approx(precision, abs=NEAR, nan_ok=True)
    assert counts.recalls(table) == pytest.approx(recall, abs=NEAR, nan_ok=True)
    assert counts.f1s(table) == pytest.approx(f1, abs=NEAR, nan_ok=True)
    assert counts.support(table) == pytest.approx(support, abs=NEAR)


@many
@given(one=rows())
def test_escalated_recall_and_f2_agree_with_scikit_learn(one: Rows) -> None:
    said = np.where(one.said == NO_ANSWER, 3, one.said)
    raised, told = one.gold != 3, said != 3
    found = _value("escalated_recall", one, ESCALATION), _value("escalated_f2", one, ESCALATION)
    options = {"sample_weight": one.weights, "zero_division": np.nan}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = sk.recall_score(raised, told, **options), sk.fbeta_score(raised, told, beta=2, **options)
    assert found == pytest.approx(expected, abs=NEAR, nan_ok=True)


@many
@given(one=rows())
def test_the_confusion_table_is_scikit_learns(one: Rows) -> None:
    expected = sk.confusion_matrix(one.gold, _own(one), labels=range(5), sample_weight=one.weights)[:4]
    assert counts.confusion(one.gold, one.said, URGENCY, one.weights) == pytest.approx(expected, abs=NEAR)


@many
@given(several=st.lists(rows(), min_size=1, max_size=4))
def test_figures_of_stacked_tables_are_those_of_each_table(several: list[Rows]) -> None:
    tables = [counts.confusion(one.gold, one.said, URGENCY) for one in several]
    stacked = counts.figures(np.stack(tables), URGENCY)
    for place, table in enumerate(tables):
        for name, value in counts.figures(table, URGENCY).items():
            assert float(stacked[name][place]) == pytest.approx(float(value), abs=NEAR, nan_ok=True)


@many
@given(one=rows(), weight=st.integers(2, 5))
def test_a_weight_of_w_is_the_row_w_times(one: Rows, weight: int) -> None:
    weights = np.where(np.arange(len(one.gold)) % 2, weight, 1)
    again = Rows(np.repeat(one.gold, weights), np.repeat(one.said, weights), np.ones(weights.sum()))
    for name in ("accuracy", "macro_f1", "qwk", "triage_cost", "critical_precision"):
        assert _value(name, Rows(one.gold, one.said, weights)) == pytest.approx(_value(name, again), abs=NEAR,
                                                                               nan_ok=True)  # fmt: skip


@given(one=rows())
@many
def test_words_count_like_their_codes(one: Rows) -> None:
    words = [URGENCY.labels[code] for code in one.gold]
    said = [None if code == NO_ANSWER else URGENCY.labels[code] for code in one.said]
    assert counts.figure("qwk", words, said, URGENCY) == pytest.approx(
        counts.figure("qwk", one.gold, one.said, URGENCY), nan_ok=True
    )


@pytest.mark.parametrize(("levels", "first"), [(2, 1), (3, 2), (4, 2), (5, 3)])
def test_the_upper_half_of_the_levels_is_urgent(levels: int, first: int) -> None:
    assert Scale(tuple(map(str, range(levels))), ordinal=True).urgent_from == first


def test_gold_that_is_no_label_of_the_scale_is_refused() -> None:
    with pytest.raises(ValueError, match="gold"):
        counts.confusion(["low", "urgent"], ["low", "low"], URGENCY)
    with pytest.raises(ValueError, match="rows"):
        counts.confusion([0, 1], [0], URGENCY)
    assert as_codes(["urgent", None, "critical"], URGENCY).tolist() == [NO_ANSWER, NO_ANSWER, 3]


# Intervals and tests


@many
@given(n=st.integers(1, 5000), share=st.floats(0, 1), level=st.sampled_from([0.8, 0.9, 0.95, 0.99]))
def test_wilsons_interval_agrees_with_statsmodels(n: int, share: float, level: float) -> None:
    hits = round(n * share)
    expected = proportion.proportion_confint(hits, n, alpha=1 - level, method="wilson")
    assert intervals.wilson(hits, n, level) == pytest.approx(expected, abs=NEAR)


@many
@given(n=st.integers(1, 2000), share=st.floats(0, 1))
def test_the_most_that_can_be_missed_is_the_one_sided_bound_of_clopper_and_pearson(n: int, share: float) -> None:
    misses = round(n * share)
    expected = proportion.proportion_confint(misses, n, alpha=0.1, method="beta")[1]
    assert intervals.most_missed(misses, n) == pytest.approx(expected, abs=NEAR)


@pytest.mark.parametrize(("n", "most"), [(30, 0.095), (60, 0.049), (100, 0.030)])
def test_no_miss_seen_proves_as_little_as_the_table_says(n: int, most: float) -> None:
    assert intervals.most_missed(0, n) == pytest.approx(most, abs=0.0005)


@many
@given(pairs=st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=80))
def test_mcnemars_test_agrees_with_statsmodels(pairs: list[tuple[bool, bool]]) -> None:
    a, b = (np.asarray(side) for side in zip(*pairs, strict=True))
    assume((a != b).any())
    table = [[(a & b).sum(), (a & ~b).sum()], [(~a & b).sum(), (~a & ~b).sum()]]
    found = intervals.mcnemar(a, b)
    assert found.p_value == pytest.approx(contingency_tables.mcnemar(table, exact=True).pvalue, abs=NEAR)
    assert (found.only_a, found.only_b) == (table[0][1], table[1][0])


def test_two_systems_right_on_the_same_rows_do_not_differ() -> None:
    assert intervals.mcnemar([True, False], [True, False]).p_value == 1.0


@settings(many, max_examples=15)
@given(p_values=st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holms_adjustment_agrees_with_statsmodels(p_values: list[float]) -> None:
    expected = multitest.multipletests(p_values, method="holm")[1]
    assert intervals.holm(p_values) == pytest.approx(list(expected), abs=NEAR)


@pytest.mark.parametrize(
    ("delta", "discordant", "n"),
    [(0.03, 0.06, 521), (0.03, 0.10, 870), (0.03, 0.20, 1742), (0.05, 0.06, 186), (0.05, 0.10, 312), (0.05, 0.20, 626),
     (0.02, 0.06, 1175), (0.02, 0.10, 1960), (0.02, 0.20, 3923), (0.01, 0.06, 4707)],
)  # fmt: skip
def test_what_n_rows_can_detect_is_what_the_sample_size_table_says(delta: float, discordant: float, n: int) -> None:
    assert intervals.detectable(n, discordant) == pytest.approx(delta, rel=0.002)


def test_three_hundred_rows_prove_no_change_below_about_five_points() -> None:
    assert intervals.detectable(300, 0.1) == pytest.approx(0.05, abs=0.002)


def test_a_detectable_difference_has_the_power_it_claims() -> None:
    rng, n, discordant = np.random.default_rng(5), 870, 0.10
    delta = intervals.detectable(n, discordant)
    shares = [(discordant + delta) / 2, (discordant - delta) / 2, 1 - discordant]
    found = [stats.binomtest(int(a), int(a + b)).pvalue < 0.05 for a, b, _ in rng.multinomial(n, shares, size=2000)]
    assert np.mean(found) == pytest.approx(0.8, abs=0.05)


def test_too_few_rows_can_detect_nothing() -> None:
    assert math.isnan(intervals.detectable(5, 0.1))
    assert math.isnan(intervals.detectable(0, 0.1))
    assert math.isnan(intervals.detectable(100, 0.0))


@pytest.mark.parametrize(("p", "n"), [(0.50, 1068), (0.70, 897), (0.80, 683), (0.85, 545), (0.90, 385), (0.95, 203)])
def test_the_sample_size_table_gives_three_points_either_way(p: float, n: int) -> None:
    low, high = intervals.wilson(p * n, n)
    assert (high - low) / 2 == pytest.approx(0.03, abs=0.001)


# Bootstrap


GOLD40 = np.random.default_rng(1).choice(4, 40, p=[0.4, 0.3, 0.2, 0.1])
SAID40 = np.where(np.random.default_rng(2).random(40) < 0.7, GOLD40, np.random.default_rng(3).choice(4, 40))


def _drawn(metric: Callable[..., Any], groups: Any = None, number: int = 3000) -> Any:
    sample = draws.Sample(GOLD40 * 5 + SAID40, 20, groups)
    return metric(sample.draw(number, seed=7).reshape(number, 4, 5), URGENCY)


@pytest.mark.parametrize("metric", [counts.macro_f1, counts.qwk, counts.triage_cost], ids=["f1", "qwk", "cost"])
def test_draws_of_counts_are_distributed_as_scipys_bootstrap_of_rows(metric: Callable[..., Any]) -> None:
    def of_rows(gold: Any, said: Any) -> float:
        return float(metric(counts.confusion(gold, said, URGENCY), URGENCY))

    theirs = stats.bootstrap((GOLD40, SAID40), of_rows, paired=True, vectorized=False, n_resamples=3000,
                             method="percentile", rng=np.random.default_rng(11))  # fmt: skip
    ours = _drawn(metric)
    assert stats.ks_2samp(ours, theirs.bootstrap_distribution).pvalue > 0.01
    low, high = draws.percentile_interval(ours)
    assert (low, high) == pytest.approx(theirs.confidence_interval, abs=0.12 * (high - low))


def test_draws_of_groups_are_distributed_as_a_loop_over_whole_groups() -> None:
    groups = np.arange(40) // 4
    rng = np.random.default_rng(13)
    loop = []
    for _ in range(3000):
        taken = np.concatenate([np.flatnonzero(groups == one) for one in rng.integers(0, 10, 10)])
        loop.append(float(counts.macro_f1(counts.confusion(GOLD40[taken], SAID40[taken], URGENCY), URGENCY)))
    assert stats.ks_2samp(_drawn(counts.macro_f1, groups), loop).pvalue > 0.01


def test_a_cluster_bootstrap_widens_the_interval_when_rows_are_copies_of_each_other() -> None:
    copies = 9
    cells = np.repeat(GOLD40 * 5 + SAID40, copies)
    of = np.repeat(np.arange(40), copies)
    widths = []
    for groups in (None, of):
        drawn = draws.Sample(cells, 20, groups).draw(2000, seed=1).reshape(2000, 4, 5)
        low, high = draws.percentile_interval(counts.macro_f1(drawn, URGENCY))
        widths.append(high - low)
    assert widths[1] == pytest.approx(math.sqrt(copies) * widths[0], rel=0.15)


def test_groups_are_drawn_alike_however_many_labels_there_are() -> None:
    cells, groups = np.arange(90), np.arange(90) // 3
    drawn = draws.Sample(cells, 90, groups).draw(50, seed=3)
    assert (drawn.sum(1) == 90).all()
    assert (drawn[:, ::3] == drawn[:, 1::3]).all(), "rows of a group come together"


def test_the_same_seed_draws_the_same_and_another_does_not() -> None:
    sample = draws.Sample(GOLD40, 4)
    assert (sample.draw(20, 1) == sample.draw(20, 1)).all()
    assert (sample.draw(20, 1) != sample.draw(20, 2)).any()


def test_a_row_without_a_group_stands_for_itself() -> None:
    assert draws.numbered_groups(["a", None, "a", None]) is not None
    assert draws.numbered_groups(["a", None, "b", None]) is None


@many
@given(values=st.lists(st.one_of(st.just(math.nan), st.floats(-5, 5)), min_size=1, max_size=50))
def test_a_percentile_interval_leaves_out_what_is_not_defined(values: list[float]) -> None:
    known = [value for value in values if not math.isnan(value)]
    expected = tuple(np.percentile(known, [2.5, 97.5])) if known else (math.nan, math.nan)
    assert draws.percentile_interval(np.asarray(values)) == pytest.approx(expected, abs=NEAR, nan_ok=True)


def test_a_difference_that_lies_on_both_sides_of_zero_alike_is_none() -> None:
    drawn = np.random.default_rng(3).normal(size=999)
    assert intervals.two_sided(np.concatenate([drawn, -drawn])) == pytest.approx(1.0, abs=0.01)
    assert intervals.two_sided(np.full(999, 0.2)) == pytest.approx(2 / 1000)


# Calibration


class Said(NamedTuple):
    """Confidences, and whether each was right."""

    c: Any
    ok: Any


@st.composite
def confidences(draw: st.DrawFn) -> Said:
    """Up to 120 confidences, most of them ties, as language models give them."""
    grid = st.sampled_from([0.0, 0.3, 0.5, 0.6, 0.8, 0.9, 0.95, 0.99, 1.0])
    pairs = draw(st.lists(st.tuples(st.one_of(grid, st.floats(0, 1)), st.booleans()), min_size=1, max_size=120))
    c, ok = zip(*pairs, strict=True)
    return Said(np.asarray(c), np.asarray(ok, dtype=float))


def _ece_of_mapie(c: Any, ok: Any, bins: int) -> float:
    """MAPIE 1.6's expected_calibration_error(split_strategy="array split") of sorted scores, written out."""
    parts = [part for part in np.array_split(np.sort(c), bins) if part.size]
    edges = np.asarray([part.max() for part in parts[:-1]] + [np.inf])
    binned = np.digitize(c, edges, right=True)
    gaps = [abs(ok[binned == one].mean() - c[binned == one].mean()) * (binned == one).sum() for one in set(binned)]
    return float(sum(gaps) / len(c))


@many
@given(said=confidences(), bins=st.sampled_from([1, 5, 10, 15]))
def test_calibration_error_is_mapies_over_bins_of_equal_mass(said: Said, bins: int) -> None:
    found = calibration.expected_calibration_error(said.c, said.ok, bins)
    assert found == pytest.approx(_ece_of_mapie(said.c, said.ok, bins), abs=NEAR)


@many
@given(said=confidences(), seed=st.integers(0, 9))
def test_calibration_error_does_not_hang_on_the_order_of_rows(said: Said, seed: int) -> None:
    order = np.random.default_rng(seed).permutation(len(said.c))
    found = calibration.expected_calibration_error(said.c[order], said.ok[order])
    assert found == pytest.approx(calibration.expected_calibration_error(said.c, said.ok), abs=NEAR)


@many
@given(said=confidences())
def test_the_curves_points_hold_every_row_once(said: Said) -> None:
    points = calibration.curve(said.c, said.ok)
    assert sum(point.rows for point in points) == len(said.c)
    assert sum(point.rows * point.accuracy for point in points) == pytest.approx(said.ok.sum(), abs=1e-6)
    assert [point.confidence for point in points] == sorted(point.confidence for point in points)


@many
@given(said=confidences())
def test_log_loss_brier_and_auroc_agree_with_scikit_learn(said: Said) -> None:
    clipped = np.clip(said.c, 1e-6, 1 - 1e-6)
    expected = sk.log_loss(said.ok, y_proba=np.stack([1 - clipped, clipped], 1), labels=[0, 1])
    assert calibration.log_loss(said.c, said.ok) == pytest.approx(expected, abs=NEAR)
    assert calibration.brier(said.c, said.ok) == pytest.approx(
        sk.brier_score_loss(said.ok, said.c, labels=[0, 1]), abs=NEAR
    )
    auroc = _quiet(lambda: sk.roc_auc_score(said.ok, said.c)) if 0 < said.ok.mean() < 1 else math.nan
    assert calibration.auroc(said.c, said.ok) == pytest.approx(auroc, abs=NEAR, nan_ok=True)


@many
@given(said=confidences())
def test_spiegelhalters_p_value_is_its_formulas_on_both_sides(said: Said) -> None:
    spread = sum((1 - 2 * c) ** 2 * c * (1 - c) for c in said.c)
    assume(spread > 1e-12)
    z = sum((ok - c) * (1 - 2 * c) for c, ok in zip(said.c, said.ok, strict=True)) / math.sqrt(spread)
    one_sided = stats.norm.cdf(z)
    assert calibration.spiegelhalter(said.c, said.ok) == pytest.approx(2 * min(one_sided, 1 - one_sided), abs=NEAR)


@pytest.mark.parametrize("shift", [0.08, -0.08], ids=["overconfident", "underconfident"])
def test_spiegelhalters_test_sees_eight_points_in_either_direction(shift: float) -> None:
    rng = np.random.default_rng(4)
    c = rng.uniform(0.6, 0.9, 2000)
    ok = (rng.random(2000) < c - shift).astype(float)
    assert calibration.spiegelhalter(c, ok) < 1e-3
    assert calibration.spiegelhalter(c, (rng.random(2000) < c).astype(float)) > 0.01


NOISE = [(100, 0.084, 0.113, 0.069, 0.102), (200, 0.060, 0.083, 0.050, 0.071),
         (500, 0.038, 0.051, 0.031, 0.043), (1000, 0.027, 0.037, 0.022, 0.032),
         (2000, 0.019, 0.026, 0.016, 0.022), (5000, 0.012, 0.016, 0.010, 0.014)]  # fmt: skip


@pytest.mark.parametrize(("n", "mean15", "p95_15", "mean10", "p95_10"), NOISE, ids=lambda value: f"{value:g}")
def test_the_noise_floor_is_the_tables(n: int, mean15: float, p95_15: float, mean10: float, p95_10: float) -> None:
    c = stats.beta.ppf((np.arange(n) + 0.5) / n, 8, 1)  # accuracy .89
    for bins, mean, p95 in ((15, mean15, p95_15), (10, mean10, p95_10)):
        floor = calibration.noise_floor(c, bins=bins)
        assert floor.mean == pytest.approx(mean, rel=0.12)
        assert floor.p95 == pytest.approx(p95, rel=0.12)


def test_the_noise_floor_is_what_draws_of_right_and_wrong_show() -> None:
    rng = np.random.default_rng(9)
    c = np.round(rng.beta(8, 1, 300), 1)  # ties, as language models give them
    errors = [calibration.expected_calibration_error(c, rng.random(300) < c) for _ in range(1000)]
    floor = calibration.noise_floor(c, draws=1000)
    assert floor.mean == pytest.approx(np.mean(errors), rel=0.1)
    assert floor.p95 == pytest.approx(np.percentile(errors, 95), rel=0.1)


@pytest.mark.parametrize(("error", "off"), [(0.05, False), (0.06, False), (0.08, True)])
def test_only_an_error_well_above_its_noise_floor_is_miscalibration(error: float, off: bool) -> None:
    assert calibration.is_off(error, calibration.NoiseFloor(0.04, 0.055)) is off


def test_nothing_measured_is_not_a_number() -> None:
    nothing: list[float] = []
    for metric in (calibration.expected_calibration_error, calibration.log_loss, calibration.brier, calibration.auroc,
                   calibration.spiegelhalter, selective.aurc):  # fmt: skip
        assert math.isnan(metric(nothing, nothing))
    assert math.isnan(calibration.noise_floor(nothing).mean)
    assert calibration.curve(nothing, nothing) == []
    assert draws.Sample(np.zeros(0, dtype=np.int64), 3).draw(2).sum() == 0
    assert math.isnan(intervals.wilson(0, 0)[0])


# Selective prediction


few = st.lists(st.tuples(st.sampled_from([0.5, 0.9, 0.95]), st.sampled_from([0.0, 1.0, 4.0])), min_size=1, max_size=6)


def _orders(c: Any, loss: Any) -> Any:
    """Losses after each row, averaged over every order that confidence allows."""
    allowed = [list(order) for order in itertools.permutations(range(len(c)))
               if all(c[a] >= c[b] for a, b in itertools.pairwise(order))]  # fmt: skip
    return np.mean([np.cumsum(loss[order]) / np.arange(1, len(c) + 1) for order in allowed], axis=0)


@settings(many, max_examples=20)
@given(pairs=few)
def test_risk_over_coverage_is_the_average_over_every_order_of_ties(pairs: list[tuple[float, float]]) -> None:
    c, loss = (np.asarray(side) for side in zip(*pairs, strict=True))
    risks = _orders(c, loss)
    best = np.cumsum(np.sort(loss)) / np.arange(1, len(c) + 1)
    assert selective.aurc(c, loss) == pytest.approx(risks.mean(), abs=NEAR)
    assert selective.excess_aurc(c, loss) == pytest.approx(risks.mean() - best.mean(), abs=NEAR)
    for taken in range(1, len(c) + 1):
        assert selective.risk_at_coverage(c, loss, taken / len(c)) == pytest.approx(risks[taken - 1], abs=NEAR)


@many
@given(said=confidences(), risk=st.sampled_from([0.0, 0.05, 0.2, 0.5]))
def test_the_widest_coverage_of_a_risk_is_found_among_all_thresholds(said: Said, risk: float) -> None:
    wrong = 1 - said.ok
    held = [(said.c >= at).mean() for at in set(said.c) if wrong[said.c >= at].mean() <= risk]
    assert selective.coverage_at_risk(said.c, wrong, risk) == pytest.approx(max(held, default=0.0), abs=NEAR)


@many
@given(said=confidences(), risk=st.sampled_from([0.1, 0.3, 0.6]))
def test_a_threshold_tells_the_risk_coverage_and_bound_of_the_rows_that_it_takes(said: Said, risk: float) -> None:
    wrong = 1 - said.ok
    found = selective.threshold_for_risk(said.c, wrong, risk)
    taken = said.c >= found.threshold
    assert found.rows == taken.sum()
    assert found.coverage == pytest.approx(taken.mean())
    if found.rows:
        bound = proportion.proportion_confint(wrong[taken].sum(), taken.sum(), alpha=0.1, method="beta")[1]
        assert found.bound == pytest.approx(bound, abs=NEAR)
        assert found.risk == pytest.approx(wrong[taken].mean())
        assert found.bound <= risk


def test_a_threshold_holds_its_risk_in_nineteen_samples_of_twenty() -> None:
    rng, broken = np.random.default_rng(8), 0
    for _ in range(400):
        c = rng.uniform(0.5, 1, 300)
        found = selective.threshold_for_risk(c, rng.random(300) > c, 0.12)
        true_risk = 1 - (max(found.threshold, 0.5) + 1) / 2 if found.rows else 0.0
        broken += true_risk > 0.12
    assert broken / 400 <= 0.05 + 0.02


def test_where_no_threshold_holds_the_risk_nothing_is_taken() -> None:
    found = selective.threshold_for_risk([0.9] * 50, [1] * 25 + [0] * 25, 0.05)
    assert found.threshold == math.inf
    assert found.rows == 0


# Agreement


@many
@given(one=rows(), weights=st.sampled_from(["none", "linear", "quadratic"]))
def test_kappa_of_annotators_agrees_with_scikit_learn_over_rows_that_both_labelled(one: Rows, weights: Any) -> None:
    both = one.said != NO_ANSWER
    assume(both.any())
    expected = _quiet(lambda: sk.cohen_kappa_score(
        one.gold[both], one.said[both], labels=range(4), weights=None if weights == "none" else weights,
        replace_undefined_by=math.nan,
    ))  # fmt: skip
    assert agreement.cohen_kappa(one.gold, one.said, URGENCY, weights) == pytest.approx(expected, abs=NEAR, nan_ok=True)


PUBLISHED = np.asarray([
    [1, 2, 3, 3, 2, 1, 4, 1, 2, 0, 0, 0], [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, 0, 3],
    [0, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, 0], [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, 0],
]) - 1  # fmt: skip
"""Krippendorff, Computing Krippendorff's Alpha-Reliability (2011), section C; 0 was a hole."""


@pytest.mark.parametrize(("level", "alpha"), [("nominal", 0.743), ("ordinal", 0.815)])
def test_krippendorffs_alpha_is_that_of_his_published_example(level: Any, alpha: float) -> None:
    scale = Scale(("1", "2", "3", "4", "5"), ordinal=True)
    assert agreement.krippendorff_alpha(PUBLISHED, scale, level) == pytest.approx(alpha, abs=0.0005)


def _alpha(ratings: Any, level: str) -> float:
    """Krippendorff's definition over pairs of ratings: observed inside units against expected among all."""
    units = [[int(code) for code in unit if code != NO_ANSWER] for unit in ratings.T]
    units = [unit for unit in units if len(unit) > 1]
    values = [code for unit in units for code in unit]
    mass = [values.count(code) for code in range(4)]

    def distance(a: int, b: int) -> float:
        low, high = min(a, b), max(a, b)
        return float(a != b) if level == "nominal" else (sum(mass[low : high + 1]) - (mass[a] + mass[b]) / 2) ** 2

    seen = sum(distance(*pair) / (len(unit) - 1) for unit in units for pair in itertools.permutations(unit, 2))
    by_chance = sum(distance(*pair) for pair in itertools.permutations(values, 2))
    return 1 - seen * (len(values) - 1) / by_chance if by_chance else math.nan


@many
@given(data=st.data(), level=st.sampled_from(["nominal", "ordinal"]))
def test_krippendorffs_alpha_is_its_definition_over_pairs(data: st.DataObject, level: Any) -> None:
    raters, units = data.draw(st.integers(2, 4)), data.draw(st.integers(1, 8))
    codes = st.lists(st.integers(NO_ANSWER, 3), min_size=units, max_size=units)
    ratings = np.asarray(data.draw(st.lists(codes, min_size=raters, max_size=raters)))
    found = agreement.krippendorff_alpha(ratings, URGENCY, level)
    assert found == pytest.approx(_alpha(ratings, level), abs=NEAR, nan_ok=True)


repeats = st.lists(st.lists(st.sampled_from(["low", "high", None]), min_size=1, max_size=4), min_size=1, max_size=8)


@many
@given(answers=repeats)
def test_flips_and_pairwise_agreement_are_counted_over_repeated_rows(answers: list[list[str | None]]) -> None:
    several = [row for row in answers if len(row) > 1]
    flips = [len(set(row)) > 1 for row in several]
    same = [np.mean([a == b for a, b in itertools.combinations(row, 2)]) for row in several]
    expected = (np.mean(flips), np.mean(same)) if several else (math.nan, math.nan)
    found = agreement.flip_rate(answers), agreement.pairwise_agreement(answers)
    assert found == pytest.approx(expected, abs=NEAR, nan_ok=True)


@pytest.mark.parametrize(
    ("votes", "winner"),
    [([0, 0, 3], 0), ([0, 3], 3), ([1, 2, 1, 2], 2), ([NO_ANSWER, 1], 1), ([NO_ANSWER], NO_ANSWER), ([], NO_ANSWER)],
    ids=["most", "tie-to-the-more-urgent", "two-and-two", "no-answer-has-no-vote", "nothing-said", "nobody"],
)
def test_a_vote_goes_to_the_most_and_a_tie_to_the_more_urgent(votes: list[int], winner: int) -> None:
    assert agreement.majority(votes, URGENCY) == winner
