"""What a run is known by: whoever goes on with its OUT must give the answers that it would have given."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from triagedesk.batch.streams import format_of

if TYPE_CHECKING:
    from triagedesk.batch.sources import Sources
    from triagedesk.playbook import Playbook
    from triagedesk.settings import Settings


def run_identity(settings: Settings, playbook: Playbook, sources: Sources, target: Path, model: str | None) -> str:
    """Return a hash of all that decides the answers of a run: input, playbook, files, model, settings, OUT's format.

    `model` is the one that is asked, as provider/name. Raises OSError if a file cannot be read.
    """
    digest = hashlib.blake2b(sources.digest(), digest_size=16)
    for path in (
        settings.prompt, settings.trained or playbook.trained_file, settings.calibration or playbook.calibration_file,
    ):  # fmt: skip
        if path is not None and path.is_file():
            digest.update(_of_file(path))
        digest.update(b"\n")  # so that no file is taken for the next one
    told = (
        playbook.identity, model, settings.model, settings.second_line, settings.cascade, settings.pack,
        settings.redact, settings.temperature, format_of(target),
    )  # fmt: skip
    digest.update("\n".join(map(str, told)).encode())
    return digest.hexdigest()


def _of_file(path: Path) -> bytes:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "blake2b").digest()
