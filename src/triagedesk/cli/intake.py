"""One ticket from wherever the user put it: an argument, a file, or standard input; JSON or plain text."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from triagedesk.errors import TicketError
from triagedesk.models import Ticket

MAX_NAME_CHARS = 255
MAX_BYTES = 16 * 1024 * 1024
"""More is not read: a body may have a million characters, and JSON may write each in twelve bytes."""


def take(text: str | None, file: Path | None, metadata: Mapping[str, str]) -> Ticket:
    """Build the ticket; `metadata` (from options) wins over what the ticket says.

    Raises TicketError with one line that never repeats the text.
    """
    if text is not None and file is not None:
        raise TicketError("give a text or --ticket FILE, not both")
    return Ticket.parse({**_data(text, file), **metadata})


def _data(text: str | None, file: Path | None) -> Mapping[str, Any]:
    if text is not None:
        if _names_a_file(text):
            raise TicketError(f"{text}: is a file; to classify what it holds, say --ticket {text}")
        return {"body": text}
    if file is not None and str(file) != "-":
        return decode(_from_file(file), json_only=file.suffix.lower() in (".json", ".jsonl"))
    return decode(_from_stdin())


def _names_a_file(text: str) -> bool:
    """Say whether a text is a file's name: nobody writes a ticket of one word that happens to stand in the folder."""
    return len(text.split()) == 1 and len(text) < MAX_NAME_CHARS and "\0" not in text and Path(text).is_file()


def _from_file(file: Path) -> bytes:
    if file.exists() and not file.is_file():  # a pipe without a writer is waited for without end
        raise TicketError(f"{file}: is not a regular file; give one, or pipe the ticket in")
    try:
        with file.open("rb") as stream:
            return stream.read(MAX_BYTES + 1)
    except OSError as wrong:
        raise TicketError(f"{file}: {wrong.strerror}; give a file that can be read") from None


def _from_stdin() -> bytes:
    if sys.stdin is None or sys.stdin.isatty():
        raise TicketError("no ticket; give a text, --ticket FILE, or pipe one in")
    return sys.stdin.buffer.read(MAX_BYTES + 1)


def decode(raw: bytes, *, json_only: bool = False) -> Mapping[str, Any]:
    """Read a JSON object, or plain text as the body. Raises TicketError."""
    if len(raw) > MAX_BYTES:
        raise TicketError(
            f"larger than {MAX_BYTES // 1024 // 1024} MB; a ticket's body has at most 1,000,000 characters"
        )
    raw = raw.removeprefix(b"\xef\xbb\xbf")
    if json_only or _looks_like_json(raw):
        return json_object(raw)
    try:
        return {"body": raw.decode("utf-8")}
    except UnicodeDecodeError as wrong:
        raise TicketError(f"byte {wrong.start} is not UTF-8; convert the text first") from None


def _looks_like_json(raw: bytes) -> bool:
    """Tell an object from text that merely starts with a brace, such as "{name} is shown raw"."""
    head = raw[:1000].lstrip()
    return head[:1] == b"{" and head[1:].lstrip()[:1] in (b'"', b"}")


def json_object(raw: bytes) -> Mapping[str, Any]:
    """Parse a JSON object; NaN, infinity and deep nesting are refused. Raises TicketError, without the text."""
    from pydantic_core import from_json

    try:
        data = from_json(raw, allow_inf_nan=False)
    except ValueError as wrong:
        raise TicketError(f"not JSON: {wrong}") from None
    if not isinstance(data, dict):
        raise TicketError(f"a ticket is a JSON object with a body, not {type(data).__name__}")
    return data
