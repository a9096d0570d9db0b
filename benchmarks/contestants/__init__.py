"""Who takes part: each module is a program that plays one of its contestants (contest.py)."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

import rivals

HERE = Path(__file__).parent


def commands(module: str, ours: Iterable[str], theirs: Iterable[str], *arguments: str) -> dict[str, list[str]]:
    """Return the command of each contestant: ours run in this environment, theirs in the rivals' own."""
    script = str(HERE / f"{module}.py")
    told = {name: [sys.executable, script, name, *arguments] for name in ours}
    return told | {name: [rivals.python(), script, name, *arguments] for name in theirs}
