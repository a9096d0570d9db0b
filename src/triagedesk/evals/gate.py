"""May this ship: limits that a run must hold, and how far it may fall behind a baseline, each judged on its interval.

Three answers, not two: pass, fail, or inconclusive where the rows are too few to tell. A run that proves nothing
(not ended, rows missing, answered by others) is not measured at all, and never passes.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import Any

from triagedesk.evals.baseline import Baseline, gates_of, unfit
from triagedesk.evals.comparison import Comparison, Delta, allowed, doubt
from triagedesk.evals.config import Gates
from triagedesk.evals.figures import Figure, Scores
from triagedesk.evals.folder import RunFolder
from triagedesk.evals.run import Run
from triagedesk.models import Frozen

CRITICAL_SLACK = 0.10
"""How far the lower bound of critical recall may lie under its limit while the point holds it."""
UNKNOWN = "its interval is unknown: no draw varies, or none was made"
SHOWN_IDS = 5
WARNED_AT = 0.05


class Verdict(StrEnum):
    """What a gate says. WARN lets pass; UNMEASURED means that nothing could be measured."""

    PASS = "pass"  # noqa: S105 - a verdict
    WARN = "warn"
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"
    UNMEASURED = "not measured"


class Gate(Frozen):
    """One gate: its verdict, the figure (or the difference), the limit as text, and why."""

    name: str
    verdict: Verdict
    figure: Figure | None = None
    limit: str = ""
    why: str = ""


class Judgement(Frozen):
    """All gates of a run."""

    run: str
    baseline: str | None
    gates: tuple[Gate, ...]

    @property
    def verdict(self) -> Verdict:
        """The gravest: any fail, else anything not measured, else inconclusive, else warn, else pass."""
        order = (Verdict.FAIL, Verdict.UNMEASURED, Verdict.INCONCLUSIVE, Verdict.WARN)
        held = {gate.verdict for gate in self.gates}
        return next((each for each in order if each in held), Verdict.PASS if held else Verdict.UNMEASURED)

    @property
    def exit_code(self) -> int:
        """0 pass, 1 a regression or a broken limit was measured, 2 it could not be told."""
        return {Verdict.PASS: 0, Verdict.WARN: 0, Verdict.FAIL: 1}.get(self.verdict, 2)

    def as_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {"verdict": str(self.verdict), "exit_code": self.exit_code, **self.model_dump(mode="json")}


def judge(folder: RunFolder, run: Run, baseline: Baseline | None = None) -> Judgement:
    """Hold a run to the limits of its config, and to a baseline."""
    gates = gates_of(folder)
    problem = unfit(folder, run, gates)
    if problem is not None:
        found = [Gate(name="run", verdict=Verdict.UNMEASURED, why=problem)]
    else:
        found = [*absolute(run.metrics, gates), *_against(folder, run, baseline, gates)]
    return Judgement(run=folder.path.name, baseline=baseline.run if baseline else None, gates=tuple(found))


ABSOLUTE = (
    ("urgency_macro_f1", "urgency", "macro_f1"), ("critical_recall", "urgency", "critical_recall"),
    ("urgent_miss", "urgency", "urgent_miss"), ("severe_under_triage", "urgency", "severe_under_triage"),
    ("false_alarm", "urgency", "false_alarm"), ("issue_type_macro_f1", "issue_type", "macro_f1"),
    ("escalation_macro_f1", "escalation", "macro_f1"), ("escalated_recall", "escalation", "escalated_recall"),
)  # fmt: skip
"""The limits of `Gates`, with the dimension and the figure that each is held against."""
CEILINGS = frozenset(("urgent_miss", "severe_under_triage", "false_alarm"))


def absolute(scores: Scores, gates: Gates) -> Iterator[Gate]:
    """Yield the gates of the limits that are set. Rule breaks are counted, so their gate is never in doubt."""
    for name, dimension, figure in ABSOLUTE:
        limit = getattr(gates, name)
        if limit is not None:
            held = scores.dimensions.get(dimension)
            yield bounded(name, held.figures.get(figure) if held else None, limit)
    if gates.quotes_grounded is not None:
        yield bounded("quotes_grounded", scores.quotes_grounded, gates.quotes_grounded)
    broken = {kind: n for kind, n in scores.rule_breaks.items() if n}
    total = sum(broken.values())
    yield Gate(
        name="rule_breaks", verdict=Verdict.FAIL if total > gates.rule_breaks else Verdict.PASS,
        figure=Figure(value=total), limit=f"≤ {gates.rule_breaks}",
        why=", ".join(f"{kind.replace('_', ' ')} {n}" for kind, n in broken.items()),
    )  # fmt: skip


def bounded(name: str, figure: Figure | None, limit: float) -> Gate:
    """Test a figure's interval against a limit.

    It passes when the whole interval holds the limit, fails when none of it does, and is inconclusive between. Critical
    rows are few: critical recall passes when the point holds and the lower bound lies at most .10 under the limit.
    """
    ceiling = name in CEILINGS
    told = f"{'≤' if ceiling else '≥'} {limit:g}"
    if figure is None or figure.value is None:
        return Gate(name=name, verdict=Verdict.UNMEASURED, limit=told, why="no row of the set tells it")
    if figure.low is None or figure.high is None:
        return Gate(name=name, verdict=Verdict.INCONCLUSIVE, figure=figure, limit=told, why=UNKNOWN)
    sign = -1 if ceiling else 1
    point, worst, best = sign * figure.value, *sorted((sign * figure.low, sign * figure.high))
    slack = CRITICAL_SLACK if name == "critical_recall" else 0.0
    if point >= sign * limit and worst >= sign * limit - slack:
        return Gate(name=name, verdict=Verdict.PASS, figure=figure, limit=told)
    if best < sign * limit:
        why = "the whole interval misses the limit"
        return Gate(name=name, verdict=Verdict.FAIL, figure=figure, limit=told, why=why)
    why = "the interval reaches past the limit: too few rows to tell"
    return Gate(name=name, verdict=Verdict.INCONCLUSIVE, figure=figure, limit=told, why=why)


def _against(folder: RunFolder, run: Run, baseline: Baseline | None, gates: Gates) -> Iterator[Gate]:
    if baseline is None:
        if not any(getattr(gates, name) is not None for name in (*(each[0] for each in ABSOLUTE), "quotes_grounded")):
            yield Gate(name="baseline", verdict=Verdict.UNMEASURED,
                       why="no limit is set and no baseline is blessed: nothing would be tested; "
                           "`triagedesk eval bless RUN` blesses one")  # fmt: skip
        return
    problem = unlike(folder, run, baseline)
    if problem is not None:
        yield Gate(name="baseline", verdict=Verdict.UNMEASURED, why=problem)
        return
    yield from relative(baseline.compared_with(run), gates)


def unlike(folder: RunFolder, run: Run, baseline: Baseline) -> str | None:
    """Say why a run cannot be held against a baseline, or None.

    Other model ids behind the same configured model are an alias that moved: the baseline no longer says what that
    model does. A model that the config itself changed is what a gate is for, and is compared.
    """
    manifest = folder.manifest
    data, config = manifest["dataset"], manifest["config"]
    if data["sha256"] != baseline.sha256:
        return (f"the baseline was made on {baseline.dataset}/{baseline.split} {baseline.sha256[:8]}, the run on "
                f"{data['name']}/{data['split']} {data['sha256'][:8]}; bless a run of this set")  # fmt: skip
    if {row.id for row in run.sheet.gold} != set(baseline.labels):
        return f"not the same tickets: {len(baseline.labels)} in the baseline, {len(run.sheet)} in the run"
    answered = tuple(sorted(run.metrics.models))
    if (config["system"], config["model"]) == (baseline.system, baseline.model) and answered != baseline.models:
        then = ", ".join(baseline.models) or "none"
        return (f"{', '.join(answered) or 'no model'} answered, in the baseline {then}: the alias moved; look at "
                "`triagedesk eval compare`, then bless anew")  # fmt: skip
    return None


def relative(found: Comparison, gates: Gates) -> Iterator[Gate]:
    """Yield the gates of a run (B) against its baseline (A)."""
    for dimension, compared in found.dimensions.items():
        for delta in compared.deltas.values():
            margin = _margin(dimension, delta.name, gates)
            if margin is not None:
                yield fallen(f"{dimension} {delta.name} against baseline", delta, margin)
        accuracy = compared.deltas["accuracy"]
        worse = (accuracy.delta or 0.0) < 0 and compared.p_value < WARNED_AT
        yield Gate(
            name=f"{dimension} accuracy against baseline", verdict=Verdict.WARN if worse else Verdict.PASS,
            figure=_figure(accuracy), limit="no shown fall",
            why=f"{compared.only_a} tickets broken, {compared.only_b} fixed, p {compared.p_value:.3f}",
        )  # fmt: skip
    new = [identity for ids in found.new_rule_breaks.values() for identity in ids]
    yield Gate(name="new rule breaks against baseline", verdict=Verdict.FAIL if new else Verdict.PASS,
               figure=Figure(value=len(new)), limit="≤ 0", why=", ".join(new[:SHOWN_IDS]))  # fmt: skip


def _margin(dimension: str, figure: str, gates: Gates) -> float | None:
    """Return how far a figure may fall, or None where no gate looks at it."""
    if figure == "macro_f1":
        return gates.macro_f1_margin
    of_urgency = {"critical_recall": gates.critical_recall_margin, "triage_cost": gates.cost_margin}
    return of_urgency.get(figure) if dimension == "urgency" else None


def fallen(name: str, delta: Delta, margin: float) -> Gate:
    """Judge a paired difference.

    It fails when its whole interval lies beyond the margin. It passes when the whole interval stays within, or when
    the rows would have shown a fall as large as the margin and the difference itself stays within. Else it is
    inconclusive: the rows are too few.

    Where no row was said otherwise there is nothing to estimate: both systems are the same function on this set, as an
    equal rerun of deterministic rules is. That passes on any number of rows; "inconclusive" would doubt a sample that
    has no scatter, and a smoke set of 40 could never let an unchanged system through.
    """
    limit = f"{'rise' if delta.lower_is_better else 'fall'} ≤ {allowed(delta, margin):.3f}"
    verdict, why = _fallen(delta, allowed(delta, margin))
    return Gate(name=name, verdict=verdict, figure=_figure(delta), limit=limit, why=why)


def _fallen(delta: Delta, margin: float) -> tuple[Verdict, str]:
    if delta.unmoved:
        return Verdict.PASS, "no ticket was labelled otherwise"
    if delta.gain is not None and delta.gain[2] < -margin:
        return Verdict.FAIL, "the whole interval lies beyond the margin"
    why = doubt(delta, margin)
    if why is not None:
        return Verdict.INCONCLUSIVE, why
    return Verdict.PASS, "" if delta.held(margin) else f"can detect ≥ {delta.detectable:.3f}"


def _figure(delta: Delta) -> Figure:
    return Figure(value=delta.delta, low=delta.low, high=delta.high)
