"""Which file is meant, and its lines as gold values: JSON lines, CSV, or a public set by its name or its file."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from triagedesk.errors import ConfigError
from triagedesk.evals.adapters import PUBLIC, PUBLIC_ROOT, Public, adapted, csv_lines, public_set
from triagedesk.evals.config import flat
from triagedesk.evals.gold import Gold, GoldError, checked, parsed_lines
from triagedesk.playbook import Playbook

Values = Iterator[tuple[int, Any]]


def found(path: Path) -> Path:
    """Return the file that is meant: a path, or a public set's name. Raises ConfigError when there is none."""
    if path.is_file() or str(path) not in PUBLIC:
        return path
    folder = os.environ.get(PUBLIC_ROOT)
    if folder is None:
        raise ConfigError(f"{path}: set {PUBLIC_ROOT} to the folder of public sets")
    return Path(folder) / PUBLIC[str(path)].file


def columns_of(path: Path | None) -> dict[str, str]:
    """Read the [columns] table of a TOML file, as a run's config has; empty for none. Raises ConfigError."""
    if path is None:
        return {}
    try:
        table = tomllib.loads(path.read_text("utf-8")).get("columns")
    except OSError as wrong:
        raise ConfigError(f"{path}: cannot be read ({wrong.strerror})") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as wrong:
        raise ConfigError(f"{path}: is not TOML: {wrong}") from None
    columns = dict(flat(table)) if isinstance(table, Mapping) else {}
    if not columns or not all(isinstance(theirs, str) for theirs in columns.values()):
        raise ConfigError(f"{path}: give a table [columns] of our field = their column")
    return columns


def values_of(path: Path, columns: Mapping[str, str] | None = None, *, public: Public | None = None) -> Values:
    """Yield the lines of a labelled set as gold values with their numbers. Raises ConfigError when it is unusable.

    `columns` maps our fields to the columns of a CSV file; `public` says whose layout it has where its name does not.
    """
    file = found(path)
    if file.suffix.lower() in (".csv", ".tsv"):
        return csv_lines(file, columns or {})
    public = public or public_set(file)
    return adapted(file, public.adapt) if public is not None else parsed_lines(file)


def read_gold(
    path: Path | str, playbook: Playbook, columns: Mapping[str, str] | None = None, *, public: Public | None = None
) -> list[Gold]:
    """Read a labelled set (.jsonl, .csv, or a public set by its name or file), checked against the playbook's labels.

    `columns` maps our fields to the columns of a CSV file. Raises GoldError at the first line that is wrong, or when
    there is none; ConfigError when the file cannot be read.
    """
    rows = []
    for row, problem in checked(values_of(Path(path), columns, public=public), playbook):
        if row is None:
            raise GoldError(f"{path}: {problem}; `triagedesk eval data check` names every line")
        rows.append(row)
    if not rows:
        raise GoldError(f"{path}: holds no labelled ticket")
    return rows
