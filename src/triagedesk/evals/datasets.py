"""Where labelled sets lie: folders of splits, files, public sets by name. The sealed split counts its openings."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from triagedesk.errors import ConfigError
from triagedesk.evals.adapters import PUBLIC, csv_lines
from triagedesk.evals.config import SEALED, EvalConfig
from triagedesk.evals.gold import Gold, GoldError, checked, parsed_lines
from triagedesk.playbook import Playbook

PUBLIC_ROOT = "TRIAGEDESK_EVAL_DATA"
"""The environment variable that names the folder of public sets."""

OPENINGS = "openings.jsonl"


@dataclass(frozen=True)
class Dataset:
    """A labelled set: its rows and the hash of the file they came from."""

    name: str
    split: str
    path: Path
    sha256: str
    rows: tuple[Gold, ...]


def find_file(config: EvalConfig, split: str, root: Path) -> Path:
    """Return the file of a split. `root` is the folder that holds `datasets/`. Raises ConfigError."""
    named = Path(config.dataset)
    tried = [named, root / named] if named.suffix else [root / "datasets" / named / f"{split}.jsonl"]
    if named.suffix and named.stem == SEALED != split:
        raise ConfigError(
            f"{named}: the {SEALED} split is opened by --split {SEALED} alone, so that openings are counted"
        )
    public = PUBLIC.get(config.dataset)
    if public is not None:
        tried += [Path(folder) / public.file for folder in (os.environ.get(PUBLIC_ROOT), "data") if folder]
    for path in tried:
        if path.is_file():
            return path
    hint = f"; set {PUBLIC_ROOT} to the folder of public sets" if public else ""
    raise ConfigError(f"dataset {config.dataset!r}, split {split!r}: no file {tried[0]}{hint}")


def load_dataset(config: EvalConfig, playbook: Playbook, root: Path, *, split: str | None = None) -> Dataset:
    """Read the split that a config names. Raises ConfigError, GoldError included."""
    chosen = split or config.split
    path = find_file(config, chosen, root)
    rows = []
    for row, problem in checked(_values(path, config), playbook):
        if row is None:
            raise GoldError(f"{path}: {problem}")
        rows.append(row)
    if not rows:
        raise GoldError(f"{path}: holds no labelled ticket")
    return Dataset(config.dataset, chosen, path, file_hash(path), tuple(rows))


def _values(path: Path, config: EvalConfig) -> Iterator[tuple[int, Any]]:
    if path.suffix.lower() in (".csv", ".tsv"):
        return csv_lines(path, config.columns)
    public = PUBLIC.get(config.dataset)
    return adapted(path, public.adapt) if public is not None else parsed_lines(path)


def adapted(path: Path, adapt: Callable[[Any], Any]) -> Iterator[tuple[int, Any]]:
    """Yield the lines of a public set as gold values; a line laid out otherwise yields a ValueError."""
    for number, value in parsed_lines(path):
        if isinstance(value, ValueError):
            yield number, value
            continue
        try:
            yield number, adapt(value)
        except (KeyError, TypeError, AttributeError):
            yield number, ValueError("is not laid out like this public set")


def file_hash(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def count_opening(dataset: Dataset, run: str) -> int:
    """Note that a sealed split was opened, beside its data, and return how often it has been. Others count 0."""
    if dataset.split != SEALED:
        return 0
    log = dataset.path.with_name(OPENINGS)
    line = {"at": datetime.now(UTC).isoformat(timespec="seconds"), "split": dataset.split, "sha256": dataset.sha256,
            "run": run}  # fmt: skip
    with log.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(line) + "\n")
    with log.open(encoding="utf-8") as stream:
        return sum(f'"split": "{dataset.split}"' in each for each in stream)
