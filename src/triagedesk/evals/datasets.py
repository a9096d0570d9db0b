"""Where labelled sets lie: folders of splits, files, public sets by name. The sealed split counts its openings."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from triagedesk.errors import ConfigError
from triagedesk.evals.adapters import PUBLIC, PUBLIC_ROOT
from triagedesk.evals.config import SEALED, EvalConfig
from triagedesk.evals.gold import Gold
from triagedesk.evals.sets import read_gold
from triagedesk.playbook import Playbook

OPENINGS, CARD = "openings.jsonl", "card.md"


@dataclass(frozen=True)
class Dataset:
    """A labelled set: its rows and the hash of the file they came from."""

    name: str
    split: str
    path: Path
    sha256: str
    rows: tuple[Gold, ...]


def split_of(config: EvalConfig, wanted: str | None) -> str:
    """Return the split that is meant: as wanted, as the config says, or of a file the one that its name says.

    Raises ConfigError where a split is wanted of a file that neither its name nor the config calls so.
    """
    named = Path(config.dataset)
    if not named.suffix:
        return wanted or config.split
    if named.stem == SEALED != wanted:
        raise ConfigError(
            f"{named}: the {SEALED} split is opened by --split {SEALED} alone, so that openings are counted"
        )
    own = config.split if "split" in config.model_fields_set and named.stem != SEALED else named.stem
    if wanted not in (None, own, named.stem):
        raise ConfigError(f"--split {wanted}: the dataset {named} is one file, its split {own}")
    return wanted or own


def find_file(config: EvalConfig, split: str, root: Path, *, beside: Path | None = None) -> Path:
    """Return the file of a split. `root` is the folder that holds `datasets/`, `beside` the config's own.

    Raises ConfigError.
    """
    named = Path(config.dataset)
    if named.suffix:
        tried = [*([beside / named] if beside else []), root / named, named]
    else:
        tried = [root / "datasets" / named / f"{split}.jsonl"]
    public = PUBLIC.get(config.dataset)
    if public is not None and split == config.split:  # it is one file
        tried += [Path(folder) / public.file for folder in (os.environ.get(PUBLIC_ROOT), "data") if folder]
    for path in tried:
        if path.is_file():
            return path
    hint = f"; set {PUBLIC_ROOT} to the folder of public sets" if public else ""
    raise ConfigError(f"dataset {config.dataset!r}, split {split!r}: no file {tried[0]}{hint}")


def load_dataset(
    config: EvalConfig, playbook: Playbook, root: Path, *, split: str | None = None, beside: Path | None = None
) -> Dataset:
    """Read the split that a config names. Raises ConfigError, GoldError included."""
    chosen = split_of(config, split)
    return read_dataset(find_file(config, chosen, root, beside=beside), config, playbook, chosen)


def read_dataset(path: Path, config: EvalConfig, playbook: Playbook, split: str) -> Dataset:
    """Read a split from its file. Raises ConfigError, GoldError included."""
    rows = read_gold(path, playbook, config.columns, public=PUBLIC.get(config.dataset))
    return Dataset(config.dataset, split, path, file_hash(path), tuple(rows))


def file_hash(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def count_opening(dataset: Dataset, run: str) -> int:
    """Note that a sealed split was opened, beside its data, and return how often it has been. Others count 0."""
    return _counted(dataset.path, dataset.sha256, run) if dataset.split == SEALED else 0


def count_file(path: Path, command: str) -> int:
    """Count the opening of a sealed split by a command that reads files, and return how often it has been.

    Sealed is a file named `test` beside a log of openings or a card: whoever keeps such has sealed it. Others count 0.
    """
    sealed = path.stem == SEALED and any(path.with_name(name).is_file() for name in (OPENINGS, CARD))
    return _counted(path, file_hash(path), command) if sealed and path.is_file() else 0


def _counted(path: Path, sha256: str, run: str) -> int:
    log = path.with_name(OPENINGS)
    line = {"at": datetime.now(UTC).isoformat(timespec="seconds"), "split": SEALED, "sha256": sha256, "run": run}
    try:
        with log.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(line) + "\n")
        with log.open(encoding="utf-8") as stream:
            return sum(f'"split": "{SEALED}"' in each for each in stream)
    except OSError as wrong:
        raise ConfigError(f"{log}: cannot be written ({wrong.strerror}); the sealed split is not opened uncounted"
                          ) from None  # fmt: skip
