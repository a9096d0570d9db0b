"""Bad input through the real command: one line that says what to do, exit code 2, no traceback, nothing lost."""

# ruff: noqa: E501 - a case stands on one line
from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from desk_parts import clean_environment, default_playbook
from llm_parts import MisbehavingServer
from triagedesk.cli import main

TRIAGEDESK = [sys.executable, "-m", "triagedesk"]
SECRET = "quokkacanary"
Prepare = Callable[[Path], list[str]]


@pytest.fixture(scope="module")
def server() -> Iterator[MisbehavingServer]:
    """A server that misbehaves, in a process of its own."""
    misbehaving = MisbehavingServer()
    yield misbehaving
    misbehaving.close()


def triagedesk(
    folder: Path, *arguments: str, stdin: bytes | None = None, **environment: str
) -> subprocess.CompletedProcess[bytes]:
    """Run the command in a folder of its own."""
    given: dict[str, Any] = {"stdin": subprocess.DEVNULL} if stdin is None else {"input": stdin}
    return subprocess.run(
        [*TRIAGEDESK, *arguments], cwd=folder, env=clean_environment(folder, **environment), capture_output=True,
        timeout=60, check=False, **given,
    )  # fmt: skip


def is_refused(done: subprocess.CompletedProcess[bytes], says: str = "") -> None:
    """Check for one line on stderr, exit code 2 and nothing of the ticket."""
    told = done.stderr.decode()
    assert "Traceback" not in told
    assert done.returncode == 2, told
    assert done.stdout == b""
    assert told.startswith("error: ")
    assert told.count("\n") == 1, told
    assert says in told
    assert SECRET not in told


def written(name: str, data: bytes) -> Prepare:
    """Put a ticket into a file and classify it."""

    def prepare(folder: Path) -> list[str]:
        (folder / name).write_bytes(data)
        return ["classify", "--model", "rules", "--ticket", name]

    return prepare


def playbook(change: Callable[[str], str]) -> Prepare:
    """Change the default playbook and classify with it."""

    def prepare(folder: Path) -> list[str]:
        text = Path(default_playbook().where).read_text(encoding="utf-8")
        (folder / "own.yaml").write_text(change(text), encoding="utf-8")
        return ["classify", "--model", "rules", "--playbook", "own.yaml", "hello"]

    return prepare


def plain(*arguments: str) -> Prepare:
    return lambda _: list(arguments)


RULE = "rules:\n  - {id: own, when: {any: fire}, weight: 1, says: {urgency: %s}, reason: Ours.}\n"
BAD = {
    "an empty body": (written("t.json", b'{"body": ""}'), "body"),
    "a blank body": (written("t.json", b'{"body": " \\n "}'), "body"),
    "no body": (written("t.json", b'{"subject": "quokkacanary"}'), "body"),
    "a body of 10 MB": (written("t.json", b'{"body": "' + SECRET.encode() * 900_000 + b'"}'), "body"),
    "text of 20 MB": (written("t.txt", SECRET.encode() * 1_700_000), "16 MB"),
    "invalid UTF-8": (written("t.txt", b"quokkacanary \xff\xfe"), "UTF-8"),
    "invalid UTF-8 in JSON": (written("t.json", b'{"body": "quokkacanary \xff\xfe"}'), "JSON"),
    "a number as the body": (written("t.json", b'{"body": 7}'), "body"),
    "a list as a ticket": (written("t.json", b'["quokkacanary"]'), "object"),
    "a text as the fields": (written("t.json", b'{"body": "hello", "fields": "quokkacanary"}'), "fields"),
    "an unknown channel": (written("t.json", b'{"body": "hello", "channel": "quokkacanary"}'), "channel"),
    "an unknown tier": (written("t.json", b'{"body": "hello", "customer_tier": "quokkacanary"}'), "customer_tier"),
    "no time as a time": (written("t.json", b'{"body": "hello", "due_at": "quokkacanary"}'), "due_at"),
    "NaN": (written("t.json", b'{"body": "hello", "score": NaN}'), "JSON"),
    "infinity": (written("t.json", b'{"body": "hello", "score": 1e999}'), ""),
    "half a surrogate pair": (written("t.json", b'{"body": "quokkacanary \\ud800"}'), ""),
    "deep JSON": (written("t.json", b'{"body": "hello", "x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"), ""),
    "cut off JSON": (written("t.json", b'{"body": "quokkacanary'), "JSON"),
    "broken YAML": (playbook(lambda text: text.replace("tiers:\n", "tiers: [\n", 1)), "own.yaml:"),
    "an unknown key": (playbook(lambda text: text + "\nquokka: 1\n"), "own.yaml:"),
    "an unknown label in a rule": (playbook(lambda text: text.replace("\nrules:\n", "\n" + RULE % "apocalyptic", 1)), "own.yaml:"),
    "a pattern that RE2 refuses": (
        playbook(lambda text: text.replace("\nsignals:\n", "\nsignals:\n  own: {patterns: {en: ['a(?=b)']}}\n", 1)),
        "own.yaml:",
    ),
    "a playbook that is not there": (plain("classify", "--model", "rules", "--playbook", "none.yaml", "hello"), "none.yaml"),
    "a ticket that is not there": (plain("classify", "--model", "rules", "--ticket", "none.json"), "none.json"),
    "a folder as a ticket": (plain("classify", "--model", "rules", "--ticket", "."), ""),
    "nothing at all": (plain("classify", "--model", "rules"), ""),
    "a wrong base URL": (plain("classify", "--base-url", "ftp://example.org", "hello"), "base_url"),
    "a base URL of the cloud's own": (plain("classify", "--base-url", "http://169.254.169.254/v1", "hello"), "base_url"),
    "a model of nobody": (plain("classify", "--model", "nobody/none", "hello"), "model"),
    "a key that is missing": (plain("classify", "--model", "openai/gpt-4.1-mini", "hello"), "OPENAI_API_KEY"),
    "a local model that is not there": (plain("classify", "--model", "local/none.gguf", "hello"), "none.gguf"),
    "no deadline": (plain("classify", "--model", "rules", "--deadline", "soon", "hello"), "--deadline"),
    "a deadline of nothing": (plain("classify", "--model", "rules", "--deadline", "0s", "hello"), "deadline"),
    "a deadline in the past": (plain("classify", "--model", "rules", "--deadline=-1s", "hello"), "--deadline"),
    "an option that is none": (plain("classify", "--modell", "rules", "hello"), "--modell"),
    "a command that is none": (plain("clasify", "hello"), "clasify"),
    "an input that is not there": (plain("batch", "--model", "rules", "none.jsonl", "out.jsonl"), "none.jsonl"),
    "an output of no kind": (plain("batch", "--model", "rules", "in.jsonl", "out.xyz"), ""),
    "a playbook to check that is not there": (plain("playbook", "check", "none.yaml"), "none.yaml"),
}  # fmt: skip


OF_THE_ISSUE = {
    "an empty body", "a body of 10 MB", "invalid UTF-8", "a number as the body", "an unknown channel", "NaN", "deep JSON",
    "broken YAML", "an unknown label in a rule", "a pattern that RE2 refuses", "a playbook that is not there",
    "a ticket that is not there", "a wrong base URL", "a key that is missing", "nothing at all", "an input that is not there",
}  # fmt: skip
FURTHER = {name: case for name, case in BAD.items() if name not in OF_THE_ISSUE}


@pytest.mark.parametrize("name", sorted(OF_THE_ISSUE))
def test_bad_input_is_one_line_and_exit_code_2(name: str, tmp_path: Path) -> None:
    prepare, says = BAD[name]
    is_refused(triagedesk(tmp_path, *prepare(tmp_path)), says)


@pytest.mark.parametrize(("prepare", "says"), FURTHER.values(), ids=FURTHER)
def test_further_bad_input_is_one_line_and_exit_code_2(
    prepare: Prepare,
    says: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    """The same within this process, for speed."""
    for name in set(os.environ) - set(clean_environment(tmp_path)):
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    code = main(prepare(tmp_path))
    shown = capfdbinary.readouterr()
    is_refused(subprocess.CompletedProcess([], code, shown.out, shown.err), says)


def test_an_error_in_a_playbook_names_its_line(tmp_path: Path) -> None:
    prepare, _ = BAD["an unknown label in a rule"]
    arguments = prepare(tmp_path)
    line = 1 + (tmp_path / "own.yaml").read_text(encoding="utf-8").splitlines().index("rules:")
    assert f"own.yaml:{line + 1}:" in triagedesk(tmp_path, *arguments).stderr.decode()


@pytest.mark.parametrize("fault", ["error_401"], ids=["wrong key"])
def test_a_wrong_key_or_address_is_an_answer_all_the_same_and_one_line_of_the_doctor(
    server: MisbehavingServer, fault: str, tmp_path: Path
) -> None:
    given = ("--model", "openai/made-up", "--base-url", server.url(fault))
    done = triagedesk(tmp_path, "classify", "--json", *given, "hello", OPENAI_API_KEY=f"sk-{SECRET}")
    assert done.returncode == 2  # the answer is there, and one line says what the operator must mend
    assert json.loads(done.stdout)["provenance"]["source"] == "trained"
    assert len(done.stderr.decode().strip().splitlines()) == 1
    assert SECRET not in (done.stdout + done.stderr).decode()
    found = triagedesk(tmp_path, "doctor", *given, OPENAI_API_KEY=f"sk-{SECRET}")
    assert found.returncode in (1, 2)
    assert SECRET not in (found.stdout + found.stderr).decode()
    assert b"Traceback" not in found.stderr


@pytest.mark.skipif(os.geteuid() == 0, reason="root can read every folder")
def test_a_cache_folder_that_cannot_be_read_is_a_miss(server: MisbehavingServer, tmp_path: Path) -> None:
    closed = tmp_path / "cache"
    closed.mkdir(mode=0o000)
    works_without_a_cache(server, tmp_path)


def test_a_cache_folder_that_is_a_file_is_a_miss(server: MisbehavingServer, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("not a folder", encoding="utf-8")
    works_without_a_cache(server, tmp_path)
    assert (tmp_path / "cache").read_text(encoding="utf-8") == "not a folder"


def works_without_a_cache(server: MisbehavingServer, folder: Path) -> None:
    given = ("--model", "openai/made-up", "--base-url", server.url("good"))
    done = triagedesk(folder, "classify", "--json", *given, "hello")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["provenance"]["source"] == "model"
    assert b"Traceback" not in done.stderr


def test_bad_lines_of_a_batch_go_to_the_error_file_and_nothing_is_lost(tmp_path: Path) -> None:
    lines = [
        b'{"id": "1", "body": "My card was charged twice."}', b'{"id": "2", "body": ""}', b"not JSON", b'{"body": 7}',
        b'{"id": "5", "body": "\xff"}', b'{"id": "6", "body": "hello", "channel": "pigeon"}', b"", b'{"score": NaN}',
        b'{"id": "9", "body": "' + b"a" * 1_500_000 + b'"}', b'{"x": ' + b"[" * 50_000, b'{"id": "11", "body": "The end."}',
    ]  # fmt: skip
    (tmp_path / "in.jsonl").write_bytes(b"\xef\xbb\xbf" + b"\r\n".join(lines))
    done = triagedesk(tmp_path, "batch", "--model", "rules", "in.jsonl", "out.jsonl")
    assert done.returncode == 1
    assert b"Traceback" not in done.stderr
    answered = [json.loads(line)["ticket_id"] for line in (tmp_path / "out.jsonl").read_text("utf-8").splitlines()]
    wrong = [json.loads(line) for line in (tmp_path / "out.jsonl.errors.jsonl").read_text("utf-8").splitlines()]
    assert answered == ["1", "11"]
    assert [row["line"] for row in wrong] == [2, 3, 4, 5, 6, 8, 9, 10]


def test_without_a_key_rules_answer_and_that_is_said_once(tmp_path: Path) -> None:
    done = triagedesk(tmp_path, "classify", "My card was charged twice.")
    assert done.returncode == 0
    assert done.stderr.count(b"\n") == 1
    assert b"OPENAI_API_KEY" in done.stderr
    assert b"high" in done.stdout


def test_standard_input_is_a_ticket_too(tmp_path: Path) -> None:
    for data in (b"My card was charged twice.", b'{"body": "My card was charged twice."}'):
        done = triagedesk(tmp_path, "classify", "--model", "rules", "--json", stdin=data)
        assert json.loads(done.stdout)["labels"]["urgency"]["label"] == "high"


def test_the_demo_shows_what_the_issue_promises(tmp_path: Path) -> None:
    rows = [json.loads(line) for line in samples().read_text(encoding="utf-8").splitlines()]
    assert len(rows) >= 12
    assert {row["channel"] for row in rows} == {"email", "live_chat", "voice", "social_media", "self_service"}
    assert {row["customer_tier"] for row in rows} == {"standard", "premium", "vip"}
    done = triagedesk(tmp_path, "demo")
    shown = done.stdout.decode()
    assert (done.returncode, done.stderr) == (0, b"")
    assert all(row["id"] in shown for row in rows)
    assert shown.count("triagedesk ") >= 3
    assert len({language for language in ("en", "de", "fr", "es", "it", "pt") if f" {language} " in shown}) >= 5


def samples() -> Path:
    import triagedesk as package

    assert package.__file__ is not None
    return Path(package.__file__).parent / "samples" / "tickets.jsonl"
