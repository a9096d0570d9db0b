"""Many tickets: a file in, a file out, in order, resumable, in flat memory."""

from __future__ import annotations

from triagedesk.batch.run import Job, run_batch
from triagedesk.batch.tally import Tally

__all__ = ["Job", "Tally", "run_batch"]
