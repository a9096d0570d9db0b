"""Run folders made by hand: a labelled set of known labels, and what a system is to have said of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from triagedesk.evals.config import EvalConfig
from triagedesk.evals.datasets import load_dataset
from triagedesk.evals.folder import COMPLETE, MANIFEST, new_manifest
from triagedesk.evals.folder import RunFolder as Folder
from triagedesk.playbook import load_playbook

PLAYBOOK = load_playbook(None)
SECRET = "zanzibar"
"""Stands in every ticket, and may stand nowhere else."""

Labels = dict[str, str]
Said = Callable[[int, Labels], Mapping[str, Any] | None]
"""What a system says of the i-th ticket, given its gold labels; None where it was never asked."""

URGENCIES = ("low", "medium", "high", "critical")


def gold_labels(i: int) -> Labels:
    """Return labels that go round: every urgency in turn, half of the tickets to be escalated."""
    issue = ("general", "technical")[i // 2 % 2] if i % 3 else "account_access"
    return {"urgency": URGENCIES[i % 4], "issue_type": issue,
            "escalation": "technical" if i % 4 >= 2 else "none"}  # fmt: skip


def write_set(root: Path, n: int, *, group_of: int = 1) -> Path:
    """Write a labelled set of n tickets as root/evals/datasets/hand/dev.jsonl and return root/evals."""
    folder = root / "evals" / "datasets" / "hand"
    folder.mkdir(parents=True, exist_ok=True)
    rows = (
        {"ticket": {"id": f"t-{i}", "body": f"{SECRET} {i} is not well today", "channel": ("email", "voice")[i % 2]},
         "labels": gold_labels(i), "group": f"g-{i // group_of}", "traits": ["plain"]}
        for i in range(n)
    )  # fmt: skip
    (folder / "dev.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return root / "evals"


def right(i: int, gold: Labels) -> Labels:
    """Say what gold says."""
    return gold


def wrong_at(*places: int, **instead: str) -> Said:
    """Say what gold says, but something else of these tickets."""
    return lambda i, gold: {**gold, **instead} if i in places else gold


def write_run(evals: Path, name: str, said: Said = right, *, state: str = COMPLETE, model: str | None = None,
              answered_by: str | None = None, fallback: int = 0, **config: Any) -> Path:  # fmt: skip
    """Write a run's folder by hand and return it. The first `fallback` tickets were answered by rules for a model."""
    system: Literal["desk", "rules"] = "desk" if model else "rules"
    given = EvalConfig(name="hand", dataset="hand", draws=200, system=system, model=model, **config)
    data = load_dataset(given, PLAYBOOK, evals)
    folder = Folder(evals / "runs" / name)
    folder.path.mkdir(parents=True)
    manifest = new_manifest(given, data, PLAYBOOK, prompt=None, identity="0" * 64, rows=len(data.rows), openings=0)
    folder.write(MANIFEST, manifest | {"config_file": str(evals / "hand.toml"), "state": state})
    lines = []
    for i, row in enumerate(data.rows):
        labels = said(i, dict(row.labels))
        if labels is not None:
            reason = "timeout" if i < fallback else None
            provenance = {"source": "model", "model": answered_by, "fallback_reason": reason}
            lines.append(json.dumps({"id": row.id, "k": 0, "attempt": 1, "labels": labels, "provenance": provenance}))
    folder.predictions.write_text("".join(line + "\n" for line in lines), "utf-8")
    return folder.path
