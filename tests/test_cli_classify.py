"""`triagedesk classify`: one ticket from anywhere, one suggestion, or one line that says what to do."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from triagedesk.cli import main
from triagedesk.cli.intake import MAX_BYTES
from triagedesk.cli.options import seconds
from triagedesk.errors import ConfigError
from triagedesk.models import Suggestion

SMOKE = "My charger started smoking, please tell me which cable to buy"
JSON = json.dumps({"id": "T-1", "body": SMOKE}).encode()
RULES = ("--model", "rules")


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith(("TRIAGEDESK_", "OPENAI_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "120")


@pytest.fixture
def stdin(monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], None]:
    """Put bytes on standard input."""

    def put(data: bytes) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))

    return put


def suggestion(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert main(["classify", "--json", *RULES, *arguments]) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    Suggestion.model_validate_json(shown.out)
    found: dict[str, Any] = json.loads(shown.out)
    return found


def error(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 2) -> str:
    assert main(arguments) == code
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("error: ")
    assert shown.err.count("\n") == 1
    return shown.err


def test_a_text_prints_labels_reasons_quotes_and_due_times(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["classify", *RULES, SMOKE]) == 0
    shown = capsys.readouterr().out
    for piece in ("critical", "safety", "management", "smoking”", "first reply", "solved", "queue", "path", "rules"):
        assert piece in shown


def test_json_is_the_shape_on_the_wire_on_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    found = suggestion(capsys, SMOKE)
    assert found["labels"]["urgency"]["label"] == "critical"
    assert found["provenance"]["source"] == "rules"


def test_metadata_options_reach_the_ticket(capsys: pytest.CaptureFixture[str]) -> None:
    found = suggestion(
        capsys, "Where is my parcel?", "--channel", "voice", "--tier", "vip", "--language", "en", "--subject", "Parcel",
        "--created-at", "2026-11-18T10:00:00Z", "--due-at", "2026-11-17T10:00:00Z", "--region", "DE",
    )  # fmt: skip
    assert found["response"]["breached"] is True
    assert found["language"] == "en"


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(json.dumps({"id": "T-1", "body": SMOKE}).encode(), id="json"),
        pytest.param(
            b"\xef\xbb\xbf" + json.dumps({"id": "T-1", "body": SMOKE}).encode(), id="json-with-byte-order-mark"
        ),
        pytest.param(json.dumps({"id": "T-1", "messages": [{"body": SMOKE}]}).encode(), id="json-with-messages"),
        pytest.param(SMOKE.encode(), id="plain-text"),
        pytest.param(b"{name}: " + SMOKE.encode(), id="text-that-begins-with-a-brace"),
    ],
)
@pytest.mark.parametrize("way", ["standard-input", "file", "dash"])
def test_json_and_plain_text_are_read(
    data: bytes, way: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, stdin: Callable[[bytes], None]
) -> None:
    (tmp_path / "ticket").write_bytes(data)
    stdin(data)
    given = {"standard-input": (), "file": ("--ticket", str(tmp_path / "ticket")), "dash": ("--ticket", "-")}[way]
    found = suggestion(capsys, *given)
    assert found["labels"]["urgency"]["label"] == "critical"
    assert (found["ticket_id"] == "T-1") == (b"T-1" in data)


def test_without_a_key_it_says_once_that_no_model_answers(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["classify", "--json", SMOKE]) == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out)["provenance"]["fallback_reason"] == "no_model"
    assert shown.err.startswith("No model key: answered without one. To add a model: set OPENAI_API_KEY")
    assert shown.err.count("\n") == 1


BAD_TICKETS = [
    pytest.param(b"", "body", id="nothing"),
    pytest.param(b"  \n ", "body is empty", id="only-white-space"),
    pytest.param(b'{"body": ""}', "body", id="empty-body"),
    pytest.param(b'{"body": 12}', "body", id="number-as-body"),
    pytest.param(b'{"subject": "secret"}', "body", id="no-body"),
    pytest.param(b'{"body": NaN}', "not JSON", id="not-a-number"),
    pytest.param(b'{"body": "secret"', "not JSON", id="truncated-json"),
    pytest.param(b'{"body":' * 5000, "not JSON", id="deep-json"),
    pytest.param(b"caf\xe9 secret", "byte 3 is not UTF-8", id="latin-1-text"),
    pytest.param(b'{"body": "caf\xe9 secret"}', "not JSON", id="latin-1-json"),
    pytest.param(b'{"body": "secret", "channel": "pigeon"}', "channel", id="unknown-channel"),
    pytest.param(b'{"body": "secret", "customer_tier": "gold"}', "customer_tier", id="unknown-tier"),
    pytest.param(b'{"body": "secret", "due_at": "secret"}', "due_at", id="no-date"),
    pytest.param(b'{"body": "secret", "fields": 3}', "fields", id="wrong-fields"),
    pytest.param(b"secret" * 200_000, "at most 1000000 characters", id="too-many-characters"),
    pytest.param(b"secret" * (MAX_BYTES // 5), "larger than 16 MB", id="too-many-bytes"),
]


@pytest.mark.parametrize(("data", "says"), BAD_TICKETS)
def test_a_bad_ticket_is_one_line_without_its_text(
    data: bytes, says: str, capsys: pytest.CaptureFixture[str], stdin: Callable[[bytes], None]
) -> None:
    stdin(data)
    line = error(capsys, "classify", *RULES)
    assert says in line
    assert "secret" not in line


def test_a_list_in_a_json_file_is_no_ticket(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "ticket.json").write_text('[{"body": "x"}]')
    assert "a JSON object with a body, not list" in error(capsys, "classify", "--ticket", str(tmp_path / "ticket.json"))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        pytest.param(("classify", "x", "--ticket", "y"), "not both", id="text-and-file"),
        pytest.param(("classify", "--ticket", "missing.json"), "missing.json: No such file", id="missing-file"),
        pytest.param(("classify", "two", "words"), "put a ticket's text in quotes", id="text-without-quotes"),
        pytest.param(("classify", "x", "--deadline", "soon"), "write a time such as 5s", id="deadline-in-words"),
        pytest.param(("classify", "x", "--deadline", "0"), "deadline_s", id="deadline-of-nothing"),
        pytest.param(("classify", "x", "--deadline", "nan"), "write a time such as 5s", id="deadline-not-a-number"),
        pytest.param(
            ("classify", "x", "--model", "gpt"), "rules, trained, openai/NAME or local/PATH.gguf", id="unknown-model"
        ),
        pytest.param(("classify", "x", "--base-url", "ftp://a"), "http:// or https://", id="wrong-address"),
        pytest.param(("classify", "x", "--playbook", "missing.yaml"), "missing.yaml: cannot be read", id="no-playbook"),
        pytest.param(("classify", "x", "--colour"), "see triagedesk classify --help", id="unknown-option"),
        pytest.param(("sort",), "No such command 'sort'", id="unknown-command"),
        pytest.param(("batch", "in.jsonl"), "see triagedesk batch --help", id="missing-argument"),
        pytest.param(("playbook",), "see triagedesk playbook --help", id="missing-command"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    arguments: tuple[str, ...], says: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert says in error(capsys, *arguments)


def test_bytes_that_are_no_text_on_the_command_line_are_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert "body" in error(capsys, "classify", "caf\udce9")


def test_no_command_shows_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "classify" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "expected"), [("5s", 5.0), ("500ms", 0.5), ("2m", 120.0), ("7", 7.0), ("1.5s", 1.5), (".5", 0.5)]
)
def test_a_deadline_is_read(text: str, expected: float) -> None:
    assert seconds(text) == expected


@pytest.mark.parametrize("text", ["", "s", "-1s", "inf", "nan", "1e3", "5 s", "٣s", "1.2.3"])
def test_a_deadline_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="--deadline"):
        seconds(text)


def test_an_unexpected_fault_is_one_line_and_code_70(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr("triagedesk.cli.classify.take", broken)
    line = error(capsys, "classify", "x", code=70)
    assert "unexpected RuntimeError" in line
    assert "secret" not in line
    monkeypatch.setenv("TRIAGEDESK_DEBUG", "1")
    assert main(["classify", "x"]) == 70
    assert "Traceback" in capsys.readouterr().err


def test_an_interrupt_is_code_130(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("triagedesk.cli.classify.take", interrupted)
    assert main(["classify", "x"]) == 130
    assert capsys.readouterr().err.strip() == ""


HOSTILE = "My charger caught fire \x1b[2J\x1b]0;owned\x07\x9b31m \u202edesrever [bold red]x[/] :fire: [/nope]"


@pytest.mark.parametrize("arguments", [pytest.param((), id="card"), pytest.param(("--json",), id="json")])
def test_nothing_in_a_ticket_steers_the_terminal(
    arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "t.json").write_text(json.dumps({"id": f"T{HOSTILE}", "body": f"a {HOSTILE}", "region": HOSTILE[:90]}))
    assert main(["classify", *RULES, *arguments, "--ticket", str(tmp_path / "t.json")]) == 0
    shown = capsys.readouterr().out
    assert not [char for char in shown if not char.isprintable() and char != "\n"]
    assert "[bold red]x[/]" in shown
    assert ":fire:" in shown


def run(*arguments: str, stdin: bytes | None = None, **environment: str) -> subprocess.CompletedProcess[bytes]:
    bare = {name: value for name, value in os.environ.items() if not name.startswith(("OPENAI_", "TRIAGEDESK_"))}
    return subprocess.run(
        [sys.executable, "-m", "triagedesk", *arguments],
        input=stdin, capture_output=True, check=False, timeout=60, env={**bare, **environment},
    )  # fmt: skip


def test_the_program_itself_answers_from_a_pipe() -> None:
    done = run("classify", "--json", stdin=SMOKE.encode())
    assert done.returncode == 0
    assert json.loads(done.stdout)["labels"]["urgency"]["label"] == "critical"
    assert b"No model key" in done.stderr


def test_a_terminal_that_knows_only_ascii_is_no_fault() -> None:
    done = run("classify", *RULES, SMOKE, PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"\\u201c" in done.stdout


def test_a_reader_that_leaves_is_no_fault() -> None:
    command = f"{sys.executable} -m triagedesk playbook show | head -n 1"
    done = subprocess.run(["sh", "-c", command], capture_output=True, check=False, timeout=60)
    assert done.stdout.startswith(b"# default@")
    assert done.stderr == b""


LAZY = """
import sys
from triagedesk.cli import main
code = main({arguments!r})
heavy = {heavy!r}
print(sorted(name for name in heavy if name in sys.modules), file=sys.stderr)
sys.exit(code)
"""
VENDORS = ["openai", "instructor", "httpx", "httpx2", "tenacity", "diskcache", "structlog", "phonenumbers", "holidays"]


@pytest.mark.parametrize(
    ("arguments", "heavy"),
    [
        pytest.param(["--help"], [*VENDORS, "pydantic", "rich", "asyncio", "yaml"], id="help"),
        pytest.param(["--version"], [*VENDORS, "pydantic", "rich", "asyncio", "yaml"], id="version"),
        pytest.param(["classify", "--model", "rules", "--json", "hello"], [*VENDORS, "rich"], id="rules-as-json"),
        pytest.param(["classify", "--model", "rules", "hello"], VENDORS, id="rules-as-card"),
    ],
)
def test_a_command_imports_only_what_it_needs(arguments: list[str], heavy: list[str]) -> None:
    script = LAZY.format(arguments=arguments, heavy=heavy)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False, timeout=60)
    assert (done.returncode, done.stderr.decode().strip()) == (0, "[]")


def test_a_model_that_cannot_be_asked_is_one_line_after_the_rules_answer(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["classify", "--json", "--base-url", "http://127.0.0.1:9/v1", "--deadline", "2s", SMOKE]) == 2
    shown = capsys.readouterr()
    assert Suggestion.model_validate_json(shown.out).provenance.fallback_reason == "connect"
    assert shown.err.count("\n") == 1
    assert "check --base-url" in shown.err


def test_a_pipe_is_no_ticket_file(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.json")
    for option in ("--ticket", "--playbook", "--prompt"):
        assert main(["classify", *RULES, option, str(tmp_path / "pipe.json")]) == 2
        assert "not a regular file" in capsys.readouterr().err


def test_the_name_of_a_file_is_not_taken_for_a_ticket(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("ticket.txt").write_text("I smell gas", encoding="utf-8")
    assert main(["classify", "ticket.txt"]) == 2
    assert "--ticket ticket.txt" in capsys.readouterr().err
    assert main(["classify", "no-file.txt", "--model", "rules"]) == 0
