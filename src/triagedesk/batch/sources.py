"""Where a batch's rows come from: a file, a folder or a pattern, sorted, as one stream of rows."""

from __future__ import annotations

import csv
import fnmatch
import glob
import hashlib
import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from triagedesk.batch.columns import ColumnMap
from triagedesk.batch.parquet_rows import ParquetRows
from triagedesk.batch.rows import MAX_LINE_BYTES, Row, Rows
from triagedesk.batch.streams import Stream, format_of, require_parquet
from triagedesk.errors import ConfigError

_MAGIC = frozenset("*?[")


def find_files(spec: Path | str) -> tuple[Path, ...]:
    """Return the files that a path, a folder or a quoted pattern names, sorted; `**` goes into folders.

    A folder gives its own files of a known format, hidden ones aside. Raises ConfigError if there is none.
    """
    path = Path(spec)
    if path.is_dir():
        return _in_folder(path)
    if not path.exists() and _MAGIC.intersection(str(spec)):
        found = tuple(sorted(Path(name) for name in glob.glob(str(spec), recursive=True) if Path(name).is_file()))
        if not found:
            raise ConfigError(f"{spec}: no file matches; put the pattern in quotes and check it")
        return found
    if path.exists() and not path.is_file():
        raise ConfigError(f"{path}: is not a file; give a file, a folder or a pattern in quotes")
    return (path,)


def _in_folder(folder: Path) -> tuple[Path, ...]:
    found = tuple(sorted(path for path in folder.iterdir() if path.is_file() and _is_known(path)))
    if not found:
        raise ConfigError(f"{folder}: holds no .jsonl, .csv or .parquet file; give another folder, or a pattern")
    return found


def _is_known(path: Path) -> bool:
    try:
        format_of(path)
    except ConfigError:
        return False
    return not path.name.startswith((".", "_")) and not path.name.endswith(".errors.jsonl")


def would_read(spec: Path | str, path: Path) -> bool:
    """Say if a file that is written at `path` would be part of the input: of a batch's own output, it must not be."""
    folder = Path(spec)
    if folder.is_dir():
        return path.resolve().parent == folder.resolve()
    if not folder.exists() and _MAGIC.intersection(str(spec)):
        return _matches(path, str(spec))
    return any(_same_file(path, one) for one in find_files(spec))


def _matches(path: Path, pattern: str) -> bool:
    """Say if a pattern would find a file, also by another way: through a folder that is a symbolic link."""
    if fnmatch.fnmatch(os.path.abspath(path), os.path.abspath(pattern)):
        return True
    folder, name = os.path.split(pattern)
    if name == "**":
        folder, name = pattern, "*"
    real = path.resolve()
    folders = glob.iglob(folder or ".", recursive=True)
    return fnmatch.fnmatch(real.name, name) and any(Path(one).resolve() == real.parent for one in folders)


def _same_file(one: Path, other: Path) -> bool:
    return one.resolve() == other.resolve() or (one.exists() and other.exists() and one.samefile(other))


class Sources:
    """The rows of all files, one after the other. `files` are those read, `size` is their bytes together."""

    def __init__(self, files: tuple[Path, ...], words: frozenset[str], columns: ColumnMap) -> None:
        self.files, self._words, self._columns = files, words, columns
        self._sizes = [path.stat().st_size for path in files]
        self.size = sum(self._sizes)
        self._before = 0
        self._reader: _Reader | None = None

    @property
    def position(self) -> int:
        """Bytes read so far, of `size`; of a packed file the packed ones."""
        return self._before + (self._reader.position if self._reader is not None else 0)

    def after(self, skipped: int = 0) -> Iterator[Row]:
        """Yield the rows that follow the first `skipped`, over all files; a damaged file ends with a bad row."""
        self._before = 0
        for path, size in zip(self.files, self._sizes, strict=True):
            with closing(_Reader(path, self._words, self._columns, self._name(path))) as self._reader:
                yield from self._reader.after(skipped)
                skipped -= self._reader.skipped
            self._reader = None
            self._before += size

    def _name(self, path: Path) -> str:
        """Name a file in rows and problems: only where there are several."""
        if len(self.files) == 1:
            return ""
        parents = {one.parent for one in self.files}
        return path.name if len(parents) == 1 else os.path.relpath(path, os.path.commonpath(parents))

    def check(self) -> None:
        """Look at every file's header, and for mapped paths at its first rows. Raises ConfigError."""
        for path in self.files:
            with closing(_Reader(path, self._words, self._columns, "")) as reader:
                reader.check()

    def digest(self) -> bytes:
        """Return a hash of all files' bytes and of the column map: what decides which rows there are."""
        whole = hashlib.blake2b(digest_size=16)
        for path in self.files:
            with path.open("rb") as stream:
                whole.update(hashlib.file_digest(stream, "blake2b").digest())
            whole.update(f"{self._name(path)}\n".encode())
        whole.update(repr(sorted(self._columns.items())).encode())
        return whole.digest()


class _Reader:
    """One open file, whatever its format; it counts what it skips."""

    def __init__(self, path: Path, words: frozenset[str], columns: ColumnMap, name: str) -> None:
        self._size = path.stat().st_size
        self._stream: Stream | None = None
        self._rows: Rows | ParquetRows
        if format_of(path) == "parquet":
            self._rows = ParquetRows(path, words, columns, name=name)
        else:
            self._stream = Stream(path)
            with self._stream.closed_if_refused():
                self._rows = _rows(self._stream, path, words, columns, name)

    @property
    def position(self) -> int:
        if isinstance(self._rows, ParquetRows):
            return int(self._rows.share_read * self._size)
        return self._stream.position if self._stream is not None else 0

    def after(self, skipped: int) -> Iterator[Row]:
        return self._rows.after(skipped)

    @property
    def skipped(self) -> int:
        return self._rows.skipped

    def check(self) -> None:
        self._rows.check()

    def close(self) -> None:
        for part in (self._rows, self._stream):
            if isinstance(part, ParquetRows | Stream):
                part.close()


def _rows(stream: Stream, path: Path, words: frozenset[str], columns: ColumnMap, name: str) -> Rows:
    csv.field_size_limit(MAX_LINE_BYTES)  # before the header is read: its cells may be long, too
    try:
        return Rows(stream.text, path, words, columns, name=name)
    except csv.Error:
        raise ConfigError(f"{path}: its first line is not CSV, or its lines end with CR alone as on old Macs; "
                          "save it as CSV with LF or CRLF") from None  # fmt: skip


def open_sources(spec: Path | str, *, words: frozenset[str] = frozenset(), columns: ColumnMap | None = None) -> Sources:
    """Return the rows that `spec` names: a file, a folder, or a pattern; every header is looked at now.

    `words` are the playbook's channels and tiers, `columns` says which column or dotted path holds which field.
    Raises ConfigError with one line if anything cannot be read as it is.
    """
    files = find_files(spec)
    for path in files:
        format_of(path)
        require_parquet(path)
        if not path.exists():
            raise ConfigError(f"{path}: No such file or directory; give a file that can be read")
    sources = Sources(files, words, columns or {})
    sources.check()
    return sources
