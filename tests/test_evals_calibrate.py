"""Calibration and thresholds: fitted on the calibration split, never on what they are measured by."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import anyio
import numpy as np
import pytest

from desk_parts import by_rules, clean_environment, ticket
from triagedesk.cli import main
from triagedesk.confidence import DimensionCalibration, read_calibration
from triagedesk.desk import open_desk
from triagedesk.errors import ConfigError
from triagedesk.evals.automation import with_section
from triagedesk.evals.calibrate import fit_dimension
from triagedesk.evals.curves import best_curve, fit_curve, group_folds
from triagedesk.evals.metrics.calibration import log_loss
from triagedesk.evals.metrics.scale import Floats
from triagedesk.evals.thresholds import choose_level, searched
from triagedesk.models import ConfidenceKind, Suggestion
from triagedesk.playbook.load import DEFAULT, load_playbook
from triagedesk.settings import Settings

SAID = (
    "My card was charged twice for {}.", "I cannot log in to {} since the update.", "Where is my parcel with {}?",
    "Could you send me a copy of the invoice for {}?", "The app crashes when I open {}.", "How do I export {}?",
)  # fmt: skip
THINGS = ("the blue plan", "order 12", "the spring box", "our team space", "the annual report", "two lamps",
          "the second phone", "a desk chair", "the garden set", "the start page", "page nine", "my old account",
          "the winter coat", "unit four", "the music add-on")  # fmt: skip


def drawn(n: int, slope: float, offset: float = 0.0, seed: int = 1) -> tuple[Floats, Floats]:
    """Strengths, and outcomes whose true log odds are a line in the strength's."""
    rng = np.random.default_rng(seed)
    strength = rng.uniform(0.05, 0.98, n)
    chance = 1 / (1 + np.exp(-(slope * np.log(strength / (1 - strength)) + offset)))
    return strength, (rng.random(n) < chance).astype(np.float64)


@pytest.mark.parametrize(("slope", "offset", "methods"), [
    pytest.param(0.3, 0.0, {"temperature", "sigmoid"}, id="too-sure"),
    pytest.param(1.0, 1.5, {"sigmoid"}, id="not-sure-enough"),
    pytest.param(0.0, 1.0, {"rate"}, id="a-strength-that-says-nothing"),
])  # fmt: skip
def test_the_curve_is_chosen_by_log_loss_on_rows_it_did_not_see(slope: float, offset: float, methods: set[str]) -> None:
    strength, right = drawn(800, slope, offset)
    curve, held = best_curve(strength, right, np.arange(800))
    assert curve.method in methods
    assert log_loss(held, right) < log_loss(strength, right)


def test_no_curve_is_taken_that_improves_nothing() -> None:
    chosen = {best_curve(*drawn(400, 1.0, seed=seed), np.arange(400))[0].method for seed in range(6)}
    assert "identity" in chosen
    for seed in range(6):
        strength, right = drawn(400, 1.0, seed=seed)
        _, held = best_curve(strength, right, np.arange(400))
        assert log_loss(held, right) <= log_loss(np.clip(strength, 0.01, 0.99), right) + 1e-4


def test_an_isotonic_curve_needs_a_thousand_rows() -> None:
    """Trap 7: under that it makes good scores worse."""
    rng = np.random.default_rng(0)
    strength = rng.uniform(0, 1, 3000)
    right = (rng.random(3000) < np.where(strength < 0.5, 0.3, np.where(strength < 0.6, 0.9, 0.92))).astype(np.float64)
    assert best_curve(strength, right, np.arange(3000))[0].method == "isotonic"
    assert best_curve(strength[:999], right[:999], np.arange(999))[0].method != "isotonic"


def test_measured_figures_come_from_rows_the_curve_did_not_see() -> None:
    """Trap 7: a calibrator scored on its own rows looks better than it is."""
    strength, right = drawn(60, 0.0, seed=3)
    fit = fit_dimension(np.arange(60), strength, right, np.arange(60))
    sigmoid = fit_curve("sigmoid", strength, right)
    own = log_loss(np.asarray([sigmoid.confidence(each) for each in strength]), right)
    assert fit.calibration.measured is not None
    assert fit.calibration.measured.log_loss_after > own
    assert fit.calibration.measured.noise_p95 > 0


def test_certain_strengths_neither_break_a_fit_nor_a_figure() -> None:
    """Trap 21: a said confidence of 1.0 is clipped before a logarithm is taken."""
    right = np.asarray([1.0, 0.0] * 40)
    fit = fit_dimension(np.arange(80), np.ones(80), right, np.arange(80))
    assert fit.calibration.curve is not None
    assert fit.calibration.curve.confidence(1.0) == pytest.approx(0.5, abs=0.01)
    assert fit.calibration.measured is not None
    assert np.isfinite(fit.calibration.measured.log_loss_before)


def test_the_base_rate_alone_is_not_taken_for_skill() -> None:
    """Trap 8: a constant has no calibration error, so its log loss stands beside it."""
    strength, right = drawn(500, 0.0, 1.0)
    measured = fit_dimension(np.arange(500), strength, right, np.arange(500)).calibration.measured
    assert measured is not None
    assert measured.log_loss_after == pytest.approx(measured.log_loss_rate, abs=0.01)


def test_groups_are_never_parted_by_a_fold() -> None:
    groups = np.repeat(np.arange(25), 4)
    _, right = drawn(100, 1.0)
    folds = list(group_folds(right, groups))
    assert sorted(np.concatenate(folds).tolist()) == list(range(100))
    assert all(len(set(groups[fold]) & set(np.delete(groups, fold))) == 0 for fold in folds)


def test_labels_that_policy_changed_get_the_rate_at_which_they_were_right() -> None:
    strength = np.asarray([np.nan] * 12 + [0.5] * 9)
    right = np.asarray([1.0] * 9 + [0.0] * 3 + [1.0] * 9)
    found = fit_dimension(np.arange(21), strength, right, np.arange(21)).calibration
    assert found.unscored == pytest.approx(10 / 14)
    assert found.curve is None, "nine rows measure nothing"
    few = fit_dimension(np.arange(9), np.full(9, np.nan), np.ones(9), np.arange(9)).calibration
    assert few == DimensionCalibration(unscored_rows=9)


def test_all_right_in_few_rows_is_not_certainty() -> None:
    found = fit_dimension(np.arange(30), np.full(30, 0.9), np.ones(30), np.arange(30)).calibration
    assert found.confidence(0.9) == pytest.approx(31 / 32, abs=1e-4)


def test_a_level_holds_its_risk_with_the_upper_bound() -> None:
    strength, right = drawn(3000, 2.0)
    level = choose_level(strength, strength, 1 - right, 0.1, 3000)
    assert level.holds
    assert level.bound is not None
    assert level.risk is not None
    assert level.risk < level.bound <= 0.1
    assert level.coverage == pytest.approx(float((strength >= level.at).mean()))


def test_where_no_level_holds_it_says_never() -> None:
    _, right = drawn(300, 0.0)
    assert not choose_level(np.full(300, 0.9), np.full(300, 0.9), 1 - right, 0.05, 300).holds


def test_the_promise_of_a_level_is_kept_on_new_rows() -> None:
    broken = found = 0
    for seed in range(30):
        strength, right = drawn(400, 2.0, seed=seed)
        taken = searched(strength, 1 - right, 0.15)
        fresh, outcome = drawn(4000, 2.0, seed=1000 + seed)
        if np.isfinite(taken.threshold):
            found += 1
            broken += float((1 - outcome)[fresh >= taken.threshold].mean()) > 0.15 + 0.015
    assert found > 20
    assert broken <= 3


@pytest.mark.parametrize(("before", "after"), [
    pytest.param("a: 1\nautomation:\n  x: {apply: 1}  # old\n\n# about b\nb: 2\n",
                 "a: 1\nautomation:\n  y: {}\n\n# about b\nb: 2\n", id="in-the-middle"),
    pytest.param("a: 1\r\nautomation: {}\r\nb: 2\r\n",
                 "a: 1\r\nautomation:\r\n  y: {}\r\nb: 2\r\n", id="of-windows"),
])  # fmt: skip
def test_a_section_takes_the_place_of_the_old_one_and_touches_nothing_else(before: str, after: str) -> None:
    assert with_section(before, ["automation:", "  y: {}"]) == after


def test_a_new_section_stands_at_the_end() -> None:
    assert with_section("a: 1  # mine", ["automation:"]).startswith("a: 1  # mine\n\n# ")


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a playbook, a calibration split on which the rules are mostly right, and a run on it."""
    home = tmp_path_factory.mktemp("calibrate")
    (home / "datasets" / "toy").mkdir(parents=True)
    (home / "mine.yaml").write_bytes(DEFAULT.read_bytes())
    lines = []
    for number, body in enumerate(said.format(thing) for said in SAID for thing in THINGS):
        labels = {name: choice.label for name, choice in by_rules(body).labels.items()}
        if number % 30 == 7:
            labels["issue_type"] = "feedback"
        lines.append(json.dumps({"ticket": {"id": f"T-{number}", "body": body}, "labels": labels}))
    (home / "datasets" / "toy" / "calibration.jsonl").write_text("\n".join(lines) + "\n", "utf-8")
    config = 'dataset = "toy"\nsplit = "calibration"\nsystem = "rules"\nplaybook = "mine.yaml"\ndraws = 0\n'
    (home / "toy.toml").write_text(config, "utf-8")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in clean_environment(home).items():
            patch.setenv(name, value)
        assert main(["eval", "run", str(home / "toy.toml"), "--runs", str(home / "runs")]) == 0
    return next((home / "runs").iterdir())


def suggested(playbook: Path, body: str = SAID[0].format(THINGS[0]), **given: Path) -> Suggestion:
    async def ask() -> Suggestion:
        async with open_desk(Settings.model_validate({"model": "rules", "playbook": playbook, **given})) as desk:
            return await desk.suggest(ticket(body))

    return anyio.run(ask)


def all_measured(suggestion: Suggestion) -> bool:
    return {choice.confidence_kind for choice in suggestion.labels.values()} == {ConfidenceKind.MEASURED}


def test_from_a_run_to_measured_suggestions_and_levels_that_leave_the_calibration_valid(
    measured: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    playbook = measured.parents[1] / "mine.yaml"
    before = playbook.read_text("utf-8")
    assert not all_measured(suggested(playbook))

    assert main(["eval", "calibrate", str(measured)]) == 0
    assert "rules, 90 tickets of calibration@" in capsys.readouterr().out
    first = suggested(playbook)
    assert all_measured(first)
    assert "auto_apply" not in first.flags

    assert main(["eval", "threshold", str(measured), "--max-risk", ".15", "--write", str(playbook)]) == 0
    shown = capsys.readouterr()
    assert "apply    from " in shown.out
    assert shown.err == ""
    assert playbook.read_text("utf-8").startswith(before)
    levels = load_playbook(playbook).document.automation
    assert {"urgency", "issue_type", "escalation"} <= set(levels)
    assert levels["urgency"].measured_on.startswith("calibration@")
    second = suggested(playbook)
    assert all_measured(second)
    assert second.labels == first.labels
    assert "auto_apply" in second.flags

    assert main(["eval", "threshold", str(measured), "--max-risk", ".001", "--suggest-risk", ".001",
                 "--write", str(playbook)]) == 0  # fmt: skip
    assert "never: no confidence shows a risk" in capsys.readouterr().out
    assert playbook.read_text("utf-8").count("automation:") == before.count("automation:") + 1
    third = suggested(playbook)
    assert all_measured(third)
    assert "below_suggest_level" in third.review_reasons
    assert main(["eval", "calibrate", str(measured)]) == 0
    assert len(read_calibration(playbook.with_name("mine.calibration.json")).entries) == 1

    assert main(["doctor", "--playbook", str(playbook), "--model", "rules"]) == 0
    assert "; confidences measured of rules" in capsys.readouterr().out


def test_a_calibration_says_what_it_holds_for(measured: Path, tmp_path: Path) -> None:
    file = tmp_path / "out.json"
    assert main(["eval", "calibrate", str(measured), "-o", str(file), "--json"]) == 0
    (entry,) = read_calibration(file).entries
    assert (entry.source, entry.model, entry.prompt, entry.rows) == ("rules", None, None, 90)
    assert entry.playbook == load_playbook(DEFAULT).reading_hash


def test_threshold_prints_json(measured: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["eval", "threshold", str(measured), "--max-risk", ".15", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["dimensions"]["urgency"]
    assert told["n"] == 90
    assert 0 < told["apply"]["coverage"] <= 1
    assert told["apply"]["risk_bound"] <= 0.15


def split_of(run: Path, to: Path, split: str) -> Path:
    """Copy a run as if it had been made on another split."""
    copy = Path(shutil.copytree(run, to / "run"))
    manifest = json.loads((copy / "manifest.json").read_text("utf-8"))
    data = manifest["dataset"]
    other = Path(data["file"]).with_name(f"{split}.jsonl")
    shutil.copy(data["file"], other)
    data["split"] = split
    (copy / "manifest.json").write_text(json.dumps(manifest), "utf-8")
    return copy


@pytest.mark.parametrize("command", ["calibrate", "threshold"])
def test_nothing_is_fitted_on_the_sealed_split(
    command: str, measured: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["eval", command, str(split_of(measured, tmp_path, "test"))]) == 2
    assert "nothing is fitted on; run with --split calibration" in capsys.readouterr().err


def test_a_run_on_the_dev_split_is_taken_with_a_warning(
    measured: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = split_of(measured, tmp_path, "dev")
    assert main(["eval", "calibrate", str(run), "-o", str(tmp_path / "out.json")]) == 0
    assert "split dev, not calibration" in capsys.readouterr().err


def test_levels_are_not_written_into_another_playbook(
    measured: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other.yaml"
    other.write_bytes(DEFAULT.read_bytes().replace(b"min_confidence: ", b"min_confidence: 0.1 # "))
    if other.read_bytes() == DEFAULT.read_bytes():
        other.write_bytes(DEFAULT.read_bytes().replace(b"\nversion: ", b"\nversion: mine-", 1))
    before = other.read_bytes()
    assert main(["eval", "threshold", str(measured), "--write", str(other)]) == 2
    assert "is not the playbook that" in capsys.readouterr().err
    assert other.read_bytes() == before


@pytest.mark.parametrize("given", [("--max-risk", "0"), ("--max-risk", ".3", "--suggest-risk", ".2")])
def test_a_risk_out_of_range_is_an_error(
    given: tuple[str, ...], measured: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["eval", "threshold", str(measured), *given]) == 2
    assert "risks are shares between 0 and 1" in capsys.readouterr().err


def test_a_playbook_that_changed_since_the_run_is_refused(measured: Path, tmp_path: Path) -> None:
    from triagedesk.evals.calibrate import basis_of
    from triagedesk.evals.conduct import reopened

    folder, run = reopened(measured)
    (tmp_path / "manifest.json").write_text(json.dumps({**folder.manifest, "playbook_reading": "0"}), "utf-8")
    folder.path = tmp_path
    with pytest.raises(ConfigError, match="has changed since this run"):
        basis_of(folder, run)
