"""Policy: what a desk does with an answer: floors, clocks, paths, queues, notes, flags and review."""

from __future__ import annotations

from triagedesk.policy.apply import NO_REASON, Decision, Policy, Verdict

__all__ = ["NO_REASON", "Decision", "Policy", "Verdict"]
