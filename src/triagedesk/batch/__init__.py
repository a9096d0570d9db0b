"""Many tickets: a file in, a file out, in order, resumable, in flat memory."""

from __future__ import annotations

from triagedesk.batch.job import Job
from triagedesk.batch.run import run_batch
from triagedesk.batch.tally import Tally

__all__ = ["Job", "Tally", "run_batch"]
