"""A real Redis or Valkey server for tests: one that is found here and started on a free port, or one at an address.

`TRIAGEDESK_TEST_REDIS` names an address to use instead; its database is emptied. What stops or kills the server needs
one of its own. Without either, tests skip and say so.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

ADDRESS = os.environ.get("TRIAGEDESK_TEST_REDIS", "")
PROGRAM = shutil.which("valkey-server") or shutil.which("redis-server")
WHY = "no valkey-server or redis-server is installed (apt-get install redis-server)"


class Server:
    """A server of our own on loopback, that keeps nothing on disk."""

    def __init__(self, folder: Path, password: str = "") -> None:
        if PROGRAM is None:
            pytest.skip(WHY)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self._folder, self._password = folder, password
        self.start()

    @property
    def url(self) -> str:
        """Its address, with the password."""
        return f"redis://{f':{self._password}@' if self._password else ''}127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start it, empty, and wait until it listens."""
        given = ["--requirepass", self._password] if self._password else []
        assert PROGRAM is not None
        self.process = subprocess.Popen(
            [PROGRAM, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no",
             "--dir", str(self._folder), *given], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        until = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                assert time.monotonic() < until, "the server does not start"
                time.sleep(0.02)
            else:
                return

    def hang(self) -> None:
        """Let it accept, and answer nothing."""
        self.process.send_signal(signal.SIGSTOP)

    def wake(self) -> None:
        """Let it go on."""
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it at once."""
        self.process.kill()
        self.process.wait(10)
