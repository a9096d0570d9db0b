"""`triagedesk eval report` and `eval ls`: a finished run's page written anew, and what runs there are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from triagedesk.cli.eval_extra import require_extra
from triagedesk.cli.terminal import inert, say, warn
from triagedesk.errors import ConfigError

if TYPE_CHECKING:
    from triagedesk.evals.folder import RunFolder


def run(run: Path, *, html: Path | None, markdown: Path | None, as_json: bool) -> int:
    """Write a run's report from its predictions, and print its figures. Raises ConfigError."""
    require_extra()
    from triagedesk.cli.eval_table import print_scores
    from triagedesk.evals.conduct import reopened
    from triagedesk.evals.report import REPORT, markdown_summary, write_report

    folder, done = reopened(run)
    manifest = folder.manifest
    warn_unended(folder)
    page = html or run / REPORT
    write_report(page, done, title=manifest["name"], manifest=manifest)
    if markdown is not None:
        _write(markdown, markdown_summary(done, title=manifest["name"], manifest=manifest))
    if as_json:
        say(json.dumps({"run": str(run), "report": str(page), **done.metrics.as_json()}))
        return 0
    print_scores(done.metrics)
    say(f"report  {page}")
    if markdown is not None:
        say(f"summary {markdown}")
    return 0


def warn_unended(*folders: RunFolder) -> None:
    """Say on stderr which runs have not ended: what they were not asked counts as wrong."""
    from triagedesk.evals.folder import RUNNING, UNENDED

    for folder in folders:
        if folder.manifest["state"] == RUNNING:
            warn(f"{folder.path}: {UNENDED}")


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, "utf-8", errors="replace")
    except OSError as wrong:
        raise ConfigError(f"{path}: cannot be written ({wrong.strerror})") from None


def list_runs(runs: Path, *, as_json: bool) -> int:
    """List the runs under a folder, the newest last; a folder that is no run is told on stderr."""
    require_extra()
    found = [told for path in sorted(runs.glob("*/")) if (told := _told(path)) is not None]
    if as_json:
        say(json.dumps(found))
    elif not found:
        warn(f"no runs in {runs}; `triagedesk eval run CONFIG` makes one")
    else:
        _print(found)
    return 0


def _told(path: Path) -> dict[str, Any] | None:
    from triagedesk.evals.folder import METRICS, RunFolder

    folder = RunFolder(path)
    try:
        manifest = folder.manifest
    except ConfigError as wrong:
        warn(str(wrong))
        return None
    try:
        dimensions = folder.read(METRICS)["dimensions"]
    except (ConfigError, KeyError):
        dimensions = {}
    data = manifest.get("dataset") or {}
    return {
        "run": str(path), "name": manifest.get("name"), "state": manifest.get("state"),
        "started_at": manifest.get("started_at"), "dataset": data.get("name"), "split": data.get("split"),
        "tickets": data.get("asked"), "openings": data.get("openings"), "models": list(manifest.get("models") or {}),
        "accuracy": {name: (each.get("accuracy") or {}).get("value") for name, each in dimensions.items()},
    }  # fmt: skip


def _print(found: list[dict[str, Any]]) -> None:
    for one in found:
        right = ", ".join(f"{name} {value:.3f}" for name, value in one["accuracy"].items() if value is not None)
        told = f"{one['state']}, {one['dataset']}/{one['split']}, {one['tickets']} tickets"
        say(inert(f"{Path(one['run']).name}  {told}" + (f", right: {right}" if right else "")))
