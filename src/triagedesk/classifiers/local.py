"""A model file served in this process: llama.cpp's own HTTP server on a free loopback port (extra `[local]`)."""

from __future__ import annotations

import hashlib
import os
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from triagedesk.errors import ConfigError
from triagedesk.settings import Settings

_GGUF_MAGIC = b"GGUF"
_EDGE_BYTES = 1 << 20
_CACHE_MIB = 256


@dataclass
class LocalServer:
    """A running server. `base_url` is where to ask, `place` names the model file by its content."""

    base_url: str
    place: str
    _server: Any

    def close(self) -> None:
        """Stop the server and give its memory back. May be called twice."""
        self._server = None


def start_local(path: Path, settings: Settings, *, ready_within_s: float = 120.0) -> LocalServer:
    """Load a GGUF file and serve it on 127.0.0.1; returns when it answers.

    Raises ConfigError with one line: the file is missing or no model, the extra is not installed, it does not load.
    """
    place = _check_file(path)
    xllamacpp = _library()
    try:
        server = xllamacpp.Server(_parameters(xllamacpp, path, settings))
    except RuntimeError:
        raise ConfigError(f"{path}: llama.cpp cannot load this model; try another file or less local_context") from None
    _wait_until_ready(server.listening_address, ready_within_s, path)
    return LocalServer(f"{server.listening_address}/v1", place, server)


def _check_file(path: Path) -> str:
    """Return the file's name with a hash of its size and both ends: gigabytes are not read for a name."""
    try:
        with path.open("rb") as file:
            head = file.read(_EDGE_BYTES)
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _EDGE_BYTES))
            tail = file.read()
    except OSError as wrong:
        raise ConfigError(f"{path}: cannot be read ({wrong.strerror}); give the path of a .gguf file") from None
    if not head.startswith(_GGUF_MAGIC):
        raise ConfigError(f"{path}: is not a GGUF model; give the path of a .gguf file")
    return f"local/{path.name}@{hashlib.sha256(head + tail + str(size).encode()).hexdigest()[:12]}"


def _library() -> Any:
    try:
        import xllamacpp  # 34 MB, and only who runs a model in the process needs it
    except ImportError:
        raise ConfigError("local models need llama.cpp: pip install 'triagedesk[local]'") from None
    return xllamacpp


def _parameters(xllamacpp: Any, path: Path, settings: Settings) -> Any:
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(path)
    parameters.hostnames, parameters.port = ["127.0.0.1"], 0  # 0: the system picks a free port
    parameters.n_parallel, parameters.n_ctx = 1, settings.local_context  # n_ctx is the total, shared by the slots
    threads = settings.local_threads or max(1, (os.cpu_count() or 2) // 2)
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = threads
    parameters.verbosity = 0  # llama.cpp's log holds prompts, and floods the terminal
    parameters.endpoint_slots = parameters.endpoint_props = parameters.ui = False  # they would show prompts
    parameters.cache_ram_mib = min(parameters.cache_ram_mib, _CACHE_MIB)
    return parameters


def _wait_until_ready(address: str, seconds: float, path: Path) -> None:
    end = time.monotonic() + seconds
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while time.monotonic() < end:
        try:
            with opener.open(f"{address}/health", timeout=5) as reply:
                if reply.status == 200:
                    return
        except (urllib.error.URLError, TimeoutError, ConnectionError):
            pass  # 503 while it loads
        time.sleep(0.05)
    raise ConfigError(f"{path}: the model was not ready within {seconds:g} s; try a smaller one")
