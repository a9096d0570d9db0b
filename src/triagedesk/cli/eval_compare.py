"""`triagedesk eval compare`: two runs on the same tickets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from triagedesk.cli.eval_extra import require_extra
from triagedesk.cli.eval_grid import print_grid
from triagedesk.cli.eval_report import warn_unended
from triagedesk.cli.terminal import say
from triagedesk.errors import ConfigError

if TYPE_CHECKING:
    from triagedesk.evals.comparison import Comparison, Delta
    from triagedesk.evals.flips import Flip

SIGNIFICANT = 0.05


def run(run_a: Path, run_b: Path, *, flips: int, as_json: bool) -> int:
    """Compare two runs. Raises ConfigError when they were not made on the same set."""
    require_extra()
    from triagedesk.evals.comparison import compare
    from triagedesk.evals.conduct import reopened
    from triagedesk.evals.folder import RUNNING

    (folder_a, a), (folder_b, b) = reopened(run_a), reopened(run_b)
    data_a, data_b = folder_a.manifest["dataset"], folder_b.manifest["dataset"]
    if data_a["sha256"] != data_b["sha256"]:
        raise ConfigError(f"not the same set: A is {data_a['name']}/{data_a['split']} {data_a['sha256'][:8]}, "
                          f"B is {data_b['name']}/{data_b['split']} {data_b['sha256'][:8]}")  # fmt: skip
    warn_unended(folder_a, folder_b)
    found = compare(a, b)
    if as_json:
        say(json.dumps({"a": str(run_a), "b": str(run_b), **found.as_json(flips)}))
    else:
        for name, path, folder in (("A", run_a, folder_a), ("B", run_b, folder_b)):
            say(f"{name}  {path}" + ("  (has not ended)" if folder.manifest["state"] == RUNNING else ""))
        print_comparison(found, flips)
    return 0


def print_comparison(found: Comparison, flips: int) -> None:
    """Print differences, tests, slices that differ, and flipped tickets."""
    print_grid(("", "A", "B", "B − A (95 %)", ""), _figures(found))
    for line in ("", *_tests(found), *_slices(found)):
        say(line)
    for title, way in (("A had right, B has not", found.broken), ("B has right, A had not", found.fixed)):
        if way and flips:
            say("")
            say(f"{title}: {len(way)}, the worst first")
            print_grid(("ticket", "dimension", "gold", "A", "B", "severity"), _flipped(way[:flips]))


def _figures(found: Comparison) -> list[tuple[str, ...]]:
    return [
        (f"{dimension} {delta.name.replace('_', ' ')}", _number(delta.a), _number(delta.b), difference(delta),
         delta.verdict)
        for dimension, compared in found.dimensions.items()
        for delta in compared.deltas.values()
    ]  # fmt: skip


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def difference(delta: Delta) -> str:
    """Return "−.012 (−.030 to +.004)", or a dash where it is not defined."""
    if delta.delta is None:
        return "–"
    if delta.low is None or delta.high is None:
        return f"{delta.delta:+.3f}"
    return f"{delta.delta:+.3f} ({delta.low:+.3f} to {delta.high:+.3f})"


def _tests(found: Comparison) -> list[str]:
    left_out = f", {found.left_out} left out that only one was asked about" if found.left_out else ""
    lines = [f"n {found.n}{left_out}"]
    for name, compared in found.dimensions.items():
        tests = f"{compared.only_a} broken, {compared.only_b} fixed, McNemar p {compared.p_value:.3f}"
        lines.append(f"{name}: {compared.changed} labels differ; {tests}; {detects(compared.deltas['accuracy'])}")
    if found.clustered:
        lines.append("tickets come in groups: McNemar takes them for independent, trust the intervals")
    lines += [
        f"new in B, {kind.replace('_', ' ')}: {len(ids)} tickets ({', '.join(ids[:5])})"
        for kind, ids in found.new_rule_breaks.items()
    ]
    return lines


def detects(accuracy: Delta) -> str:
    """Say which difference of accuracy the rows would show."""
    if accuracy.unmoved:
        return "the same labels throughout"
    if accuracy.detectable is None:
        return "too few differ to detect anything"
    return f"can detect ≥ {100 * accuracy.detectable:.1f} points"


def _slices(found: Comparison) -> list[str]:
    """Return the slices that differ once their number is allowed for, else how many were looked at."""
    judged = [(name, one) for name, compared in found.dimensions.items() for one in compared.slices]
    if not judged:
        return ["slices: none has 30 tickets"]
    lines = [
        f"slice {one.name}={one.value}, {name} accuracy {one.accuracy_a:.3f} → {one.accuracy_b:.3f} (n {one.n}, "
        f"{one.only_a} broken, {one.only_b} fixed, Holm p {one.p_holm:.3f})"
        for name, one in sorted(judged, key=lambda pair: pair[1].p_holm)
        if one.p_holm < SIGNIFICANT
    ]
    return lines or [f"slices: none of {len(judged)} differs (Holm, 5 %)"]


def _flipped(flips: tuple[Flip, ...]) -> list[tuple[str, ...]]:
    return [(flip.id, flip.dimension, flip.gold, flip.a or "–", flip.b or "–", f"{flip.severity:g}") for flip in flips]
