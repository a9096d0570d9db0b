"""The end of a batch whose OUT is packed or Parquet: made aside out of the working file's lines, then renamed."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from triagedesk.batch.linefile import sync
from triagedesk.batch.streams import Packer, compression_of

_CHUNK = 1024 * 1024


def finish(work: Path, target: Path, dimensions: tuple[str, ...]) -> None:
    """Make `target` of the lines in `work`; it appears at once and whole, also after a power cut. Raises OSError."""
    aside = target.with_name(target.name + ".new")
    aside.unlink(missing_ok=True)
    os.close(os.open(aside, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    if compression_of(target):
        _pack(work, aside, compression_of(target))
    else:
        from triagedesk.batch.parquet import write_parquet  # lazy: the extra [parquet]

        write_parquet(work, aside, dimensions)
    sync(aside)
    os.replace(aside, target)
    sync(target.absolute().parent)


def _pack(work: Path, aside: Path, packed: str) -> None:
    packer = Packer(aside, packed)
    try:
        with work.open("rb") as lines:
            shutil.copyfileobj(lines, packer, _CHUNK)
    finally:
        packer.close()
