"""Two runs compared: paired intervals, exact tests, slices under Holm, flipped tickets, what may be compared."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from evals_pairs import PLAYBOOK, SECRET, gold_labels, right, write_run, write_set, wrong_at
from triagedesk.cli import main
from triagedesk.errors import ConfigError
from triagedesk.evals import Gold, Run, assert_no_regression, compare, make_sheet
from triagedesk.evals.comparison import Comparison
from triagedesk.evals.conduct import reopened
from triagedesk.evals.flips import severity
from triagedesk.evals.metrics.counts import figure
from triagedesk.evals.metrics.scale import Scale, scale_of
from triagedesk.evals.paired import Pair, drawn_differences
from triagedesk.evals.predictions import Prediction

URGENCY = scale_of(PLAYBOOK, "urgency")


@pytest.fixture(autouse=True)
def _elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


def compared(a: Path, b: Path) -> Comparison:
    return compare(reopened(a)[1], reopened(b)[1])


def noisy_pair(n: int, scale: Scale = URGENCY, *, seed: int = 1) -> Pair:
    """Return a pair of which A is right in 80 % and B in 70 % of the rows, some unanswered."""
    rng = np.random.default_rng(seed)
    gold = rng.integers(0, len(scale), n)
    said = [np.where(rng.random(n) < share, gold, rng.integers(-1, len(scale), n)) for share in (0.8, 0.7)]
    return Pair(scale, np.arange(n), gold, *said)


def test_both_sides_of_a_pair_have_the_figures_that_each_has_alone() -> None:
    pair = noisy_pair(300)
    for name, (a, b) in pair.figures().items():
        assert a == pytest.approx(figure(name, pair.gold, pair.a, URGENCY), abs=1e-12)
        assert b == pytest.approx(figure(name, pair.gold, pair.b, URGENCY), abs=1e-12)


def test_the_drawn_tables_of_both_sides_hold_the_same_gold_rows() -> None:
    pair = noisy_pair(200)
    joint = np.random.default_rng(0).multinomial(200, np.full(pair.width, 1 / pair.width), size=5).astype(float)
    table_a, table_b = pair.tables(joint)
    assert (table_a.sum(-1) == table_b.sum(-1)).all()
    assert (table_a.sum((-2, -1)) == 200).all()


@pytest.mark.parametrize("name", ["accuracy", "macro_f1", "qwk", "triage_cost"])
def test_the_paired_interval_is_the_one_that_scipy_draws_row_by_row(name: str) -> None:
    pair = noisy_pair(250)

    def difference(gold: object, a: object, b: object) -> float:
        return figure(name, gold, b, URGENCY) - figure(name, gold, a, URGENCY)  # type: ignore[arg-type]

    drawn = drawn_differences({"urgency": pair}, None, draws=4000, seed=0)["urgency"][name]
    told = stats.bootstrap((pair.gold, pair.a, pair.b), difference, paired=True, vectorized=False, n_resamples=1000,
                           method="percentile", rng=np.random.default_rng(0))  # fmt: skip
    wide = told.confidence_interval.high - told.confidence_interval.low
    assert np.percentile(drawn, [2.5, 97.5]) == pytest.approx(list(told.confidence_interval), abs=wide / 8)


def test_rows_of_a_group_are_drawn_together_so_that_copies_add_no_certainty() -> None:
    pair = noisy_pair(100)
    copies = Pair(URGENCY, np.arange(500), *(np.repeat(codes, 5) for codes in (pair.gold, pair.a, pair.b)))
    alone = drawn_differences({"x": pair}, None, draws=3000, seed=0)["x"]["accuracy"].std()
    believed = drawn_differences({"x": copies}, None, draws=3000, seed=0)["x"]["accuracy"].std()
    grouped = drawn_differences({"x": copies}, np.repeat(np.arange(100), 5), draws=3000, seed=0)["x"]["accuracy"].std()
    assert grouped == pytest.approx(alone, rel=0.08)
    assert believed < 0.55 * alone


def test_77_labels_are_drawn_in_blocks_that_all_differ() -> None:
    scale = Scale(tuple(f"l{i}" for i in range(77)))
    drawn = drawn_differences({"x": noisy_pair(500, scale)}, None, draws=900, seed=0)["x"]["accuracy"]
    at_once = 5_000_000 // (77 * 78)
    assert len(drawn) == 900
    assert not (drawn[: 900 - at_once] == drawn[at_once:]).all()


def test_two_runs_of_the_same_answers_differ_in_nothing(tmp_path: Path) -> None:
    evals = write_set(tmp_path, 40)
    said = wrong_at(3, urgency="low")
    found = compared(write_run(evals, "a", said), write_run(evals, "b", said))
    for each in found.dimensions.values():
        assert (each.changed, each.p_value) == (0, 1.0)
        assert {delta.verdict for delta in each.deltas.values()} == {"the same"}
    assert found.broken == found.fixed == ()


def test_a_fall_and_a_rise_of_cost_are_both_called_worse(tmp_path: Path) -> None:
    evals = write_set(tmp_path, 80)
    worse = write_run(evals, "b", wrong_at(*range(3, 80, 4), urgency="low"))
    deltas = compared(write_run(evals, "a"), worse).dimensions["urgency"].deltas
    worsened = ("accuracy", "macro_f1", "critical_recall", "triage_cost", "urgent_miss")
    assert {deltas[name].verdict for name in worsened} == {"worse"}
    assert deltas["accuracy"].delta is not None
    assert deltas["accuracy"].delta < 0
    assert deltas["triage_cost"].delta is not None
    assert deltas["triage_cost"].delta > 0
    assert deltas["false_alarm"].verdict == "no difference shown"


def test_mcnemar_counts_what_broke_and_what_was_fixed(tmp_path: Path) -> None:
    evals = write_set(tmp_path, 60)
    a = write_run(evals, "a", wrong_at(0, 4, issue_type="feedback"))
    b = write_run(evals, "b", wrong_at(*range(10, 22), issue_type="feedback"))
    found = compared(a, b).dimensions["issue_type"]
    assert (found.only_a, found.only_b) == (12, 2)
    assert found.p_value == pytest.approx(stats.binomtest(12, 14, 0.5).pvalue)


def test_what_can_be_detected_is_told_in_the_share_of_tickets_that_differ(tmp_path: Path) -> None:
    evals = write_set(tmp_path, 312)
    a = write_run(evals, "a", wrong_at(*range(16), issue_type="feedback"))
    b = write_run(evals, "b", wrong_at(*range(16, 31), issue_type="feedback"))
    detectable = compared(a, b).dimensions["issue_type"].deltas["accuracy"].detectable
    assert detectable == pytest.approx(0.05, abs=0.001)  # EVALS: 312 rows, 10 % discordant


def test_a_handful_of_differing_tickets_can_show_nothing(tmp_path: Path) -> None:
    evals = write_set(tmp_path, 40)
    found = compared(write_run(evals, "a"), write_run(evals, "b", wrong_at(3, urgency="low")))
    deltas = found.dimensions["urgency"].deltas
    assert {delta.detectable for delta in deltas.values()} == {None}


def test_flips_name_ids_and_labels_the_worst_first_and_never_text(tmp_path: Path) -> None:
    evals = write_set(tmp_path, 40)

    def said(i: int, gold: dict[str, str]) -> dict[str, str]:
        return {**gold, **{3: {"urgency": "low"}, 4: {"urgency": "medium"}, 6: {"escalation": "none"}}.get(i, {})}

    found = compared(write_run(evals, "a", wrong_at(8, issue_type="feedback")), write_run(evals, "b", said))
    assert [(flip.id, flip.gold, flip.a, flip.b, flip.severity) for flip in found.broken] == [
        ("t-3", "critical", "critical", "low", 20.0), ("t-6", "technical", "technical", "none", 2.0),
        ("t-4", "low", "low", "medium", 1.0),
    ]  # fmt: skip
    assert [flip.id for flip in found.fixed] == ["t-8"]
    assert SECRET not in json.dumps(found.as_json())


def test_a_label_that_is_none_of_the_playbooks_is_not_repeated(tmp_path: Path) -> None:
    evals = write_set(tmp_path, 40)
    found = compared(write_run(evals, "a"), write_run(evals, "b", wrong_at(3, urgency=SECRET)))
    assert found.broken[0].b is None
    assert found.new_rule_breaks == {"unknown_label": ("t-3",)}


@pytest.mark.parametrize(("gold", "said", "bad"), [(2, 0, 4.0), (0, 2, 2.0), (2, -1, 4.0)])
def test_without_prices_too_low_counts_twice_the_levels(gold: int, said: int, bad: float) -> None:
    assert severity(Scale(("a", "b", "c"), ordinal=True), gold, said) == bad


def test_slices_are_judged_by_holm_over_all_of_them_and_small_ones_not_at_all(tmp_path: Path) -> None:
    evals = write_set(tmp_path, 80)
    every_call = write_run(evals, "b", wrong_at(*range(1, 21, 2), issue_type="feedback"))
    found = compared(write_run(evals, "a"), every_call)
    slices = {(name, one.name, one.value): one for name, each in found.dimensions.items() for one in each.slices}
    voice = slices["issue_type", "channel", "voice"]
    assert (voice.n, voice.only_a) == (40, 10)
    assert voice.p_holm == pytest.approx(min(1.0, voice.p_value * len(slices)))
    assert min(one.n for one in slices.values()) >= 30
    few = compared(*(write_run(write_set(tmp_path / "few", 28), name) for name in "ab"))
    assert few.dimensions["urgency"].slices == ()


def test_tickets_that_one_run_never_asked_are_left_out_and_told(tmp_path: Path) -> None:
    evals = write_set(tmp_path, 40)
    stopped = write_run(evals, "b", lambda i, gold: gold if i < 30 else None)
    found = compared(write_run(evals, "a"), stopped)
    assert (found.n, found.left_out) == (30, 10)
    assert found.dimensions["urgency"].changed == 0


def test_a_missing_line_of_a_file_of_predictions_is_a_wrong_answer() -> None:
    rows = [Gold(i, f"t-{i}", {"body": "x"}, gold_labels(i)) for i in range(10)]
    said = [Prediction(row.id, labels=row.labels) for row in rows]
    found = compare(Run(make_sheet(rows, said, PLAYBOOK), 100), Run(make_sheet(rows, said[:8], PLAYBOOK), 100))
    assert (found.n, found.dimensions["urgency"].only_a) == (10, 2)


def test_other_tickets_or_other_gold_labels_cannot_be_compared() -> None:
    rows = [Gold(i, f"t-{i}", {"body": SECRET}, gold_labels(i)) for i in range(10)]
    said = [Prediction(row.id, labels=row.labels) for row in rows]
    whole = Run(make_sheet(rows, said, PLAYBOOK), 0)
    with pytest.raises(ConfigError, match="10 in A, 9 in B"):
        compare(whole, Run(make_sheet(rows[:9], said, PLAYBOOK), 0))
    relabelled = [*rows[:9], Gold(9, "t-9", {"body": SECRET}, {**gold_labels(9), "urgency": "critical"})]
    with pytest.raises(ConfigError, match="'t-9' is not the same") as problem:
        compare(whole, Run(make_sheet(relabelled, said, PLAYBOOK), 0))
    assert SECRET not in str(problem.value)


def test_the_order_of_the_rows_does_not_matter() -> None:
    rows = [Gold(i, f"t-{i}", {"body": "x"}, gold_labels(i)) for i in range(12)]
    said = [Prediction(row.id, labels={**row.labels, "urgency": "low"}) for row in rows]
    found = compare(Run(make_sheet(rows, said, PLAYBOOK), 50), Run(make_sheet(rows[::-1], said, PLAYBOOK), 50))
    assert found.dimensions["urgency"].changed == 0


def test_the_test_helper_names_what_fell_and_lets_noise_pass(tmp_path: Path) -> None:
    evals = write_set(tmp_path, 80)
    a = reopened(write_run(evals, "a"))[1]
    worse = reopened(write_run(evals, "b", wrong_at(*range(3, 60, 4), urgency="high")))[1]
    with pytest.raises(AssertionError, match=r"urgency critical_recall 1\.000 → 0\.250"):
        assert_no_regression(worse, a)
    assert_no_regression(a, worse)
    assert_no_regression(reopened(write_run(evals, "c", wrong_at(3, urgency="high")))[1], a)


def test_the_test_helper_raises_for_a_new_rule_break_and_reads_paths(tmp_path: Path) -> None:
    evals = write_set(tmp_path, 40)
    a = write_run(evals, "a")
    broken = reopened(write_run(evals, "b", wrong_at(3, escalation="none")))[1]
    with pytest.raises(AssertionError, match="new forbidden combination: t-3"):
        assert_no_regression(broken, a)
    assert_no_regression(reopened(a)[1], a)


def test_the_command_prints_a_table_and_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    evals = write_set(tmp_path, 80, group_of=2)
    a, b = write_run(evals, "a"), write_run(evals, "b", wrong_at(*range(3, 60, 4), urgency="low"))
    assert main(["eval", "compare", str(a), str(b), "--flips", "2"]) == 0
    shown = capsys.readouterr().out
    assert "urgency critical recall" in shown
    assert "15 broken, 0 fixed, McNemar p 0.000; can detect ≥" in shown
    assert "tickets come in groups" in shown
    assert shown.count("critical  critical  low  ") == 2
    assert SECRET not in shown
    assert main(["eval", "compare", str(a), str(b), "--flips", "2", "--json"]) == 0
    plain = json.loads(capsys.readouterr().out)
    assert plain["dimensions"]["urgency"]["deltas"]["triage_cost"]["verdict"] == "worse"
    assert (plain["broken"]["n"], len(plain["broken"]["tickets"])) == (15, 2)


def test_runs_of_two_sets_end_in_one_line_and_exit_code_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = write_run(write_set(tmp_path / "a", 20), "a"), write_run(write_set(tmp_path / "b", 24), "b")
    assert main(["eval", "compare", str(a), str(b)]) == 2
    assert capsys.readouterr().err.startswith("error: not the same set: A is hand/dev ")


def test_100_000_grouped_rows_are_drawn_in_seconds() -> None:
    pairs = {name: noisy_pair(100_000, seed=i) for i, name in enumerate(("x", "y", "z"))}
    start = time.perf_counter()
    drawn_differences(pairs, np.arange(100_000) // 2, draws=100, seed=0)
    drawn_differences(pairs, None, draws=2000, seed=0)
    assert time.perf_counter() - start < 8


def test_a_right_system_is_the_same_as_itself_on_every_slice(tmp_path: Path) -> None:
    evals = write_set(tmp_path, 64)
    found = compared(write_run(evals, "a", right), write_run(evals, "b", right))
    assert {one.p_holm for each in found.dimensions.values() for one in each.slices} == {1.0}
