"""The folder beside OUT that makes a prepaid batch resumable, and its journal: one fact a line, each line whole.

A line is appended after what it tells has happened; what could have happened without its line is looked for at the
provider. The folder holds questions in placeholders and answers, so it is private, and goes when the batch is done.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic_core import to_json

from triagedesk.batch.linefile import LineFile
from triagedesk.batch.provider import facts as journal
from triagedesk.batch.provider.facts import FACT, Fact, Head, OfPart, PlanMade, Planned
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


def damaged(folder: Path, what: str) -> ConfigError:
    """Return the one line about a state that cannot be trusted: going on with it could lose what is paid for."""
    return ConfigError(
        f"{folder}: is damaged ({what}); put it back as it was, or fetch or cancel its batches at the provider "
        "and then remove it: a new run pays anew"
    )


class State:
    """The journal, read and locked. Raises ConfigError if its lines do not fit each other."""

    def __init__(self, folder: Path, head: Head, facts: Iterable[Fact]) -> None:
        self.folder = folder
        self.identity, self.run = head.identity, head.run
        self.secret = bytes.fromhex(head.secret)
        self.parts: dict[int, Part] = {}
        self.planned = False
        for fact in facts:
            self._take(fact)

    def write(self, event: str, part: Part | None = None, **more: Any) -> None:
        """Append a fact, durably, and take note of it. Raises OSError."""
        line = to_json({"event": event, **({"part": part.number} if part else {}), **more})
        fact = FACT.validate_json(line)
        _append(self.folder / JOURNAL, line)
        self._take(fact)

    def requests_file(self, number: int) -> Path:
        """Return where the requests of a part stand until they are answered."""
        return self.folder / f"part-{number:04d}.jsonl"

    def open_parts(self) -> list[Part]:
        """Return the parts whose results are not in the store yet."""
        return [part for part in self.parts.values() if part.outcome is None]

    def _take(self, fact: Fact) -> None:
        if isinstance(fact, PlanMade):
            self.planned = True
            self._add(fact.parts)
        elif fact.part in self.parts:
            _tell(self.parts[fact.part], fact)
            if isinstance(fact, journal.SplitUp):
                self._add(fact.parts)
        else:
            raise damaged(self.folder, f"{JOURNAL} tells of a part that was not planned")

    def _add(self, rows: Iterable[Planned]) -> None:
        for number, requests, size in rows:
            self.parts[number] = Part(number, requests, size)


def _tell(part: Part, fact: OfPart) -> None:
    """Note in a part what happened to it."""
    match fact:
        case journal.SplitUp(files=files):
            part.outcome, part.leftovers = "split", files
        case journal.Uploaded(file=file):
            part.file = file
        case journal.Creating():
            part.creations += 1
            part.batch = None
        case journal.Created(batch=batch):
            part.batch = batch
        case journal.Merged(status=status, files=files):
            part.outcome, part.leftovers = status, files
        case journal.Cleaned():
            part.leftovers = ()


@contextlib.contextmanager
def open_state(folder: Path, identity: str) -> Iterator[State]:
    """Lock the folder, made anew if there is none, and read its journal.

    Raises ConfigError if another process holds it, or it belongs to another batch.
    """
    with _locked(folder):
        head, facts = _read(folder)
        if head is not None and head.identity != identity and not _is_open(folder, head, facts):
            _empty(folder)  # another batch, of which nothing runs at the provider: answered, or never sent
            head, facts = None, []
        if head is None:
            head = _begin(folder, identity)
        _check_is(head, identity, folder)
        yield State(folder, head, facts)


@contextlib.contextmanager
def open_to_cancel(folder: Path, identity: str) -> Iterator[tuple[str, State | None]]:
    """Lock the folder and keep what it holds: gives the run's name, and the state unless the journal is damaged.

    Raises ConfigError if another process holds it, it belongs to another batch, or the journal's first line is damaged.
    """
    with _locked(folder):
        lines = _lines(folder / JOURNAL)
        if not lines:
            raise damaged(folder, f"{JOURNAL} is missing or empty")
        head, _ = _parsed(folder, lines[:1])
        _check_is(head, identity, folder)
        state = None
        with contextlib.suppress(ConfigError):
            state = State(folder, *_parsed(folder, lines))
        yield head.run, state


def _check_is(head: Head, identity: str, folder: Path) -> None:
    if head.version != VERSION or head.identity != identity:
        raise ConfigError(
            f"{folder}: holds another prepaid batch (input, model, prompt or playbook differ); "
            "run that command to its end, or remove the folder once its batches are cancelled at the provider"
        )


def _begin(folder: Path, identity: str) -> Head:
    """Write the first line of a journal. Raises ConfigError where a journal must have stood before."""
    if (folder / QUESTIONS).exists():
        raise damaged(folder, f"{JOURNAL} is missing or empty")
    head = Head(
        event="head", version=VERSION, identity=identity, run=secrets.token_hex(8), secret=secrets.token_hex(32)
    )  # fmt: skip
    _append(folder / JOURNAL, to_json(head))
    return head


def _is_open(folder: Path, head: Head, facts: list[Fact]) -> bool:
    """Say if something of it may be at the provider still: a plan of which nothing was sent is not."""
    sent = [part for part in State(folder, head, facts).open_parts() if part.file is not None or part.creations]
    return head.version != VERSION or bool(sent)


def _empty(folder: Path) -> None:
    """Remove what stands there, the journal last: a kill on the way leaves no questions without it."""
    for path in sorted(folder.iterdir(), key=lambda path: path.name == JOURNAL):
        path.unlink()


def discard(folder: Path) -> None:
    """Remove the folder: the batch is done. Raises OSError."""
    if folder.is_dir() and not folder.is_symlink():
        _empty(folder)
        folder.rmdir()


def _append(path: Path, line: bytes) -> None:
    """Append a line, durably, or nothing of it. Raises OSError."""
    size = path.stat().st_size if path.exists() else 0
    lines = LineFile(path)
    try:
        lines.write(line + b"\n")
        lines.sync()
    except OSError:
        with contextlib.suppress(OSError):
            os.truncate(path, size)
        raise
    finally:
        lines.close()


def _read(folder: Path) -> tuple[Head | None, list[Fact]]:
    """Read the journal: its head, None if there is none yet, and its facts."""
    lines = _lines(folder / JOURNAL)
    return _parsed(folder, lines) if lines else (None, [])


def _parsed(folder: Path, lines: list[bytes]) -> tuple[Head, list[Fact]]:
    try:
        head = Head.model_validate_json(lines[0])
        rest = lines[1:] if head.version == VERSION else []
        return head, [FACT.validate_json(line) for line in rest]
    except ValueError:
        raise damaged(folder, f"{JOURNAL} is not as it was written") from None


def _lines(path: Path) -> list[bytes]:
    """Read the whole lines; a last one without its end was never acknowledged, and goes."""
    if not path.is_file():
        return []
    data = path.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
    if len(whole) < len(data):
        os.truncate(path, len(whole))
    return whole.splitlines()


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
