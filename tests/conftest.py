"""No test talks to the network: only loopback can be reached."""

from __future__ import annotations

import pytest
from pytest_socket import socket_allow_hosts


@pytest.fixture(autouse=True)
def only_loopback_can_be_reached() -> None:
    """Refuse every connection but to this machine. pytest-socket lifts it when the test is over."""
    socket_allow_hosts(["127.0.0.1", "::1"], allow_unix_socket=True)
