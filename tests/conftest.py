"""No test talks to the network: only loopback can be reached."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from pytest_socket import socket_allow_hosts


@pytest.fixture(autouse=True)
def only_loopback_can_be_reached() -> None:
    """Refuse every connection but to this machine. pytest-socket lifts it when the test is over."""
    socket_allow_hosts(["127.0.0.1", "::1"], allow_unix_socket=True)


@pytest.fixture
def clean_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Take away everybody's settings and keys; the cache is this test's own, logs are off, tables are 120 wide."""
    for name in [name for name in os.environ if name.startswith(("TRIAGEDESK_", "OPENAI_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("TRIAGEDESK_LOG", "off")
    monkeypatch.setenv("COLUMNS", "120")
