"""The folder beside OUT that makes a prepaid batch resumable, and its journal: one fact a line, each line whole.

A line is appended after what it tells has happened; what could have happened without its line is looked for at the
provider. The folder holds questions in placeholders and answers, so it is private, and goes when the batch is done.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic_core import from_json, to_json

from triagedesk.errors import ConfigError

try:
    import fcntl
except ImportError:  # Windows: no lock there
    fcntl = None  # type: ignore[assignment]

VERSION = 1
JOURNAL, QUESTIONS = "journal.jsonl", "questions.db"


def state_folder(target: Path) -> Path:
    """Return where the state of OUT's prepaid batch stands."""
    return target.with_name(f"{target.name}.batch-api")


@dataclass
class Part:
    """One file of requests and its batch: created so many times, the last one under `batch`."""

    number: int
    requests: int
    size: int
    file: str | None = None
    batch: str | None = None
    creations: int = 0
    leftovers: tuple[str, ...] = ()
    outcome: str | None = None
    """The provider's last word, once its results are in the store; "split" if two others took its place.

    `leftovers` are its files that may still stand at the provider.
    """

    def tag(self, run: str) -> str:
        """Return what names this part's newest batch at the provider."""
        return f"{run}-{self.number}-{self.creations}"


class State:
    """The journal, read and locked."""

    def __init__(self, folder: Path, lines: list[dict[str, Any]]) -> None:
        self.folder = folder
        head = lines[0]
        self.identity: str = head["identity"]
        self.run: str = head["run"]
        self.secret = bytes.fromhex(head["secret"])
        self.parts: dict[int, Part] = {}
        self.planned = False
        for line in lines[1:]:
            self._take(line)

    def write(self, event: str, part: Part | None = None, **more: Any) -> None:
        """Append a fact, durably, and take note of it. Raises OSError."""
        line = {"event": event, **({"part": part.number} if part else {}), **more}
        _append(self.folder / JOURNAL, line)
        self._take(line)

    def requests_file(self, number: int) -> Path:
        """Return where the requests of a part stand until they are answered."""
        return self.folder / f"part-{number:04d}.jsonl"

    def open_parts(self) -> list[Part]:
        """Return the parts whose results are not in the store yet."""
        return [part for part in self.parts.values() if part.outcome is None]

    def _take(self, line: dict[str, Any]) -> None:
        part = self.parts.get(line.get("part", 0))
        match line["event"]:
            case "planned":
                self.planned = True
                self._add(line["parts"])
            case "split" if part:
                part.outcome, part.leftovers = "split", tuple(line["files"])
                self._add(line["parts"])
            case "uploaded" if part:
                part.file = line["file"]
            case "creating" if part:
                part.creations += 1
                part.batch = None
            case "created" if part:
                part.batch = line["batch"]
            case "merged" if part:
                part.outcome, part.leftovers = line["status"], tuple(line["files"])
            case "cleaned" if part:
                part.leftovers = ()

    def _add(self, rows: list[list[int]]) -> None:
        for number, requests, size in rows:
            self.parts[number] = Part(number, requests, size)


@contextlib.contextmanager
def open_state(folder: Path, identity: str) -> Iterator[State]:
    """Lock the folder, made anew if there is none, and read its journal.

    Raises ConfigError if another process holds it, or it belongs to another batch.
    """
    with _locked(folder):
        lines = _lines(folder / JOURNAL)
        if lines and lines[0].get("identity") != identity and not _is_open(folder, lines):
            _empty(folder)  # another batch, whose answers are all there: nothing at the provider is lost
            lines = []
        if not lines:
            head = {"event": "head", "version": VERSION, "identity": identity, "run": secrets.token_hex(8),
                    "secret": secrets.token_hex(32)}  # fmt: skip
            _append(folder / JOURNAL, head)
            lines = [head]
        if lines[0].get("version") != VERSION or lines[0]["identity"] != identity:
            raise ConfigError(
                f"{folder}: holds another prepaid batch (input, model, prompt or playbook differ); "
                "run that command to its end, or remove the folder once its batches are cancelled at the provider"
            )
        yield State(folder, lines)


def _is_open(folder: Path, lines: list[dict[str, Any]]) -> bool:
    return lines[0].get("version") != VERSION or bool(State(folder, lines).open_parts())


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()


def discard(folder: Path) -> None:
    """Remove the folder: the batch is done. Raises OSError."""
    if folder.is_dir() and not folder.is_symlink():
        shutil.rmtree(folder)


def _append(path: Path, line: dict[str, Any]) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0), 0o600)
    try:
        os.write(handle, to_json(line) + b"\n")
        os.fsync(handle)
    finally:
        os.close(handle)


def _lines(path: Path) -> list[dict[str, Any]]:
    """Read the whole lines; a last one without its end was never acknowledged, and goes."""
    if not path.is_file():
        return []
    data = path.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
    if len(whole) < len(data):
        os.truncate(path, len(whole))
    try:
        return [from_json(line) for line in whole.splitlines()]
    except ValueError:
        raise ConfigError(f"{path}: is damaged; look for running batches at the provider, then remove it") from None


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY)
    except OSError as wrong:
        raise ConfigError(f"{folder}: cannot be used ({wrong.strerror}); choose another OUT") from None
    try:
        if fcntl is not None:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise ConfigError(f"{folder}: another process works on this batch; wait for that one") from None
    finally:
        os.close(handle)
