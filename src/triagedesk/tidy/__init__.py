"""Tidying: what is read of a ticket, without quoted history, signatures, HTML and invisible characters."""

from __future__ import annotations

from triagedesk.tidy.read import READ_CHARS, read

__all__ = ["READ_CHARS", "read"]
