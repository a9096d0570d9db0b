"""What other annotators said of gold rows: lines `{"id": …, "by": …, "labels": {…}}`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from triagedesk.errors import ConfigError
from triagedesk.evals.gold import parsed_lines
from triagedesk.playbook import Playbook


@dataclass(frozen=True)
class Annotation:
    """One annotator's labels of one row."""

    id: str
    by: str
    labels: Mapping[str, str]


def read_annotations(path: Path, playbook: Playbook) -> list[Annotation]:
    """Read a file of annotations. Raises ConfigError that names the line when one is wrong, or when there is none.

    `by` is the file's name where it is not given.
    """
    read: list[Annotation] = []
    seen: set[tuple[str, str]] = set()
    for number, value in parsed_lines(path):
        problem = str(value) if isinstance(value, ValueError) else _problem(value, playbook)
        if problem is None:
            one = Annotation(str(_identity(value)), str(value.get("by") or path.stem), dict(value["labels"]))
            problem = f"{one.by} labelled {one.id!r} already" if (one.id, one.by) in seen else None
        if problem is not None:
            raise ConfigError(f"{path}: line {number}: {problem}")
        seen.add((one.id, one.by))
        read.append(one)
    if not read:
        raise ConfigError(f"{path}: holds no annotation")
    return read


def _identity(value: Mapping[str, Any]) -> Any:
    return value.get("id") or value.get("ticket_id")


def _problem(value: Any, playbook: Playbook) -> str | None:
    labels = value.get("labels") if isinstance(value, Mapping) else None
    if not isinstance(labels, Mapping) or not isinstance(_identity(value), str | int):
        return "an annotation is an object with id, by and labels"
    for name, label in labels.items():
        if name not in playbook.dimensions:
            return f"{name!r} is no dimension of the playbook"
        if label not in playbook.dimensions[name].names:
            return f"{name}: {str(label)[:60]!r} is no label of the playbook"
    return None
