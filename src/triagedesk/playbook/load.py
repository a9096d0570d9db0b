"""Reading a playbook: safe YAML, strict schema, names that must exist, and a hash that is its version."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from triagedesk.errors import PlaybookError, TicketError
from triagedesk.models import Ticket
from triagedesk.playbook.document import Dimension, Document
from triagedesk.playbook.lexicon import digest, written_out
from triagedesk.playbook.names import unknown_names
from triagedesk.playbook.plain import refuse_tricks
from triagedesk.playbook.signals import SignalFinder

DEFAULT = Path(__file__).with_name("default.yaml")
MAX_BYTES = 2_000_000

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Playbook:
    """A checked playbook, ready to use.

    `identity` is name@hash12; the hash covers the bytes of the file and of its lexicon.
    """

    def __init__(self, document: Document, source: bytes, where: str) -> None:
        self.document = document
        self.where = where
        self._source = source
        self.hash = hashlib.sha256(source + (digest() if document.lexicon else b"")).hexdigest()
        self.identity = f"{document.playbook}@{self.hash[:12]}"

    @cached_property
    def reading_hash(self) -> str:
        """The hash of all that decides labels and confidences: the document without `automation`, and its lexicon.

        Comments and layout do not count, so that writing automation levels into a file leaves it as it is.
        """
        text = self.document.model_dump_json(exclude={"automation"}, exclude_defaults=True)
        return hashlib.sha256(text.encode() + (digest() if self.document.lexicon else b"")).hexdigest()

    @property
    def calibration_file(self) -> Path:
        """Where this playbook's measured confidences stand unless a setting says otherwise: NAME.calibration.json."""
        return Path(self.where).with_suffix(".calibration.json")

    @property
    def trained_file(self) -> Path:
        """Where this playbook's trained classifier stands unless a setting says otherwise: NAME.trained.safetensors."""
        return Path(self.where).with_suffix(".trained.safetensors")

    @property
    def dimensions(self) -> dict[str, Dimension]:
        """The dimensions by name."""
        return self.document.dimensions

    @cached_property
    def whole(self) -> Document:
        """The document with its lexicon written out: for checks, not for work."""
        return written_out(self.document)

    @cached_property
    def finder(self) -> SignalFinder:
        """All signals, compiled once."""
        return SignalFinder(self.document)

    @cached_property
    def _lines(self) -> _Lines:
        return _Lines(self._source)

    def line_of(self, path: tuple[Any, ...]) -> int | None:
        """Return the 1-based line where the deepest part of a path of keys and indices stands."""
        return self._lines.of(path)

    def severity(self, dimension: str, label: str) -> int:
        """Return how severe an ordinal label is: 0 for the last in order."""
        names = self.dimensions[dimension].names
        return len(names) - 1 - names.index(label)

    def check_ticket(self, ticket: Ticket) -> None:
        """Raise TicketError if channel or tier is none of this playbook's."""
        for value, known, name in (
            (ticket.channel, self.document.channels, "channel"),
            (ticket.customer_tier, self.document.tiers, "customer_tier"),
        ):
            if value is not None and value not in known:
                raise TicketError(f"{name}: unknown value; this playbook knows {', '.join(known)}")


def load_playbook(path: Path | str | None = None) -> Playbook:
    """Load a playbook file, or the default one.

    Raises PlaybookError with file, line and what to do.
    """
    file = Path(path) if path is not None else DEFAULT
    if file.exists() and not file.is_file():
        raise PlaybookError("is not a regular file; give one", where=str(file))
    try:
        source = file.read_bytes()
    except OSError as wrong:
        raise PlaybookError(f"cannot be read ({wrong.strerror}); give a file that exists", where=str(file)) from None
    # What ships is tested; a user's patterns are all compiled now, so that none is refused in the middle of the work.
    return parse_playbook(source, where=str(file), compiled=file != DEFAULT)


def parse_playbook(source: bytes, *, where: str = "playbook", compiled: bool = True) -> Playbook:
    """Parse and check a playbook's bytes; with `compiled`, its patterns too. Raises PlaybookError."""
    data = _yaml(source, where, events_checked=not compiled)
    lines = _Lines(source)
    try:
        document = Document.model_validate(data)
    except ValidationError as wrong:
        raise _not_a_playbook(wrong, where, lines) from None
    except OverflowError:
        raise PlaybookError("a number or a duration is out of range", where=where) from None
    for path, problem in unknown_names(document):
        raise PlaybookError(problem, where=where, line=lines.of(path))
    playbook = Playbook(document, source, where)
    if compiled:
        for path in _not_finite(document.model_dump()):
            raise PlaybookError(f"{'.'.join(map(str, path))}: give a finite number", where=where, line=lines.of(path))
        _compile(playbook, lines)
    return playbook


def _not_finite(value: object, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the paths of infinities and NaN."""
    if isinstance(value, float) and not math.isfinite(value):
        yield path
    elif isinstance(value, dict):
        for key, part in value.items():
            yield from _not_finite(part, (*path, key))
    elif isinstance(value, (list, tuple)):
        for index, part in enumerate(value):
            yield from _not_finite(part, (*path, index))


def _not_a_playbook(wrong: ValidationError, where: str, lines: _Lines) -> PlaybookError:
    errors = wrong.errors(include_url=False, include_input=False, include_context=False)
    # a misspelt key is an unknown one and a missing one: name the one that stands there
    first = next((error for error in errors if error["type"] == "extra_forbidden"), errors[0])
    path = tuple(part for part in first["loc"])
    name = ".".join(str(part) for part in path) or "document"
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        message = "unknown key; remove it or mend its spelling"
    return PlaybookError(f"{name}: {message}", where=where, line=lines.of(path))


def _compile(playbook: Playbook, lines: _Lines) -> None:
    try:
        playbook.finder.compile()
    except PlaybookError as wrong:
        line = lines.containing(wrong.where)
        raise PlaybookError(wrong.problem, where=playbook.where, line=line) from None


def _yaml(source: bytes, where: str, *, events_checked: bool = False) -> Any:
    if len(source) > MAX_BYTES:
        raise PlaybookError(f"is larger than {MAX_BYTES // 1_000_000} MB", where=where)
    try:
        text = source.decode("utf-8")
    except UnicodeDecodeError:
        raise PlaybookError("is not UTF-8 text", where=where) from None
    try:
        if not events_checked:
            refuse_tricks(text, where)
        data = yaml.load(text, Loader=_Loader)  # noqa: S506 - a safe loader, in C where it is there
    except yaml.MarkedYAMLError as wrong:
        line = wrong.problem_mark.line + 1 if wrong.problem_mark else None
        raise PlaybookError(f"is not YAML: {wrong.problem or wrong.context}", where=where, line=line) from None
    except (yaml.YAMLError, RecursionError, ValueError):
        raise PlaybookError("is not YAML that can be read", where=where) from None
    if not isinstance(data, dict):
        raise PlaybookError("must be a mapping; start from `triagedesk playbook init`", where=where, line=1)
    return data


class _Lines:
    """Finds the line of a path in a YAML source; only asked when something is wrong."""

    def __init__(self, source: bytes) -> None:
        self._source = source

    @cached_property
    def _root(self) -> yaml.Node | None:
        return yaml.compose(self._source.decode("utf-8"), Loader=_Loader)

    def of(self, path: tuple[Any, ...]) -> int | None:
        """Return the 1-based line where the deepest part of the path that exists stands."""
        node, line = self._root, 1
        for part in path:
            step = _child(node, part)
            if step is None:
                break
            node, line = step
        return line

    def containing(self, text: str) -> int | None:
        """Return the first line that holds a pattern's text."""
        for number, line in enumerate(self._source.decode("utf-8").splitlines(), 1):
            if text and (text in line or text.replace("\\", "\\\\") in line):
                return number
        return None


def _child(node: yaml.Node | None, part: Any) -> tuple[yaml.Node, int] | None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == str(part):
                return value, key.start_mark.line + 1
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        return node.value[part], node.value[part].start_mark.line + 1
    return None
