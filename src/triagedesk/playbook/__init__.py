"""The playbook: one business's labels, policy and rules, as data."""

from __future__ import annotations

from triagedesk.playbook.conditions import Facts, evidence, holds, is_overdue
from triagedesk.playbook.document import Dimension, Document
from triagedesk.playbook.load import DEFAULT, Playbook, load_playbook
from triagedesk.playbook.rulebook import Condition, Rule

__all__ = [
    "DEFAULT", "Condition", "Dimension", "Document", "Facts", "Playbook", "Rule", "evidence", "holds", "is_overdue",
    "load_playbook",
]  # fmt: skip
