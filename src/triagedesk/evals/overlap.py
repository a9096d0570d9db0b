"""Whether the trained classifier that answers in a run has learned from the very tickets that it is scored on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from triagedesk.classifiers.trained_file import read_trained
from triagedesk.errors import ConfigError
from triagedesk.evals.config import EvalConfig
from triagedesk.evals.datasets import Dataset
from triagedesk.evals.run import Run
from triagedesk.models import Source
from triagedesk.playbook import Playbook

OVERLAP = "trained_on_this_set"
"""The manifest's key: whether the trained classifier that may answer learned from the file that is measured on."""


def trained_file(config: EvalConfig, playbook: Playbook) -> Path | None:
    """Return the trained classifier that may answer, or None where the rules alone do. Raises ConfigError."""
    settings = config.desk_settings()
    file = settings.trained or playbook.trained_file
    rules_alone = "rules" in (config.system, settings.second_line)
    return file if file.is_file() and not rules_alone else None


def learned_from(file: Path | None, dataset: Dataset) -> bool:
    """Say whether a labelled set's file, by its SHA-256, is among those that a classifier was trained on."""
    if file is None:
        return False
    try:
        learned = read_trained(file).manifest.trained_on
    except ConfigError:
        return False  # what cannot be read cannot answer; the desk says so
    return dataset.sha256 in {each.sha256 for each in learned}


def flattered(run: Run, manifest: Mapping[str, Any]) -> str | None:
    """Say in words that answers come from a classifier that learned from these tickets, or None where none does."""
    rows = sum(one.source == Source.TRAINED for one in run.sheet.all_predictions())
    if not manifest.get(OVERLAP) or not rows:
        return None
    return f"the trained classifier, which gave {rows} of the answers, learned from this set: figures flatter"


def check_unseen(run: Run, manifest: Mapping[str, Any]) -> None:
    """Raise ConfigError where answers come from a classifier that learned from these tickets."""
    told = flattered(run, manifest)
    if told is None:
        return
    alone = (manifest.get("config") or {}).get("system") == "trained"
    way = "train it without this file" if alone else "set TRIAGEDESK_SECOND_LINE=rules"
    raise ConfigError(f"{run.folder}: {told}; run on tickets that it has not seen, or {way} and run again")
