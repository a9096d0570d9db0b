"""`triagedesk demo`, `doctor`, `playbook`, `cache` and `version`."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from triagedesk.cli import main
from triagedesk.cli.demo import NEXT, samples
from triagedesk.cli.doctor import WHAT_TO_DO, shown
from triagedesk.errors import FallbackReason
from triagedesk.playbook import DEFAULT, load_playbook

HERE = Path(__file__).parent


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith(("TRIAGEDESK_", "OPENAI_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """Start the misbehaving model server, whose /good answers."""
    with subprocess.Popen([sys.executable, str(HERE / "misbehaving.py")], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        port = process.stdout.readline().strip()
        yield f"http://127.0.0.1:{port}"
        process.terminate()


def said(capsys: pytest.CaptureFixture[str], code: int, *arguments: str) -> str:
    assert main(arguments) == code
    shown = capsys.readouterr()
    assert shown.err == ""
    return shown.out


def error(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(arguments) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("error: ")
    assert shown.err.count("\n") == 1
    return shown.err


def test_the_samples_cover_what_a_desk_meets() -> None:
    tickets, document = samples(), load_playbook().document
    assert len(tickets) >= 14
    assert {ticket.channel for ticket in tickets} == set(document.channels)
    assert {ticket.customer_tier for ticket in tickets} == set(document.tiers)
    assert [
        ticket.id for ticket in tickets if ticket.due_at and ticket.created_at and ticket.due_at < ticket.created_at
    ]
    assert len({ticket.id for ticket in tickets}) == len(tickets)


def test_the_demo_shows_every_sample_without_a_key_and_what_to_try_next(capsys: pytest.CaptureFixture[str]) -> None:
    shown = said(capsys, 0, "demo")
    for ticket in samples():
        assert ticket.id in shown
    for piece in (*NEXT, "critical", "trained", "“"):
        assert piece in shown


def test_the_demo_does_not_spend_a_key_that_happens_to_be_set(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-canary")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")
    assert "trained" in said(capsys, 0, "demo")


EXPECTED = {
    "demo-01": ("critical", "safety", "management"),
    "demo-02": ("low", "product_inquiry", "none"),
    "demo-03": ("critical", "safety", "management"),
    "demo-05": ("high", "complaint", "customer_service"),
    "demo-06": ("high", "billing_payment", "billing_payment"),
    "demo-07": ("high", "account_access", "none"),
    "demo-08": ("critical", "security_privacy", "technical"),
    "demo-09": ("critical", "outage", "technical"),
    "demo-11": ("low", "product_inquiry", "none"),
    "demo-12": ("medium", "technical", "technical"),
    "demo-13": ("low", "feedback", "none"),
    "demo-15": ("low", "billing_payment", "none"),
    "demo-16": ("high", "order_delivery", "operational"),
}
"""What a support lead would say of samples whose answer leaves no doubt."""


def test_the_rules_get_the_plain_samples_right(capsys: pytest.CaptureFixture[str]) -> None:
    source = DEFAULT.parents[1] / "samples" / "tickets.jsonl"
    assert main(["batch", str(source), "out.jsonl", "--model", "rules"]) == 0
    answers = {
        answer["ticket_id"]: answer["labels"] for answer in map(json.loads, Path("out.jsonl").read_text().splitlines())
    }
    names = ("urgency", "issue_type", "escalation")
    found = {key: tuple(answers[key][name]["label"] for name in names) for key in EXPECTED}
    assert found == EXPECTED


@pytest.mark.parametrize("command", ["version", "--version"])
def test_the_version_is_one_line(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, 0, command).startswith("triagedesk")


def test_a_playbook_is_copied_checked_and_shown_with_its_hash(capsys: pytest.CaptureFixture[str]) -> None:
    identity = load_playbook().identity
    assert f"a copy of {identity}" in said(capsys, 0, "playbook", "init", "mine.yaml")
    assert Path("mine.yaml").read_bytes() == DEFAULT.read_bytes()
    assert f"{identity}: " in said(capsys, 0, "playbook", "check", "mine.yaml").splitlines()[-1]
    shown = said(capsys, 0, "playbook", "show", "mine.yaml")
    assert shown.startswith(f"# {identity} (sha256 ")
    assert shown.count("\n") == DEFAULT.read_text().count("\n") + 1
    data = json.loads(said(capsys, 0, "playbook", "show", "--json"))
    assert data["identity"] == identity
    assert data["document"]["playbook"] == "default"


def test_a_playbook_is_not_copied_over_another_unless_forced(capsys: pytest.CaptureFixture[str]) -> None:
    Path("playbook.yaml").write_text("mine")
    assert "--force" in error(capsys, "playbook", "init")
    assert Path("playbook.yaml").read_text() == "mine"
    said(capsys, 0, "playbook", "init", "--force")
    assert Path("playbook.yaml").read_bytes() == DEFAULT.read_bytes()
    assert "No such file" in error(capsys, "playbook", "init", "nowhere/playbook.yaml")


def test_the_environment_names_the_playbook_to_check(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRIAGEDESK_PLAYBOOK", "elsewhere.yaml")
    assert "elsewhere.yaml: cannot be read" in error(capsys, "playbook", "check")


BROKEN = [
    pytest.param("playbook: [", "is not YAML", id="broken-yaml"),
    pytest.param("- a\n- b\n", "must be a mapping", id="a-list"),
    pytest.param("\xe9".encode("latin-1"), "is not UTF-8", id="latin-1"),
]


@pytest.mark.parametrize(("text", "says"), BROKEN)
@pytest.mark.parametrize("command", ["check", "show"])
def test_a_broken_playbook_is_one_line(
    command: str, text: str | bytes, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("mine.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
    line = error(capsys, "playbook", command, "mine.yaml")
    assert "mine.yaml:" in line
    assert says in line


CHANGES = [
    pytest.param("\nrules:\n", "\nrules:\n  - {id: new, match: {en: [x]}, says: {urgency: extreme}, reason: r}\n",
                 "unknown label 'extreme' of urgency", id="unknown-label-in-a-rule"),
    pytest.param("\nrules:\n", "\nrules:\n  - {id: new, match: {en: ['(?=x)y']}, says: {urgency: low}, reason: r}\n",
                 "(?=x)y", id="pattern-that-re2-refuses"),
    pytest.param("\nrules:\n", "\nruels: 3\nrules:\n", "ruels: unknown key", id="unknown-key"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "says"), CHANGES)
def test_a_fault_in_a_playbook_names_file_and_line(
    old: str, new: str, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before, found, after = DEFAULT.read_text().partition(old)
    assert found
    Path("mine.yaml").write_text(before + new + after)
    number = before.count("\n") + (2 if "ruels" in new else 3)
    line = error(capsys, "playbook", "check", "mine.yaml")
    assert line.startswith(f"error: mine.yaml:{number}: ")
    assert says in line


def test_findings_are_told_with_their_line_and_errors_make_code_1(capsys: pytest.CaptureFixture[str]) -> None:
    before, found, after = DEFAULT.read_text().partition("\nrules:\n")
    rule = "  - {id: never, when: {all: [breach], none: [breach]}, says: {urgency: low}, reason: r}\n"
    Path("mine.yaml").write_text(before + found + rule + after)
    number = before.count("\n") + 3
    shown = said(capsys, 1, "playbook", "check", "mine.yaml")
    assert f"mine.yaml:{number}: error: dead: never: " in shown


def test_the_doctor_is_content_without_a_model(capsys: pytest.CaptureFixture[str]) -> None:
    lines = said(capsys, 0, "doctor").splitlines()
    assert [line.split()[:2] for line in lines] == [
        ["✓", "playbook"], ["✓", "prompt"], ["✓", "cache"], ["✓", "language"], ["✓", "fallback"], ["–", "model"],
    ]  # fmt: skip
    assert "OPENAI_API_KEY" in lines[-1]


def test_the_doctor_makes_a_call(capsys: pytest.CaptureFixture[str], server: str) -> None:
    shown = said(capsys, 0, "doctor", "--base-url", f"{server}/good/v1", "--model", "openai/made-up")
    assert f"✓ model     openai/made-up at {server}/good/v1 answers" in shown


def test_the_doctor_says_what_is_wrong_with_a_key(capsys: pytest.CaptureFixture[str], server: str) -> None:
    shown = said(capsys, 1, "doctor", "--base-url", f"{server}/error_401/v1")
    assert "auth: the key is refused: check OPENAI_API_KEY" in shown


def test_the_doctor_says_when_nothing_listens(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{unused.getsockname()[1]}/v1"
        shown = said(capsys, 1, "doctor", "--base-url", address)
    assert "✗ model" in shown
    assert "connect: nothing answers there" in shown


def test_the_doctor_waits_for_the_deadline_and_names_a_hang(capsys: pytest.CaptureFixture[str], server: str) -> None:
    begun = time.monotonic()
    shown = said(capsys, 1, "doctor", "--deadline", "0.4", "--base-url", f"{server}/hang/v1")
    assert time.monotonic() - begun < 20  # the server would hang for longer; most of it is reading the playbook
    assert "timeout: it did not answer in time: raise --deadline" in shown


@pytest.mark.parametrize("address", ["https://jane:sk-1@[::1]:9/v1?api-key=sk-2#sk-3", "https://a.example/v1"])
def test_an_address_is_shown_without_its_secrets(address: str) -> None:
    assert shown(address) in ("https://[::1]:9/v1", "https://a.example/v1")


def test_the_doctor_never_prints_a_key_in_an_address(capsys: pytest.CaptureFixture[str], server: str) -> None:
    told = said(capsys, 1, "doctor", "--base-url", f"{server}/error_401/v1?key=sk-secret")
    assert f"at {server}/error_401/v1: " in told
    assert "sk-secret" not in told


def test_the_doctor_stops_at_a_playbook_that_cannot_be_used(capsys: pytest.CaptureFixture[str]) -> None:
    shown = said(capsys, 2, "doctor", "--playbook", "missing.yaml")
    assert shown.startswith("✗ playbook  missing.yaml: cannot be read")
    assert shown.count("\n") == 1


def test_the_doctor_names_a_prompt_that_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    assert "✗ prompt" in said(capsys, 1, "doctor", "--prompt", "missing.md")


def test_the_doctor_and_the_cache_command_name_a_folder_that_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    Path("file").write_text("x")
    assert "✗ cache" in said(capsys, 1, "doctor", "--cache-dir", "file")
    assert "cache" in error(capsys, "cache", "stats", "--cache-dir", "file")


def test_the_cache_is_counted_and_emptied(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    from triagedesk.cache import open_cache
    from triagedesk.settings import Settings

    cache = open_cache(Settings(cache_dir=tmp_path / "answers"))
    cache.put("key", "value")
    cache.close()
    assert "entries  1" in said(capsys, 0, "cache", "stats", "--cache-dir", "answers")
    assert "removed 1 answers" in said(capsys, 0, "cache", "clear", "--cache-dir", "answers")
    assert "entries  0" in said(capsys, 0, "cache", "stats", "--cache-dir", "answers")


@pytest.mark.parametrize("reason", FallbackReason)
def test_every_way_of_failing_has_a_remedy(reason: FallbackReason) -> None:
    assert WHAT_TO_DO[reason]


def test_check_refuses_what_classify_refuses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "p.yaml").write_text(DEFAULT.read_text().replace('"{issue}_{tier}_{channel}"', '"{issue"', 1))
    assert main(["playbook", "check", str(tmp_path / "p.yaml")]) == 2


def test_a_playbook_that_was_begun_brings_its_trained_classifier(capsys: pytest.CaptureFixture[str]) -> None:
    assert "mine.trained.safetensors" in said(capsys, 0, "playbook", "init", "mine.yaml")
    assert "✓ fallback  trained/default@" in said(capsys, 0, "doctor", "--playbook", "mine.yaml")
    text = Path("mine.yaml").read_text(encoding="utf-8").replace("product_inquiry", "inquiry")
    Path("mine.yaml").write_text(text, encoding="utf-8")
    shown = said(capsys, 1, "doctor", "--playbook", "mine.yaml")
    assert "mine.trained.safetensors was made for other labels" in shown
