"""Notifications: who is told of a critical ticket, a missed time or a due step, and how, without anybody waiting."""

from __future__ import annotations

from triagedesk.service.notify.attempt import Failure
from triagedesk.service.notify.notice import Kind, Notice, Promise, Severity, notice_of
from triagedesk.service.notify.notifier import Done, Notifier, TargetState, open_notifier
from triagedesk.service.notify.pace import Clock
from triagedesk.service.notify.targets import Targets, load_targets, read_targets

__all__ = [
    "Clock", "Done", "Failure", "Kind", "Notice", "Notifier", "Promise", "Severity", "TargetState", "Targets",
    "load_targets", "notice_of", "open_notifier", "read_targets",
]  # fmt: skip
