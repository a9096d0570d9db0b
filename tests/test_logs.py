"""Logs: what happened and to which ticket, never what a customer wrote."""

from __future__ import annotations

import io
import json
import time

import pytest

from triagedesk.logs import QUIET_S, TEXT_FIELDS, Log, get_logger


class Thing:
    def __repr__(self) -> str:
        return "secret"


def test_json_lines_name_part_event_and_values() -> None:
    stream = io.StringIO()
    Log("desk", "json", stream).info("suggested", ticket_id="T-1", source="rules", ms=1.5, cached=False, reason=None)
    line = json.loads(stream.getvalue())
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "part": "desk", "event": "suggested", "level": "info", "ticket_id": "T-1", "source": "rules", "ms": 1.5,
        "cached": False, "reason": None,
    }  # fmt: skip


@pytest.mark.parametrize("mode", ["json", "console"])
def test_no_text_is_ever_written(mode: str) -> None:
    stream = io.StringIO()
    Log("desk", mode, stream).error("failed", **dict.fromkeys(TEXT_FIELDS, "secret"), thing=Thing(), more=["secret"])
    assert "failed" in stream.getvalue()
    assert "secret" not in stream.getvalue()
    assert "Thing" in stream.getvalue()


@pytest.mark.parametrize("mode", ["json", "console"])
def test_an_id_steers_no_terminal_and_is_cut(mode: str) -> None:
    stream = io.StringIO()
    Log("desk", mode, stream).info("suggested", ticket_id="\x1b[2J\x9b\n" + "x" * 5000)
    line = stream.getvalue().rstrip("\n")
    assert line.isprintable()
    assert len(line) < 400


@pytest.mark.parametrize(
    ("mode", "written"),
    [
        pytest.param("", ["warning", "error"], id="by-default-warnings"),
        pytest.param("console", ["info", "warning", "error"], id="console"),
        pytest.param("json", ["info", "warning", "error"], id="json"),
        pytest.param("off", [], id="off"),
    ],
)
def test_the_environment_chooses_what_is_written(
    mode: str, written: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TRIAGEDESK_LOG", mode)
    log = get_logger()
    for level in ("debug", "info", "warning", "error"):
        getattr(log, level)(f"said-{level}")
    shown = capsys.readouterr()
    assert shown.out == ""
    assert [level for level in ("debug", "info", "warning", "error") if f"said-{level}" in shown.err] == written


def test_a_warning_that_comes_again_is_counted_rather_than_written(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    stream = io.StringIO()
    log = Log("desk", "", stream)
    for number in range(50):
        log.warning("rules answered", reason="connect", ticket_id=f"T-{number}")
    log.warning("rules answered", reason="timeout", ticket_id="T-50")
    now += QUIET_S
    log.warning("rules answered", reason="connect", ticket_id="T-51")
    lines = stream.getvalue().splitlines()
    assert len(lines) == 3
    assert ["T-0" in lines[0], "T-50" in lines[1], "T-51" in lines[2]] == [True] * 3
    assert "repeated=49" in lines[2]
