"""One batch as it was ordered: from where, to where, and how."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from triagedesk.batch.output import own_paths
from triagedesk.batch.sources import find_files, would_read
from triagedesk.batch.streams import compression_of, format_of, require_parquet
from triagedesk.errors import ConfigError


@dataclass(frozen=True)
class Job:
    """One batch. `source` is a file, a folder or a pattern; `columns` says which column or path holds which field.

    `concurrency` tickets are in flight at most; without it as many as the model server bears. With `ordered` off rows
    are written as they finish. At `max_cost_usd` the batch stops; it counts every run of it.
    """

    source: Path | str
    target: Path
    concurrency: int | None = 8
    resume: bool = True
    overwrite: bool = False
    columns: Mapping[str, str] = field(default_factory=dict)
    ordered: bool = True
    max_cost_usd: float | None = None
    processes: int = 1

    def check(self) -> None:
        """Raise ConfigError if the files cannot be a batch's."""
        for path in find_files(self.source):
            format_of(path)
            require_parquet(path)
        self._check_target()
        if self.max_cost_usd is not None and not math.isfinite(self.max_cost_usd):
            raise ConfigError("--max-cost: give an amount in USD, such as 2.50")
        for name, path in own_paths(self.target).items():
            if would_read(self.source, path):
                raise ConfigError(self._in_the_input(name))
        if not self.target.absolute().parent.is_dir():
            raise ConfigError(f"{self.target}: its folder does not exist; create it first")

    def _in_the_input(self, name: str) -> str:
        if Path(self.source).is_dir():
            return f"{self.target}: stands in the folder that is read; choose an OUT outside of it"
        if not Path(self.source).exists():
            return f"{self.target}: matches the pattern of IN; choose an OUT elsewhere, or a narrower pattern"
        return f"{self.target}: IN and {name} are the same file; choose another OUT"

    def _check_target(self) -> None:
        format_of(self.target)
        require_parquet(self.target)
        if compression_of(self.target) not in ("", ".gz", ".zst"):
            raise ConfigError(f"{self.target}: OUT is packed as .gz or .zst only; choose one of them")
        if self.target.is_symlink() or (self.target.exists() and not self.target.is_file()):
            raise ConfigError(f"{self.target}: is a folder, a symbolic link or a device; give a file")
