"""A blessed baseline: what a run said of every ticket, small enough to commit, with no ticket's text in it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from triagedesk.errors import ConfigError
from triagedesk.evals.comparison import Comparison, compare, new_breaks
from triagedesk.evals.conduct import reopened
from triagedesk.evals.config import EvalConfig, Gates
from triagedesk.evals.figures import Figure
from triagedesk.evals.folder import COMPLETE, RunFolder, now
from triagedesk.evals.metrics.scale import NO_ANSWER
from triagedesk.evals.predictions import Prediction
from triagedesk.evals.run import Run
from triagedesk.evals.sheet import Sheet
from triagedesk.models import Frozen, one_line

SCHEMA_VERSION = 1


class Baseline(Frozen):
    """A run's identity, figures and labels: all that a later run is compared with, without the run's folder.

    `labels` holds, by ticket, a label per dimension in the order of `dimensions`; None where the playbook's labels do
    not hold what was said. `rule_breaks` holds ids.
    """

    schema_version: int
    name: str
    run: str
    identity: str
    blessed_at: str
    package: str
    system: str
    model: str | None
    models: tuple[str, ...]
    dataset: str
    split: str
    sha256: str
    playbook: str
    prompt: str | None
    k: int
    rows: int
    metrics: dict[str, dict[str, Figure]]
    rule_breaks: dict[str, tuple[str, ...]]
    dimensions: tuple[str, ...]
    labels: dict[str, tuple[str | None, ...]]

    def as_run(self, run: Run) -> Run:
        """Return what was said then, beside the gold rows of a run. Raises ConfigError for other rows."""
        sheet = run.sheet
        if len(sheet) != len(self.labels) or any(row.id not in self.labels for row in sheet.gold):
            raise ConfigError(f"not the same tickets: {len(self.labels)} in the baseline, {len(sheet)} in the run")
        said = [Prediction(row.id, labels=self._labels(row.id)) for row in sheet.gold]
        return Run(Sheet(sheet.playbook, sheet.scales, sheet.gold, said), run.draws, run.seed)

    def _labels(self, identity: str) -> dict[str, str]:
        pairs = zip(self.dimensions, self.labels[identity], strict=True)
        return {name: label for name, label in pairs if label is not None}

    def compared_with(self, run: Run) -> Comparison:
        """Compare a run with this baseline: A is the baseline, B the run. Raises ConfigError for other rows."""
        found = compare(self.as_run(run), run)
        return found.model_copy(update={"new_rule_breaks": new_breaks(self.rule_breaks, run.sheet.broken_rows())})

    def as_text(self) -> str:
        """Return the file's text: JSON with one ticket a line, so that a new blessing reads well as a diff."""
        head = json.dumps(self.model_dump(mode="json", exclude={"labels"}), indent=1, ensure_ascii=False)
        rows = (f"  {json.dumps(key, ensure_ascii=False)}: {json.dumps(said)}" for key, said in self.labels.items())
        return head.removesuffix("\n}") + ',\n "labels": {\n' + ",\n".join(rows) + "\n }\n}\n"


def baseline_of(folder: RunFolder, run: Run) -> Baseline:
    """Return a run as a baseline."""
    manifest, sheet = folder.manifest, run.sheet
    data, config = manifest["dataset"], manifest["config"]
    return Baseline(
        schema_version=SCHEMA_VERSION, name=manifest["name"], run=folder.path.name, identity=manifest["identity"],
        blessed_at=now(), package=manifest["package"], system=config["system"], model=config["model"],
        models=tuple(sorted(run.metrics.models)), dataset=data["name"], split=data["split"], sha256=data["sha256"],
        playbook=manifest["playbook"], prompt=manifest["prompt"], k=manifest["k"], rows=len(sheet),
        metrics={name: dimension.figures for name, dimension in run.metrics.dimensions.items()},
        rule_breaks=sheet.broken_rows(), dimensions=tuple(sheet.scales), labels=_labels_of(sheet),
    )  # fmt: skip


def _labels_of(sheet: Sheet) -> dict[str, tuple[str | None, ...]]:
    """Return what was said in the playbook's words: anything else could be a ticket's, and counts as no answer."""
    columns = [
        [None if code == NO_ANSWER else scale.labels[code] for code in sheet.codes(name)[1]]
        for name, scale in sheet.scales.items()
    ]
    return {row.id: said for row, said in zip(sheet.gold, zip(*columns, strict=True), strict=True)}


def gates_of(folder: RunFolder) -> Gates:
    """Return the limits that a run was made under."""
    return EvalConfig.model_validate(folder.manifest["config"]).gates


def unfit(folder: RunFolder, run: Run, gates: Gates) -> str | None:
    """Say why a run's figures prove nothing, or None: it did not end, rows are missing, or others answered for it."""
    state, n = folder.manifest["state"], len(run.sheet)
    if n == 0:
        return "no ticket was evaluated"
    if state != COMPLETE:
        return f"the run is {state}; `triagedesk eval run … --resume` ends it"
    missing = sum(one.id == "" for one in run.sheet.predictions)
    if missing:
        return f"{missing} of {n} tickets were never asked; `triagedesk eval run … --resume` asks them"
    share = unanswered(run) / n
    if share > gates.max_unanswered:
        return (f"{share:.1%} of {n} tickets have no answer or a fallback's, more than {gates.max_unanswered:.1%}; "
                "`triagedesk eval run … --retry-errors` asks them again")  # fmt: skip
    return None


def unanswered(run: Run) -> int:
    """Count tickets without an answer, or which rules answered for a model that failed."""
    labels = run.sheet.labels
    return sum(not labels(one) or one.fallback_reason not in (None, "no_model") for one in run.sheet.predictions)


def bless(folder: RunFolder, run: Run, root: Path, *, force: bool = False) -> Path:
    """Write `root`/NAME.json and return its path.

    Raises ConfigError when the run proves nothing, or without `force` when --limit left rows of its set out.
    """
    problem = unfit(folder, run, gates_of(folder))
    if problem is not None:
        raise ConfigError(f"{folder.path}: {problem}; only a whole run can be blessed")
    data = folder.manifest["dataset"]
    if data["asked"] < data["rows"] and not force:
        raise ConfigError(f"{folder.path}: {data['asked']} of {data['rows']} tickets were asked, for --limit; "
                          "run it whole, or bless it with --force")  # fmt: skip
    baseline = baseline_of(folder, run)
    path = root / f"{baseline.name}.json"
    try:
        root.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(".draft")
        draft.write_text(baseline.as_text(), "utf-8")
        os.replace(draft, path)
    except OSError as wrong:
        raise ConfigError(f"{path}: cannot be written ({wrong.strerror})") from None
    return path


def read_baseline(path: Path) -> Baseline:
    """Read a blessed baseline. Raises ConfigError with one line."""
    try:
        content: Any = json.loads(path.read_text("utf-8"))
    except OSError as wrong:
        raise ConfigError(f"{path}: cannot be read ({wrong.strerror}); `triagedesk eval bless RUN` makes one") from None
    except ValueError:
        raise ConfigError(f"{path}: is not JSON; `triagedesk eval bless RUN` makes one") from None
    if not isinstance(content, Mapping) or content.get("schema_version") != SCHEMA_VERSION:
        raise ConfigError(f"{path}: is no baseline of this version; `triagedesk eval bless RUN` makes one")
    try:
        return Baseline.model_validate(content)
    except ValidationError as wrong:
        raise ConfigError(f"{path}: is no baseline ({one_line(wrong)})") from None


def find_baseline(given: str, root: Path) -> Baseline:
    """Return a baseline by file, by run folder, or by its name under `root`. Raises ConfigError."""
    path = Path(given)
    if path.is_dir():
        return baseline_of_run(path)
    if path.is_file():
        return read_baseline(path)
    named = root / f"{given}.json"
    if path.suffix or not named.is_file():
        raise ConfigError(f"--baseline: neither a file, nor a run, nor blessed as {named}")
    return read_baseline(named)


def baseline_of_run(path: Path) -> Baseline:
    """Return a run's folder as a baseline. Raises ConfigError when it proves nothing."""
    folder, run = reopened(path)
    problem = unfit(folder, run, gates_of(folder))
    if problem is not None:
        raise ConfigError(f"{path}: {problem}")
    return baseline_of(folder, run)


def assert_no_regression(
    run: Run, baseline: Run | Baseline | Path | str, *, margin: float = 0.01, strict: bool = False
) -> None:
    """Raise AssertionError naming what fell from the baseline to the run by more than `margin`: for use in a test.

    `baseline` is a run, a blessed baseline, or the path of either. Only a fall that the paired 95 % interval shows
    raises, with `strict` also what cannot be told; ConfigError when the two were not asked the same tickets, or one
    answered none.
    """
    if isinstance(baseline, Path | str):
        baseline = baseline_of_run(Path(baseline)) if Path(baseline).is_dir() else read_baseline(Path(baseline))
    found = baseline.compared_with(run) if isinstance(baseline, Baseline) else compare(baseline, run)
    found.assert_no_regression(margin, strict=strict)
