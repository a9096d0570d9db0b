"""The gate: pass, fail, inconclusive or not measured; and what is blessed to be held against."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from evals_pairs import SECRET, right, write_run, write_set, wrong_at
from triagedesk.cli import main
from triagedesk.errors import ConfigError
from triagedesk.evals.baseline import baseline_of, bless, find_baseline, read_baseline
from triagedesk.evals.comparison import Delta
from triagedesk.evals.conduct import reopened
from triagedesk.evals.figures import Figure
from triagedesk.evals.folder import RUNNING, STOPPED
from triagedesk.evals.gate import Gate, Judgement, Verdict, bounded, fallen, judge
from triagedesk.evals.junit import junit_text

LENIENT = {"urgent_miss": 0.5}


@pytest.fixture(autouse=True)
def _elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


def judged(run: Path, baseline: Path | None = None) -> Judgement:
    return judge(*reopened(run), baseline_of(*reopened(baseline)) if baseline else None)


def verdicts(found: Judgement) -> dict[str, Verdict]:
    return {gate.name: gate.verdict for gate in found.gates}


@pytest.mark.parametrize(
    ("name", "figure", "limit", "verdict"),
    [
        pytest.param("urgency_macro_f1", (0.9, 0.85, 0.95), 0.8, Verdict.PASS, id="the-whole-interval-is-above"),
        pytest.param("urgency_macro_f1", (0.9, 0.75, 0.95), 0.8, Verdict.INCONCLUSIVE, id="the-point-alone-is-above"),
        pytest.param("urgency_macro_f1", (0.7, 0.65, 0.82), 0.8, Verdict.INCONCLUSIVE, id="the-point-alone-is-under"),
        pytest.param("urgency_macro_f1", (0.7, 0.65, 0.75), 0.8, Verdict.FAIL, id="the-whole-interval-is-under"),
        pytest.param("urgent_miss", (0.02, 0.01, 0.05), 0.05, Verdict.PASS, id="a-ceiling-holds"),
        pytest.param("urgent_miss", (0.02, 0.01, 0.06), 0.05, Verdict.INCONCLUSIVE, id="a-ceiling-may-be-missed"),
        pytest.param("urgent_miss", (0.09, 0.06, 0.12), 0.05, Verdict.FAIL, id="a-ceiling-is-missed"),
        pytest.param("critical_recall", (0.9, 0.8, 0.95), 0.9, Verdict.PASS, id="critical-recall-has-slack-below"),
        pytest.param("critical_recall", (0.9, 0.79, 0.95), 0.9, Verdict.INCONCLUSIVE, id="but-no-more-than-ten-points"),
        pytest.param("critical_recall", (0.89, 0.85, 0.95), 0.9, Verdict.INCONCLUSIVE, id="and-none-of-the-point"),
        pytest.param("critical_recall", (0.7, 0.6, 0.85), 0.9, Verdict.FAIL, id="critical-recall-is-missed"),
    ],
)
def test_a_limit_is_tested_on_the_interval(
    name: str, figure: tuple[float, float, float], limit: float, verdict: Verdict
) -> None:
    value, low, high = figure
    assert bounded(name, Figure(value=value, low=low, high=high), limit).verdict is verdict


def test_a_figure_that_no_row_tells_is_not_measured() -> None:
    assert bounded("critical_recall", Figure(value=None), 0.9).verdict is Verdict.UNMEASURED
    assert bounded("issue_type_macro_f1", None, 0.9).verdict is Verdict.UNMEASURED


def delta(name: str, value: float, low: float, high: float, detectable: float | None, discordant: int = 20) -> Delta:
    return Delta(name=name, a=0.8, b=0.8 + value, delta=value, low=low, high=high, discordant=discordant,
                 detectable=detectable)  # fmt: skip


@pytest.mark.parametrize(
    ("found", "margin", "verdict"),
    [
        pytest.param(delta("macro_f1", -0.04, -0.06, -0.02, 0.03), 0.01, Verdict.FAIL, id="wholly-beyond"),
        pytest.param(delta("macro_f1", -0.04, -0.08, 0.00, 0.06), 0.01, Verdict.INCONCLUSIVE, id="too-few-to-tell"),
        pytest.param(delta("macro_f1", 0.05, 0.02, 0.08, 0.04), 0.01, Verdict.PASS, id="better-passes-however-few"),
        pytest.param(delta("macro_f1", -0.002, -0.012, 0.008, 0.009), 0.01, Verdict.PASS, id="would-have-been-seen"),
        pytest.param(delta("macro_f1", -0.011, -0.017, -0.005, 0.009), 0.01, Verdict.INCONCLUSIVE, id="just-beyond"),
        pytest.param(delta("macro_f1", 0.02, 0.0, 0.05, None, 1), 0.01, Verdict.INCONCLUSIVE, id="one-ticket-better"),
        pytest.param(delta("triage_cost", 0.1, 0.05, 0.15, 0.05), 0.05, Verdict.FAIL, id="cost-beyond-its-share"),
        pytest.param(delta("triage_cost", -0.1, -0.15, -0.05, 0.05), 0.05, Verdict.PASS, id="cost-may-fall"),
    ],
)
def test_a_difference_is_judged_by_its_paired_interval(found: Delta, margin: float, verdict: Verdict) -> None:
    assert fallen("x", found, margin).verdict is verdict


def test_an_equal_rerun_passes_even_on_40_rows(tmp_path: Path) -> None:
    evals = write_set(tmp_path, 40)
    said = wrong_at(3, 7, 9, urgency="high")
    found = judged(write_run(evals, "b", said), write_run(evals, "a", said))
    assert set(verdicts(found).values()) == {Verdict.PASS}
    assert found.exit_code == 0


def test_one_differing_ticket_of_40_is_inconclusive(tmp_path: Path) -> None:
    evals = write_set(tmp_path, 40)
    found = judged(write_run(evals, "b", wrong_at(3, urgency="high")), write_run(evals, "a"))
    assert verdicts(found)["urgency macro_f1 against baseline"] is Verdict.INCONCLUSIVE
    assert verdicts(found)["issue_type macro_f1 against baseline"] is Verdict.PASS
    assert found.exit_code == 2


def test_a_clear_fall_fails_and_warns_of_its_accuracy(tmp_path: Path) -> None:
    evals = write_set(tmp_path, 80)
    found = judged(write_run(evals, "b", wrong_at(*range(3, 60, 4), urgency="high")), write_run(evals, "a"))
    assert found.exit_code == 1
    assert verdicts(found)["urgency critical_recall against baseline"] is Verdict.FAIL
    assert verdicts(found)["urgency accuracy against baseline"] is Verdict.WARN


def test_a_rule_break_that_is_new_fails_though_as_many_went_away(tmp_path: Path) -> None:
    evals = write_set(tmp_path, 40)
    gates = {"rule_breaks": 5}
    a = write_run(evals, "a", wrong_at(3, escalation="none"), gates=gates)
    b = write_run(evals, "b", wrong_at(7, escalation="none"), gates=gates)
    found = judged(b, a)
    assert verdicts(found)["rule_breaks"] is Verdict.PASS
    assert [gate.why for gate in found.gates if gate.verdict is Verdict.FAIL] == ["t-7"]


def test_any_rule_break_fails_without_a_baseline(tmp_path: Path) -> None:
    run = write_run(write_set(tmp_path, 40), "a", wrong_at(3, urgency="asap"), gates=LENIENT)
    found = judged(run)
    assert verdicts(found) == {"urgent_miss": Verdict.PASS, "rule_breaks": Verdict.FAIL}
    assert found.exit_code == 1


def test_nothing_to_hold_a_run_against_is_no_pass(tmp_path: Path) -> None:
    found = judged(write_run(write_set(tmp_path, 40), "a"))
    assert found.exit_code == 2
    assert Judgement(run="x", baseline=None, gates=()).exit_code == 2


@pytest.mark.parametrize("state", [RUNNING, STOPPED])
def test_a_run_that_has_not_ended_is_not_judged(tmp_path: Path, state: str) -> None:
    run = write_run(write_set(tmp_path, 40), "a", wrong_at(3, urgency="asap"), state=state, gates=LENIENT)
    found = judged(run)
    assert verdicts(found) == {"run": Verdict.UNMEASURED}
    assert found.exit_code == 2


def test_missing_rows_are_not_judged(tmp_path: Path) -> None:
    run = write_run(write_set(tmp_path, 40), "a", lambda i, gold: gold if i else None, gates=LENIENT)
    assert "1 of 40 tickets were never asked" in judged(run).gates[0].why


def test_answers_of_a_fallback_are_not_taken_for_the_models(tmp_path: Path) -> None:
    evals = write_set(tmp_path, 50)
    few, many = (
        write_run(evals, f"r{n}", model="openai/m", answered_by="m-1", fallback=n, gates=LENIENT) for n in (1, 2)
    )
    assert judged(few).exit_code == 0
    assert "4.0% of 50 tickets" in judged(many).gates[0].why


def test_an_alias_that_moved_is_refused_a_model_that_was_changed_is_compared(tmp_path: Path) -> None:
    evals = write_set(tmp_path, 40)
    a = write_run(evals, "a", model="openai/m", answered_by="m-2026-01")
    moved = write_run(evals, "b", model="openai/m", answered_by="m-2026-09")
    changed = write_run(evals, "c", model="openai/n", answered_by="n-1")
    assert "m-2026-09 answered, in the baseline m-2026-01" in judged(moved, a).gates[-1].why
    assert judged(moved, a).exit_code == 2
    assert judged(changed, a).exit_code == 0


def test_a_baseline_of_another_set_is_refused_but_limits_are_still_tested(tmp_path: Path) -> None:
    a, b = write_run(write_set(tmp_path / "a", 20), "a"), write_run(write_set(tmp_path / "b", 24), "b", gates=LENIENT)
    found = judged(b, a)
    assert verdicts(found)["urgent_miss"] is Verdict.PASS
    assert verdicts(found)["baseline"] is Verdict.UNMEASURED
    assert found.exit_code == 2


def test_a_failure_outranks_what_could_not_be_measured() -> None:
    def of(*held: Verdict) -> int:
        return Judgement(run="r", baseline=None, gates=tuple(Gate(name="g", verdict=each) for each in held)).exit_code

    assert of(Verdict.UNMEASURED, Verdict.FAIL, Verdict.PASS) == 1
    assert of(Verdict.PASS, Verdict.UNMEASURED, Verdict.INCONCLUSIVE) == 2
    assert of(Verdict.PASS, Verdict.INCONCLUSIVE) == 2
    assert of(Verdict.PASS, Verdict.WARN) == 0


def test_a_baseline_holds_ids_and_labels_and_no_text(tmp_path: Path) -> None:
    evals = write_set(tmp_path, 40)
    run = write_run(evals, "a", wrong_at(3, urgency=f"{SECRET} 3 is not well"))
    path = bless(*reopened(run), tmp_path / "baselines")
    text = path.read_text("utf-8")
    assert SECRET not in text
    assert len(text) < 40 * 80 + 8000
    blessed = read_baseline(path)
    assert blessed.labels["t-3"][0] is None
    assert blessed.rule_breaks == {"unknown_label": ("t-3",)}
    assert verdicts(judge(*reopened(run), blessed))["new rule breaks against baseline"] is Verdict.PASS


def test_a_baseline_still_compares_when_its_run_is_gone(tmp_path: Path) -> None:
    evals = write_set(tmp_path, 80)
    a, b = write_run(evals, "a"), write_run(evals, "b", wrong_at(*range(3, 60, 4), urgency="high"))
    path = bless(*reopened(a), tmp_path / "baselines")
    by_file, by_run = judge(*reopened(b), read_baseline(path)), judged(b, a)
    assert by_file.gates == by_run.gates


@pytest.mark.parametrize("problem", ["state", "rows", "fallback"])
def test_a_run_that_proves_nothing_is_not_blessed(tmp_path: Path, problem: str) -> None:
    evals = write_set(tmp_path, 40)
    run = {
        "state": lambda: write_run(evals, "a", state=STOPPED),
        "rows": lambda: write_run(evals, "a", lambda i, gold: gold if i else None),
        "fallback": lambda: write_run(evals, "a", right, model="openai/m", fallback=5),
    }[problem]()
    with pytest.raises(ConfigError, match="only a whole run can be blessed"):
        bless(*reopened(run), tmp_path / "baselines")
    assert not (tmp_path / "baselines").exists()


def test_a_spoiled_baseline_is_named_in_one_line(tmp_path: Path) -> None:
    for text in ("{", "[]", '{"schema_version": 1}'):
        (tmp_path / "x.json").write_text(text, "utf-8")
        with pytest.raises(ConfigError, match=r"x\.json: is no"):
            read_baseline(tmp_path / "x.json")
    with pytest.raises(ConfigError, match="neither a file, nor a run, nor blessed"):
        find_baseline("nobody", tmp_path)


def test_the_command_blesses_gates_and_writes_what_ci_reads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    evals = write_set(tmp_path, 80)
    a = write_run(evals, "a")
    b = write_run(evals, "b", wrong_at(*range(3, 60, 4), urgency="high"), gates={"urgent_miss": 0.02})
    assert main(["eval", "bless", str(a), "--baselines", "kept"]) == 0
    assert capsys.readouterr().out == "kept/hand.json  80 tickets of hand/dev\n"
    assert main(["eval", "gate", str(a), "--baselines", "kept"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[-1] == "PASS: a against a"
    assert all(line.startswith("pass ") for line in shown[:-1])
    assert main(["eval", "gate", str(b), "--baselines", "kept", "--json", "--junit", "junit.xml"]) == 1
    assert json.loads(capsys.readouterr().out)["verdict"] == "fail"
    suite = ElementTree.parse(tmp_path / "junit.xml").getroot()[0]
    assert suite.get("failures") == str(len(suite.findall("testcase/failure")))
    skipped = suite.find("testcase/skipped")
    assert skipped is not None
    assert "too few rows to tell" in str(skipped.get("message"))


def test_without_a_blessed_baseline_only_limits_are_tested_and_it_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = write_run(write_set(tmp_path, 40), "a", gates=LENIENT)
    assert main(["eval", "gate", str(run), "--baselines", "kept"]) == 0
    said = "no baseline is blessed as kept/hand.json: only the config's own limits are tested\n"
    assert capsys.readouterr().err == said


def test_junit_holds_no_character_that_xml_cannot() -> None:
    gate = Gate(name="new rule breaks", verdict=Verdict.FAIL, why="t-\x00\x1b<&>")
    text = junit_text(Judgement(run="r", baseline=None, gates=(gate,)), "hand")
    failure = ElementTree.fromstring(text).find("testsuite/testcase/failure")
    assert failure is not None
    assert failure.get("message") == "t-\ufffd\ufffd<&>"
