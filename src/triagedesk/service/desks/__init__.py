"""Helpdesks: what they send is verified and read, and what is suggested is written back."""

from __future__ import annotations

from triagedesk.service.desks.adapter import Headers, Ignored, Inbound, Refused, Request
from triagedesk.service.desks.settings import DeskSettings, Mode, Proof

__all__ = ["DeskSettings", "Headers", "Ignored", "Inbound", "Mode", "Proof", "Refused", "Request"]
