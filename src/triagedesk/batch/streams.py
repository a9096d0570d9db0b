"""Files of tickets as streams of bytes: plain or compressed, and how far each is read."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, BinaryIO, cast

from triagedesk.errors import ConfigError

if TYPE_CHECKING:
    from typing_extensions import Buffer

FORMATS = {".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".tsv": "csv", ".parquet": "parquet"}
COMPRESSED = (".gz", ".bz2", ".xz", ".zst")
_BUFFER = 256 * 1024

ZSTD_BYTES = 1024
"""pyarrow keeps what it has unpacked to itself when it comes upon damage: so many bytes of good rows it may cost."""


def compression_of(path: Path) -> str:
    """Return ".gz", ".bz2", ".xz", ".zst" or nothing, by the file's last suffix."""
    suffix = path.suffix.lower()
    return suffix if suffix in COMPRESSED else ""


def format_of(path: Path) -> str:
    """Return "jsonl", "csv" or "parquet" by the file's suffix. Raises ConfigError that names what is supported."""
    packed = compression_of(path)
    inner = Path(path.stem) if packed else path
    found = FORMATS.get(inner.suffix.lower())
    if found is None:
        raise ConfigError(f"{path}: {inner.suffix or 'no suffix'} is not supported; give {', '.join(FORMATS)}, "
                          f"the first four also with {', '.join(COMPRESSED)}")  # fmt: skip
    if found == "parquet" and packed:
        raise ConfigError(f"{path}: Parquet compresses by itself; give a .parquet file")
    return found


def require_parquet(path: Path) -> None:
    """Raise ConfigError that names the extra if a file needs pyarrow, which is not installed."""
    if path.suffix.lower() not in (".parquet", ".zst"):
        return
    from importlib.util import find_spec

    if find_spec("pyarrow") is None:
        raise ConfigError(f"{path}: {path.suffix} needs pyarrow: pip install 'triagedesk[parquet]'")


class Stream:
    """An open file: `text` is what is in it, unpacked; `position` how many of its own bytes are read."""

    def __init__(self, path: Path) -> None:
        try:
            self._raw: BinaryIO = path.open("rb")
        except OSError as wrong:
            raise ConfigError(f"{path}: {wrong.strerror}; give a file that can be read") from None
        self.text = _unpacked(self._raw, compression_of(path))

    @property
    def position(self) -> int:
        """Bytes of the file read so far, packed ones where it is packed."""
        return self._raw.tell()

    @contextmanager
    def closed_if_refused(self) -> Iterator[None]:
        """Close the file if the block finds that it cannot be used."""
        try:
            yield
        except ConfigError:
            self.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self.text.close()
        self._raw.close()


def _unpacked(raw: BinaryIO, packed: str) -> io.BufferedReader:
    if not packed:
        return cast("io.BufferedReader", raw)
    return io.BufferedReader(_AsUnpacked(_codec(raw, packed), ZSTD_BYTES if packed == ".zst" else _BUFFER), _BUFFER)


class _AsUnpacked(io.RawIOBase):
    """Hands out what is unpacked at once. A codec's own `readinto` would fill the buffer first, and lose all of it to
    damage that comes behind."""

    def __init__(self, codec: io.BufferedIOBase, most: int) -> None:
        self._codec, self._most = codec, most

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Buffer) -> int:
        with memoryview(buffer) as room:
            data = self._codec.read1(min(self._most, len(room)))
            room[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._codec.close()
        super().close()


def _codec(raw: BinaryIO, packed: str) -> io.BufferedIOBase:
    """Return the unpacking file. Each codec is imported only where it is used."""
    if packed == ".gz":
        import gzip

        return gzip.GzipFile(fileobj=raw, mode="rb")
    if packed == ".bz2":
        import bz2

        return bz2.BZ2File(raw)
    if packed == ".xz":
        import lzma

        return lzma.LZMAFile(raw)
    import pyarrow as pa

    return cast("io.BufferedIOBase", pa.CompressedInputStream(pa.PythonFile(raw, "r"), "zstd"))


def broken() -> tuple[type[BaseException], ...]:
    """Return what reading a damaged or cut-off compressed file raises."""
    import lzma
    import zlib

    return (OSError, EOFError, zlib.error, lzma.LZMAError)


class Packer:
    """Writes a compressed file aside: .gz without a time stamp, so that the same rows give the same bytes; or .zst."""

    def __init__(self, path: Path, packed: str) -> None:
        self._raw: BinaryIO = path.open("wb")
        self._packed = _packing(self._raw, packed)

    def write(self, data: bytes) -> None:
        """Compress and write. Raises OSError."""
        self._packed.write(data)

    def close(self) -> None:
        """Finish the compressed stream and close the file. Raises OSError."""
        self._packed.close()
        self._raw.close()


def _packing(raw: BinaryIO, packed: str) -> IO[bytes]:
    if packed == ".gz":
        import gzip

        return cast("IO[bytes]", gzip.GzipFile(filename="", fileobj=raw, mode="wb", mtime=0))
    import pyarrow as pa

    return cast("IO[bytes]", pa.CompressedOutputStream(pa.PythonFile(raw, "w"), "zstd"))
