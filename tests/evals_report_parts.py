"""A small hand-made run for the tests of its report, hostile words included."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from triagedesk.evals import Gold, read_gold
from triagedesk.evals.predictions import Prediction, prediction_of
from triagedesk.evals.run import Run
from triagedesk.evals.sheet import make_sheet
from triagedesk.playbook import load_playbook

URGENCIES = ("low", "medium", "high", "critical")
ISSUES = ("technical", "billing_payment", "outage")
HOSTILE = (
    '</script><script>alert("x")</script><img src=x onerror=alert(1)> \u202eevil\u202c \x07 "quoted"'
    " 'single' {{ 7*7 }}"
)
DRAWS = 200


def gold_line(number: int, body: str = "My router has stopped working.", **more: Any) -> dict[str, Any]:
    """Return a labelled ticket; labels go round by number."""
    return {
        "ticket": {"id": f"t-{number}", "subject": "Help", "body": body, "channel": "email", "language": "en"},
        "labels": {"urgency": URGENCIES[number % 4], "issue_type": ISSUES[number % 3]},
        "quotes": {"urgency": "has stopped working"}, "traits": ["plain"], **more,
    }  # fmt: skip


def gold_rows(folder: Path, lines: list[dict[str, Any]]) -> list[Gold]:
    """Write labelled tickets and read them back."""
    file = folder / "gold.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    return read_gold(file, load_playbook(None))


def run_line(number: int, urgency: str, issue: str, *, confidence: float | None = None, **more: Any) -> dict[str, Any]:
    """Return a line of a run with reasons and provenance."""
    where = {"quote": "My router", "field": "body", "start": 0, "end": 9}
    labels = {
        name: {"label": label, "confidence": confidence, "reasons": [{"text": f"Because of {name}.", **where}]}
        for name, label in (("urgency", urgency), ("issue_type", issue))
    }  # fmt: skip
    suggestion = {"ticket_id": f"t-{number}", "labels": labels, "provenance": {"source": "llm", "model": "tiny"}}
    return {"id": f"t-{number}", "k": 0, "attempt": 1, "suggestion": suggestion, "rules": {"urgency": "low"}, **more}


def run_of(folder: Path, gold: list[dict[str, Any]], said: list[dict[str, Any]]) -> Run:
    """Return a run as its folder would be read: predictions.jsonl included."""
    (folder / "predictions.jsonl").write_text("".join(json.dumps(line) + "\n" for line in said), "utf-8")
    rows = gold_rows(folder, gold)
    predictions: list[Prediction] = [prediction_of(line) for line in said]
    return Run(make_sheet(rows, predictions, load_playbook(None)), DRAWS, 0, folder)


def mixed_run(folder: Path, n: int = 160) -> Run:
    """Return a run that is mostly right, has confidences, and meets hostile words wherever words are."""
    gold = [gold_line(i, body=HOSTILE if i == 3 else "My router has stopped working.") for i in range(n)]
    said = [run_line(i, URGENCIES[i % 4] if i % 5 else URGENCIES[(i + 1) % 4], ISSUES[i % 3],
                     confidence=0.6 if i % 5 == 0 else 0.95) for i in range(n)]  # fmt: skip
    said[3] = run_line(3, "low", HOSTILE, confidence=0.9)
    said[3]["suggestion"]["provenance"]["model"] = HOSTILE
    said[3]["suggestion"]["labels"]["urgency"]["reasons"][0] |= {"text": HOSTILE, "quote": "evil"}
    return run_of(folder, gold, said)
