"""Privacy: personal data becomes placeholders before anything leaves the process, and comes back in the quotes."""

from __future__ import annotations

from triagedesk.privacy.redact import KINDS, Redacted, redact, warm_up

__all__ = ["KINDS", "Redacted", "redact", "warm_up"]
