"""What a run leaves behind: figures, slices, the confusion table and every error, as files for other tools."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable

from triagedesk.evals.folder import METRICS, RunFolder
from triagedesk.evals.run import Run

SLICES, CONFUSION, ERRORS = "slices.json", "confusion.csv", "errors.csv"


def write_results(folder: RunFolder, run: Run) -> None:
    """Write metrics.json, slices.json, confusion.csv and errors.csv."""
    folder.write(METRICS, run.metrics.as_json())
    slices = run.slices()
    folder.write(SLICES, {
        name: {value: scores.model_dump(mode="json") for value, scores in values.items()}
        for name, values in slices.items()
    })  # fmt: skip
    folder.write(CONFUSION, _csv(_confusion(run)))
    folder.write(ERRORS, _csv(_errors(run)))


def _csv(rows: Iterable[Iterable[object]]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(rows)
    return buffer.getvalue()


def _confusion(run: Run) -> Iterable[Iterable[object]]:
    yield "dimension", "gold", "said", "rows"
    for name, dimension in run.metrics.dimensions.items():
        said = (*dimension.labels, "")
        for gold, row in zip(dimension.labels, dimension.confusion, strict=True):
            yield from ((name, gold, label, n) for label, n in zip(said, row, strict=True))


def _errors(run: Run) -> Iterable[Iterable[object]]:
    """One line per wrong label: ids and labels, never the ticket's text."""
    yield "id", "line", "dimension", "gold", "said", "rules", "confidence", "source", "fallback_reason", "error"
    sheet = run.sheet
    for row, one in zip(sheet.gold, sheet.predictions, strict=True):
        said = sheet.labels(one)
        for name, label in row.labels.items():
            if said.get(name) != label:
                yield (row.id, row.line, name, label, said.get(name), one.rules.get(name), one.confidence.get(name),
                       one.source, one.fallback_reason, one.error)  # fmt: skip
