"""The prepaid pass as a batch calls it: after OUT is opened, before the first row is answered."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from triagedesk.batch.provider.conduct import cancel, prepay
from triagedesk.batch.provider.options import PrepayOptions, Watch
from triagedesk.batch.provider.prepaid import PrepaidAnswers
from triagedesk.batch.provider.state import state_folder

if TYPE_CHECKING:
    from triagedesk.batch.output import Output
    from triagedesk.batch.sources import Sources
    from triagedesk.desk import Desk


class Beforehand:
    """Pays for a batch beforehand; `end` it when the batch has ended."""

    def __init__(self, desk: Desk, target: Path, options: PrepayOptions, watch: Watch) -> None:
        self._desk, self._options, self._watch = desk, options, watch
        self._folder = state_folder(target)
        self._paid: PrepaidAnswers | None = None

    async def __call__(self, sources: Sources, output: Output) -> None:
        """Have every question answered that no row of OUT has brought yet. Raises ConfigError, OSError."""
        options = replace(
            self._options, identity=sources.digest().hex(), now=output.began,
            written=output.is_done if output.counts.done else None,
        )  # fmt: skip
        self._paid = await prepay(
            self._desk, lambda: sources.after(0), self._folder, options=options, watch=self._watch
        )  # fmt: skip

    async def cancel(self, sources: Sources) -> int:
        """Have the provider stop what runs of this batch. Returns how many batches that were. Raises ConfigError."""
        return await cancel(self._desk, self._folder, options=replace(self._options, identity=sources.digest().hex()))

    def end(self, *, complete: bool) -> None:
        """Remove the state of a batch whose rows are all written; keep that of one which goes on. Raises OSError."""
        if self._paid is not None and complete:
            self._paid.discard()
        elif self._paid is not None:
            self._paid.close()
