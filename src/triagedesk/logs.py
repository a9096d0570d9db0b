"""Structured logs on stderr: ids, sources, reasons and milliseconds, never a ticket's text.

TRIAGEDESK_LOG chooses: `json` or `console` (from info on), `off`; without it only warnings, for a person to read.
Without a choice, a warning that comes again and again is written once in ten seconds, with how often it came.
structlog is imported with the first line that is really written, and its global configuration is left alone.
"""

from __future__ import annotations

import os
import sys
import time
from functools import lru_cache
from typing import Any, TextIO

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}
_OFF = 100
MAX_VALUE_CHARS = 200
QUIET_S = 10.0
"""A person does not read ten thousand times that the server is down."""

TEXT_FIELDS = frozenset(
    ("text", "subject", "body", "message", "messages", "quote", "ticket", "prompt_text", "answer", "api_key", "input")
)
"""Names under which nothing is ever written."""


class Log:
    """A logger of one part. Every method takes the event's name and plain values: numbers, booleans, short strings."""

    def __init__(self, part: str, mode: str | None = None, stream: TextIO | None = None) -> None:
        self._part, self._stream = part, stream
        self._mode = (os.environ.get("TRIAGEDESK_LOG", "") if mode is None else mode).strip().lower()
        self._threshold = {"off": _OFF, "json": LEVELS["info"], "console": LEVELS["info"]}.get(self._mode, 30)
        self._chosen = self._mode in ("json", "console")
        self._quiet: dict[tuple[str, str], tuple[float, int]] = {}

    def enabled(self, level: str) -> bool:
        """Say whether a line of this level is written."""
        return LEVELS[level] >= self._threshold

    def debug(self, event: str, **values: Any) -> None:
        """Log what helps to follow one ticket."""
        self._write("debug", event, values)

    def info(self, event: str, **values: Any) -> None:
        """Log what happened."""
        self._write("info", event, values)

    def warning(self, event: str, **values: Any) -> None:
        """Log what somebody should know."""
        self._write("warning", event, values)

    def error(self, event: str, **values: Any) -> None:
        """Log what somebody must mend."""
        self._write("error", event, values)

    def _write(self, level: str, event: str, values: dict[str, Any]) -> None:
        if not self.enabled(level):
            return
        repeated = 0 if self._chosen else self._repeated(event, str(values.get("reason", "")))
        if repeated is None:
            return
        more = {"repeated": repeated} if repeated else {}
        writer = _writer(self._mode == "json", sys.stderr if self._stream is None else self._stream)
        getattr(writer, level)(event, part=self._part, **safe(values), **more)

    def _repeated(self, event: str, reason: str) -> int | None:
        """Return how often the line was left out since it was last written, or None to leave it out again."""
        now = time.monotonic()
        until, count = self._quiet.get((event, reason), (0.0, 0))
        if now < until:
            self._quiet[event, reason] = (until, count + 1)
            return None
        self._quiet[event, reason] = (now + QUIET_S, 0)
        return count


def safe(values: dict[str, Any]) -> dict[str, Any]:
    """Return what may be logged: no field of text, no objects but their type's name, no long or steering strings."""
    return {name: _plain(value) for name, value in values.items() if name not in TEXT_FIELDS}


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in value[:MAX_VALUE_CHARS])
    return type(value).__name__


@lru_cache(maxsize=4)
def _writer(as_json: bool, stream: TextIO) -> Any:
    import structlog

    last: Any = structlog.processors.JSONRenderer() if as_json else structlog.dev.ConsoleRenderer(colors=False)
    stamps: list[Any] = [structlog.processors.add_log_level, structlog.processors.TimeStamper(fmt="iso", utc=True)]
    return structlog.wrap_logger(
        structlog.PrintLogger(stream), processors=[*stamps, last], wrapper_class=structlog.BoundLogger
    )


def get_logger(part: str = "triagedesk") -> Log:
    """Return the logger of a part; the environment is read now."""
    return Log(part)
