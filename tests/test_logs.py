"""Logs: what happened and to which ticket, never what a customer wrote."""

from __future__ import annotations

import io
import json

import pytest

from triagedesk.logs import TEXT_FIELDS, Log, get_logger


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
