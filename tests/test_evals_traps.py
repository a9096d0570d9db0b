"""The traps that eval harnesses fall into, one test each, numbered as in EVALS.md."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from desk_parts import BASE_URL, FakeModel, answer, fake_model
from misbehaving import completion
from test_evals_run import book, gold_line, said, write
from triagedesk.cli import main
from triagedesk.evals import Run, compare, make_sheet, read_gold
from triagedesk.evals.conduct import Wish, prepare
from triagedesk.evals.curves import MIN_ISOTONIC, best_curve
from triagedesk.evals.folder import RunFolder
from triagedesk.evals.metrics import Scale, agreement, calibration, counts, intervals, selective
from triagedesk.evals.predictions import prediction_of
from triagedesk.playbook import load_playbook

COST = ((0.0, 1.0, 2.0, 3.0), (3.0, 0.0, 1.0, 2.0), (8.0, 4.0, 0.0, 1.0), (20.0, 12.0, 5.0, 0.0))
URGENCY = Scale(("low", "medium", "high", "critical"), ordinal=True, cost=COST)
URGENCIES = URGENCY.labels
MODEL = (
    f'dataset = "small"\nsystem = "desk"\nmodel = "openai/made-up"\nbase_url = "{BASE_URL}"\n'
    'draws = 20\nconcurrency = 1\n[settings]\napi_key = "k"\n'
)

Lines = list[dict[str, Any]]


pytestmark = pytest.mark.usefixtures("clean_home")


@pytest.fixture
def wire() -> Iterator[FakeModel]:
    """A model on the wire."""
    with fake_model() as model:
        yield model


def a_config(tmp_path: Path, text: str = MODEL, n: int = 6) -> Path:
    """Write a config and its dataset of n tickets, as dev, calibration and test."""
    root = tmp_path / "evals"
    for split in ("dev", "calibration", "test"):
        write(root / "datasets" / "small" / f"{split}.jsonl", [gold_line(number) for number in range(n)])
    path = root / "configs" / "small.toml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


def run(config: Path, *options: str) -> int:
    """Run `eval run`."""
    return main(["eval", "run", str(config), "--json", "--runs", str(config.parent / "runs"), *options])


def scored(tmp_path: Path, gold: Lines, lines: Sequence[Mapping[str, Any]], draws: int = 200) -> Run:
    """Put predictions beside gold."""
    rows = read_gold(write(tmp_path / "gold.jsonl", gold), book())
    return Run(make_sheet(rows, [prediction_of(line) for line in lines], book()), draws)


def of(number: int, urgency: str, **more: Any) -> dict[str, Any]:
    """Write a prediction of the urgency alone."""
    return {"ticket_id": f"t{number}", "labels": {"urgency": {"label": urgency, **more} if more else urgency}}


def graded(number: int, urgency: str, **more: Any) -> dict[str, Any]:
    """Write a gold line that has the urgency alone."""
    line = gold_line(number)
    return {"ticket": line["ticket"], "labels": {"urgency": urgency}, **more}


def test_trap_1_macro_f1_is_over_the_labels_with_gold_and_invented_ones_break_a_rule(tmp_path: Path) -> None:
    gold, predicted = [0, 0, 1, 1], [0, 0, 1, 2]
    assert counts.figure("macro_f1", gold, predicted, URGENCY) == pytest.approx(0.8333333333)
    metrics = scored(tmp_path, [graded(n, URGENCIES[y]) for n, y in enumerate(gold)],
                     [of(n, URGENCIES[p]) for n, p in enumerate(predicted[:3])] + [of(3, "asap")]).metrics  # fmt: skip
    urgency = metrics.dimensions["urgency"]
    assert urgency.figures["macro_f1"].value == pytest.approx(0.8333333333)
    assert urgency.dropped_labels == ("high", "critical")
    assert urgency.per_label["high"].f1 is None
    assert metrics.rule_breaks["unknown_label"] == 1


def test_trap_2_macro_f1_is_the_mean_of_f1_not_the_f1_of_means() -> None:
    gold, predicted = [0, 0, 0, 1], [0, 1, 1, 1]
    table = counts.confusion(gold, predicted, URGENCY)
    precision, recall = np.nanmean(counts.precisions(table)[:2]), np.nanmean(counts.recalls(table)[:2])
    assert counts.figure("macro_f1", gold, predicted, URGENCY) == pytest.approx((0.5 + 0.5) / 2)
    assert 2 * precision * recall / (precision + recall) == pytest.approx(2 / 3)


def test_trap_3_weighted_kappa_takes_words_in_the_order_of_the_scale_not_of_the_alphabet() -> None:
    gold = ["low", "medium", "high", "critical"]
    predicted = ["low", "high", "high", "high"]
    assert counts.figure("qwk", gold, predicted, URGENCY) == pytest.approx(0.75)
    assert counts.figure("qwk", gold, predicted, Scale(tuple(sorted(gold)), ordinal=True)) == pytest.approx(1 / 6)
    names = load_playbook().dimensions["urgency"].names
    assert set(names) == set(URGENCIES)


def test_trap_4_kappa_of_a_constant_pair_is_undefined_and_prevalence_is_printed(tmp_path: Path) -> None:
    assert math.isnan(counts.figure("kappa", [1, 1], [1, 1], URGENCY))
    metrics = scored(tmp_path, [graded(n, "low") for n in range(4)], [of(n, "low") for n in range(4)]).metrics
    urgency = metrics.dimensions["urgency"]
    assert urgency.figures["kappa"].value is None
    assert urgency.figures["qwk"].value is None
    assert urgency.per_label["low"].support == 4


def test_trap_5_weighted_kappa_is_blind_to_direction_and_the_cost_is_not() -> None:
    rng = np.random.default_rng(0)
    gold = rng.choice(4, 4000, p=[0.35, 0.35, 0.2, 0.1])
    off = rng.random(4000) < 0.2
    down, up = np.where(off, np.maximum(gold - 1, 0), gold), np.where(off, np.minimum(gold + 1, 3), gold)
    qwk, cost, miss = (
        [counts.figure(name, gold, predicted, URGENCY) for predicted in (down, up)]
        for name in ("qwk", "triage_cost", "urgent_miss")
    )
    assert qwk[0] == pytest.approx(qwk[1], abs=0.05)
    assert cost[0] > 1.5 * cost[1]
    assert miss[0] > 0.05 > miss[1] == 0.0
    kappa = [counts.figure("triage_kappa", gold, predicted, URGENCY) for predicted in (down, up)]
    assert kappa[0] < kappa[1]


def test_trap_6_the_test_split_is_opened_on_wish_alone_counted_and_fitted_on_by_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = a_config(tmp_path, 'dataset = "small"\nsystem = "rules"\ndraws = 20\n', n=12)
    assert run(config, "--split", "test") == 0
    folder = Path(said(capsys)["run"])
    assert RunFolder(folder).manifest["dataset"]["openings"] == 1
    fitted = tmp_path / "fitted.json"
    assert main(["eval", "calibrate", str(folder), "-o", str(fitted)]) == 2
    assert main(["eval", "threshold", str(folder)]) == 2
    assert capsys.readouterr().err.count("test split") == 2
    assert not fitted.exists()


def test_trap_7_a_calibrator_that_improves_no_held_out_log_loss_is_not_switched_on() -> None:
    rng = np.random.default_rng(2)
    strength = rng.uniform(0.05, 0.95, 700)
    right = (rng.random(700) < strength).astype(float)
    curve, held_out = best_curve(strength, right, np.arange(700))
    assert curve.method != "isotonic", f"isotonic takes {MIN_ISOTONIC} rows"
    assert calibration.log_loss(held_out, right) <= calibration.log_loss(strength, right) + 1e-4
    noise = rng.random(700)
    useless, _ = best_curve(noise, (rng.random(700) < 0.7).astype(float), np.arange(700))
    assert max(useless.confidence(x) for x in (0.1, 0.9)) - min(useless.confidence(x) for x in (0.1, 0.9)) < 0.1
    overconfident = np.clip(strength**0.3, 0, 1)
    _, mended = best_curve(overconfident, right, np.arange(700))
    assert calibration.log_loss(mended, right) < calibration.log_loss(overconfident, right) - 0.05


def test_trap_8_an_error_under_its_noise_floor_is_no_miscalibration_and_a_base_rate_shows_as_such(
    tmp_path: Path,
) -> None:
    rng = np.random.default_rng(5)
    confidence = np.round(rng.beta(8, 1, 100), 3)
    right = rng.random(100) < confidence
    gold = [graded(n, "high") for n in range(100)]
    told = scored(tmp_path, gold, [of(n, "high" if ok else "low", confidence=float(c))
                                   for n, (c, ok) in enumerate(zip(confidence, right, strict=True))], 0)  # fmt: skip
    found = told.metrics.dimensions["urgency"].confidence
    assert found is not None
    assert found.ece is not None
    assert found.ece > 0.03, "a limit of .03 would have failed it"
    assert not found.miscalibrated
    flat = scored(tmp_path, gold, [of(n, "high" if n % 5 else "low", confidence=0.8) for n in range(100)], 0)
    base = flat.metrics.dimensions["urgency"].confidence
    assert base is not None
    assert base.ece == pytest.approx(0.0, abs=1e-9)
    assert base.auroc == 0.5
    assert base.log_loss == pytest.approx(-(0.8 * math.log(0.8) + 0.2 * math.log(0.2)))


def test_trap_9_repeats_and_configurations_share_no_cache_and_hits_are_no_latency(
    tmp_path: Path, wire: FakeModel, capsys: pytest.CaptureFixture[str]
) -> None:
    config = a_config(tmp_path, n=3)
    setup = prepare(config, Wish(k=3))
    config.write_text(MODEL + "temperature = 0.3\n")
    other = prepare(config, Wish(k=3))
    folders = [each.settings(k).cache_dir for each in (setup, other) for k in range(3)]
    assert len(set(folders)) == 6
    config.write_text(MODEL)
    assert run(config, "--k", "2") == 0
    assert len(wire.sent) == 6, "each repeat was asked"
    shown = said(capsys)
    assert (shown["sources"], shown["latency"]["n"]) == ({"model": 3}, 3)
    hits = [{**of(n, "low"), "k": 0, "latency_ms": 1.0, "provenance": {"source": "cache"}} for n in range(3)]
    assert scored(tmp_path, [graded(n, "low") for n in range(3)], hits).metrics.latency.n == 0


def test_trap_10_a_duplicate_planted_across_splits_is_found_and_a_split_parts_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["invoice", "charger", "password", "parcel", "refund", "router", "booking", "licence", "battery", "museum"]
    bodies = [f"My {one} question number {n * 7919}: {one * (n + 2)}?" for n, one in enumerate(words)]
    lines = [{**graded(n, URGENCIES[n % 2]), "ticket": {"id": f"t{n}", "body": body}} for n, body in enumerate(bodies)]
    planted = {**graded(99, "low"), "ticket": {"id": "t99", "body": bodies[2].replace("question", "Question") + " "}}
    train, test = write(tmp_path / "train.jsonl", lines[:5]), write(tmp_path / "held.jsonl", lines[5:])
    assert main(["eval", "data", "dedup", str(train), str(test), "--json"]) == 0
    capsys.readouterr()
    write(test, [*lines[5:], planted])
    assert main(["eval", "data", "dedup", str(train), str(test), "--json"]) == 1
    (pair,) = said(capsys)["across"]
    assert set(pair["ids"]) == {"t2", "t99"}

    whole, out = write(tmp_path / "whole.jsonl", [*lines, planted]), tmp_path / "out"
    assert main(["eval", "data", "split", str(whole), "-o", str(out), "--parts", "dev=.5,held=.5"]) == 0
    parts = [{json.loads(line)["ticket"]["id"] for line in (out / f"{name}.jsonl").read_text().splitlines()}
             for name in ("dev", "held")]  # fmt: skip
    assert sorted(map(len, parts), reverse=True) in ([6, 5], [7, 4])
    assert any({"t2", "t99"} <= part for part in parts)


def test_trap_11_a_set_with_random_labels_is_named_as_such(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(1)
    subjects = {"low": ["price", "brochure", "opening hours"], "critical": ["smoke", "fire", "burning smell"]}
    lines, shuffled = [], []
    for n in range(120):
        label = ("low", "critical")[n % 2]
        body = f"{rng.choice(subjects[label])} and {rng.choice(subjects[label])}, seen on floor {n}"
        lines.append({"ticket": {"id": f"t{n}", "body": body}, "labels": {"urgency": label}})
        shuffled.append({**lines[-1], "labels": {"urgency": str(rng.choice(["low", "critical"]))}})
    verdicts = []
    for name, each in (("real", lines), ("random", shuffled)):
        main(["eval", "data", "noise", str(write(tmp_path / f"{name}.jsonl", each)), "--json"])
        verdicts.append(json.dumps(said(capsys)))
    assert '"learnable"' in verdicts[0]
    assert '"chance"' in verdicts[1]


def test_trap_12_rows_that_failed_stay_in_n_and_fallbacks_are_told_apart(tmp_path: Path) -> None:
    gold = [graded(n, "high") for n in range(4)]
    by_rules = {**of(1, "high"), "provenance": {"source": "rules", "fallback_reason": "timeout"}}
    by_model = {**of(0, "high"), "provenance": {"source": "model"}}
    metrics = scored(tmp_path, gold, [by_model, by_rules, {"ticket_id": "t2", "error": "Timeout"}]).metrics
    assert (metrics.n, metrics.answered, metrics.missing) == (4, 2, 2)
    assert metrics.dimensions["urgency"].figures["accuracy"].value == 0.5
    assert metrics.sources == {"model": 1, "rules": 1}
    assert metrics.fallback_reasons == {"timeout": 1}
    assert metrics.errors == {"Timeout": 1}
    run = scored(tmp_path, gold, [by_model, by_rules])
    assert set(run.slices("source")["source"]) == {"model", "rules"}


def test_trap_13_ties_are_shared_and_a_tied_vote_goes_to_the_more_urgent() -> None:
    confidence, wrong = np.full(10, 0.95), np.asarray([1.0] * 3 + [0.0] * 7)
    for order in (np.arange(10), np.arange(10)[::-1]):
        assert selective.aurc(confidence[order], wrong[order]) == pytest.approx(0.3)
        assert selective.risk_at_coverage(confidence[order], wrong[order], 0.5) == pytest.approx(0.3)
        assert calibration.expected_calibration_error(confidence[order], 1 - wrong[order]) == pytest.approx(0.25)
    assert agreement.majority(URGENCY.codes(["low", "critical"]).tolist(), URGENCY) == URGENCY.code("critical")


def test_trap_14_paired_rows_are_compared_as_pairs_and_slices_by_holm(tmp_path: Path) -> None:
    n = 300
    gold = [graded(at, URGENCIES[at % 2 * 2], traits=["early" if at < 150 else "late"]) for at in range(n)]

    def system(wrong: range) -> Run:
        lines = [of(number, "critical" if number in wrong else URGENCIES[number % 2 * 2]) for number in range(n)]
        return scored(tmp_path, gold, lines, 500)

    a, b = system(range(75)), system(range(55))
    found = compare(a, b).dimensions["urgency"]
    accuracy = found.deltas["accuracy"]
    figures = [each.metrics.dimensions["urgency"].figures["accuracy"] for each in (a, b)]
    assert figures[0].high is not None
    assert figures[1].low is not None
    assert figures[1].low < figures[0].high, "their intervals overlap"
    assert accuracy.low is not None
    assert accuracy.low > 0, "and yet they differ"
    assert found.p_value == intervals.mcnemar(a_right := np.arange(n) >= 75, np.arange(n) >= 55).p_value
    assert a_right.sum() == 225
    assert found.slices
    adjusted = intervals.holm([each.p_value for each in found.slices])
    assert [each.p_holm for each in found.slices] == pytest.approx(adjusted)
    assert accuracy.detectable is not None


def test_trap_15_rows_that_belong_together_are_drawn_together(tmp_path: Path) -> None:
    lines = [of(n, "high" if n // 10 % 3 else "low") for n in range(120)]
    alone = scored(tmp_path, [graded(n, "high") for n in range(120)], lines).metrics
    together = scored(tmp_path, [graded(n, "high", group=f"g{n // 10}") for n in range(120)], lines).metrics
    assert (alone.clustered, together.clustered) == (False, True)
    widths = []
    for metrics in (alone, together):
        figure = metrics.dimensions["urgency"].figures["accuracy"]
        assert figure.low is not None
        assert figure.high is not None
        widths.append(figure.high - figure.low)
    assert widths[1] > 2 * widths[0]


def test_trap_16_a_run_keeps_the_hash_of_the_guide_and_refuses_gold_that_changed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = a_config(tmp_path, 'dataset = "small"\nsystem = "rules"\ndraws = 20\n')
    folder = config.parents[1] / "datasets" / "small"
    hashes = []
    for guide in ("Label by impact.\n", "Label by tone.\n"):
        (folder / "LABELS.md").write_text(guide)
        assert run(config) == 0
        made = Path(said(capsys)["run"])
        hashes.append(RunFolder(made).manifest["guides"]["LABELS.md"])
    assert len(set(hashes)) == 2
    write(folder / "dev.jsonl", [gold_line(number, urgency="high") for number in range(6)])
    assert main(["eval", "report", str(made)]) == 2
    assert "has changed since this run" in capsys.readouterr().err


def test_trap_17_precision_of_an_oversampled_label_is_shown_at_its_real_prevalence_by_weights() -> None:
    gold = np.repeat([3, 0], [100, 100])
    predicted = np.concatenate([np.repeat([3, 0], [90, 10]), np.repeat([3, 0], [10, 90])])
    weights = np.where(gold == 3, 0.05 / 0.5, 0.95 / 0.5)
    as_sampled = counts.figures(counts.confusion(gold, predicted, URGENCY), URGENCY)
    as_it_is = counts.figures(counts.confusion(gold, predicted, URGENCY, weights), URGENCY)
    assert float(as_sampled["critical_precision"]) == pytest.approx(0.9)
    assert float(as_it_is["critical_precision"]) == pytest.approx(0.05 * 0.9 / (0.05 * 0.9 + 0.95 * 0.1))
    assert (as_it_is["critical_recall"], as_sampled["critical_recall"]) == pytest.approx((0.9, 0.9))


def test_trap_18_the_model_id_that_answered_is_kept_and_an_alias_that_moved_is_refused(
    tmp_path: Path, wire: FakeModel, capsys: pytest.CaptureFixture[str]
) -> None:
    config, blessed = a_config(tmp_path), tmp_path / "baselines"
    assert run(config) == 0
    folder = Path(said(capsys)["run"])
    (model,) = RunFolder(folder).manifest["models"]
    assert "made-up-1" in model
    assert main(["eval", "bless", str(folder), "--baselines", str(blessed)]) == 0
    wire.says = lambda seen: _from_model("made-up-2")
    assert run(config, "--no-cache") == 0
    shown = capsys.readouterr()
    moved = Path(json.loads(shown.out.splitlines()[-1])["run"])
    assert main(["eval", "gate", str(moved), "--baselines", str(blessed)]) != 0
    shown = capsys.readouterr()
    assert "the alias moved" in shown.out + shown.err


def _from_model(name: str) -> Any:
    import httpx

    return httpx.Response(200, json={**completion(answer()), "model": name})


def test_trap_19_temperature_0_is_not_taken_for_deterministic(
    tmp_path: Path, wire: FakeModel, capsys: pytest.CaptureFixture[str]
) -> None:
    config, moods = a_config(tmp_path, n=4), iter(["high", "medium", "low"] * 20)
    wire.says = lambda seen: answer(next(moods))
    assert run(config, "--k", "2") == 0
    shown = said(capsys)
    manifest = RunFolder(Path(shown["run"])).manifest
    assert (manifest["k"], manifest["temperature"]) == (2, 0.0)
    assert shown["repeats"]["flip_rate"]["urgency"] > 0


@pytest.mark.parametrize("label", ["High", " high", "high.", "HIGH"])
def test_trap_20_nothing_is_parsed_leniently_an_almost_label_is_none_and_counted(label: str, tmp_path: Path) -> None:
    gold = [graded(n, "high") for n in range(3)]
    metrics = scored(tmp_path, gold, [of(0, label), of(1, "high"), of(2, "high")]).metrics
    assert metrics.rule_breaks["unknown_label"] == 1
    assert metrics.dimensions["urgency"].figures["accuracy"].value == pytest.approx(2 / 3)
    assert metrics.dimensions["urgency"].figures["no_answer"].value == pytest.approx(1 / 3)


def test_trap_21_a_percentage_is_refused_and_certainty_costs_no_infinity(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gold = write(tmp_path / "gold.jsonl", [graded(n, "high") for n in range(4)])
    percent = write(tmp_path / "percent.jsonl", [of(0, "high", confidence=0.9), of(1, "high", confidence=90)])
    assert main(["eval", "score", str(gold), str(percent)]) == 2
    assert "line 2: labels.urgency: a confidence is a probability from 0 to 1" in capsys.readouterr().err
    with pytest.raises(ValueError, match="divide percentages by 100"):
        calibration.log_loss([90.0], [1.0])
    loss = calibration.log_loss([1.0, 0.0], [0.0, 1.0])
    assert loss == pytest.approx(-math.log(calibration.CLIP), rel=1e-6)


def test_trap_22_nothing_measured_is_exit_code_2_never_0(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = a_config(tmp_path, 'dataset = "small"\nsystem = "rules"\n')
    gold, nothing = config.parents[1] / "datasets" / "small" / "dev.jsonl", tmp_path / "nothing.jsonl"
    nothing.touch()
    errors = write(tmp_path / "errors.jsonl", [{"ticket_id": f"t{n}", "error": "Timeout"} for n in range(6)])
    skipped = tmp_path / "runs" / "skipped"
    skipped.mkdir(parents=True)
    runs = ("--runs", str(tmp_path / "runs"))
    for command in (
        ["eval", "run", str(tmp_path / "missing.toml")],
        ["eval", "run", str(config), "--split", "missing", *runs],
        ["eval", "score", str(nothing), str(nothing)],
        ["eval", "score", str(gold), str(nothing)],
        ["eval", "score", str(gold), str(tmp_path / "missing.jsonl")],
        ["eval", "score", str(gold), str(errors)],
        ["eval", "gate", str(skipped)],
        ["eval", "compare", str(skipped), str(skipped)],
        ["eval", "data", "check", str(nothing)],
        ["eval", "data", "dedup", str(nothing)],
    ):
        assert main(command) == 2, " ".join(command[:3])
    gold.write_text("")
    assert main(["eval", "run", str(config), *runs]) == 2
    assert "Traceback" not in capsys.readouterr().err
