"""The walk-through is run as it stands, and says what it is said to say; corrections are scored by `eval run`."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from desk_parts import clean_environment
from service_api_parts import running, service_settings

DOCS = Path(__file__).parents[1] / "docs" / "walkthrough.md"
NEEDED = ("bash", "curl", "openssl")
PORTS = ("8089", "9099")
MADE_UP = re.compile(r"…|@|[sf]_[0-9A-Z]{26}|\d{4}-\d\d-\d\dT")
"""What differs each time, or is cut."""


def free_port() -> str:
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return str(listener.getsockname()[1])


def blocks(text: str, language: str) -> list[str]:
    """Return the fenced blocks of a language ("" for output)."""
    fences = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [body for named, body in fences if named == language]


@pytest.mark.skipif(any(shutil.which(name) is None for name in NEEDED), reason="needs bash, curl and openssl")
def test_the_walk_through_does_what_it_says(tmp_path: Path) -> None:
    text = DOCS.read_text("utf-8")
    expected = [line for block in blocks(text, "") for line in block.splitlines() if not MADE_UP.search(line)]
    for port in PORTS:
        text = text.replace(port, free_port())
    script = "\n".join((
        f"triagedesk() {{ '{sys.executable}' -m triagedesk \"$@\"; }}", "trap 'kill $(jobs -p) 2> /dev/null' EXIT",
        *blocks(text, "sh"),
    ))  # fmt: skip
    # A function in the background is a shell around the server: the signal is for the server.
    script = script.replace("triagedesk serve 2>", f"'{sys.executable}' -m triagedesk serve 2>")
    done = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, env=clean_environment(tmp_path), capture_output=True, text=True,
        timeout=300, check=False,
    )  # fmt: skip
    said = " ".join(done.stdout.split())
    assert len(expected) > 8
    assert [line for line in expected if " ".join(line.split()) not in said] == [], done.stdout + done.stderr


def test_a_correction_over_a_socket_becomes_gold_that_eval_run_scores(tmp_path: Path) -> None:
    with running(service_settings(tmp_path, store_tickets=True)) as service:
        first = service.suggest("We are completely down, nobody can log in.", id="T-1")
        second = service.suggest("Just a question: how do I export a report?", id="T-2")
        right = {"suggestion_id": first["id"], "kind": "accepted"}
        wrong = {"suggestion_id": second["id"], "kind": "corrected", "labels": {"urgency": "high"}}
        for word in (right, wrong):
            assert service.http.post("/v1/feedback", json=word).status_code == 201
        gold = service.http.get("/v1/feedback", params={"format": "gold"}).content
    (tmp_path / "gold.jsonl").write_bytes(gold)
    (tmp_path / "gold.toml").write_text('dataset = "gold.jsonl"\nsystem = "rules"\n', "utf-8")
    command = [sys.executable, "-m", "triagedesk", "eval", "run", "gold.toml", "--runs", "runs", "--json"]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env={**clean_environment(tmp_path), "TRIAGEDESK_LOG": "off"},
        capture_output=True,
        check=True,
    )
    found = json.loads(done.stdout)
    assert found["n"] == 2
    assert found["dimensions"]["urgency"]["accuracy"]["value"] == 0.5
    assert found["dimensions"]["issue_type"]["accuracy"]["value"] == 1.0
    assert os.listdir(tmp_path / "runs")
