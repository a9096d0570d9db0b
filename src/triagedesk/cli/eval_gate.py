"""`triagedesk eval gate` and `eval bless`: may this run ship, and what later runs are held against."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from triagedesk.cli.eval_extra import require_extra
from triagedesk.cli.terminal import say, warn
from triagedesk.errors import ConfigError

if TYPE_CHECKING:
    from triagedesk.evals.baseline import Baseline
    from triagedesk.evals.gate import Gate, Judgement


def gate(run: Path, *, baseline: str | None, junit: Path | None, baselines: Path, as_json: bool) -> int:
    """Judge a run: 0 pass, 1 fail, 2 it cannot be told. Raises ConfigError."""
    require_extra()
    from triagedesk.evals.conduct import reopened
    from triagedesk.evals.gate import judge

    folder, done = reopened(run)
    name = str(folder.manifest["name"])
    judged = judge(folder, done, _baseline(name, baseline, baselines))
    if junit is not None:
        _write_junit(junit, judged, name)
    if as_json:
        say(json.dumps(judged.as_json()))
    else:
        print_judgement(judged)
    return judged.exit_code


def _baseline(name: str, given: str | None, root: Path) -> Baseline | None:
    from triagedesk.evals.baseline import find_baseline, read_baseline

    if given is not None:
        return find_baseline(given, root)
    path = root / f"{name}.json"
    if path.is_file():
        return read_baseline(path)
    warn(f"no baseline is blessed as {path}: only the config's own limits are tested")
    return None


def _write_junit(path: Path, judged: Judgement, name: str) -> None:
    from triagedesk.evals.junit import junit_text

    try:
        path.write_text(junit_text(judged, name), "utf-8")
    except OSError as wrong:
        raise ConfigError(f"{path}: cannot be written ({wrong.strerror})") from None


def print_judgement(judged: Judgement) -> None:
    """Print one line a gate, however long, and the verdict."""
    rows = [(str(each.verdict), each.name.replace("_", " "), shown(each), each.limit) for each in judged.gates]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row, each in zip(rows, judged.gates, strict=True):
        cells = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        say(f"{cells}  {each.why}".rstrip())
    against = f" against {judged.baseline}" if judged.baseline else ""
    say(f"{judged.verdict.upper()}: {judged.run}{against}")


def shown(gate: Gate) -> str:
    """Return a gate's figure with its interval; signed where it is a difference, bare where it is a count."""
    figure = gate.figure
    if figure is None or figure.value is None:
        return "–"
    if "rule" in gate.name:
        return f"{figure.value:.0f}"
    sign = "+" if gate.name.endswith("against baseline") else ""
    if figure.low is None or figure.high is None:
        return f"{figure.value:{sign}.3f}"
    return f"{figure.value:{sign}.3f} ({figure.low:{sign}.3f} to {figure.high:{sign}.3f})"


def bless(run: Path, *, baselines: Path, force: bool = False) -> int:
    """Write a run's baseline. Raises ConfigError when the run is not whole, or without `force` a limited one."""
    require_extra()
    from triagedesk.evals.baseline import bless as write
    from triagedesk.evals.conduct import reopened

    folder, done = reopened(run)
    path = write(folder, done, baselines, force=force)
    data = folder.manifest["dataset"]
    part = "" if data["asked"] == data["rows"] else f" of {data['rows']}, for --limit"
    say(f"{path}  {len(done.sheet)} tickets of {data['name']}/{data['split']}{part}")
    return 0
